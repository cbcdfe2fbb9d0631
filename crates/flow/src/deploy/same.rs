//! A deploy that need not start anything: what runs is what the release would start.

use super::live_copy;
use crate::{Line, line::StationError, replicas, service};
use model::{EnvironmentName, ProcessType, run::StepKind};
use runtime::health::Check;
use serde_json::json;
use std::time::Duration;
use store::{Release, Replica, Tool};

/// The copy that goes on, and the release that it was of: its image, command, environment and health check are those
/// of `release`, its limits and URL those that it would get now, and it answers.
pub(super) async fn copy(
    line: &Line,
    tool: &Tool,
    release: &Release,
    before: Option<u64>,
) -> Result<Option<(u64, Replica)>, StationError> {
    let Some(before) = before.filter(|before| *before != release.number) else { return Ok(None) };
    let old = line.store.release(tool.id, before).await?;
    if old.processes != release.processes || old.config != release.config {
        return Ok(None);
    }
    if !is_told_the_same(line, tool, release).await? {
        return Ok(None);
    }
    let Some(replica) = live_copy(line, tool, before, Some(before)).await? else { return Ok(None) };
    // Asked once. One that hangs is replaced as by any other deploy.
    let check = Check { timeout: Duration::ZERO, ..service::health(release)? };
    Ok(replicas::wait_ready(line, &replica, &check).await.is_ok().then_some((before, replica)))
}

/// Whether the last deploy gave the limits and the URL that this one would give: an operator may have changed them.
async fn is_told_the_same(line: &Line, tool: &Tool, release: &Release) -> Result<bool, StationError> {
    let last = line.store.deployments(tool.id, &EnvironmentName::production(), 1).await?;
    let Some(last) = last.first() else { return Ok(false) };
    let run = line.store.run_by_number(tool.id, last.run).await?;
    let outputs = line.store.outputs(run.id).await?;
    let Some(told) = outputs.get(&StepKind::Deploy) else { return Ok(false) };
    let limits = service::limits(line, release, &ProcessType::web())?;
    Ok(told["limits"] == json!(limits) && told["url"] == json!(line.settings.tool_url(&tool.name)))
}
