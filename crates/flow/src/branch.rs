//! A branch names what is live (production) or what was last found good (others): the engine moves it, not git.

use crate::{Line, line::StationError, step_log::StepLog};
use git::repository::GitError;
use model::run::StepKind;
use store::Run;

/// What "no object" is called in ref updates.
const NOTHING: &str = "0000000000000000000000000000000000000000";
/// How git says that a ref stands elsewhere than expected; every other failure is a fault.
const MOVED: [&str; 3] = ["but expected", "reference already exists", "unable to resolve reference"];

/// Moves a run's branch to its commit: from where it stood when the push came, or from `live_before`, to which an
/// earlier run may have moved it meanwhile. A second attempt finds it moved already.
pub(crate) async fn advance(
    line: &Line,
    run: &Run,
    step: StepKind,
    live_before: Option<&str>,
) -> Result<(), StationError> {
    let expected = [run.old.as_deref().unwrap_or(NOTHING), &run.commit];
    for old in expected.into_iter().chain(live_before) {
        match line.repositories.update_ref(run.tool, &run.ref_name, &run.commit, old).await {
            Ok(()) => return Ok(()),
            Err(GitError::Status { stderr, .. }) if MOVED.iter().any(|words| stderr.contains(words)) => {}
            Err(other) => return Err(other.into()),
        }
    }
    let mut log = StepLog::open(line, run.tool, run.number, step)?;
    log.say("note: the branch was moved by another push meanwhile; it stays where it is now");
    Ok(())
}
