//! Reading runs and steps. Writing them is the queue's alone.

use crate::StoreError;
use async_trait::async_trait;
use model::{
    PushId, RunId, StepId, Timestamp, ToolId, UserId,
    run::{CancelReason, RunState, StepKind, StepState},
};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub id: RunId,
    /// Counted up per tool from 1.
    pub number: u64,
    pub tool: ToolId,
    pub push: PushId,
    /// In full: `refs/heads/main`.
    pub ref_name: String,
    /// The commit that the ref named when the push came; `None` for a new ref.
    pub old: Option<String>,
    /// The commit that was pushed, 40 hex digits.
    pub commit: String,
    /// Who pushed it, or asked for it again.
    pub by: UserId,
    /// Whether it ends with a deploy.
    pub production: bool,
    /// Set for a rollback: the release that it makes live again. Branch and commit are those that made it.
    pub rollback_to: Option<u64>,
    pub state: RunState,
    /// Set once somebody asked that it end.
    pub cancel: Option<CancelReason>,
    /// Number of the run in favour of which it was asked to end.
    pub superseded_by: Option<u64>,
    /// Number of the run on the same ref that must end before this one begins.
    pub waits_for: Option<u64>,
    pub created_at: Timestamp,
    /// When the first step was claimed.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub id: StepId,
    pub run: RunId,
    pub kind: StepKind,
    pub state: StepState,
    /// Attempts that ended by the platform's fault or in silence.
    pub faults: u32,
    /// Of the last attempt.
    pub started_at: Option<Timestamp>,
    /// Last sign of life of whoever holds the claim.
    pub heard_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Of a step that is done, or that failed with more to say than its problem.
    pub outputs: Option<Value>,
}

#[async_trait]
pub trait Runs: Send + Sync {
    async fn run(&self, run: RunId) -> Result<Run, StoreError>;

    async fn run_by_number(&self, tool: ToolId, number: u64) -> Result<Run, StoreError>;

    /// Newest first, at most `limit`, only numbers below `before` when given.
    async fn runs_of(&self, tool: ToolId, limit: u32, before: Option<u64>) -> Result<Vec<Run>, StoreError>;

    /// All runs of a push, oldest first; none when there is no such push.
    async fn runs_of_push(&self, push: PushId) -> Result<Vec<Run>, StoreError>;

    /// All runs that have not ended, oldest first.
    async fn open_runs(&self) -> Result<Vec<Run>, StoreError>;

    /// In the order of the line.
    async fn steps_of(&self, run: RunId) -> Result<Vec<Step>, StoreError>;

    async fn step(&self, step: StepId) -> Result<Step, StoreError>;

    /// What the done steps of this run gave.
    async fn outputs(&self, run: RunId) -> Result<BTreeMap<StepKind, Value>, StoreError>;
}
