//! Rollbacks: a release that was live becomes live again, without a build.

use crate::{
    App, problems,
    runs::{MAX_ROWS, RunView},
};
use model::{Action, Actor, EnvironmentName, Problem, ToolName};
use store::{Deployment, Release, ReleaseState, Run, StoreError, Tool};

/// A rollback that is on disk and about to begin.
#[derive(Clone, Debug)]
pub struct RollbackView {
    pub tool: ToolName,
    pub run: RunView,
    /// The release that will be live.
    pub release: Release,
    /// What production served when it was asked for.
    pub from: u64,
    /// Numbers of the runs that end in its favour.
    pub superseded: Vec<u64>,
}

impl App {
    /// Starts a run that makes `number` live again; without a number, what was live before the present release was
    /// deployed. Every open run that would be deployed ends in its favour. A stopped tool is started by it.
    ///
    /// # Errors
    /// When there is nothing to go back to or the release is not one that was live; without a number also when a run
    /// is under way, since it is not clear then what is meant.
    pub async fn roll_back(
        &self,
        actor: &Actor,
        tool: &str,
        number: Option<u64>,
    ) -> Result<RollbackView, Problem> {
        let (tool, _) = self.allow_on(actor, Action::RollBack, tool).await?;
        let by = actor.user().ok_or_else(problems::not_signed_in)?;
        let failed = |error| problems::store("rolling back", &error);
        let production = EnvironmentName::production();
        let Some(environment) = self.store.environment(tool.id, &production).await.map_err(failed)? else {
            return Err(self.nothing_live(&tool));
        };
        let from = environment.current;
        let open = self.store.open_runs().await.map_err(failed)?;
        let under_way = open.iter().find(|run| run.tool == tool.id && run.production && run.cancel.is_none());
        let number = match (number, under_way) {
            (Some(number), _) => number,
            (None, Some(run)) => return Err(unclear(run, from)),
            (None, None) => {
                let history = self.store.deployments(tool.id, &production, MAX_ROWS).await;
                live_before(&history.map_err(failed)?).ok_or_else(|| first(from))?
            }
        };
        let release = self.store.release(tool.id, number).await.map_err(|error| match error {
            StoreError::NotFound(_) => unknown(number, &tool),
            error => failed(error),
        })?;
        check(&release)?;
        // With a run under way it is a wish: that what is live stays live.
        if number == from && under_way.is_none() {
            return Err(live_already(number));
        }
        for process in release.processes.values() {
            self.store.image(tool.id, &process.image).await.map_err(|error| match error {
                StoreError::NotFound(_) => gone(&release),
                error => failed(error),
            })?;
        }
        let recorded = self.store.record_rollback(tool.id, number, by).await.map_err(failed)?;
        self.nudge.notify_one();
        let run = self.store.run(recorded.run).await.map_err(failed)?;
        let run = RunView { run, by: self.user_name(by).await? };
        Ok(RollbackView { tool: tool.name, run, release, from, superseded: recorded.superseded })
    }
}

/// What was live before the present release was deployed, from the newest-first history: a rollback takes deploys back,
/// so the one after it goes further back and not forward again.
fn live_before(history: &[Deployment]) -> Option<u64> {
    let mut deployed: Vec<u64> = Vec::new();
    for row in history.iter().rev() {
        match deployed.iter().position(|release| *release == row.release) {
            Some(place) if row.rollback => deployed.truncate(place + 1),
            _ => deployed.push(row.release),
        }
    }
    deployed.pop();
    deployed.pop()
}

/// Only what has answered before can be trusted to answer again.
fn check(release: &Release) -> Result<(), Problem> {
    let number = release.number;
    let (title, detail) = match release.state {
        ReleaseState::Deployed => return Ok(()),
        ReleaseState::Removed => return Err(gone(release)),
        ReleaseState::Failed => (format!("v{number} never got healthy"), "it was never live"),
        ReleaseState::Made => (format!("v{number} was never live"), "its run ended before it was deployed"),
    };
    Err(Problem::new("rollback-never-live", 409, title, detail).hint(
        "`windlass releases` shows which releases were live; to try this commit once more, push it again",
    ))
}

fn unknown(number: u64, tool: &Tool) -> Problem {
    let detail = format!("not in the tool `{}`", tool.name);
    Problem::new("release-unknown", 404, format!("there is no v{number}"), detail)
        .hint("`windlass releases` shows the newest ones")
}

fn live_already(number: u64) -> Problem {
    Problem::new("rollback-live", 409, format!("v{number} is live already"), "there is nothing to do").hint(
        "`windlass restart` starts its processes anew, `windlass rollback` goes to what was live before it",
    )
}

fn first(live: u64) -> Problem {
    Problem::new(
        "rollback-first",
        409,
        "there is nothing to go back to",
        format!("nothing was live before v{live}"),
    )
    .hint("`windlass releases` shows all there is; `windlass rollback v3` names one")
}

fn unclear(run: &Run, live: u64) -> Problem {
    Problem::new(
        "rollback-under-way",
        409,
        format!("run {} is under way", run.number),
        format!("v{live} is live until it ends, so it is not clear what to go back from"),
    )
    .hint(format!(
        "`windlass rollback v{live}` ends that run and keeps v{live}; `windlass rollback vN` takes another release"
    ))
}

fn gone(release: &Release) -> Problem {
    let detail = "its image was removed to make room";
    Problem::new("release-gone", 409, format!("v{} is no longer kept", release.number), detail).hint(format!(
        "push its commit once more: `git commit --allow-empty` on top of {}",
        &release.commit[..7.min(release.commit.len())]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Timestamp, UserId};

    /// `"1 2 3 <2"`: v1 to v3 were pushed, then v2 was rolled back to.
    fn before(history: &str) -> Option<u64> {
        let by = UserId::new();
        let row = |word: &str| Deployment {
            release: word.trim_start_matches('<').parse().unwrap(),
            at: Timestamp::now(),
            run: 1,
            by,
            rollback: word.starts_with('<'),
        };
        let rows: Vec<_> = history.split_whitespace().rev().map(row).collect();
        live_before(&rows)
    }

    #[test]
    fn each_rollback_takes_one_more_deploy_back() {
        assert_eq!(before(""), None);
        assert_eq!(before("1"), None);
        assert_eq!(before("1 2"), Some(1));
        assert_eq!(before("1 2 3 <2"), Some(1), "not forward to v3 again");
        assert_eq!(before("1 2 3 <2 <1"), None);
        assert_eq!(before("1 2 3 <2 4"), Some(2), "v4 came after v2 was live again");
        assert_eq!(before("1 2 3 <1 <3"), Some(1), "v3 is one step after v1 now");
        assert_eq!(before("5 6 <2"), Some(6), "what is known begins at v5");
    }
}
