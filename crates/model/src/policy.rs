//! Who may do what: one pure table that every door is judged by.
//!
//! A door never decides. It hands an [`Actor`], an [`Action`] and a [`Scope`] to [`may`] and does what the
//! [`Decision`] says. What exists but is not yours reads as not found, so that names and traffic of private tools
//! cannot be guessed.

use crate::{TokenId, ToolId, UserId};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// What a member may do with a tool. Ordered: each role may do all that the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees everything of the tool, changes nothing.
    Reader,
    /// Pushes, retries, rolls back, says which branch is deployed, stops, starts, cancels.
    Maintainer,
    /// Also deletes the tool and says who its members are.
    Owner,
}

/// What a token reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenScope {
    /// All that its user may do.
    All,
    /// What its user may do with this one tool.
    Tool(ToolId),
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody signed in.
    Anonymous,
    /// A person or robot that showed a valid token.
    User { id: UserId, token: TokenId, scope: TokenScope, operator: bool },
    /// The platform itself: engine, reconciler, first start.
    Platform,
}

impl Actor {
    /// The user behind the request, when there is one.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(*id),
            Self::Anonymous | Self::Platform => None,
        }
    }
}

/// `anonymous`, `platform`, or `user <id>`: what an audit row says.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::User { id, .. } => write!(f, "user {id}"),
            Self::Platform => f.write_str("platform"),
        }
    }
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The platform as a whole.
    Platform,
    /// One tool, and the role that the asking user has in it.
    Tool { tool: ToolId, role: Option<Role> },
}

