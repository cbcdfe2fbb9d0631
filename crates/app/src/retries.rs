//! Retries: a run that has ended is tried again, with the same commit.

use crate::{App, problems, runs::RunView};
use async_trait::async_trait;
use model::{Action, Actor, Problem, ToolId};
use store::Run;

/// The tools' code, as far as this layer asks for it.
#[async_trait]
pub trait Commits: Send + Sync {
    /// Whether the tool's repository still holds this commit.
    async fn has(&self, tool: ToolId, commit: &str)
    -> Result<bool, Box<dyn std::error::Error + Send + Sync>>;
}

impl App {
    /// Starts a new run of the same push, by the rules of a push; of a rollback, the rollback again.
    ///
    /// # Errors
    /// When the run has not ended, or its commit is gone. The new run itself fails when its branch has moved to
    /// something that the commit does not contain.
    pub async fn retry_run(&self, actor: &Actor, tool: &str, number: u64) -> Result<RunView, Problem> {
        let (tool, _) = self.allow_on(actor, Action::RetryRun, tool).await?;
        let by = actor.user().ok_or_else(problems::not_signed_in)?;
        let run = self.run_of(&tool, number).await?;
        if let Some(release) = run.rollback_to.filter(|_| run.state.is_final()) {
            return Ok(self.roll_back(actor, tool.name.as_str(), Some(release)).await?.run);
        }
        let there = self.commits.has(tool.id, &run.commit).await;
        if !there.map_err(|error| problems::internal("looking for the commit", error.as_ref()))? {
            return Err(gone(&run));
        }
        let failed = |error| problems::store("retrying the run", &error);
        let on_new_push = tool.on_new_push.unwrap_or(self.on_new_push);
        let recorded = self.store.rerun(run.id, by, on_new_push).await.map_err(failed)?;
        self.nudge.notify_one();
        let run = self.store.run(recorded.run).await.map_err(failed)?;
        Ok(RunView { run, by: self.user_name(by).await? })
    }
}

fn gone(run: &Run) -> Problem {
    let commit = &run.commit[..7.min(run.commit.len())];
    let detail = format!("the repository no longer holds {commit}, which run {} was made of", run.number);
    Problem::new("run-commit-gone", 409, "its commit is gone", detail).hint("push it again")
}
