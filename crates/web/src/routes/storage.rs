//! The platform's disk, for operators.

use crate::{
    answer::{Named, Refused},
    asker::Asker,
    view, wire,
};
use app::App;
use axum::{Json, extract::State, http::StatusCode};
use std::sync::Arc;

pub(super) async fn storage(
    State(app): State<Arc<App>>,
    asker: Asker,
) -> Result<Json<wire::Storage>, Refused> {
    Ok(Json(view::storage(&app.storage(&asker.0).await?)))
}

pub(super) async fn begin_scrub(
    State(app): State<Arc<App>>,
    asker: Asker,
) -> Result<(StatusCode, Json<wire::Scrub>), Refused> {
    Ok((StatusCode::ACCEPTED, Json(view::scrub(&app.begin_scrub(&asker.0).await?))))
}

pub(super) async fn scrub(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(number): Named<u64>,
) -> Result<Json<wire::Scrub>, Refused> {
    Ok(Json(view::scrub(&app.scrub(&asker.0, number).await?)))
}
