//! A branch names what is live (production) or what was last found good (others): the engine moves it, not git.

use crate::{Line, line::StationError, step_log::StepLog};
use git::repository::GitError;
use model::run::StepKind;
use store::Run;

/// What "no object" is called in ref updates.
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// Moves a run's branch to its commit, from where it stood when the push came and from nowhere else.
pub(crate) async fn advance(line: &Line, run: &Run, step: StepKind) -> Result<(), StationError> {
    let old = run.old.as_deref().unwrap_or(NOTHING);
    let update = |old: String| async move {
        line.repositories.update_ref(run.tool, &run.ref_name, &run.commit, &old).await
    };
    match update(old.to_owned()).await {
        Err(GitError::Status { stderr, .. }) => {
            // A second attempt of the same step finds the branch where it should be.
            if update(run.commit.clone()).await.is_err() {
                tracing::info!(stderr, "a branch moved while its run went on");
                let mut log = StepLog::open(line, run.tool, run.number, step)?;
                log.say("note: the branch was moved by another push meanwhile; it stays where it is now");
            }
            Ok(())
        }
        other => Ok(other?),
    }
}
