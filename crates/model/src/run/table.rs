//! The state table: `next(run, event)`.

use super::{CancelReason, Cause, Outcome, RunState, StepKind, StepState};
use crate::{Fault, Problem};
use std::time::Duration;
use thiserror::Error;

/// How often a step is tried when the fault is the platform's.
pub const MAX_ATTEMPTS: u32 = 3;

/// How long a step waits after its `faults`-th platform fault before it may be claimed again.
pub const fn retry_delay(faults: u32) -> Duration {
    Duration::from_secs(2 * faults as u64)
}

/// All that the table needs to know of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunView {
    pub state: RunState,
    /// Set once somebody asked that it end.
    pub cancel: Option<CancelReason>,
    /// Nothing of it may begin before an earlier run of its branch has ended.
    pub waits: bool,
    /// In the order of the line; never empty.
    pub steps: Vec<StepView>,
}

/// All that the table needs to know of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepView {
    pub kind: StepKind,
    pub after: Vec<StepKind>,
    pub state: StepState,
    /// Attempts that ended by the platform's fault or in silence.
    pub faults: u32,
}

/// Something that happened to a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A worker claimed a ready step.
    Claimed(StepKind),
    /// The holder of the claim reported.
    Ended(StepKind, Outcome),
    /// The holder of the claim fell silent, which is written down as this fault.
    LeaseLost(StepKind, Fault),
    /// The holder stops in good order (the platform restarts) and somebody else shall go on: no fault.
    HandedBack(StepKind),
    /// The run shall end.
    CancelAsked(CancelReason),
    /// No earlier run of its branch is left to wait for.
    Freed,
    /// It has waited for this long in all, which is longer than it may.
    WaitedTooLong { seconds: u64 },
}

/// What follows. Whoever keeps the rows applies all of them or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The step's new state; `faults` is counted up when it goes back to `Ready` by a fault.
    Step {
        kind: StepKind,
        state: StepState,
        faults: u32,
    },
    Run(RunState),
    CancelAsked(CancelReason),
    /// It waits for no other run any more.
    Freed,
}

/// An event that cannot happen in this state. Nothing changes.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Illegal {
    #[error("the run has already ended ({0})")]
    RunEnded(RunState),
    #[error("this run has no {0} step")]
    NoSuchStep(StepKind),
    #[error("the {kind} step is {state}, not {needed}")]
    WrongState { kind: StepKind, state: &'static str, needed: &'static str },
    #[error("the run waits for no other")]
    NotWaiting,
}

/// What follows from `event`. Pure: the same view and event give the same changes.
///
/// # Errors
/// [`Illegal`] when the event does not fit the state; a holder whose step is not running has lost its claim.
pub fn next(run: &RunView, event: Event) -> Result<Vec<Change>, Illegal> {
    if run.state.is_final() {
        return Err(Illegal::RunEnded(run.state));
    }
    let mut after = After { run: run.clone(), changes: Vec::new() };
    match event {
        Event::Claimed(kind) => {
            after.step_in(kind, &StepState::Ready)?;
            after.set_step(kind, StepState::Running);
            after.set_run(RunState::Running);
        }
        Event::Ended(kind, outcome) => {
            after.step_in(kind, &StepState::Running)?;
            after.ended(kind, outcome);
        }
        Event::LeaseLost(kind, fault) => {
            after.step_in(kind, &StepState::Running)?;
            after.fault(kind, lost(kind, &fault.sentence()));
        }
        Event::HandedBack(kind) => {
            after.step_in(kind, &StepState::Running)?;
            let state = if run.cancel.is_some() { StepState::Cancelled } else { StepState::Ready };
            after.set_step(kind, state);
        }
        Event::CancelAsked(reason) => after.ask_cancel(reason),
        Event::Freed if !run.waits => return Err(Illegal::NotWaiting),
        Event::Freed => after.free(),
        Event::WaitedTooLong { seconds } => after.give_up(seconds)?,
    }
    after.settle();
    Ok(after.changes)
}

fn lost(kind: StepKind, whose: &str) -> Problem {
    Problem::new(
        "run-lost",
        500,
        format!("the {kind} step was lost"),
        format!("The platform lost sight of the {kind} step {MAX_ATTEMPTS} times. {whose}"),
    )
    .hint("push again, and tell the operator when it happens again")
}

fn waited_too_long(seconds: u64) -> Problem {
    let hours = seconds / 3600;
    Problem::new(
        "run-waited",
        503,
        "it waited too long for its turn",
        format!("Nothing of it could begin for {hours} hours. Nothing is wrong with your code."),
    )
    .hint("push again, or `windlass runs retry NUMBER`; when it happens again, tell the operator")
}

/// The view as it becomes, and the changes so far.
struct After {
    run: RunView,
    changes: Vec<Change>,
}

impl After {
    fn step_in(&self, kind: StepKind, needed: &StepState) -> Result<(), Illegal> {
        let step = self.run.steps.iter().find(|step| step.kind == kind).ok_or(Illegal::NoSuchStep(kind))?;
        if step.state == *needed {
            Ok(())
        } else {
            Err(Illegal::WrongState { kind, state: step.state.as_str(), needed: needed.as_str() })
        }
    }

