//! Last station: starts the release beside the old one, waits until it answers, switches the route, moves the branch.

use crate::{
    Line, branch,
    line::StationError,
    release,
    replicas::{self, NotReady},
    service, size,
    step_log::StepLog,
};
use model::{
    Actor, EnvironmentName, Problem,
    run::{Cause, StepKind},
};
use serde_json::{Value, json};
use std::time::Instant;
use store::{ReplicaState, Run, Tool, Wanted};

/// Deploys a run's release.
pub(crate) async fn deploy(
    line: &Line,
    run: &Run,
    tool: &Tool,
    released: &Value,
) -> Result<Value, StationError> {
    let mut log = StepLog::open(line, run.tool, run.number, StepKind::Deploy)?;
    let number = release::number_of(released)?;
    let release = line.store.release(run.tool, number).await?;
    let production = EnvironmentName::production();
    let before = line.store.environment(run.tool, &production).await?.map(|environment| environment.current);
    let live_before = match before {
        Some(old) => Some(line.store.release(run.tool, old).await?.commit),
        None => None,
    };
    // From here to the end the reconciler leaves this tool alone.
    let turn = line.deploying.enter(run.tool);
    let began = Instant::now();
    log.say(&format!("v{number}: starting"));
    let replica = replicas::start(line, tool, &release).await?;
    if let Err(not_ready) = replicas::wait_ready(line, &replica, &service::health(&release)?).await {
        let limit = service::limits(line, &release, &replica.process)?.memory_bytes;
        let (id, what, hint) = replicas::explain(line, &replica.sandbox, limit, &not_ready).await;
        let stays =
            before.map_or_else(|| "Nothing is live yet.".to_owned(), |old| format!("v{old} stays live."));
        let title = format!("v{number} never got healthy");
        let problem = Problem::new(id, 422, title, format!("{what} {stays}")).hint(hint);
        replicas::discard(line, &replica).await;
        if let NotReady::Runtime(error) = not_ready {
            return Err(error.into());
        }
        line.store.release_failed(run.tool, number).await?;
        return Err(StationError::told(not_ready.cause(limit), problem));
    }
    let took = began.elapsed();
    let limits = service::limits(line, &release, &replica.process)?;
    if tool.wanted == Wanted::Stopped {
        log.say("the tool was stopped; this deploy starts it again");
        line.store.set_wanted(run.tool, Wanted::Running, &Actor::Platform).await?;
    }
    // From here on a wish to cancel comes too late: stopping half-way would leave a wrong verdict.
    turn.commit();
    line.routes.set_failed(run.tool, false).await;
    line.routes.publish(line.store.as_ref(), &line.settings, Some((run.tool, number))).await?;
    if before != Some(number) {
        line.store.set_current(run.tool, &production, number, before, run.id).await?;
    }
    // Copies of the same release are of an attempt that was lost after the switch: the reconciler ends them.
    for old in line.store.replicas().await? {
        if old.tool == run.tool && old.release == number && old.id != replica.id {
            line.store.update_replica(old.id, ReplicaState::Draining, old.address.as_deref()).await?;
        }
    }
    // The reconciler may have told the router the old truth between the two.
    line.routes.publish(line.store.as_ref(), &line.settings, None).await?;
    branch::advance(line, run, StepKind::Deploy, live_before.as_deref()).await?;
    let old = before.filter(|old| *old != number).map_or_else(String::new, |old| format!(" · v{old} stops"));
    let text = format!("v{number} healthy after {}{old}", size::seconds(took));
    log.say(&text);
    // The reconciler ends what is no longer wanted.
    line.nudge.all();
    Ok(
        json!({ "line": text, "release": number, "first": before.is_none(), "limits": limits, "url": line.settings.tool_url(&tool.name) }),
    )
}

/// Ends what a cancelled deploy started.
pub(crate) async fn clean(line: &Line, run: &Run) {
    let Ok(outputs) = line.store.outputs(run.id).await else { return };
    let Some(number) = outputs.get(&StepKind::Release).and_then(|outputs| release::number_of(outputs).ok())
    else {
        return;
    };
    let current = line.store.environment(run.tool, &EnvironmentName::production()).await;
    if current.is_ok_and(|environment| environment.is_some_and(|environment| environment.current == number)) {
        return;
    }
    for replica in line.store.replicas().await.unwrap_or_default() {
        if replica.tool == run.tool && replica.release == number {
            replicas::discard(line, &replica).await;
        }
    }
    if let Err(error) = line.store.release_failed(run.tool, number).await {
        tracing::warn!(%error, "a cancelled release could not be marked");
    }
}

impl NotReady {
    fn cause(&self, limit: u64) -> Cause {
        match self {
            Self::Ended(ended) if ended.memory_kills > 0 => {
                Cause::Limit { which: "memory".to_owned(), limit, peak: ended.memory_peak_bytes }
            }
            Self::Ended(_) | Self::Unhealthy(_) => Cause::Tool,
            Self::Runtime(_) => Cause::Platform,
        }
    }
}
