//! The platform's disk, for operators.

use crate::{
    answer::{Named, Refused},
    asker::Asker,
    view, wire,
};
use app::App;
use axum::{Json, extract::State, http::StatusCode};
use std::sync::Arc;

/// What is stored (operators)
#[utoipa::path(
    get,
    path = "/storage",
    operation_id = "storage",
    tag = "platform",
    responses((status = 200, description = "What the disk holds", body = wire::Storage))
)]
pub(super) async fn storage(
    State(app): State<Arc<App>>,
    asker: Asker,
) -> Result<Json<wire::Storage>, Refused> {
    Ok(Json(view::storage(&app.storage(&asker.0).await?)))
}

/// Read everything that is stored and compare it with its digests (operators)
#[utoipa::path(
    post,
    path = "/storage/scrubs",
    operation_id = "begin_scrub",
    tag = "platform",
    responses((status = 202, description = "It has begun", body = wire::Scrub))
)]
pub(super) async fn begin_scrub(
    State(app): State<Arc<App>>,
    asker: Asker,
) -> Result<(StatusCode, Json<wire::Scrub>), Refused> {
    Ok((StatusCode::ACCEPTED, Json(view::scrub(&app.begin_scrub(&asker.0).await?))))
}

/// How a scrub goes (operators)
#[utoipa::path(
    get,
    path = "/storage/scrubs/{number}",
    operation_id = "scrub",
    tag = "platform",
    params(("number" = u64, Path, description = "The scrub's number")),
    responses((status = 200, description = "What it has found so far", body = wire::Scrub))
)]
pub(super) async fn scrub(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(number): Named<u64>,
) -> Result<Json<wire::Scrub>, Refused> {
    Ok(Json(view::scrub(&app.scrub(&asker.0, number).await?)))
}
