//! What the git door asks, answered by the application layer: who may push, what is recorded, how it went.

use super::push_text::Follower;
use app::{App, pushes::PushedRef, retries::Commits};
use async_trait::async_trait;
use git::{Access, Arrival, Command, Grant, Lines, Platform, Refusal, Repositories, Verdict};
use model::{Actor, Fault, Problem, PushId, ToolId};
use std::{error::Error, sync::Arc, time::Instant};

/// What "no object" is called on the wire.
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// The git door's platform.
pub(super) struct GitPlatform {
    pub(super) app: Arc<App>,
    pub(super) repositories: Repositories,
    pub(super) max_pack_bytes: u64,
    pub(super) max_repository_bytes: u64,
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
        if access == Access::Write {
            let used = self.repositories.size_bytes(tool.id).await.map_err(broken)?;
            let left = self.max_repository_bytes.saturating_sub(used);
            if left == 0 {
                let text = format!(
                    "windlass: the repository of {} holds {} MiB and may hold {}; ask the operator for more",
                    tool.name,
                    used >> 20,
                    self.max_repository_bytes >> 20
                );
                return Err(Refusal { status: 403, text });
            }
            max_input_bytes = max_input_bytes.min(left);
        }
        Ok(Grant { tool: tool.id, name: tool.name, actor, user_name: opened.user_name, max_input_bytes })
    }

    async fn refuse(&self, grant: &Grant, commands: &[Command]) -> Option<String> {
        let refs: Vec<PushedRef> = commands.iter().map(pushed_ref).collect();
        let problem = self.app.check_push(grant.tool, &refs).await.err()?;
        Some(format!("windlass: {problem}"))
    }

    async fn receive(&self, arrival: Arrival, lines: Lines) -> Vec<Verdict> {
        let began = Instant::now();
        let mut verdicts = Vec::new();
        for command in &arrival.commands {
            let refused = match self.receive_one(&arrival.grant, command, &lines, began).await {
                Ok(refused) => refused,
                Err(problem) => {
                    let _ = lines.send(format!("windlass: {problem}")).await;
                    Some(problem.title)
                }
            };
            verdicts.push(Verdict { name: command.name.clone(), refused });
        }
        verdicts
    }
}

impl GitPlatform {
    /// `None`: the ref stands where the pusher wants it.
    async fn receive_one(
        &self,
        grant: &Grant,
        command: &Command,
        lines: &Lines,
        began: Instant,
    ) -> Result<Option<String>, Problem> {
        if command.deletes() {
            return Ok(self.move_ref(grant.tool, &command.name, NOTHING, &command.old).await);
        }
        let push = PushId::new();
        // Holds the objects of waiting and red pushes; without it git would throw them away (docs/git.md).
        let pin = format!("refs/windlass/pushes/{push}");
        if let Some(refused) = self.move_ref(grant.tool, &pin, &command.new, NOTHING).await {
            return Ok(Some(refused));
        }
        let pushed = pushed_ref(command);
        let recorded = match self.app.record_push(&grant.actor, grant.name.as_str(), push, &pushed).await {
            Ok(recorded) => recorded,
            Err(problem) => {
                self.move_ref(grant.tool, &pin, NOTHING, &command.new).await;
                return Err(problem);
            }
        };
        let follower = Follower { app: &self.app, grant, lines, began };
        let refused = follower.follow(&recorded, &command.new).await?;
        if refused.is_none() {
            // The branch holds the commit now.
            self.move_ref(grant.tool, &pin, NOTHING, &command.new).await;
        }
        Ok(refused)
    }

    async fn move_ref(&self, tool: ToolId, name: &str, new: &str, old: &str) -> Option<String> {
        let error = self.repositories.update_ref(tool, name, new, old).await.err()?;
        tracing::info!(%error, name, "a ref was not moved");
        Some("the branch moved meanwhile; fetch and push again".to_owned())
    }
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
