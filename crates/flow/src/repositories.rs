//! Repositories kept small and whole while they are pushed to: packs joined, what nobody names removed after weeks,
//! hidden refs dropped when their runs are over, leftovers of killed git processes cleared. One at a time.

use crate::{Line, line::StationError};
use git::repository::{GitError, PINS, State};
use model::{PushId, Timestamp, ToolId, limits::MIB, run::RunState};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
use store::Run;
use tokio::sync::watch;

/// What "no object" is called in ref updates.
const NOTHING: &str = "0000000000000000000000000000000000000000";
/// Between two full collections of a repository, and of one that is nearly full.
const COLLECT_EVERY: Duration = Duration::from_hours(24);
const COLLECT_FULL_EVERY: Duration = Duration::from_hours(6);
/// An unnamed object is kept so long: a push that has just arrived is named by nothing yet.
const KEEP_UNNAMED_DAYS: u32 = 14;
const KEEP_UNNAMED_DAYS_WHEN_FULL: u32 = 1;
/// A hidden ref without a push was made by a serve that ended between the two.
const ORPHAN_AGE: Duration = Duration::from_hours(1);
/// Looked at again without a change.
const LOOK_AGAIN: Duration = Duration::from_hours(1);

/// What the operator set.
#[derive(Clone, Copy, Debug)]
pub struct RepositorySettings {
    /// Between two looks.
    pub every: Duration,
    /// Packs that a fetch may have to look through; each push brings one.
    pub repack_above_packs: usize,
    /// What a red run's push brought is held so long after its end.
    pub keep_red: Duration,
    /// Above three quarters of it a repository is nearly full.
    pub max_bytes: u64,
}

/// A repository that was left in good order.
struct Seen {
    state: State,
    at: SystemTime,
}

/// Does its rounds until told to stop.
pub async fn keep(line: Arc<Line>, mut stop: watch::Receiver<bool>) {
    let mut seen = HashMap::new();
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            round = round(&line, &mut seen) => if let Err(error) = round {
                tracing::warn!(error = model::sentence::of(&error), "a round over the repositories was not finished");
            }
        }
        tokio::select! {
            _ = stop.changed() => return,
            () = tokio::time::sleep(line.settings.repositories.every) => {}
        }
    }
}

async fn round(line: &Line, seen: &mut HashMap<ToolId, Seen>) -> Result<(), StationError> {
    let tools = line.store.tools().await?;
    seen.retain(|id, _| tools.iter().any(|tool| tool.id == *id));
    for tool in tools {
        let Some(state) = look(line, tool.id).await? else { continue };
        let known = seen.get(&tool.id);
        let old = |seen: &Seen| SystemTime::now().duration_since(seen.at).unwrap_or(LOOK_AGAIN) >= LOOK_AGAIN;
        if known.is_some_and(|seen| seen.state == state && !old(seen)) {
            continue;
        }
        // One repository that cannot be kept must not leave the others unkept.
        match look_after(line, tool.id, &state).await {
            Ok(true) => {
                // What changed meanwhile, by this work or by a push, is looked at again.
                if look(line, tool.id).await?.as_ref() == Some(&state) {
                    seen.insert(tool.id, Seen { state, at: SystemTime::now() });
                }
            }
            Ok(false) => {}
            Err(error) => {
                let error = model::sentence::of(&error);
                tracing::warn!(tool = %tool.id, error, "a repository was not looked after");
                // What one push made impossible is not tried again every minute.
                seen.insert(tool.id, Seen { state, at: SystemTime::now() });
            }
        }
    }
    Ok(())
}

async fn look(line: &Line, tool: ToolId) -> Result<Option<State>, StationError> {
    let repositories = line.repositories.clone();
    let state = tokio::task::spawn_blocking(move || repositories.state(tool)).await;
    Ok(state.map_err(|error| StationError::Inconsistent(error.to_string()))??)
}

