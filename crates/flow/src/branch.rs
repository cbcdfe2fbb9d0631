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

/// A run goes on only if its branch stands where the pusher saw it, or at something that the commit contains: otherwise
/// it would undo what came in between, while the push was on its way or the run waited. Gives where the branch stands.
pub(crate) async fn check(line: &Line, run: &Run) -> Result<Option<String>, StationError> {
    let tip = line.repositories.resolve(run.tool, &run.ref_name).await?;
    let stands = match &tip {
        None => run.old.is_none(),
        Some(_) if run.old == tip => true,
        Some(tip) => line.repositories.is_ancestor(run.tool, tip, &run.commit).await?,
    };
    if stands {
        return Ok(tip);
    }
    let branch = run.ref_name.strip_prefix("refs/heads/").unwrap_or(&run.ref_name);
    Err(StationError::told(Cause::Refused, moved(branch, tip.as_deref(), &run.commit)))
}

/// A branch's name may hold what a shell would obey, so it stands in no command line.
fn moved(branch: &str, tip: Option<&str>, commit: &str) -> Problem {
    let short = |id: &str| id.get(..7).unwrap_or(id).to_owned();
    let (title, detail, hint) = match tip {
        Some(tip) => (
            format!("{branch} moved meanwhile"),
            format!(
                "It is at {} now, which {} does not contain: this run would undo what came in between.",
                short(tip),
                short(commit)
            ),
            "Take it in and push again: `git fetch windlass`, then `git rebase FETCH_HEAD`, then `git push`.",
        ),
        None => (
            format!("{branch} was deleted meanwhile"),
            "This run would bring it back.".to_owned(),
            "If it is wanted after all, push again.",
        ),
    };
    Problem::new("run-branch-moved", 409, title, detail).hint(hint)
}

/// Pushes are checked for this; two that come together may still meet here.
fn clash(name: &str) -> Problem {
    let detail =
        format!("{name} and another branch cannot be side by side: one's name begins with the other's.");
    Problem::new("branch-clash", 409, "the branch cannot be made", detail)
        .hint("Delete the other branch, or push under another name.")
}

/// Moves a run's branch to its commit: from where it stood when the push came, from `live_before`, to which an earlier
/// run may have moved it meanwhile, or from anything that the commit contains. A second attempt finds it moved already.
/// A branch that stands elsewhere stays there: that is the end of a run whose branch is its whole outcome, and a row in
/// the log of one that is live already.
pub(crate) async fn advance(
    line: &Line,
    run: &Run,
    step: StepKind,
    live_before: Option<&str>,
) -> Result<(), StationError> {
    let seen = [run.old.as_deref().unwrap_or(NOTHING), &run.commit];
    for old in seen.into_iter().chain(live_before) {
        if swap(line, run, old).await? {
            return Ok(());
        }
    }
    let stands = check(line, run).await;
    if let Ok(tip) = &stands
        && swap(line, run, tip.as_deref().unwrap_or(NOTHING)).await?
    {
        return Ok(());
    }
    if !run.production {
        let again = StationError::Inconsistent("the branch moved between two looks at it".to_owned());
        return Err(stands.err().unwrap_or(again));
    }
    let mut log = StepLog::open(line, run.tool, run.number, step)?;
    log.say("note: the branch was moved by another push meanwhile; it stays where it is now");
    Ok(())
}

/// Whether the branch stood at `old`, and is at the run's commit now.
async fn swap(line: &Line, run: &Run, old: &str) -> Result<bool, StationError> {
    match line.repositories.update_ref(run.tool, &run.ref_name, &run.commit, old).await {
        Ok(()) => Ok(true),
        Err(GitError::Moved(_)) => Ok(false),
        Err(GitError::Clash(_)) => Err(StationError::tool(clash(&run.ref_name))),
        Err(other) => Err(other.into()),
    }
}
