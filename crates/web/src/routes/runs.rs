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
use utoipa::IntoParams;

/// Which part of a long list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// How many at most.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 200)]
    limit: u32,
    /// Only those with smaller numbers: the last one of the page before.
    before: Option<u64>,
}

fn default_limit() -> u32 {
    50
}

/// List a tool's runs, newest first
#[utoipa::path(
    get,
    path = "/tools/{tool}/runs",
    operation_id = "list_runs",
    tag = "runs",
    params(("tool" = String, Path, description = "The tool's name"), Page),
    responses((status = 200, description = "Runs, without their steps", body = wire::Runs))
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
    Asked(page): Asked<Page>,
) -> Result<Json<wire::Runs>, Refused> {
    let runs = app.runs(&asker.0, &tool, page.limit, page.before).await?;
    Ok(Json(wire::Runs { runs: runs.iter().map(|run| view::run_view(run, &[])).collect() }))
}

/// A run and its steps
#[utoipa::path(
    get,
    path = "/tools/{tool}/runs/{number}",
    operation_id = "show_run",
    tag = "runs",
    params(("tool" = String, Path, description = "The tool's name"), ("number" = u64, Path, description = "The run's number within the tool")),
    responses((status = 200, description = "The run", body = wire::Run))
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named((tool, number)): Named<(String, u64)>,
) -> Result<Json<wire::Run>, Refused> {
    let (run, steps) = app.run(&asker.0, &tool, number).await?;
    Ok(Json(view::run_view(&run, &steps)))
}

/// Ask a run to end
#[utoipa::path(
    post,
    path = "/tools/{tool}/runs/{number}/cancel",
    operation_id = "cancel_run",
    tag = "runs",
    params(("tool" = String, Path, description = "The tool's name"), ("number" = u64, Path, description = "The run's number within the tool")),
    responses((status = 200, description = "The run; it ends within a moment", body = wire::Run))
)]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named((tool, number)): Named<(String, u64)>,
) -> Result<Json<wire::Run>, Refused> {
    Ok(Json(view::run_view(&app.cancel_run(&asker.0, &tool, number).await?, &[])))
}

/// Run a commit again
#[utoipa::path(
    post,
    path = "/tools/{tool}/runs/{number}/retry",
    operation_id = "retry_run",
    tag = "runs",
    params(("tool" = String, Path, description = "The tool's name"), ("number" = u64, Path, description = "The run's number within the tool")),
    responses((status = 202, description = "The new run", body = wire::Run))
)]
pub(super) async fn retry(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named((tool, number)): Named<(String, u64)>,
) -> Result<(StatusCode, Json<wire::Run>), Refused> {
    let run = app.retry_run(&asker.0, &tool, number).await?;
    Ok((StatusCode::ACCEPTED, Json(view::run_view(&run, &[]))))
}

/// List a tool's releases and what was live when
#[utoipa::path(
    get,
    path = "/tools/{tool}/releases",
    operation_id = "list_releases",
    tag = "releases",
    params(("tool" = String, Path, description = "The tool's name"), Page),
    responses((status = 200, description = "Releases, newest first", body = wire::Releases))
)]
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

/// Make an earlier release live again
#[utoipa::path(
    post,
    path = "/tools/{tool}/rollback",
    operation_id = "roll_back",
    tag = "releases",
    params(("tool" = String, Path, description = "The tool's name")),
    request_body = wire::NewRollback,
    responses((status = 202, description = "It is on disk and goes on as a run", body = wire::Rollback))
)]
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
