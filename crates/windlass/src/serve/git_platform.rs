//! What the git door asks, answered by the application layer: who may push, what is recorded, how it went.

use super::{push_options::Options, push_text::Follower};
use app::{App, pushes::PushedRef, retries::Commits};
use async_trait::async_trait;
use flow::Nudge;
use git::{
    Access, Arrival, Command, Grant, Lines, Platform, Refusal, Repositories, Verdict,
    repository::{GitError, PINS},
};
use model::{Actor, Fault, Problem, PushId, ToolId};
use std::{error::Error, sync::Arc, time::Instant};
use store::Recorded;
use tokio::sync::watch;

/// What "no object" is called on the wire.
const NOTHING: &str = "0000000000000000000000000000000000000000";
/// A ref that never exists, so that a client always sends it: `git push windlass HEAD:refs/run/main`.
const AGAIN: &str = "refs/run/";

/// The git door's platform.
pub(super) struct GitPlatform {
    pub(super) app: Arc<App>,
    pub(super) repositories: Repositories,
    pub(super) max_pack_bytes: u64,
    pub(super) max_repository_bytes: u64,
    /// True when this process is about to end: pushes are told how to follow their runs.
    pub(super) ending: watch::Receiver<bool>,
    pub(super) nudge: Arc<Nudge>,
}

/// The repositories, as the application layer asks for them.
pub(super) struct Code(pub(super) Repositories);

#[async_trait]
impl Commits for Code {
    async fn has(&self, tool: ToolId, commit: &str) -> Result<bool, Box<dyn Error + Send + Sync>> {
        Ok(self.0.resolve(tool, commit).await?.is_some())
    }
}

#[async_trait]
impl Platform for GitPlatform {
    async fn open(&self, token: Option<&str>, tool: &str, access: Access) -> Result<Grant, Refusal> {
        let opened = match access {
            Access::Read => self.app.open_to_read(token, tool).await,
            Access::Write => self.app.open_to_push(token, tool).await,
        };
        let opened = opened.map_err(|problem| refusal(&problem))?;
        let actor = self.app.identify(token).await.map_err(|problem| refusal(&problem))?;
        let tool = opened.tool;
        let broken = |error: git::repository::GitError| {
            let fault = Fault::of("opening a repository", &error);
            let text = format!(
                "windlass: the platform cannot use this tool's repository just now; try again in a minute\n{}",
                fault.sentence()
            );
            Refusal { status: 403, text }
        };
        // A repository begins to exist when somebody first asks for it.
        self.repositories.init(tool.id).await.map_err(broken)?;
        let mut max_input_bytes = self.max_pack_bytes;
        let mut too_large = format!(
            "windlass: one push may upload {} MiB (git.max_pack_mebibytes); keep data and generated files out of git,\n\
             windlass: or push older commits first: `git push windlass <commit>:refs/heads/main`",
            self.max_pack_bytes >> 20
        );
        if access == Access::Write {
            let used = self.repositories.size_bytes(tool.id).await.map_err(broken)?;
            let left = self.max_repository_bytes.saturating_sub(used);
            if left < max_input_bytes {
                max_input_bytes = left;
                too_large = full(tool.name.as_str(), used, self.max_repository_bytes);
            }
        }
        let (name, user_name) = (tool.name, opened.user_name);
        Ok(Grant { tool: tool.id, name, actor, user_name, max_input_bytes, too_large })
    }

    async fn refuse(&self, grant: &Grant, commands: &[Command]) -> Option<String> {
        let wishes: Vec<Wish> = commands.iter().map(Wish::of).collect();
        if let Some(command) = wishes.iter().map(|wish| &wish.command).find(|c| c.name.starts_with(AGAIN)) {
            return Some(format!("windlass: {} does not exist and cannot be deleted", command.name));
        }
        let refs: Vec<PushedRef> = wishes.iter().map(|wish| pushed_ref(&wish.command)).collect();
        // Only a new name can be one too many, or clash with another.
        let there = if refs.iter().any(|pushed| pushed.old.is_none()) {
            match self.repositories.refs(grant.tool, &["refs/heads", "refs/tags"]).await {
                Ok(there) => there.into_iter().map(|(name, _)| name).collect(),
                Err(error) => return Some(format!("windlass: {}", unreadable(&error))),
            }
        } else {
            Vec::new()
        };
        let problem = self.app.check_push(grant.tool, &refs, &there).await.err()?;
        Some(format!("windlass: {problem}"))
    }

