//! Tools: the tenants. Creating, deleting, looking at them; saying whether they shall run.

use crate::{App, problems};
use model::{Action, Actor, EnvironmentName, Problem, Role, RunId, ToolId, ToolName, run::OnNewPush};
use store::{NewTool, Release, Replica, ReplicaState, Run, StoreError, Tool, Wanted};

/// Tools that somebody who is no operator may own at a time.
const MAX_TOOLS: usize = 20;

/// A tool as the asker sees it.
#[derive(Clone, Debug)]
pub struct ToolView {
    pub tool: Tool,
    /// `None`: an operator who is no member.
    pub role: Option<Role>,
}

/// A tool and what it is doing now.
#[derive(Clone, Debug)]
pub struct StatusView {
    pub tool: ToolView,
    pub state: ToolState,
    /// What production serves.
    pub release: Option<Release>,
    pub last_run: Option<Run>,
    /// Those of production, oldest first.
    pub replicas: Vec<Replica>,
}

/// One word for a tool as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolState {
    /// Nothing was ever deployed.
    Empty,
    /// Its members want it stopped.
    Stopped,
    Starting,
    /// Answers.
    Live,
    /// Should answer and does not.
    Failing,
}

impl ToolState {
    /// The word in JSON and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Failing => "failing",
        }
    }
}

fn state(wanted: Wanted, released: bool, replicas: &[Replica]) -> ToolState {
    let any = |state| replicas.iter().any(|replica| replica.state == state);
    match wanted {
        Wanted::Stopped => ToolState::Stopped,
        Wanted::Running if any(ReplicaState::Healthy) => ToolState::Live,
        Wanted::Running if any(ReplicaState::Starting) => ToolState::Starting,
        Wanted::Running if released => ToolState::Failing,
        Wanted::Running => ToolState::Empty,
    }
}

impl App {
    pub async fn create_tool(&self, actor: &Actor, name: &str) -> Result<ToolView, Problem> {
        self.allow(actor, Action::CreateTool).await?;
        let name: ToolName = name.parse().map_err(|error| problems::bad_name(&error))?;
        let Actor::User { id: owner, operator, .. } = actor else { return Err(problems::not_signed_in()) };
        let failed = |error| problems::store("creating the tool", &error);
        let own = self.store.tools_of(*owner).await.map_err(failed)?;
        if !operator && own.iter().filter(|(_, role)| *role == Role::Owner).count() >= MAX_TOOLS {
            return Err(Problem::new(
                "tool-quota",
                429,
                "you own too many tools",
                format!("a user may own {MAX_TOOLS} of them"),
            )
            .hint("delete one that is no longer needed, or ask the operator"));
        }
        let tool = self.store.create_tool(&NewTool { name, owner: *owner }, actor).await.map_err(failed)?;
        Ok(ToolView { tool, role: Some(Role::Owner) })
    }

    /// Those that the asker is a member of, by name; for an operator, all.
    pub async fn tools(&self, actor: &Actor) -> Result<Vec<ToolView>, Problem> {
        self.allow(actor, Action::ListTools).await?;
        let failed = |error| problems::store("listing tools", &error);
        let Actor::User { id, scope, operator, .. } = actor else { return Err(problems::not_signed_in()) };
        let own = self.store.tools_of(*id).await.map_err(failed)?;
        let reached = |tool: ToolId| match scope {
            model::TokenScope::All => true,
            model::TokenScope::Tool(only) => *only == tool,
        };
        if *operator && *scope == model::TokenScope::All {
            let role = |tool: ToolId| own.iter().find(|(known, _)| known.id == tool).map(|(_, role)| *role);
            let all = self.store.tools().await.map_err(failed)?;
            return Ok(all.into_iter().map(|tool| ToolView { role: role(tool.id), tool }).collect());
        }
        let own = own.into_iter().filter(|(tool, _)| reached(tool.id));
        Ok(own.map(|(tool, role)| ToolView { tool, role: Some(role) }).collect())
    }

