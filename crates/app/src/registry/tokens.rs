//! Who asks the registry: a token of the platform's, or a short-lived one that it was exchanged for.

use super::Want;
use crate::{
    App,
    identity::{hash, random},
    problems,
};
use model::{Actor, Decision, Problem, Scope, Timestamp, ToolId, ToolName, policy};
use std::time::Duration;
use store::RegistryGrant;

/// How a registry token begins.
const PREFIX: &str = "wl_registry_";
/// How long one is good: longer than a layer's upload takes between two requests, short enough to be forgotten.
const LIFE: Duration = Duration::from_mins(10);
/// Scopes of one token that are looked at; clients send two.
const MAX_SCOPES: usize = 16;

/// Somebody at the registry's door.
#[derive(Clone, Debug)]
pub struct RegistryAsker {
    pub(super) actor: Actor,
    /// What the token is for; `None`: all that its user may do.
    grants: Option<Vec<RegistryGrant>>,
}

/// `repository:<name>:<actions>`, as a client asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedScope {
    /// Of the repository, with the tool's.
    pub name: String,
    pub actions: Vec<String>,
}

/// A token for the registry alone.
pub struct RegistryToken {
    pub text: String,
    pub life: Duration,
    pub issued_at: Timestamp,
}

impl RegistryAsker {
    pub(super) fn grants(&self, tool: ToolId, repository: &str, want: Want) -> bool {
        let granted = |grant: &RegistryGrant| {
            grant.tool == tool
                && grant.repository == repository
                && grant.actions.iter().any(|action| action == want.as_str())
        };
        self.grants.as_ref().is_none_or(|grants| grants.iter().any(granted))
    }

    /// Nobody showed a token.
    pub fn is_anonymous(&self) -> bool {
        self.actor == Actor::Anonymous
    }
}

impl App {
    /// Whom this token stands for at the registry.
    pub async fn registry_asker(&self, token: Option<&str>) -> Result<RegistryAsker, Problem> {
        if let Some(text) = token.filter(|text| text.starts_with(PREFIX) && text.len() <= 128) {
            let found = self.store.registry_identity(&hash(text), Timestamp::now()).await;
            let found = found.map_err(|error| problems::store("checking your token", &error))?;
            let (identity, grants) = found.ok_or_else(problems::bad_token)?;
            return Ok(RegistryAsker { actor: identity.actor(), grants: Some(grants) });
        }
        Ok(RegistryAsker { actor: self.identify(token).await?, grants: None })
    }

    /// Exchanges a token for one that is good at the registry for a few minutes, for as much of what was asked as the
    /// policy allows: less, or nothing, is no error.
    pub async fn registry_token(
        &self,
        asker: &RegistryAsker,
        asked: &[AskedScope],
    ) -> Result<RegistryToken, Problem> {
        let Actor::User { token, .. } = asker.actor else { return Err(problems::not_signed_in()) };
        if asker.grants.is_some() {
            return Err(problems::bad_token());
        }
        let mut grants = Vec::new();
        for scope in asked.iter().take(MAX_SCOPES) {
            grants.extend(self.granted(&asker.actor, scope).await?);
        }
        let text = random(PREFIX)?;
        let issued_at = Timestamp::now();
        let kept = self.store.add_registry_token(&hash(&text), token, &grants, issued_at.plus(LIFE)).await;
        kept.map_err(|error| problems::store("making a token", &error))?;
        Ok(RegistryToken { text, life: LIFE, issued_at })
    }

    async fn granted(&self, actor: &Actor, scope: &AskedScope) -> Result<Option<RegistryGrant>, Problem> {
        let Some((tool, repository)) = scope.name.split_once('/') else { return Ok(None) };
        let Ok(name) = tool.parse::<ToolName>() else { return Ok(None) };
        let failed = |error| problems::store("looking up the tool", &error);
        let tool = match self.store.tool_by_name(&name).await {
            Ok(tool) => tool.id,
            Err(store::StoreError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let Some(user) = actor.user() else { return Ok(None) };
        let role = self.store.role_of(tool, user).await.map_err(failed)?;
        let scope_of_tool = Scope::Tool { tool, role };
        let wants = |action: &str| scope.actions.iter().any(|asked| asked == action || asked == "*");
        let actions: Vec<String> = [Want::Pull, Want::Push, Want::Delete]
            .into_iter()
            .filter(|want| wants(want.as_str()))
            .filter(|want| policy::may(actor, want.action(), &scope_of_tool) == Decision::Allowed)
            .map(|want| want.as_str().to_owned())
            .collect();
        Ok((!actions.is_empty()).then(|| RegistryGrant { tool, repository: repository.to_owned(), actions }))
    }
}
