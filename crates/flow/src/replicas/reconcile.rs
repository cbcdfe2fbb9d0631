//! One loop from wanted to seen: input-less, idempotent, periodic and nudged. A crash of anything costs one period.

use super::{discard, retire, seen, start, wait_ready};
use crate::{Line, build, line::StationError, release, service, test};
use model::{ReplicaId, RunId, ToolId};
use sandbox::request::{Kind, SandboxRow, State};
use std::{
    collections::{HashMap, HashSet},
    num::NonZero,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use store::{Replica, ReplicaState, Tool, Wanted};
use tokio::{sync::watch, task::JoinSet};

/// Between two looks when nobody nudges.
const PERIOD: Duration = Duration::from_secs(1);
/// Ends in a row after which a tool counts as failed.
const FAILED_AFTER: u32 = 3;

/// What only matters while this process lives.
#[derive(Default)]
struct Memory {
    /// Copies that a task of ours is starting, judging or ending.
    busy: Arc<Mutex<HashSet<ReplicaId>>>,
    tries: HashMap<ToolId, Tries>,
}

/// How often a tool's copies ended in a row.
struct Tries {
    /// A restart that somebody asks for begins a new row.
    restarts: u64,
    ends: u32,
    not_before: Instant,
}

/// Keeps what is wanted running until told to stop.
pub async fn keep(line: Arc<Line>, mut stop: watch::Receiver<bool>) {
    let mut memory = Memory::default();
    loop {
        if let Err(error) = pass(&line, &mut memory).await {
            tracing::warn!(%error, "the reconciler could not do its round");
        }
        tokio::select! {
            _ = stop.changed() => return,
            () = line.nudge.for_reconciler() => {}
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn pass(line: &Arc<Line>, memory: &mut Memory) -> Result<(), StationError> {
    // A copy that is made between the two lists has a row and, as it seems here, no sandbox: judge looks again.
    let sandboxes = line.runtime.list().await?;
    let (replicas, current) = seen(line.store.as_ref()).await?;
    let tools: HashMap<ToolId, Tool> =
        line.store.tools().await?.into_iter().map(|tool| (tool.id, tool)).collect();

    // What goes wrong with one tool is no reason to leave the others alone.
    for replica in &replicas {
        if memory.is_busy(replica.id) || line.deploying.has(replica.tool) {
            continue;
        }
        let seen = Seen {
            alive: sandboxes
                .iter()
                .any(|row| row.id.as_str() == replica.sandbox && row.state == State::Running),
            replaced: replicas.iter().any(|other| replaces(other, replica)),
            tool: tools.get(&replica.tool),
            current: current.get(&replica.tool).copied(),
        };
        if let Err(error) = judge(line, memory, replica, &seen).await {
            tracing::warn!(%error, tool = %replica.tool, "a copy could not be judged");
        }
    }
    let mut lacking = Vec::new();
    for tool in tools.into_values() {
        let Some(release) = current.get(&tool.id).copied() else { continue };
        if lacks(line, memory, &tool, release, &replicas) {
            lacking.push((tool, release));
        }
    }
    supply(line, memory, lacking).await?;
    if let Err(error) = sweep(line, &sandboxes, &replicas).await {
        tracing::warn!(%error, "what runs without a row could not be swept");
    }
    line.routes.publish(line.store.as_ref(), &line.settings, None).await
}

/// What a copy is judged by.
struct Seen<'a> {
    /// Its sandbox runs.
    alive: bool,
    /// A restart was asked for and the new copy answers.
    replaced: bool,
    /// `None`: deleted.
    tool: Option<&'a Tool>,
    /// The release that answers.
    current: Option<u64>,
}

/// One copy: does it live, and is it wanted?
async fn judge(
    line: &Arc<Line>,
    memory: &mut Memory,
    replica: &Replica,
    seen: &Seen<'_>,
) -> Result<(), StationError> {
    let Seen { alive, replaced, tool, current } = *seen;
    let wanted = tool.is_some_and(|tool| tool.wanted == Wanted::Running)
        && current == Some(replica.release)
        && !replaced
        && matches!(replica.state, ReplicaState::Starting | ReplicaState::Healthy);
    if wanted && alive {
        if replica.state == ReplicaState::Starting {
            watch_start(line, memory, replica.clone()).await?;
        }
        return Ok(());
    }
    if !alive {
        // The list may be older than the copy: look again before anything is ended.
        let again = line.runtime.list().await?;
        let running =
            again.iter().any(|row| row.id.as_str() == replica.sandbox && row.state == State::Running);
        if running || line.deploying.has(replica.tool) {
            return Ok(());
        }
        discard(line, replica).await;
        if wanted {
            let failed = memory.count_end(replica);
            line.routes.set_failed(replica.tool, failed).await;
            // The next round supplies another, and need not wait for its time.
            line.nudge.all();
        }
        return Ok(());
    }
    if replica.release > current.unwrap_or(0) && tool.is_some() && replica.state == ReplicaState::Starting {
        // A deploy's own, whose step may be between two attempts: it takes it over or discards it.
        let release = line.store.release(replica.tool, replica.release).await?;
        if !line.store.run(release.run).await?.state.is_final() {
            return Ok(());
        }
    }
    retire::begin(line, replica).await?;
    let (line, replica, busy) = (Arc::clone(line), replica.clone(), memory.begin(replica.id));
    tokio::spawn(async move {
        if let Err(error) = retire::finish(&line, &replica).await {
            // It may still be answering somebody: the next round tries again.
            tracing::warn!(%error, tool = %replica.tool, "a copy could not be drained");
        }
        drop(busy);
    });
    Ok(())
}

/// Whether a copy is wanted, none is there, and it is time to start one.
fn lacks(line: &Line, memory: &mut Memory, tool: &Tool, release: u64, replicas: &[Replica]) -> bool {
    if tool.wanted == Wanted::Stopped || line.deploying.has(tool.id) {
        memory.tries.remove(&tool.id);
        return false;
    }
    let present = replicas.iter().any(|replica| {
        replica.tool == tool.id
            && replica.release == release
            && replica.restarts >= tool.restarts
            && matches!(replica.state, ReplicaState::Starting | ReplicaState::Healthy)
    });
    let tries = memory.tries.get(&tool.id).filter(|tries| tries.restarts == tool.restarts);
    !present && tries.is_none_or(|tries| Instant::now() >= tries.not_before)
}

/// Starts a copy of each of these releases, as many at once as there are cores: after a reboot all tools lack one.
async fn supply(
    line: &Arc<Line>,
    memory: &mut Memory,
    lacking: Vec<(Tool, u64)>,
) -> Result<(), StationError> {
    let at_once = std::thread::available_parallelism().map_or(1, NonZero::get);
    let (mut lacking, mut starts) = (lacking.into_iter(), JoinSet::new());
    loop {
        for (tool, release) in lacking.by_ref().take(at_once - starts.len()) {
            let line = Arc::clone(line);
            starts.spawn(async move {
                let started = match line.store.release(tool.id, release).await {
                    Ok(release) => start(&line, &tool, &release).await,
                    Err(error) => Err(error.into()),
                };
                (tool, started)
            });
        }
        let Some(started) = starts.join_next().await else { return Ok(()) };
        let (tool, started) = started.map_err(|error| StationError::Inconsistent(error.to_string()))?;
        // Counts as an end to come: one that ends while it starts is not started again at once.
        memory.delay(&tool);
        let watched = match started {
            Ok(replica) => watch_start(line, memory, replica).await,
            Err(error) => Err(error),
        };
        if let Err(error) = watched {
            tracing::warn!(%error, tool = %tool.name, "a copy could not be supplied");
        }
    }
}

/// Judges a starting copy beside the loop.
async fn watch_start(line: &Arc<Line>, memory: &mut Memory, replica: Replica) -> Result<(), StationError> {
    let release = line.store.release(replica.tool, replica.release).await?;
    let check = service::health(&release)?;
    let (line, busy) = (Arc::clone(line), memory.begin(replica.id));
    tokio::spawn(async move {
        match wait_ready(&line, &replica, &check).await {
            Ok(()) => line.routes.set_failed(replica.tool, false).await,
            Err(why) => {
                tracing::info!(tool = %replica.tool, ?why, "a copy did not get ready");
                discard(&line, &replica).await;
                line.routes.set_failed(replica.tool, true).await;
            }
        }
        drop(busy);
        line.nudge.all();
    });
    Ok(())
}

/// Removes sandboxes that no row knows: of runs that have ended, of copies that are gone.
async fn sweep(line: &Arc<Line>, sandboxes: &[SandboxRow], replicas: &[Replica]) -> Result<(), StationError> {
    for row in sandboxes {
        let Some((kind, id)) = row.id.as_str().split_once('-') else { continue };
        match row.kind {
            Kind::Service => {
                if !replicas.iter().any(|replica| replica.sandbox == row.id.as_str()) {
                    // Its row may be younger than the list: look again.
                    let known = line.store.replicas().await?.iter().any(|r| r.sandbox == row.id.as_str());
                    if !known {
                        service::discard(line, &row.id).await;
                    }
                }
            }
            Kind::Build | Kind::Task => {
                let Ok(run) = id.parse::<RunId>() else { continue };
                let Ok(run) = line.store.run(run).await else { continue };
                if run.state.is_final() {
                    match kind {
                        "build" => build::clean(line, &run).await,
                        "test" => test::clean(line, &run).await,
                        _ => release::clean(line, &run).await,
                    }
                }
            }
        }
    }
    Ok(())
}

/// Whether `new` stands for a restart that was asked for after `old` was started.
fn replaces(new: &Replica, old: &Replica) -> bool {
    new.tool == old.tool
        && new.release == old.release
        && new.restarts > old.restarts
        && new.state == ReplicaState::Healthy
}

/// A copy that a task works on, until dropped.
struct Busy(Arc<Mutex<HashSet<ReplicaId>>>, ReplicaId);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl Memory {
    fn begin(&self, replica: ReplicaId) -> Busy {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(replica);
        Busy(Arc::clone(&self.busy), replica)
    }

    fn is_busy(&self, replica: ReplicaId) -> bool {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).contains(&replica)
    }

    /// A copy ended by itself. One that had run for a while starts the count anew. True: it does not stay up.
    fn count_end(&mut self, replica: &Replica) -> bool {
        let lived = model::Timestamp::now().since(replica.created_at);
        if lived > Duration::from_secs(60) {
            self.tries.remove(&replica.tool);
        }
        self.tries.get(&replica.tool).is_some_and(|tries| tries.ends >= FAILED_AFTER)
    }

    /// 0.25 s, 0.5 s, 1 s … at most a minute until the next try.
    fn delay(&mut self, tool: &Tool) {
        let first = || Tries { restarts: tool.restarts, ends: 0, not_before: Instant::now() };
        let tries = self.tries.entry(tool.id).or_insert_with(first);
        if tries.restarts != tool.restarts {
            *tries = first();
        }
        let wait = Duration::from_millis(250) * 2u32.saturating_pow(tries.ends.min(8));
        tries.ends += 1;
        tries.not_before = Instant::now() + wait.min(Duration::from_secs(60));
    }
}
