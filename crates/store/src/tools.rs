//! The tenants. A tool's id and id range are never used again; its name is, after deletion.

use crate::StoreError;
use async_trait::async_trait;
use model::{Actor, Role, Timestamp, ToolId, ToolName, UserId, instance::RangeIndex, run::OnNewPush};

/// Whether people want a tool to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Running,
    Stopped,
}

#[derive(Clone, Debug)]
pub struct NewTool {
    pub name: ToolName,
    pub owner: UserId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    pub id: ToolId,
    pub name: ToolName,
    /// The host ids that its sandboxes run under.
    pub range: RangeIndex,
    /// The branch that is deployed; `None` until it is set, or the first of `main`, `master` is pushed.
    pub production_branch: Option<String>,
    /// What a new push does to earlier runs of its branch; `None`: as the platform is set.
    pub on_new_push: Option<OnNewPush>,
    pub wanted: Wanted,
    /// Counted up by each restart that somebody asked for.
    pub restarts: u64,
    pub created_at: Timestamp,
    /// Set once it is deleted: only [`Tools::deleted_tools`] gives such ones.
    pub deleted_at: Option<Timestamp>,
}

#[async_trait]
pub trait Tools: Send + Sync {
    /// With its owner as first member.
    ///
    /// # Errors
    /// `ToolNameTaken`, `RangesSpent`, `NotFound("user")`.
    async fn create_tool(&self, tool: &NewTool, by: &Actor) -> Result<Tool, StoreError>;

    /// Frees the name, ends its members' rights and the tokens for it alone, asks its runs to end. What it has on
    /// disk goes afterwards: [`Tools::deleted_tools`].
    async fn delete_tool(&self, tool: ToolId, by: &Actor) -> Result<(), StoreError>;

    /// Not a deleted one.
    async fn tool(&self, tool: ToolId) -> Result<Tool, StoreError>;

    /// Not a deleted one.
    async fn tool_by_name(&self, name: &ToolName) -> Result<Tool, StoreError>;

    /// All that are not deleted, by name.
    async fn tools(&self) -> Result<Vec<Tool>, StoreError>;

    /// Those that the user is a member of, by name.
    async fn tools_of(&self, user: UserId) -> Result<Vec<(Tool, Role)>, StoreError>;

    /// The production branch: the one already set, else `branch` from now on.
    async fn settle_production_branch(&self, tool: ToolId, branch: &str) -> Result<String, StoreError>;

    /// `branch` is the production branch from now on, whatever it was. Runs that are recorded already stay as they
    /// are.
    ///
    /// # Errors
    /// `NotFound("tool")`.
    async fn set_production_branch(&self, tool: ToolId, branch: &str, by: &Actor) -> Result<(), StoreError>;

    /// Counts from the next push.
    ///
    /// # Errors
    /// `NotFound("tool")`.
    async fn set_on_new_push(
        &self,
        tool: ToolId,
        on_new_push: Option<OnNewPush>,
        by: &Actor,
    ) -> Result<(), StoreError>;

    async fn set_wanted(&self, tool: ToolId, wanted: Wanted, by: &Actor) -> Result<(), StoreError>;

    /// Counts [`Tool::restarts`] up and gives it; a stopped tool is wanted running again.
    async fn ask_restart(&self, tool: ToolId, by: &Actor) -> Result<u64, StoreError>;

    /// Deleted tools whose repository, logs and sandboxes may still be on disk.
    async fn deleted_tools(&self) -> Result<Vec<Tool>, StoreError>;

    /// Nothing of this deleted tool is left on disk.
    async fn tool_cleared(&self, tool: ToolId) -> Result<(), StoreError>;
}
