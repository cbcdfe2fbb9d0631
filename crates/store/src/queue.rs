//! The rows that say what is to be done: recorded by doors, claimed and finished by the engine.

use crate::StoreError;
use async_trait::async_trait;
use model::{
    Actor, PushId, RunId, StepId, Timestamp, ToolId, UserId,
    run::{CancelReason, Change, Lane, OnNewPush, Outcome, StepKind},
};
use std::time::Duration;

/// A push as the git door received it.
#[derive(Clone, Debug)]
pub struct NewPush {
    /// Made by the door once per push and ref: recording it twice is recording it once.
    pub id: PushId,
    pub tool: ToolId,
    /// In full: `refs/heads/main`.
    pub ref_name: String,
    /// `None` for a new ref.
    pub old: Option<String>,
    /// 40 hex digits.
    pub commit: String,
    pub by: UserId,
    /// Whether `ref_name` is the tool's production branch.
    pub production: bool,
    pub on_new_push: OnNewPush,
    pub lane: Lane,
}

/// The run that stands for a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub run: RunId,
    pub number: u64,
    /// Numbers of the runs that were asked to end in favour of this one.
    pub superseded: Vec<u64>,
    /// Number of the run on the same ref that must end before this one begins.
    pub waits_for: Option<u64>,
}

/// Who asks for work, and how much may be under way at once.
#[derive(Clone, Debug)]
pub struct Claiming<'a> {
    /// For people reading the rows: `serve 4711`.
    pub worker: &'a str,
    /// By [`Timestamp::steady`], here and in all that is told about a claim: a clock that is set neither ends what
    /// lives nor holds what is dead.
    pub now: Timestamp,
    /// How long the claim holds without a beat.
    pub lease: Duration,
    /// Most steps of one tool that run at once, and one more for a rollback.
    pub per_tool: u32,
    /// Most steps that run at once, and one more for a rollback.
    pub per_machine: u32,
}

/// The right to work on a step: a fencing token. A lost claim can write nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub step: StepId,
    /// Counted up by each claim of this step.
    pub fence: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedStep {
    pub claim: Claim,
    pub kind: StepKind,
    pub run: RunId,
    pub tool: ToolId,
    /// Until when the claim holds without a beat.
    pub until: Timestamp,
}

/// What the holder of a claim shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Go on; the claim holds for another lease.
    Go,
    /// Stop in good order and finish with [`Outcome::Cancelled`]; the claim holds for another lease.
    Cancel(CancelReason),
    /// Stop at once and write nothing.
    Lost,
}

#[async_trait]
pub trait Queue: Send + Sync {
    /// Inserts push, run and steps. Earlier runs on the same ref that have not ended, and when this one is to be
    /// deployed, all others that are, rollbacks too, are asked to end, or the new one waits for them, as the push
    /// says. Earlier is what was recorded earlier, whatever the clock showed.
    ///
    /// # Errors
    /// `NotFound("tool")`, `NotFound("user")`, `PushDiffers`.
    async fn record_push(&self, push: &NewPush) -> Result<Recorded, StoreError>;

    /// Inserts a run that makes a release live again, without building anything. The newer wish wins: every open
    /// run of this tool that would deploy is asked to end, as a later push of the production branch asks this one.
    ///
    /// # Errors
    /// `NotFound("tool")`, `NotFound("user")`, `NotFound("release")`.
    async fn record_rollback(&self, tool: ToolId, release: u64, by: UserId) -> Result<Recorded, StoreError>;

    /// A new run of the commit of one that has ended, by the same rules as a push; of a rollback, one more rollback.
    ///
    /// # Errors
    /// `NotFound("run")`, `NotFound("tool")`, `NotFound("user")`, `RunOpen`.
    async fn rerun(&self, run: RunId, by: UserId, on_new_push: OnNewPush) -> Result<Recorded, StoreError>;

    /// Claims a ready step: people's before the platform's, of the tool with the fewest running steps, rather the next
    /// step of a run than the first, of the tool whose turn was longest ago, the oldest. So tools take turns run by
    /// run, however much each of them has pushed. Steps that change what a tool runs ([`StepKind::is_exclusive`]) go
    /// one at a time per tool. `None`: nothing to do now.
    async fn claim_step(&self, claiming: &Claiming<'_>) -> Result<Option<ClaimedStep>, StoreError>;

    /// A sign of life.
    async fn beat(&self, claim: &Claim, now: Timestamp, lease: Duration) -> Result<Beat, StoreError>;

    /// Reports how a step ended and gives what follows; outputs, next steps and the run's state go in together.
    ///
    /// # Errors
    /// `Lost`.
    async fn finish_step(&self, claim: &Claim, outcome: &Outcome) -> Result<Vec<Change>, StoreError>;

    /// The platform stops in good order: the step may be claimed again at once and counts no fault.
    ///
    /// # Errors
    /// `Lost`.
    async fn hand_back(&self, claim: &Claim) -> Result<(), StoreError>;

    /// An engine has just become the only one: no claim of before is alive, and no pause of before counts. Gives the
    /// steps whose claims were taken away.
    async fn take_over(&self) -> Result<Vec<StepId>, StoreError>;

    /// Takes claims away that ran out before `now`, and gives their steps. `alive` are those whose holders the caller
    /// knows to be at work: a store that took no beat for a while ends none of them.
    async fn expire_claims(&self, now: Timestamp, alive: &[StepId]) -> Result<Vec<StepId>, StoreError>;

    /// Adds to the waiting time of every open run of which no step is running, and fails those that have waited for
    /// `limit` in all; gives these.
    async fn age_runs(&self, waited: Duration, limit: Duration) -> Result<Vec<RunId>, StoreError>;

    /// Asks a run to end. Steps that are not running are cancelled at once, running ones hear it at their next beat.
    ///
    /// # Errors
    /// `RunEnded`, `NotFound("run")`. Asking twice is asking once.
    async fn cancel_run(&self, run: RunId, by: &Actor) -> Result<Vec<Change>, StoreError>;
}
