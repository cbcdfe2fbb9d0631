//! A tool's storage.

use crate::{
    answer::{Body, Named, Refused},
    asker::Asker,
    wire,
};
use app::App;
use axum::{Json, extract::State};
use std::sync::Arc;
use store::Usage;

fn view(usage: &Usage) -> wire::Quota {
    wire::Quota {
        used_bytes: usage.used_bytes(),
        limit_bytes: usage.limit_bytes,
        images_bytes: usage.images_bytes,
        caches_bytes: usage.caches_bytes,
        pushed_bytes: usage.pushed_bytes,
        uploads_bytes: usage.uploads_bytes,
    }
}

/// A tool's storage and what it may use
#[utoipa::path(
    get,
    path = "/tools/{tool}/quota",
    operation_id = "show_quota",
    tag = "tools",
    params(("tool" = String, Path, description = "The tool's name")),
    responses((status = 200, description = "Bytes", body = wire::Quota))
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
) -> Result<Json<wire::Quota>, Refused> {
    Ok(Json(view(&app.usage(&asker.0, &tool).await?)))
}

/// Set what a tool may store (operators)
#[utoipa::path(
    put,
    path = "/tools/{tool}/quota",
    operation_id = "set_quota",
    tag = "tools",
    params(("tool" = String, Path, description = "The tool's name")),
    request_body = wire::NewQuota,
    responses((status = 200, description = "Bytes", body = wire::Quota))
)]
pub(super) async fn set(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
    Body(new): Body<wire::NewQuota>,
) -> Result<Json<wire::Quota>, Refused> {
    Ok(Json(view(&app.set_quota(&asker.0, &tool, new.bytes).await?)))
}
