//! Judging a request by the policy table, before anything else is looked at.

use crate::{App, problems};
use model::{Action, Actor, Decision, Problem, Role, Scope, ToolName, policy};
use store::{AuditOutcome, StoreError, Tool};

impl App {
    /// For verbs on the platform as a whole.
    pub(crate) async fn allow(&self, actor: &Actor, action: Action) -> Result<(), Problem> {
        match policy::may(actor, action, &Scope::Platform) {
            Decision::Allowed => Ok(()),
            Decision::NotSignedIn => Err(problems::not_signed_in()),
            Decision::NotFound | Decision::Forbidden => {
                self.note_refusal(actor, action, None).await;
                Err(problems::forbidden(action, None))
            }
        }
    }

    /// For verbs on one tool: the tool, and the asker's role in it. A tool that is not the asker's reads as absent.
    pub(crate) async fn allow_on(
        &self,
        actor: &Actor,
        action: Action,
        name: &str,
    ) -> Result<(Tool, Option<Role>), Problem> {
        if *actor == Actor::Anonymous {
            return Err(problems::not_signed_in());
        }
        let absent = || problems::no_tool(name);
        let known: ToolName = name.parse().map_err(|_| absent())?;
        let tool = match self.store.tool_by_name(&known).await {
            Ok(tool) => tool,
            Err(StoreError::NotFound(_)) => return Err(absent()),
            Err(error) => return Err(problems::store("looking up the tool", &error)),
        };
        let role = match actor.user() {
            Some(user) => self.store.role_of(tool.id, user).await,
            None => Ok(None),
        }
        .map_err(|error| problems::store("looking up your role", &error))?;
        match policy::may(actor, action, &Scope::Tool { tool: tool.id, role }) {
            Decision::Allowed => Ok((tool, role)),
            Decision::NotSignedIn => Err(problems::not_signed_in()),
            // Strangers leave no rows: they could fill the audit with them.
            Decision::NotFound => Err(absent()),
            Decision::Forbidden => {
                self.note_refusal(actor, action, Some(&tool)).await;
                Err(problems::forbidden(action, Some(&tool.name)))
            }
        }
    }

    /// A refusal stands even when it cannot be noted.
    async fn note_refusal(&self, actor: &Actor, action: Action, tool: Option<&Tool>) {
        let (id, target) = tool.map_or((None, "platform"), |tool| (Some(tool.id), tool.name.as_str()));
        let noted = self.store.note(actor, action.as_str(), id, target, AuditOutcome::Refused).await;
        if let Err(error) = noted {
            tracing::warn!(%error, %actor, %action, "a refusal could not be noted");
        }
    }
}
