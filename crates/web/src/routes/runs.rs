//! Runs and what came of them.

use crate::{
    answer::{Asked, Body, Named, Refused},
    asker::Asker,
    view, wire,
};
use app::App;
use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use std::sync::Arc;

/// Which part of a long list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default = "default_limit")]
    limit: u32,
    before: Option<u64>,
}

fn default_limit() -> u32 {
    50
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
    Asked(page): Asked<Page>,
) -> Result<Json<wire::Runs>, Refused> {
    let runs = app.runs(&asker.0, &tool, page.limit, page.before).await?;
    Ok(Json(wire::Runs { runs: runs.iter().map(|run| view::run_view(run, &[])).collect() }))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named((tool, number)): Named<(String, u64)>,
) -> Result<Json<wire::Run>, Refused> {
    let (run, steps) = app.run(&asker.0, &tool, number).await?;
    Ok(Json(view::run_view(&run, &steps)))
}

pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named((tool, number)): Named<(String, u64)>,
) -> Result<Json<wire::Run>, Refused> {
    Ok(Json(view::run_view(&app.cancel_run(&asker.0, &tool, number).await?, &[])))
}

/// It is on disk; how it goes is read from the new run.
pub(super) async fn retry(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named((tool, number)): Named<(String, u64)>,
) -> Result<(StatusCode, Json<wire::Run>), Refused> {
    let run = app.retry_run(&asker.0, &tool, number).await?;
    Ok((StatusCode::ACCEPTED, Json(view::run_view(&run, &[]))))
}

pub(super) async fn releases(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
    Asked(page): Asked<Page>,
) -> Result<Json<wire::Releases>, Refused> {
    let releases = app.releases(&asker.0, &tool, page.limit, page.before).await?;
    Ok(Json(wire::Releases {
        releases: releases.releases.iter().map(view::release).collect(),
        history: releases.history.iter().map(view::deployment).collect(),
    }))
}

/// It is on disk; how it goes is read from its run.
pub(super) async fn roll_back(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
    Body(new): Body<wire::NewRollback>,
) -> Result<(StatusCode, Json<wire::Rollback>), Refused> {
    let rollback = app.roll_back(&asker.0, &tool, new.release).await?;
    let url = app.addresses().tool(&rollback.tool);
    Ok((StatusCode::ACCEPTED, Json(view::rollback(&rollback, url))))
}
