//! How long a station may work. What a tool's own code may take is limited where it runs, and told there; these limits
//! are longer, and reached only when something of the platform hangs.

use crate::{Settings, line::StationError};
use model::{
    Problem,
    run::{Cause, StepKind},
};
use pipeline::testing::MAX_SECONDS;
use std::time::Duration;

/// For what a station does around its sandbox: unpacking, waiting for room, export, publishing.
const AROUND: Duration = Duration::from_mins(30);
/// Reading a few files of a commit.
const PLAN: Duration = Duration::from_mins(10);
/// The longest health check that a tool may ask for (docs/configuration.md), and the start and switch around it.
const DEPLOY: Duration = Duration::from_mins(10 + 20);

/// From the claim to the outcome.
pub(crate) fn of(settings: &Settings, kind: StepKind) -> Duration {
    let wall = |seconds: Option<u64>| Duration::from_secs(seconds.unwrap_or(0)) + AROUND;
    match kind {
        StepKind::Plan => PLAN,
        // Its build, then the longest that a tool may ask for (docs/testing.md).
        StepKind::Test => {
            wall(settings.build_limits.wall_seconds) + Duration::from_secs(u64::from(MAX_SECONDS))
        }
        StepKind::Build => wall(settings.build_limits.wall_seconds),
        StepKind::Release => wall(settings.task_limits.wall_seconds),
        StepKind::Deploy => DEPLOY,
    }
}

/// The step did not end in this time and was ended.
pub(crate) fn outlived(kind: StepKind, limit: Duration) -> StationError {
    let minutes = limit.as_secs() / 60;
    let detail = format!(
        "It was ended after {minutes} minutes. What your code may take is less than that: this is the platform's fault."
    );
    let problem = Problem::new("run-timeout", 504, format!("the {kind} step did not end"), detail)
        .hint("`windlass runs retry NUMBER` tries it again; when it happens again, tell the operator");
    StationError::told(Cause::Timeout { seconds: limit.as_secs() }, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Limits, run::Outcome};

    #[test]
    fn a_station_may_take_longer_than_what_its_sandbox_may() {
        assert!(AROUND >= Duration::from_mins(20), "a build may wait ten minutes for room and then export");
        let wall = |limits: Limits| Duration::from_secs(limits.wall_seconds.unwrap());
        assert!(wall(Limits::BUILD) > Duration::ZERO && wall(Limits::TASK) > Duration::ZERO);
        // docs/configuration.md: `timeout_seconds` is 1 to 600.
        assert!(DEPLOY > Duration::from_secs(600));
    }

    #[test]
    fn what_hangs_is_told_as_a_timeout_and_as_the_platforms_fault() {
        let Outcome::Failed { cause, problem, .. } = outlived(StepKind::Plan, PLAN).outcome() else {
            panic!()
        };
        assert_eq!(cause, Cause::Timeout { seconds: 600 });
        assert_eq!(
            (problem.id.as_str(), problem.title.as_str()),
            ("run-timeout", "the plan step did not end")
        );
        assert!(problem.detail.contains("after 10 minutes") && problem.detail.contains("platform's fault"));
    }
}
