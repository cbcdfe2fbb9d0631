//! A branch names what is live (production) or what was last found good (others): the engine moves it, not git.

use crate::{Line, line::StationError, step_log::StepLog};
use git::repository::GitError;
use model::{
    Problem,
    run::{Cause, StepKind},
};
use store::Run;

/// What "no object" is called in ref updates.
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// A run that did not begin with its push goes on only if its branch stands where the pusher saw it, or at something
/// that the commit contains: otherwise it would undo what came in between. Gives where the branch stands.
pub(crate) async fn check(line: &Line, run: &Run) -> Result<Option<String>, StationError> {
    let Some(tip) = line.repositories.resolve(run.tool, &run.ref_name).await? else { return Ok(None) };
    if run.old.as_ref() == Some(&tip) || line.repositories.is_ancestor(run.tool, &tip, &run.commit).await? {
        return Ok(Some(tip));
    }
    let branch = run.ref_name.strip_prefix("refs/heads/").unwrap_or(&run.ref_name);
    let (tip, commit) = (&tip[..7.min(tip.len())], &run.commit[..7.min(run.commit.len())]);
    let detail = format!(
        "It is at {tip} now, which {commit} does not contain: this run would undo what came in between."
    );
    let problem = Problem::new("run-branch-moved", 409, format!("{branch} moved while this waited"), detail);
    // A branch's name may hold what a shell would obey, so it stands in no command line.
    let hint =
        "Take it in and push again: `git fetch windlass`, then `git rebase FETCH_HEAD`, then `git push`.";
    Err(StationError::told(Cause::Refused, problem.hint(hint)))
}

/// Pushes are checked for this; two that come together may still meet here.
fn clash(name: &str) -> Problem {
    let detail =
        format!("{name} and another branch cannot be side by side: one's name begins with the other's.");
    Problem::new("branch-clash", 409, "the branch cannot be made", detail)
        .hint("Delete the other branch, or push under another name.")
}

/// Moves a run's branch to its commit: from where it stood when the push came, or from `live_before`, to which an
/// earlier run may have moved it meanwhile. A second attempt finds it moved already.
pub(crate) async fn advance(
    line: &Line,
    run: &Run,
    step: StepKind,
    live_before: Option<&str>,
) -> Result<(), StationError> {
    let expected = [run.old.as_deref().unwrap_or(NOTHING), &run.commit];
    let tip = if run.late { check(line, run).await.unwrap_or_default() } else { None };
    for old in expected.into_iter().chain(live_before).chain(tip.as_deref()) {
        match line.repositories.update_ref(run.tool, &run.ref_name, &run.commit, old).await {
            Ok(()) => return Ok(()),
            Err(GitError::Moved(_)) => {}
            Err(GitError::Clash(_)) => return Err(StationError::tool(clash(&run.ref_name))),
            Err(other) => return Err(other.into()),
        }
    }
    let mut log = StepLog::open(line, run.tool, run.number, step)?;
    log.say("note: the branch was moved by another push meanwhile; it stays where it is now");
    Ok(())
}