    fn ended(&mut self, kind: StepKind, outcome: Outcome) {
        match outcome {
            Outcome::Done { idle, .. } => {
                self.set_step(kind, StepState::Done);
                for kind in idle.into_keys() {
                    self.pass_over(kind);
                }
            }
            Outcome::Failed { cause: Cause::Platform, problem, .. } => self.fault(kind, problem),
            Outcome::Failed { cause, problem, .. } => {
                self.set_step(kind, StepState::Failed { cause, problem });
            }
            // Nobody asked: the holder is confused, and trying again is the platform's business.
            Outcome::Cancelled if self.run.cancel.is_none() => {
                self.fault(kind, lost(kind, "Nothing is wrong with your code."));
            }
            Outcome::Cancelled => self.set_step(kind, StepState::Cancelled),
        }
    }

    /// A step that has nothing to do, if its turn has come with this; a run that has no such step needs none.
    fn pass_over(&mut self, kind: StepKind) {
        let next = |step: &&StepView| step.kind == kind && step.state == StepState::Blocked;
        let Some(step) = self.run.steps.iter().find(next) else { return };
        if step.after.iter().all(|kind| self.is_done(*kind)) {
            self.set_step(kind, StepState::Done);
        }
    }

    /// The platform's fault: again, unless the run shall end or it happened too often.
    fn fault(&mut self, kind: StepKind, problem: Problem) {
        let cancelled = self.run.cancel.is_some();
        let Some(step) = self.run.steps.iter_mut().find(|step| step.kind == kind) else { return };
        step.faults += 1;
        let state = if cancelled {
            StepState::Cancelled
        } else if step.faults < MAX_ATTEMPTS {
            StepState::Ready
        } else {
            StepState::Failed { cause: Cause::Platform, problem }
        };
        self.set_step(kind, state);
    }

    fn ask_cancel(&mut self, reason: CancelReason) {
        if self.run.cancel.is_some() {
            return;
        }
        self.run.cancel = Some(reason);
        self.changes.push(Change::CancelAsked(reason));
    }

    fn free(&mut self) {
        self.run.waits = false;
        self.changes.push(Change::Freed);
    }

    /// Its next step fails; while one is running it does not wait.
    fn give_up(&mut self, seconds: u64) -> Result<(), Illegal> {
        if let Some(step) = self.run.steps.iter().find(|step| step.state == StepState::Running) {
            return Err(Illegal::WrongState { kind: step.kind, state: "running", needed: "ready" });
        }
        let next = self.run.steps.iter().find(|step| !step.state.is_final()).map(|step| step.kind);
        if let Some(kind) = next {
            let problem = waited_too_long(seconds);
            self.set_step(kind, StepState::Failed { cause: Cause::Timeout { seconds }, problem });
        }
        Ok(())
    }

    /// Opens what has become possible, closes what has become impossible, ends the run when nothing is left to do.
    fn settle(&mut self) {
        let failed = self.run.steps.iter().any(|step| matches!(step.state, StepState::Failed { .. }));
        for index in 0..self.run.steps.len() {
            let step = &self.run.steps[index];
            let waiting = matches!(step.state, StepState::Blocked | StepState::Ready);
            let kind = step.kind;
            if waiting && failed {
                self.set_step(kind, StepState::Skipped);
            } else if waiting && self.run.cancel.is_some() {
                self.set_step(kind, StepState::Cancelled);
            } else if step.state == StepState::Blocked
                && !self.run.waits
                && step.after.iter().all(|kind| self.is_done(*kind))
            {
                self.set_step(kind, StepState::Ready);
            }
        }
        if self.run.steps.iter().all(|step| step.state.is_final()) {
            self.set_run(self.verdict());
        }
    }

    /// How the run ended, once all its steps have. What really happened counts more than what was asked for: a run
    /// whose last step was done when the wish to cancel came is live.
    fn verdict(&self) -> RunState {
        let all_done = self.run.steps.iter().all(|step| step.state == StepState::Done);
        let failed = self.run.steps.iter().any(|step| matches!(step.state, StepState::Failed { .. }));
        match self.run.cancel {
            _ if all_done && self.run.steps.iter().any(|step| step.kind == StepKind::Deploy) => {
                RunState::Live
            }
            _ if all_done => RunState::Passed,
            Some(reason) if !failed => reason.run_state(),
            _ => RunState::Failed,
        }
    }

    fn is_done(&self, kind: StepKind) -> bool {
        self.run.steps.iter().any(|step| step.kind == kind && step.state == StepState::Done)
    }

    fn set_step(&mut self, kind: StepKind, state: StepState) {
        let Some(step) = self.run.steps.iter_mut().find(|step| step.kind == kind) else { return };
        step.state = state.clone();
        self.changes.push(Change::Step { kind, state, faults: step.faults });
    }

    fn set_run(&mut self, state: RunState) {
        if self.run.state != state {
            self.run.state = state;
            self.changes.push(Change::Run(state));
        }
    }
}
