//! Runs: what each push set off.

use crate::{App, problems};
use model::{Action, Actor, Problem, ToolName, UserId};
use std::collections::HashMap;
use store::{Run, Step, StoreError, Tool};

/// Rows that one answer may have.
pub const MAX_ROWS: u32 = 200;

/// A run as people see it.
#[derive(Clone, Debug)]
pub struct RunView {
    pub run: Run,
    /// Who pushed.
    pub by: String,
}

impl App {
    /// Newest first; only numbers below `before` when given.
    pub async fn runs(
        &self,
        actor: &Actor,
        tool: &str,
        limit: u32,
        before: Option<u64>,
    ) -> Result<Vec<RunView>, Problem> {
        let (tool, _) = self.allow_on(actor, Action::ReadRuns, tool).await?;
        let runs = self.store.runs_of(tool.id, limit.clamp(1, MAX_ROWS), before).await;
        let mut names: HashMap<UserId, String> = HashMap::new();
        let mut views = Vec::new();
        for run in runs.map_err(|error| problems::store("listing runs", &error))? {
            let by = match names.get(&run.by) {
                Some(name) => name.clone(),
                None => self.user_name(run.by).await?,
            };
            names.insert(run.by, by.clone());
            views.push(RunView { run, by });
        }
        Ok(views)
    }

    /// One run with its steps in the order of the line.
    pub async fn run(&self, actor: &Actor, tool: &str, number: u64) -> Result<(RunView, Vec<Step>), Problem> {
        let (tool, _) = self.allow_on(actor, Action::ReadRuns, tool).await?;
        let run = self.run_of(&tool, number).await?;
        let steps = self.store.steps_of(run.id).await;
        let steps = steps.map_err(|error| problems::store("looking at the run", &error))?;
        let by = self.user_name(run.by).await?;
        Ok((RunView { run, by }, steps))
    }

    /// Asks a run to end. What runs already hears it within a moment.
    pub async fn cancel_run(&self, actor: &Actor, tool: &str, number: u64) -> Result<RunView, Problem> {
        let (tool, _) = self.allow_on(actor, Action::CancelRun, tool).await?;
        let run = self.run_of(&tool, number).await?;
        let failed = |error| problems::store("cancelling the run", &error);
        self.store.cancel_run(run.id, actor).await.map_err(failed)?;
        self.nudge.notify_one();
        let run = self.store.run(run.id).await.map_err(failed)?;
        let by = self.user_name(run.by).await?;
        Ok(RunView { run, by })
    }

    pub(crate) async fn run_of(&self, tool: &Tool, number: u64) -> Result<Run, Problem> {
        let name: &ToolName = &tool.name;
        self.store.run_by_number(tool.id, number).await.map_err(|error| match error {
            StoreError::NotFound(_) => problems::no_run(number, name),
            error => problems::store("looking up the run", &error),
        })
    }
}
