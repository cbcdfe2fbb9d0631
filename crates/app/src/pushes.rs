//! Pushes: what the git door asks before, during and after one.

use crate::{App, problems};
use model::{Action, Actor, Problem, PushId, RunId, ToolId, UserId, run::Lane};
use store::{NewPush, Recorded, Run, Step, Tool};

/// Branches that become the production branch when they are the first to be pushed.
const PRODUCTION_BRANCHES: [&str; 2] = ["main", "master"];
/// Branches that one push may bring: each starts a run.
const MAX_BRANCHES: usize = 5;

/// A client that may do with a repository what it asked for.
#[derive(Clone, Debug)]
pub struct Opened {
    pub tool: Tool,
    pub user: UserId,
    pub user_name: String,
}

/// One line of a push. `None` for "nothing": a new branch, a deleted one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedRef {
    /// In full: `refs/heads/main`.
    pub name: String,
    pub old: Option<String>,
    pub new: Option<String>,
}

impl App {
    /// May whoever shows this token clone or fetch this tool's code?
    pub async fn open_to_read(&self, token: Option<&str>, tool: &str) -> Result<Opened, Problem> {
        self.open(token, tool, Action::ReadCode).await
    }

    /// May whoever shows this token push to this tool?
    pub async fn open_to_push(&self, token: Option<&str>, tool: &str) -> Result<Opened, Problem> {
        self.open(token, tool, Action::PushCode).await
    }

    async fn open(&self, token: Option<&str>, tool: &str, action: Action) -> Result<Opened, Problem> {
        let actor = self.identify(token).await?;
        let (tool, _) = self.allow_on(&actor, action, tool).await?;
        // Without a user the policy table has said no; the platform itself comes through no door.
        let user = actor.user().ok_or_else(problems::not_signed_in)?;
        Ok(Opened { tool, user, user_name: self.user_name(user).await? })
    }

    /// The cheap refusals, before anything is kept. Deletes of other branches are fine and start no run.
    pub async fn check_push(&self, tool: ToolId, refs: &[PushedRef]) -> Result<(), Problem> {
        let tool =
            self.store.tool(tool).await.map_err(|error| problems::store("looking at the tool", &error))?;
        check(tool.production_branch.as_deref(), refs)
    }

    /// Records the arrival of a commit on a branch: push, run and steps are on disk when this returns, and recording
    /// the same push id twice is recording it once.
    ///
    /// The rights were judged by [`App::open_to_push`] when the client began; they are judged again, since a push may
    /// take minutes and a token may be revoked meanwhile.
    pub async fn record_push(
        &self,
        actor: &Actor,
        tool: &str,
        id: PushId,
        pushed: &PushedRef,
    ) -> Result<Recorded, Problem> {
        let (tool, _) = self.allow_on(actor, Action::PushCode, tool).await?;
        let by = actor.user().ok_or_else(problems::not_signed_in)?;
        check(tool.production_branch.as_deref(), std::slice::from_ref(pushed))?;
        let Some(commit) = pushed.new.clone() else {
            return Err(problems::bad_request("a deleted branch has nothing to run", pushed.name.clone()));
        };
        let failed = |error| problems::store("recording the push", &error);
        let branch = pushed.name.strip_prefix("refs/heads/").unwrap_or(&pushed.name);
        let production = match tool.production_branch {
            Some(production) => production == branch,
            None if PRODUCTION_BRANCHES.contains(&branch) => {
                self.store.settle_production_branch(tool.id, branch).await.map_err(failed)? == branch
            }
            None => false,
        };
        let push = NewPush {
            id,
            tool: tool.id,
            ref_name: pushed.name.clone(),
            old: pushed.old.clone(),
            commit,
            by,
            production,
            on_new_push: tool.on_new_push.unwrap_or(self.on_new_push),
            lane: Lane::People,
        };
        let recorded = self.store.record_push(&push).await.map_err(failed)?;
        self.nudge.notify_one();
        Ok(recorded)
    }

    /// Where the run of a recorded push stands: for the door that recorded it, which answers the pusher.
    pub async fn push_progress(&self, run: RunId) -> Result<(Run, Vec<Step>), Problem> {
        let failed = |error| problems::store("looking at the run", &error);
        let run = self.store.run(run).await.map_err(failed)?;
        let steps = self.store.steps_of(run.id).await.map_err(failed)?;
        Ok((run, steps))
    }
}

fn check(production: Option<&str>, refs: &[PushedRef]) -> Result<(), Problem> {
    let refused = |id: &str, title: &str, detail: String| Problem::new(id, 422, title, detail);
    for pushed in refs {
        let Some(branch) = pushed.name.strip_prefix("refs/heads/") else {
            return Err(refused(
                "push-not-a-branch",
                "only branches are taken",
                format!(
                    "{} is none; a push of a branch is built, and deployed from the production branch",
                    pushed.name
                ),
            )
            .hint("push a branch: `git push windlass main`"));
        };
        if pushed.new.is_none() && production == Some(branch) {
            return Err(refused(
                "push-deletes-production",
                "the production branch stays",
                format!("{branch} names what is live"),
            )
            .hint("`windlass stop` stops the tool, `windlass tools delete` removes it"));
        }
    }
    let branches = refs.iter().filter(|pushed| pushed.new.is_some()).count();
    if branches > MAX_BRANCHES {
        return Err(refused(
            "push-too-many",
            "too many branches at once",
            format!("this push brings {branches}, and each starts a run; {MAX_BRANCHES} may come at once"),
        )
        .hint("push those that you want to see built: `git push windlass main`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(name: &str, new: bool) -> PushedRef {
        PushedRef { name: name.into(), old: None, new: new.then(|| "a".repeat(40)) }
    }

    fn refusal(refs: &[PushedRef]) -> Option<String> {
        check(Some("main"), refs).err().map(|problem| problem.id)
    }

    #[test]
    fn branches_come_and_go_but_the_production_branch_stays() {
        assert_eq!(refusal(&[pushed("refs/heads/main", true), pushed("refs/heads/old", false)]), None);
        assert_eq!(refusal(&[pushed("refs/heads/main", false)]).as_deref(), Some("push-deletes-production"));
        assert_eq!(refusal(&[pushed("refs/tags/v1", true)]).as_deref(), Some("push-not-a-branch"));
        assert_eq!(refusal(&[pushed("refs/windlass/runs/1", true)]).as_deref(), Some("push-not-a-branch"));
        let many: Vec<_> = (0..6).map(|n| pushed(&format!("refs/heads/b{n}"), true)).collect();
        assert_eq!(refusal(&many).as_deref(), Some("push-too-many"));
        assert_eq!(refusal(&many[..5]), None);
    }
}
