//! How a build's end is told: the tool's fault by name, a limit with its number, ours as ours.

use crate::{Line, line::StationError, size};
use model::{Problem, run::Cause};
use pipeline::Plan;
use sandbox::request::{Ended, KilledBy};
use std::time::Duration;

/// Exit statuses of the lifecycle (CNB platform specification, "Exit Codes").
mod status {
    /// Detect: no group passed, none with an error.
    pub(super) const NOTHING_DETECTED: i32 = 20;
    /// Detect: no group passed and at least one buildpack had an error.
    pub(super) const DETECT_ERROR: i32 = 21;
    /// Build: a buildpack failed.
    pub(super) const BUILDPACK_FAILED: i32 = 51;
}

/// `None`: it ended well. `said`: what buildpacks gave as the reason.
pub(crate) fn failure(line: &Line, ended: &Ended, plan: &Plan, said: &[String]) -> Option<StationError> {
    let limits = &line.settings.build_limits;
    let told = |cause, problem| Some(StationError::told(cause, problem));
    match ended.killed_by {
        Some(KilledBy::Memory) => {
            return told(memory(ended, limits.memory_bytes), memory_problem(limits.memory_bytes));
        }
        Some(KilledBy::Wall) => {
            let seconds = limits.wall_seconds.unwrap_or(0);
            let detail = format!("It was ended after {}.", size::seconds(Duration::from_secs(seconds)));
            let problem = Problem::new("build-time", 422, "the build took too long", detail)
                .hint("The log shows what it was doing last.");
            return told(Cause::Timeout { seconds }, problem);
        }
        Some(KilledBy::Disk) => {
            let limit = limits.writable_bytes;
            let detail = format!("It wrote more than {}.", size::bytes(limit));
            let cause = Cause::Limit { which: "disk".to_owned(), limit, peak: limit };
            let problem = Problem::new("build-disk", 422, "the build filled its disk", detail)
                .hint("Download less during the build, or remove what later steps do not need.");
            return told(cause, problem);
        }
        Some(KilledBy::Platform) => {
            return Some(StationError::Inconsistent("a build's shim or its way out was lost".to_owned()));
        }
        Some(KilledBy::Request) => {
            return Some(StationError::Inconsistent("a build was ended from outside the line".to_owned()));
        }
        None if ended.status == 0 => return None,
        None => {}
    }
    if ended.memory_kills > 0 {
        return told(memory(ended, limits.memory_bytes), memory_problem(limits.memory_bytes));
    }
    let (id, title, detail) = match ended.status {
        status::NOTHING_DETECTED => (
            "build-nothing-detected",
            "no buildpack can build this",
            "The log above lists what each of them looked for.".to_owned(),
        ),
        status::DETECT_ERROR => {
            ("build-detect", "a buildpack could not judge this", "Its words are in the log above.".to_owned())
        }
        status::BUILDPACK_FAILED => {
            ("build-failed", "the build failed", "Its last lines above say why.".to_owned())
        }
        other => ("build-failed", "the build failed", format!("It ended with status {other}.")),
    };
    let detail = if said.is_empty() { detail } else { said.join("\n") };
    let hint = format!("Fix it, commit, and push again. The plan was: {}", plan.line());
    told(Cause::Tool, Problem::new(id, 422, title, detail).hint(hint))
}

fn memory(ended: &Ended, limit: u64) -> Cause {
    Cause::Limit { which: "memory".to_owned(), limit, peak: ended.memory_peak_bytes }
}

fn memory_problem(limit: u64) -> Problem {
    let detail = format!("killed: memory {} MiB", limit / model::limits::MIB);
    Problem::new("build-memory", 422, "the build ran out of memory", detail)
        .hint("Packages that compile during installation are the usual cause: choose versions with wheels.")
}
