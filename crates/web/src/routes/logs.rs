//! Logs, as lines of JSON.

use crate::{
    answer::{Asked, Named, Refused},
    asker::Asker,
    stream,
};
use app::{App, logs::LogQuery};
use axum::{extract::State, response::Response};
use serde::Deserialize;
use std::sync::Arc;

/// How many of the newest rows come when nobody says.
const DEFAULT_ROWS: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    process: Option<String>,
    rows: Option<usize>,
    /// `<stream>@<offset>`, several with commas between them.
    cursors: Option<String>,
    #[serde(default)]
    follow: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichStep {
    step: Option<String>,
    #[serde(default)]
    from: u64,
    #[serde(default)]
    follow: bool,
}

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