macro_rules! actions {
    ($($(#[$meta:meta])* $name:ident = $text:literal,)*) => {
        /// Every verb of the platform that a person can ask for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Action {
            $($(#[$meta])* #[serde(rename = $text)] $name,)*
        }

        impl Action {
            /// All of them, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// `noun.verb`: what an audit row and a refusal say.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

actions! {
    /// Who am I, and with which token?
    WhoAmI = "identity.read",
    /// Make users and list them.
    ManageUsers = "user.manage",
    /// See what is stored and how much room there is.
    ReadStorage = "storage.read",
    /// Have everything that is stored looked at, and repaired.
    ScrubStorage = "storage.scrub",
    /// Make, list and revoke one's own tokens.
    ManageTokens = "token.manage",
    /// List the tools that one is a member of; an operator: all.
    ListTools = "tool.list",
    /// Make a tool and become its owner.
    CreateTool = "tool.create",
    /// See a tool's state.
    ReadTool = "tool.read",
    /// Stop, start, restart.
    ControlTool = "tool.control",
    /// Say which branch is deployed.
    ConfigureTool = "tool.configure",
    /// Make another release live again.
    RollBack = "tool.rollback",
    DeleteTool = "tool.delete",
    ReadMembers = "member.read",
    ManageMembers = "member.manage",
    /// Clone and fetch.
    ReadCode = "code.read",
    /// Push: which builds and deploys.
    PushCode = "code.push",
    ReadRuns = "run.read",
    CancelRun = "run.cancel",
    /// Run a push again: which builds and deploys.
    RetryRun = "run.retry",
    ReadReleases = "release.read",
    ReadLogs = "log.read",
    /// Pull images from the registry: those of releases, and those that members pushed.
    PullImages = "image.pull",
    /// Push an image of one's own.
    PushImages = "image.push",
    /// Delete such a one.
    DeleteImages = "image.delete",
    /// Say how much storage a tool may use.
    SetQuota = "quota.set",
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the door must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    /// Nobody is signed in: sign in first.
    NotSignedIn,
    /// As if it did not exist.
    NotFound,
    /// The actor sees the thing but may not do this to it.
    Forbidden,
}

/// The table. Total: every actor, action and scope has an answer, and what is not named is refused.
pub fn may(actor: &Actor, action: Action, scope: &Scope) -> Decision {
    let (token_scope, operator) = match actor {
        Actor::Platform => return Decision::Allowed,
        Actor::Anonymous => return Decision::NotSignedIn,
        Actor::User { scope, operator, .. } => (*scope, *operator),
    };
    match scope {
        Scope::Platform => may_on_platform(action, token_scope, operator),
        Scope::Tool { tool, role } => {
            if matches!(token_scope, TokenScope::Tool(only) if only != *tool) {
                return Decision::NotFound;
            }
            // A token for one tool is a robot's: an operator's rights do not travel with it.
            may_on_tool(action, *role, operator && token_scope == TokenScope::All)
        }
    }
}

fn may_on_platform(action: Action, token_scope: TokenScope, operator: bool) -> Decision {
    match action {
        Action::ManageUsers | Action::ReadStorage | Action::ScrubStorage
            if operator && token_scope == TokenScope::All =>
        {
            Decision::Allowed
        }
        Action::WhoAmI | Action::ListTools => Decision::Allowed,
        // A token for one tool makes neither further tools nor further tokens.
        Action::ManageTokens | Action::CreateTool if token_scope == TokenScope::All => Decision::Allowed,
        _ => Decision::Forbidden,
    }
}

/// The least role that may do this to a tool; `None`: not something one does to a tool.
fn least_role(action: Action) -> Option<Role> {
    Some(match action {
        Action::ReadTool
        | Action::ReadMembers
        | Action::ReadCode
        | Action::ReadRuns
        | Action::ReadReleases
        | Action::ReadLogs
        | Action::PullImages => Role::Reader,
        Action::ControlTool
        | Action::ConfigureTool
        | Action::PushCode
        | Action::CancelRun
        | Action::RetryRun
        | Action::RollBack
        | Action::PushImages
        | Action::DeleteImages => Role::Maintainer,
        Action::DeleteTool | Action::ManageMembers | Action::SetQuota => Role::Owner,
        Action::WhoAmI
        | Action::ManageUsers
        | Action::ReadStorage
        | Action::ScrubStorage
        | Action::ManageTokens
        | Action::ListTools
        | Action::CreateTool => return None,
    })
}

fn may_on_tool(action: Action, role: Option<Role>, operator: bool) -> Decision {
    let Some(least) = least_role(action) else { return Decision::Forbidden };
    // An operator may look at, stop and remove any tool, but neither puts code into it nor says which of it is
    // deployed without being a member: adding oneself is a row that the tool's people see.
    let for_members = matches!(
        action,
        Action::PushCode | Action::PushImages | Action::RetryRun | Action::ConfigureTool | Action::RollBack
    );
    // The storage is the platform's: its tools' owners ask for more.
    let for_operators = action == Action::SetQuota;
    if role.is_some_and(|role| role >= least && !for_operators) || (operator && !for_members) {
        Decision::Allowed
    } else if role.is_some() || operator {
        Decision::Forbidden
    } else {
        Decision::NotFound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    fn user(scope: TokenScope, operator: bool) -> Actor {
        Actor::User { id: UserId::new(), token: TokenId::new(), scope, operator }
    }

    fn word(decision: Decision) -> &'static str {
        match decision {
            Decision::Allowed => "yes",
            Decision::NotSignedIn => "sign in",
            Decision::NotFound => "not found",
            Decision::Forbidden => "no",
        }
    }

    #[test]
    fn the_whole_table_reads_as_follows() {
        let tool = ToolId::new();
        let on = |role| Scope::Tool { tool, role };
        let person = user(TokenScope::All, false);
        let operator = user(TokenScope::All, true);
        let robot = user(TokenScope::Tool(tool), true);
        let elsewhere = user(TokenScope::Tool(ToolId::new()), false);
        let columns = [
            ("anonymous", Actor::Anonymous, None),
            ("stranger", person, None),
            ("reader", person, Some(Role::Reader)),
            ("maintainer", person, Some(Role::Maintainer)),
            ("owner", person, Some(Role::Owner)),
            ("operator", operator, None),
            ("tool token", robot, Some(Role::Maintainer)),
            ("other's token", elsewhere, Some(Role::Owner)),
            ("platform", Actor::Platform, None),
        ];
        let mut table = format!("{:<15}", "");
        for (name, ..) in &columns {
            let _ = write!(table, " {name:<13}");
        }
        for &action in Action::ALL {
            let scope = |role| if least_role(action).is_some() { on(role) } else { Scope::Platform };
            let _ = write!(table, "\n{:<15}", action.as_str());
            for (_, actor, role) in &columns {
                let _ = write!(table, " {:<13}", word(may(actor, action, &scope(*role))));
            }
        }
        let trimmed: Vec<&str> = table.lines().map(str::trim_end).collect();
        insta::assert_snapshot!(trimmed.join("\n"));
    }

    #[test]
    fn nobody_creates_or_lists_inside_a_tool() {
        let scope = Scope::Tool { tool: ToolId::new(), role: Some(Role::Owner) };
        for &action in Action::ALL.iter().filter(|action| least_role(**action).is_none()) {
            assert_eq!(may(&user(TokenScope::All, true), action, &scope), Decision::Forbidden);
        }
    }

    #[test]
    fn nothing_that_one_does_to_a_tool_is_allowed_on_the_platform_as_a_whole() {
        for &action in Action::ALL.iter().filter(|action| least_role(**action).is_some()) {
            assert_ne!(may(&user(TokenScope::All, true), action, &Scope::Platform), Decision::Allowed);
        }
    }

    #[test]
    fn a_higher_role_never_loses_a_right() {
        let tool = ToolId::new();
        let person = user(TokenScope::All, false);
        for &action in Action::ALL {
            let allowed =
                |role| may(&person, action, &Scope::Tool { tool, role: Some(role) }) == Decision::Allowed;
            assert!(!allowed(Role::Reader) || allowed(Role::Maintainer), "{action}");
            assert!(!allowed(Role::Maintainer) || allowed(Role::Owner), "{action}");
        }
    }
}
