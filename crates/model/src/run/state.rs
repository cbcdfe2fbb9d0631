//! The words for where a run and its steps stand.

use crate::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// What a step does. A new kind is a new variant and an edge in [`super::graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// Reads the source's files and decides what is built and started.
    Plan,
    /// Runs the source's own tests, over what a build for tests installs.
    Test,
    /// Source tree to image.
    Build,
    /// Image to numbered release; runs the release command.
    Release,
    /// Starts the release, checks its health, switches the route.
    Deploy,
}

impl StepKind {
    /// In the order of the line.
    pub const ALL: [Self; 5] = [Self::Plan, Self::Test, Self::Build, Self::Release, Self::Deploy];

    /// The word in rows, JSON, log streams and push output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Test => "test",
            Self::Build => "build",
            Self::Release => "release",
            Self::Deploy => "deploy",
        }
    }

    /// Steps that change what a tool runs: one at a time per tool, whatever run they belong to.
    pub const fn is_exclusive(self) -> bool {
        matches!(self, Self::Release | Self::Deploy)
    }
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum StepState {
    /// Waits for an earlier step.
    Blocked,
    /// May be claimed.
    Ready,
    /// Somebody holds a claim on it.
    Running,
    /// Ended well; its outputs are stored.
    Done,
    /// Ended badly; another try is another run.
    Failed { cause: Cause, problem: Problem },
    /// Never started, because an earlier step failed.
    Skipped,
    /// Stopped or never started, because its run was cancelled or superseded.
    Cancelled,
}

impl Outcome {
    /// Done, and nothing follows from it for other steps.
    pub const fn done(outputs: Value) -> Self {
        Self::Done { outputs, idle: BTreeMap::new() }
    }

    /// Failed with nothing to read but the problem.
    pub const fn failed(cause: Cause, problem: Problem) -> Self {
        Self::Failed { cause, problem, outputs: None }
    }
}

impl StepState {
    /// Whether it will never change again.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Done | Self::Failed { .. } | Self::Skipped | Self::Cancelled)
    }

    /// The word in rows and JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed { .. } => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Whose fault a failure is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Cause {
    /// The tool's code or files. Not retried.
    Tool,
    /// A limit was reached: `which` names it (`memory`, `pids`, `disk`, `log`), both numbers in its own unit.
    Limit { which: String, limit: u64, peak: u64 },
    /// It took longer than it may.
    Timeout { seconds: u64 },
    /// A policy said no.
    Refused,
    /// Ours. Retried by itself, and told as such.
    Platform,
}

/// What the holder of a claim reports when its step has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    Done {
        /// What later steps and people read.
        outputs: Value,
        /// Later steps that have nothing to do in this run, with their outputs: they are done with this one.
        #[serde(default)]
        idle: BTreeMap<StepKind, Value>,
    },
    Failed {
        cause: Cause,
        problem: Problem,
        /// What people read of it besides the problem, such as which tests failed.
        #[serde(default)]
        outputs: Option<Value>,
    },
    /// Stopped because its run was asked to end.
    Cancelled,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// No step was started yet.
    Queued,
    Running,
    /// Ended: the release answers on its host name.
    Live,
    /// Ended well on a branch that is not deployed.
    Passed,
    Failed,
    /// Ended because somebody asked.
    Cancelled,
    /// Ended because a newer push of the same branch, or a rollback, took over.
    Superseded,
}

impl RunState {
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Live,
        Self::Passed,
        Self::Failed,
        Self::Cancelled,
        Self::Superseded,
    ];

    /// Whether it will never change again.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Whether the push that started it succeeds.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Live | Self::Passed)
    }

    /// The word in rows, JSON and texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Live => "live",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }
}

/// Why a run was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CancelReason {
    /// Somebody asked, or the tool was deleted.
    Person,
    /// A newer push of the same branch, or a rollback.
    Superseded,
}

impl CancelReason {
    /// The word in rows and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Superseded => "superseded",
        }
    }

    /// How a run ends that was stopped for this reason.
    pub const fn run_state(self) -> RunState {
        match self {
            Self::Person => RunState::Cancelled,
            Self::Superseded => RunState::Superseded,
        }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