    async fn receive(&self, arrival: Arrival, lines: Lines) -> Vec<Verdict> {
        let began = Instant::now();
        let grant = &arrival.grant;
        let options = Options::read(&arrival.options);
        for text in &options.notes {
            let _ = lines.send(format!(" note      {text}")).await;
        }
        // All are written down before the first is waited for: what is acknowledged waits for nobody's connection.
        let mut begun = Vec::new();
        for command in &arrival.commands {
            begun.push(self.begin(grant, Wish::of(command)).await);
        }
        let mut verdicts = Vec::new();
        for (command, begun) in arrival.commands.iter().zip(begun) {
            let mut instead = None;
            let ended = match begun {
                Ok(Begun::Moved(refused)) => Ok(refused),
                Ok(Begun::Run { recorded, command, pin, notes, renamed }) => {
                    let follower = Follower {
                        app: &self.app,
                        grant,
                        lines: &lines,
                        began,
                        quiet: options.quiet,
                        ending: self.ending.clone(),
                        changed: self.nudge.follow(),
                    };
                    let refused = follower.follow(&recorded, &command.new, &notes).await;
                    if matches!(refused, Ok(None)) {
                        // The branch holds the commit now. The pusher need not wait for it.
                        let (repositories, tool, object) =
                            (self.repositories.clone(), grant.tool, command.new.clone());
                        tokio::spawn(async move { let_go(&repositories, tool, &pin, &object).await });
                    }
                    instead = renamed.then_some(command);
                    refused
                }
                Err(problem) => Err(problem),
            };
            let refused = match ended {
                Ok(refused) => refused,
                Err(problem) => {
                    let _ = lines.send(logs::clean(format!("windlass: {problem}").as_bytes())).await;
                    Some(problem.title)
                }
            };
            verdicts.push(Verdict { name: command.name.clone(), refused, instead });
        }
        verdicts
    }
}

/// One ref of a push as it is meant.
struct Wish {
    command: Command,
    /// Pushed to `refs/run/<branch>`: a run of that branch, whether it names the commit already or not.
    again: bool,
}

impl Wish {
    fn of(command: &Command) -> Self {
        match command.name.strip_prefix(AGAIN) {
            Some(branch) if !command.deletes() => {
                let name = format!("refs/heads/{branch}");
                Self { command: Command { name, ..command.clone() }, again: true }
            }
            _ => Self { command: command.clone(), again: false },
        }
    }
}

/// What became of one ref before anything is waited for.
enum Begun {
    /// Moved at once, or why not.
    Moved(Option<String>),
    Run {
        recorded: Recorded,
        command: Command,
        pin: String,
        notes: Vec<String>,
        renamed: bool,
    },
}

impl GitPlatform {
    async fn begin(&self, grant: &Grant, wish: Wish) -> Result<Begun, Problem> {
        let Wish { mut command, again } = wish;
        if command.deletes() || !command.name.starts_with("refs/heads/") {
            // A tag is kept and builds nothing.
            let refused = self.move_ref(grant.tool, &command.name, &command.new, &command.old).await?;
            return Ok(Begun::Moved(refused));
        }
        if again {
            let now = self
                .repositories
                .resolve(grant.tool, &command.name)
                .await
                .map_err(|error| unreadable(&error))?;
            command.old = now.unwrap_or_else(|| NOTHING.to_owned());
        }
        let push = PushId::new();
        // Holds the objects of waiting and red pushes; without it git would throw them away (docs/git.md).
        let pin = format!("{PINS}/{push}");
        let (kind, forced, refused) = tokio::join!(
            self.repositories.kind(grant.tool, &command.new),
            self.forced(grant.tool, &command),
            self.move_ref(grant.tool, &pin, &command.new, NOTHING),
        );
        if let Some(refused) = refused? {
            return Ok(Begun::Moved(Some(refused)));
        }
        match kind.map_err(|error| unreadable(&error))? {
            Some(kind) if kind == "commit" => {}
            other => {
                let_go(&self.repositories, grant.tool, &pin, &command.new).await;
                let what = other.unwrap_or_else(|| "nothing".to_owned());
                return Ok(Begun::Moved(Some(format!("a branch names a commit, and this is a {what}"))));
            }
        }
        let pushed = pushed_ref(&command);
        match self.app.record_push(&grant.actor, grant.name.as_str(), push, &pushed).await {
            Ok(recorded) => {
                let notes = forced.into_iter().collect();
                Ok(Begun::Run { recorded, command, pin, notes, renamed: again })
            }
            Err(problem) => {
                let_go(&self.repositories, grant.tool, &pin, &command.new).await;
                Err(problem)
            }
        }
    }

