//! Numbered per tool, never changed: which image each process type runs, and with what settings.

use crate::StoreError;
use async_trait::async_trait;
use model::{Digest, ProcessType, RunId, Timestamp, ToolId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What one process type starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseProcess {
    pub image: Digest,
    /// The arguments that start it.
    pub command: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct NewRelease {
    pub tool: ToolId,
    pub run: RunId,
    pub processes: BTreeMap<ProcessType, ReleaseProcess>,
    /// Health check, environment and limits as the plan decided them.
    pub config: Value,
}

/// How far a release came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseState {
    /// Has its number; was not deployed yet.
    Made,
    /// Answered requests at least once.
    Deployed,
    /// Never got healthy; its number is spent.
    Failed,
    /// Too old to be kept: its row stays for the history, its image is gone.
    Removed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    pub tool: ToolId,
    /// Counted up per tool from 1: `v12`.
    pub number: u64,
    pub run: RunId,
    /// The commit of that run.
    pub commit: String,
    pub processes: BTreeMap<ProcessType, ReleaseProcess>,
    pub config: Value,
    pub state: ReleaseState,
    pub created_at: Timestamp,
}

#[async_trait]
pub trait Releases: Send + Sync {
    /// One release per run: making it again gives the one that is there.
    ///
    /// # Errors
    /// `NotFound("tool")`, `NotFound("run")`, `NotFound("image")`.
    async fn create_release(&self, release: &NewRelease) -> Result<Release, StoreError>;

    async fn release(&self, tool: ToolId, number: u64) -> Result<Release, StoreError>;

    /// Newest first, at most `limit`, only numbers below `before` when given.
    async fn releases_of(
        &self,
        tool: ToolId,
        limit: u32,
        before: Option<u64>,
    ) -> Result<Vec<Release>, StoreError>;

    /// It never got healthy. A release that was deployed before stays so.
    async fn release_failed(&self, tool: ToolId, number: u64) -> Result<(), StoreError>;

    /// Marks what is older than the newest `keep` of its tool as removed and gives it. What an environment runs, what it
    /// ran before that, what a copy runs and what an open run made is kept whatever its age.
    async fn remove_releases(&self, keep: u32) -> Result<Vec<(ToolId, u64)>, StoreError>;
}