/// True when nothing is left to be done before the next push.
async fn look_after(line: &Line, tool: ToolId, state: &State) -> Result<bool, StationError> {
    let settings = line.settings.repositories;
    let tidied = line.repositories.tidy(tool).await?;
    let size_bytes = line.repositories.size_bytes(tool).await?;
    let full = size_bytes > settings.max_bytes / 4 * 3;
    let keep_red = if full { settings.keep_red.min(Duration::from_hours(24)) } else { settings.keep_red };
    let held = drop_pins(line, tool, keep_red).await?;

    let since = SystemTime::now().duration_since(state.collected_at).unwrap_or_default();
    if since >= if full { COLLECT_FULL_EVERY } else { COLLECT_EVERY } && state.loose + state.packs > 0 {
        let keep_days = if full { KEEP_UNNAMED_DAYS_WHEN_FULL } else { KEEP_UNNAMED_DAYS };
        line.repositories.collect(tool, keep_days).await?;
        let now_bytes = line.repositories.size_bytes(tool).await?;
        tracing::info!(%tool, before = size_bytes / MIB, now = now_bytes / MIB, "a repository was collected (MiB)");
    } else if state.packs > settings.repack_above_packs {
        line.repositories.repack(tool).await?;
        tracing::info!(%tool, packs = state.packs, "a repository was repacked");
    }
    Ok(tidied.waiting == 0 && !held)
}

/// Drops the hidden refs whose pushes need them no more. True when some of them wait for their time.
async fn drop_pins(line: &Line, tool: ToolId, keep_red: Duration) -> Result<bool, StationError> {
    let mut held = false;
    for (name, object) in line.repositories.refs(tool, &[PINS]).await? {
        let push = name.rsplit('/').next().and_then(|id| id.parse::<PushId>().ok());
        let Some(push) = push else { continue };
        let runs = line.store.runs_of_push(push).await?;
        if over(push, &runs, keep_red, Timestamp::now()) {
            match line.repositories.update_ref(tool, &name, NOTHING, &object).await {
                // Whoever followed the run has just dropped it, or is about to.
                Err(GitError::Moved(_) | GitError::Locked(_)) => held = true,
                other => other?,
            }
        } else {
            held = true;
        }
    }
    Ok(held)
}

/// Whether nobody needs what this push brought any more: its runs are over, and well, or long ago.
fn over(push: PushId, runs: &[Run], keep_red: Duration, now: Timestamp) -> bool {
    let Some(last) = runs.iter().max_by_key(|run| run.number) else {
        let made = i64::try_from(push.made_at_seconds()).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        return now.since(Timestamp(made)) > ORPHAN_AGE;
    };
    let Some(ended_at) = last.ended_at else { return false };
    runs.iter().all(|run| run.ended_at.is_some())
        // The branch holds the commit then.
        && (matches!(last.state, RunState::Live | RunState::Passed) || now.since(ended_at) >= keep_red)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{RunId, UserId};

    const NOW: Timestamp = Timestamp(2_000_000_000_000_000);
    const KEEP: Duration = Duration::from_hours(24);

    fn run(number: u64, state: RunState, ended_hours_ago: Option<i64>) -> Run {
        Run {
            id: RunId::new(),
            number,
            tool: ToolId::new(),
            push: PushId::new(),
            ref_name: "refs/heads/main".to_owned(),
            old: None,
            commit: "1".repeat(40),
            by: UserId::new(),
            production: true,
            rollback_to: None,
            state,
            cancel: None,
            superseded_by: None,
            waits_for: None,
            created_at: Timestamp(0),
            started_at: None,
            ended_at: ended_hours_ago.map(|hours| Timestamp(NOW.0 - hours * 3_600_000_000)),
        }
    }

    #[test]
    fn a_push_is_held_until_its_last_run_is_over_and_red_ones_for_a_while_longer() {
        let push = PushId::new();
        let red = |hours| run(1, RunState::Failed, Some(hours));
        for (runs, gone) in [
            (vec![run(1, RunState::Running, None)], false),
            (vec![run(1, RunState::Live, Some(0))], true),
            (vec![run(1, RunState::Passed, Some(0))], true),
            (vec![red(23)], false),
            (vec![red(24)], true),
            (vec![run(1, RunState::Superseded, Some(1))], false),
            // Tried again: the last one counts, and one that goes on holds it.
            (vec![red(100), run(2, RunState::Cancelled, Some(1))], false),
            (vec![red(1), run(2, RunState::Live, Some(0))], true),
            (vec![red(100), run(2, RunState::Queued, None)], false),
        ] {
            let states: Vec<_> = runs.iter().map(|run| (run.state, run.ended_at)).collect();
            assert_eq!(over(push, &runs, KEEP, NOW), gone, "{states:?}");
        }
    }

    #[test]
    fn a_pin_without_a_push_may_be_about_to_get_one() {
        let push = PushId::new();
        let made = Timestamp(i64::try_from(push.made_at_seconds()).unwrap() * 1_000_000);
        assert!(!over(push, &[], KEEP, made.plus(Duration::from_secs(60))));
        assert!(over(push, &[], KEEP, made.plus(Duration::from_hours(2))));
    }
}