    /// What a pusher is told whose commit does not contain the branch's. A hook cannot see `--force`, but a client
    /// sends such a push only with it.
    async fn forced(&self, tool: ToolId, command: &Command) -> Option<String> {
        if command.old == NOTHING || command.old == command.new {
            return None;
        }
        let contains = self.repositories.is_ancestor(tool, &command.old, &command.new).await;
        let branch = command.name.trim_start_matches("refs/heads/");
        matches!(contains, Ok(false)).then(|| {
            format!(
                "a forced push: {} is no longer part of {branch} once this run has ended well",
                command.old.get(..7).unwrap_or_default()
            )
        })
    }

    /// Moves a ref, or says in a few words why it stays; what is nobody's doing but the platform's is its fault.
    async fn move_ref(
        &self,
        tool: ToolId,
        name: &str,
        new: &str,
        old: &str,
    ) -> Result<Option<String>, Problem> {
        let words = match self.repositories.update_ref(tool, name, new, old).await {
            Ok(()) => return Ok(None),
            Err(GitError::Moved(_)) => "it was moved meanwhile; fetch and push again",
            Err(GitError::Locked(_)) => "another update of it broke off; push again in two minutes",
            Err(GitError::Clash(_)) => "another name stands in its way: one begins with the other",
            Err(error) => {
                return Err(Fault::of("moving a ref", &error)
                    .problem("push-ref", 503, "the platform failed")
                    .hint("this ref was not changed: push again in a minute"));
            }
        };
        Ok(Some(words.to_owned()))
    }
}

/// Drops a hidden ref that nobody needs any more; one that stays is found by the repository's maintenance.
async fn let_go(repositories: &Repositories, tool: ToolId, pin: &str, object: &str) {
    if let Err(error) = repositories.update_ref(tool, pin, NOTHING, object).await {
        tracing::info!(%error, pin, "a hidden ref was not dropped");
    }
}

fn unreadable(error: &GitError) -> Problem {
    Fault::of("reading a repository", error)
        .problem("push-repository", 503, "the platform failed")
        .hint("nothing was changed: push again in a minute")
}

/// Said when a push does not fit into what is left.
fn full(tool: &str, used: u64, most: u64) -> String {
    format!(
        "windlass: the repository of {tool} holds {} MiB of the {} it may hold (git.max_repository_mebibytes): delete\n\
         windlass: branches and tags that nobody needs (`git push windlass :old`); what they and red pushes held is\n\
         windlass: removed within two days when a repository is this full. Or ask the operator for more.",
        used >> 20,
        most >> 20
    )
}

fn pushed_ref(command: &Command) -> PushedRef {
    let object = |id: &str| (id != NOTHING).then(|| id.to_owned());
    PushedRef { name: command.name.clone(), old: object(&command.old), new: object(&command.new) }
}

fn refusal(problem: &Problem) -> Refusal {
    let status = match problem.status {
        status @ (401 | 403 | 404 | 429) => status,
        _ => 403,
    };
    Refusal { status, text: format!("windlass: {problem}") }
}

/// The name that the pusher is greeted by.
pub(super) fn greeted(grant: &Grant) -> &str {
    match grant.actor {
        Actor::User { operator: true, .. } => "the operator",
        _ => &grant.user_name,
    }
}
