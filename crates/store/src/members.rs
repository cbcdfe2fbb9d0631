//! Who belongs to which tool, and as what.

use crate::{StoreError, User};
use async_trait::async_trait;
use model::{Actor, Role, Timestamp, ToolId, UserId};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub user: User,
    pub role: Role,
    pub since: Timestamp,
}

#[async_trait]
pub trait Members: Send + Sync {
    /// # Errors
    /// `AlreadyMember`, `NotFound("tool")`, `NotFound("user")`.
    async fn add_member(&self, tool: ToolId, user: UserId, role: Role, by: &Actor) -> Result<(), StoreError>;

    /// # Errors
    /// `NotFound("member")`, `LastOwner`.
    async fn remove_member(&self, tool: ToolId, user: UserId, by: &Actor) -> Result<(), StoreError>;

    /// By name.
    async fn members(&self, tool: ToolId) -> Result<Vec<Member>, StoreError>;

    /// `None` for strangers and deleted tools.
    async fn role_of(&self, tool: ToolId, user: UserId) -> Result<Option<Role>, StoreError>;
}
