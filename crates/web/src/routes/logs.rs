//! Logs, as lines of JSON.

use crate::{
    answer::{Asked, Named, Refused},
    asker::Asker,
    stream, wire,
};
use app::{App, logs::LogQuery};
use axum::{extract::State, response::Response};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// How many of the newest rows come when nobody says.
const DEFAULT_ROWS: usize = 100;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only this process type; absent: all, and the router.
    process: Option<String>,
    /// How many of the newest, when no cursors are given.
    rows: Option<usize>,
    /// `<stream>@<offset>`, several with commas between them.
    cursors: Option<String>,
    /// Whether to wait for rows that come.
    #[serde(default)]
    follow: bool,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichStep {
    /// Only this step; absent: all.
    step: Option<String>,
    /// Byte position of the first row, in the step's stream.
    #[serde(default)]
    from: u64,
    /// Whether to wait for rows that come.
    #[serde(default)]
    follow: bool,
}

/// What a tool's processes and the router wrote
#[utoipa::path(
    get,
    path = "/tools/{tool}/logs",
    operation_id = "tool_logs",
    tag = "logs",
    params(("tool" = String, Path, description = "The tool's name"), Which),
    responses((status = 200, description = "One row a line; an empty line is a sign of life", body = wire::LogRow, content_type = "application/x-ndjson"))
)]
pub(super) async fn logs(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
    Asked(which): Asked<Which>,
) -> Result<Response, Refused> {
    let query = LogQuery {
        process: which.process,
        newest: which.rows.unwrap_or(DEFAULT_ROWS),
        cursors: which.cursors.unwrap_or_default().parse()?,
        follow: which.follow,
    };
    Ok(stream::answer(app.logs(&asker.0, &tool, query).await?).await?)
}

/// What a run's steps wrote
#[utoipa::path(
    get,
    path = "/tools/{tool}/runs/{number}/log",
    operation_id = "run_log",
    tag = "logs",
    params(("tool" = String, Path, description = "The tool's name"), ("number" = u64, Path, description = "The run's number within the tool"), WhichStep),
    responses((status = 200, description = "One row a line; an empty line is a sign of life", body = wire::LogRow, content_type = "application/x-ndjson"))
)]
pub(super) async fn run_log(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named((tool, number)): Named<(String, u64)>,
    Asked(which): Asked<WhichStep>,
) -> Result<Response, Refused> {
    let step = which.step.as_deref();
    let feed = app.run_log(&asker.0, &tool, number, step, which.from, which.follow).await?;
    Ok(stream::answer(feed).await?)
}
