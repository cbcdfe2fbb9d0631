//! Which release each environment of a tool runs, and which it ran before.

use crate::StoreError;
use async_trait::async_trait;
use model::{EnvironmentName, ReplicaId, RunId, Timestamp, ToolId, UserId};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    pub tool: ToolId,
    pub name: EnvironmentName,
    /// Number of the release that answers.
    pub current: u64,
    pub since: Timestamp,
}

/// One entry of an environment's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    pub release: u64,
    pub at: Timestamp,
    /// Number of the run that made it live.
    pub run: u64,
    /// Who started that run.
    pub by: UserId,
    /// Whether that run was a rollback.
    pub rollback: bool,
}

#[async_trait]
pub trait Environments: Send + Sync {
    /// The router serves `release` here from now on, by the work of `run`: it becomes current and counts as deployed.
    /// Saying so twice is saying it once.
    ///
    /// # Errors
    /// `CurrentReleaseMoved` when neither `expected` nor `release` is current; `NotFound("release")`,
    /// `NotFound("tool")`, `NotFound("run")`.
    async fn set_current(
        &self,
        tool: ToolId,
        environment: &EnvironmentName,
        release: u64,
        expected: Option<u64>,
        run: RunId,
    ) -> Result<(), StoreError>;

    /// As [`set_current`](Self::set_current) where nothing new is started: the copy `goes_on`, which runs `expected` and
    /// is healthy, counts as one of `release` from now on.
    ///
    /// # Errors
    /// Those of `set_current`; `NotFound("replica")`.
    async fn keep_running(
        &self,
        tool: ToolId,
        environment: &EnvironmentName,
        release: u64,
        expected: u64,
        run: RunId,
        goes_on: ReplicaId,
    ) -> Result<(), StoreError>;

    /// `None` before the first deploy.
    async fn environment(
        &self,
        tool: ToolId,
        environment: &EnvironmentName,
    ) -> Result<Option<Environment>, StoreError>;

    /// All environments of all tools that are not deleted.
    async fn environments(&self) -> Result<Vec<Environment>, StoreError>;

    /// Newest first, at most `limit`.
    async fn deployments(
        &self,
        tool: ToolId,
        environment: &EnvironmentName,
        limit: u32,
    ) -> Result<Vec<Deployment>, StoreError>;
}
