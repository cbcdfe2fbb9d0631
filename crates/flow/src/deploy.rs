//! Last station: starts the release beside the old one, waits until it answers, switches the route, moves the branch.

mod same;

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
use sandbox::request::State;
use serde_json::{Value, json};
use std::time::Instant;
use store::{Conflict, Release, Replica, ReplicaState, Run, StoreError, Tool, Wanted};

/// Makes a release live: one that the run has just made, or for a rollback one of before. `again`: it has an image of
/// before, so the copy that runs may be what it would start.
pub(crate) async fn deploy(
    line: &Line,
    run: &Run,
    tool: &Tool,
    number: u64,
    again: bool,
) -> Result<Value, StationError> {
    let mut log = StepLog::open(line, run.tool, run.number, StepKind::Deploy)?;
    let release = line.store.release(run.tool, number).await?;
    let production = EnvironmentName::production();
    let before = line.store.environment(run.tool, &production).await?.map(|environment| environment.current);
    let live_before = match before {
        Some(old) => Some(line.store.release(run.tool, old).await?.commit),
        None => None,
    };
    // From here to the end the reconciler leaves this tool alone.
    let turn = line.deploying.enter(run.tool);
    let mut goes_on = None;
    let (replica, how) = if let Some(replica) = live_copy(line, tool, number, before).await? {
        (replica, "answers".to_owned())
    } else if again && let Some((old, replica)) = same::copy(line, tool, &release, before).await? {
        goes_on = Some(old);
        (replica, format!("is what v{old} runs: its copy goes on"))
    } else {
        log.say(&format!("v{number}: starting"));
        let began = Instant::now();
        let replica = start(line, tool, &release, before).await?;
        (replica, format!("healthy after {}", size::seconds(began.elapsed())))
    };
    let limits = service::limits(line, &release, &replica.process)?;
    if tool.wanted == Wanted::Stopped {
        log.say("the tool was stopped; this deploy starts it again");
        line.store.set_wanted(run.tool, Wanted::Running, &Actor::Platform).await?;
    }
    // From here on a wish to cancel comes too late: stopping half-way would leave a wrong verdict.
    turn.commit();
    line.routes.set_failed(run.tool, false).await;
    if let Some(old) = goes_on {
        // The route stays where it is; only its release's number changes, with the rows.
        line.store.keep_running(run.tool, &production, number, old, run.id, replica.id).await?;
    } else {
        line.routes.publish(line.store.as_ref(), &line.settings, Some((run.tool, number))).await?;
        if before != Some(number) {
            line.store.set_current(run.tool, &production, number, before, run.id).await?;
        }
    }
    // All others, also those of an attempt that was lost after the switch: the reconciler drains and ends them.
    let mut replaced = line.store.replicas().await?;
    replaced.retain(|old| old.tool == run.tool && old.id != replica.id && old.state == ReplicaState::Healthy);
    for old in &replaced {
        line.store.update_replica(old.id, ReplicaState::Draining, old.address.as_deref()).await?;
    }
    // The reconciler may have told the router the old truth between the two.
    line.routes.publish(line.store.as_ref(), &line.settings, None).await?;
    if run.rollback_to.is_none() {
        // A rollback moves no branch: it names what was last pushed and went live.
        branch::advance(line, run, StepKind::Deploy, live_before.as_deref()).await?;
    }
    let old = match before.filter(|old| *old != number && goes_on.is_none()) {
        Some(old) => format!(" · {}", replicas::retire::tell(line, old, &replaced).await),
        None => String::new(),
    };
    let text = format!("v{number} {how}{old}");
    log.say(&text);
    Ok(
        json!({ "line": text, "release": number, "first": before.is_none(), "limits": limits, "url": line.settings.tool_url(&tool.name) }),
    )
}

/// A copy that serves this release already: of an attempt that was lost after the switch, or when a rollback wants what
/// is live to stay so.
async fn live_copy(
    line: &Line,
    tool: &Tool,
    number: u64,
    current: Option<u64>,
) -> Result<Option<Replica>, StationError> {
    if current != Some(number) || tool.wanted == Wanted::Stopped {
        return Ok(None);
    }
    let running = line.runtime.list().await?;
    let runs = |replica: &Replica| {
        running.iter().any(|row| row.id.as_str() == replica.sandbox && row.state == State::Running)
    };
    Ok(line.store.replicas().await?.into_iter().find(|replica| {
        replica.tool == tool.id
            && replica.release == number
            && replica.state == ReplicaState::Healthy
            && replica.restarts >= tool.restarts
            && runs(replica)
    }))
}

/// Starts a copy and waits until it answers. One that does not spends its release's number and changes nothing else.
async fn start(
    line: &Line,
    tool: &Tool,
    release: &Release,
    before: Option<u64>,
) -> Result<Replica, StationError> {
    let number = release.number;
    let stays = before.map_or_else(|| "Nothing is live yet.".to_owned(), |old| format!("v{old} stays live."));
    let replica = match replicas::start(line, tool, release).await {
        Err(StationError::Store(
            StoreError::Conflict(Conflict::LayerMissing(_)) | StoreError::NotFound("image"),
        )) => {
            let title = format!("v{number} is no longer kept");
            let detail = format!("Its image was removed to make room. {stays}");
            let problem = Problem::new("release-gone", 409, title, detail);
            return Err(StationError::told(Cause::Refused, problem.hint("Push its commit once more.")));
        }
        started => started?,
    };
    if let Err(not_ready) = replicas::wait_ready(line, &replica, &service::health(release)?).await {
        let limit = service::limits(line, release, &replica.process)?.memory_bytes;
        let (id, what, hint) = replicas::explain(line, &replica.sandbox, limit, &not_ready).await;
        let title = format!("v{number} never got healthy");
        let problem = Problem::new(id, 422, title, format!("{what} {stays}")).hint(hint);
        replicas::discard(line, &replica).await;
        if let NotReady::Runtime(error) = not_ready {
            return Err(error.into());
        }
        line.store.release_failed(tool.id, number).await?;
        return Err(StationError::told(not_ready.cause(limit), problem));
    }
    Ok(replica)
}

/// Ends what a cancelled deploy started.
pub(crate) async fn clean(line: &Line, run: &Run) {
    let Ok(outputs) = line.store.outputs(run.id).await else { return };
    let made = || outputs.get(&StepKind::Release).and_then(|outputs| release::number_of(outputs).ok());
    let Some(number) = run.rollback_to.or_else(made) else { return };
    let current = line.store.environment(run.tool, &EnvironmentName::production()).await;
    if current.is_ok_and(|environment| environment.is_some_and(|environment| environment.current == number)) {
        return;
    }
    for replica in line.store.replicas().await.unwrap_or_default() {
        // Those that drain were live before, and may still be answering.
        let started = matches!(replica.state, ReplicaState::Starting | ReplicaState::Healthy);
        if replica.tool == run.tool && replica.release == number && started {
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