    pub async fn status(&self, actor: &Actor, tool: &str) -> Result<StatusView, Problem> {
        let (tool, role) = self.allow_on(actor, Action::ReadTool, tool).await?;
        let failed = |error| problems::store("looking at the tool", &error);
        let production = EnvironmentName::production();
        let current = self.store.environment(tool.id, &production).await.map_err(failed)?;
        let release = match &current {
            Some(environment) => {
                Some(self.store.release(tool.id, environment.current).await.map_err(failed)?)
            }
            None => None,
        };
        let last_run = self.store.runs_of(tool.id, 1, None).await.map_err(failed)?.pop();
        let mut replicas = self.store.replicas().await.map_err(failed)?;
        replicas.retain(|replica| replica.tool == tool.id && replica.environment == production);
        let state = state(tool.wanted, release.is_some(), &replicas);
        Ok(StatusView { tool: ToolView { tool, role }, state, release, last_run, replicas })
    }

    /// What a new push does to earlier runs of its branch; `None`: as the platform is set. Counts from the next push.
    pub async fn set_on_new_push(
        &self,
        actor: &Actor,
        tool: &str,
        on_new_push: Option<OnNewPush>,
    ) -> Result<ToolView, Problem> {
        let (tool, role) = self.allow_on(actor, Action::ConfigureTool, tool).await?;
        let set = self.store.set_on_new_push(tool.id, on_new_push, actor).await;
        set.map_err(|error| problems::store("setting what new pushes do", &error))?;
        Ok(ToolView { tool: Tool { on_new_push, ..tool }, role })
    }

    pub async fn delete_tool(&self, actor: &Actor, tool: &str) -> Result<(), Problem> {
        let (tool, _) = self.allow_on(actor, Action::DeleteTool, tool).await?;
        let deleted = self.store.delete_tool(tool.id, actor).await;
        deleted.map_err(|error| problems::store("deleting the tool", &error))?;
        self.nudge.notify_one();
        Ok(())
    }

    /// Ends its processes until [`App::start_tool`].
    pub async fn stop_tool(&self, actor: &Actor, tool: &str) -> Result<(), Problem> {
        self.set_wanted(actor, tool, Wanted::Stopped).await
    }

    /// # Errors
    /// Also when there is nothing to start yet.
    pub async fn start_tool(&self, actor: &Actor, tool: &str) -> Result<(), Problem> {
        self.set_wanted(actor, tool, Wanted::Running).await
    }

    async fn set_wanted(&self, actor: &Actor, tool: &str, wanted: Wanted) -> Result<(), Problem> {
        let tool = self.released(actor, tool).await?;
        let set = self.store.set_wanted(tool, wanted, actor).await;
        set.map_err(|error| problems::store("changing the tool", &error))?;
        self.nudge.notify_one();
        Ok(())
    }

    /// Ends its processes and starts the current release anew; starts it when it was stopped.
    pub async fn restart_tool(&self, actor: &Actor, tool: &str) -> Result<(), Problem> {
        let tool = self.released(actor, tool).await?;
        let asked = self.store.ask_restart(tool, actor).await;
        asked.map_err(|error| problems::store("restarting the tool", &error))?;
        self.nudge.notify_one();
        Ok(())
    }

    /// The tool, if the asker may control it and it has something to run.
    async fn released(&self, actor: &Actor, name: &str) -> Result<ToolId, Problem> {
        let (tool, _) = self.allow_on(actor, Action::ControlTool, name).await?;
        let current = self.store.environment(tool.id, &EnvironmentName::production()).await;
        match current.map_err(|error| problems::store("looking at the tool", &error))? {
            Some(_) => Ok(tool.id),
            None => Err(self.nothing_live(&tool)),
        }
    }

    pub(crate) fn nothing_live(&self, tool: &Tool) -> Problem {
        Problem::new(
            "tool-empty",
            409,
            "there is nothing to run yet",
            format!("the tool `{}` has no release that was ever live", tool.name),
        )
        .hint(format!(
            "push to it: `git remote add windlass {}`, then `git push windlass main`",
            self.addresses.repository(&tool.name)
        ))
    }

    /// A user's name, for people.
    pub(crate) async fn user_name(&self, user: model::UserId) -> Result<String, Problem> {
        match self.store.user(user).await {
            Ok(user) => Ok(user.name),
            Err(StoreError::NotFound(_)) => Ok("a removed user".to_owned()),
            Err(error) => Err(problems::store("looking up a user", &error)),
        }
    }

    /// The number of a run within its tool, for people.
    pub(crate) async fn run_number(&self, run: RunId) -> Result<u64, Problem> {
        let run = self.store.run(run).await;
        Ok(run.map_err(|error| problems::store("looking up a run", &error))?.number)
    }
}
