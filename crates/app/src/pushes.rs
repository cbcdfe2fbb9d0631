//! Pushes: what the git door asks before, during and after one.

use crate::{App, problems, production_branch};
use model::{Action, Actor, Problem, PushId, RunId, ToolId, UserId, run::Lane};
use store::{NewPush, Recorded, Run, Step, Tool};

/// Branches that become the production branch when they are the first to be pushed.
const PRODUCTION_BRANCHES: [&str; 2] = ["main", "master"];
/// Branches that one push may bring: each starts a run.
const MAX_BRANCHES: usize = 5;
/// Branches and tags that a repository may have: every client reads them all.
const MAX_REFS: usize = 2000;
const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

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

    /// The cheap refusals, before anything is kept. `there` are the branches and tags that the repository has.
    pub async fn check_push(
        &self,
        tool: ToolId,
        refs: &[PushedRef],
        there: &[String],
    ) -> Result<(), Problem> {
        let tool =
            self.store.tool(tool).await.map_err(|error| problems::store("looking at the tool", &error))?;
        check(tool.production_branch.as_deref(), refs)?;
        check_room(refs, there)
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
        let branch = pushed.name.strip_prefix(BRANCHES);
        let (Some(commit), Some(branch)) = (pushed.new.clone(), branch) else {
            return Err(problems::bad_request("only a commit on a branch has a run", pushed.name.clone()));
        };
        let failed = |error| problems::store("recording the push", &error);
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

fn refused(id: &str, title: &str, detail: String) -> Problem {
    Problem::new(id, 422, title, detail)
}

fn check(production: Option<&str>, refs: &[PushedRef]) -> Result<(), Problem> {
    for pushed in refs {
        let branch = pushed.name.strip_prefix(BRANCHES);
        let Some(name) = branch.or_else(|| pushed.name.strip_prefix(TAGS)) else {
            return Err(refused(
                "push-not-a-branch",
                "only branches and tags are taken",
                format!(
                    "{} is neither; a push of a branch is built, and deployed from the production branch",
                    pushed.name
                ),
            )
            .hint("push a branch: `git push windlass main`"));
        };
        // What is there under an odd name may still be deleted.
        if let (Some(_), Err(why)) = (&pushed.new, production_branch::check(name)) {
            let detail = format!("`{}`: {why}", name.escape_debug());
            return Err(refused("push-ref-name", "this name is not taken", detail)
                .hint("push it under another name: `git push windlass HEAD:refs/heads/idea`"));
        }
        if pushed.new.is_none() && branch.is_some() && production == branch {
            return Err(refused(
                "push-deletes-production",
                "the production branch stays",
                format!("{name} names what is live"),
            )
            .hint("`windlass stop` stops the tool, `windlass tools delete` removes it"));
        }
    }
    let runs = |pushed: &&PushedRef| pushed.new.is_some() && pushed.name.starts_with(BRANCHES);
    let branches = refs.iter().filter(runs).count();
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

/// Whether git could make the new refs beside those that are there: a name cannot be a directory of names too.
fn check_room(refs: &[PushedRef], there: &[String]) -> Result<(), Problem> {
    let created = |pushed: &&PushedRef| pushed.old.is_none() && pushed.new.is_some();
    let created: Vec<&PushedRef> = refs.iter().filter(created).collect();
    if !created.is_empty() && there.len() + created.len() > MAX_REFS {
        return Err(refused(
            "push-too-many-refs",
            "too many branches and tags",
            format!("the repository has {}; {MAX_REFS} are allowed", there.len()),
        )
        .hint("delete those that nobody needs: `git push windlass :old-branch`"));
    }
    let inside =
        |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    let deleted = |name: &&String| refs.iter().all(|pushed| pushed.new.is_some() || pushed.name != **name);
    for pushed in &created {
        let others = there.iter().filter(deleted).chain(created.iter().map(|other| &other.name));
        for other in others {
            if inside(&pushed.name, other) || inside(other, &pushed.name) {
                return Err(refused(
                    "push-ref-clash",
                    "two names cannot be side by side",
                    format!(
                        "{} and {other}: git keeps one as a file where the other needs a directory",
                        pushed.name
                    ),
                )
                .hint("take another name, or delete the other first"));
            }
        }
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
        assert_eq!(refusal(&[pushed("refs/tags/v1", true), pushed("refs/tags/main", false)]), None);
        assert_eq!(refusal(&[pushed("refs/windlass/runs/1", true)]).as_deref(), Some("push-not-a-branch"));
        let many: Vec<_> = (0..6).map(|n| pushed(&format!("refs/heads/b{n}"), true)).collect();
        assert_eq!(refusal(&many).as_deref(), Some("push-too-many"));
        assert_eq!(refusal(&many[..5]), None);
        let tags: Vec<_> = (0..6).map(|n| pushed(&format!("refs/tags/v{n}"), true)).collect();
        assert_eq!(refusal(&tags), None);
    }

    #[test]
    fn a_name_that_reads_as_something_else_is_refused_but_may_be_deleted() {
        for name in ["-f", "--upload-pack=x", "@{-1}", "a..b", &"0123456789".repeat(4), "a\u{202e}b", "HEAD"]
        {
            for prefix in [BRANCHES, TAGS] {
                let name = format!("{prefix}{name}");
                assert_eq!(refusal(&[pushed(&name, true)]).as_deref(), Some("push-ref-name"), "{name}");
                assert_eq!(refusal(&[pushed(&name, false)]), None, "{name}");
            }
        }
    }

    #[test]
    fn a_branch_and_a_directory_of_branches_cannot_have_one_name() {
        let clash = |refs: &[PushedRef], there: &[&str]| {
            let there: Vec<String> = there.iter().map(|name| (*name).to_owned()).collect();
            check_room(refs, &there).err().map(|problem| problem.id)
        };
        let (outer, inner) = (pushed("refs/heads/main", true), pushed("refs/heads/main/sub", true));
        let expected = Some("push-ref-clash".to_owned());
        assert_eq!(clash(std::slice::from_ref(&inner), &["refs/heads/main"]), expected);
        assert_eq!(clash(std::slice::from_ref(&outer), &["refs/heads/main/sub"]), expected);
        assert_eq!(clash(&[outer, inner.clone()], &[]), expected);
        assert_eq!(clash(&[inner.clone(), pushed("refs/heads/main", false)], &["refs/heads/main"]), None);
        assert_eq!(clash(&[inner], &["refs/heads/mai", "refs/heads/main2", "refs/tags/main"]), None);
        let full = vec!["refs/tags/x"; MAX_REFS];
        assert_eq!(clash(&[pushed("refs/heads/new", true)], &full).as_deref(), Some("push-too-many-refs"));
        assert_eq!(clash(&[pushed("refs/heads/old", false)], &full), None);
    }
}
