//! Who did what, when, with which result. Verbs that a person sets off write their own row.

use crate::StoreError;
use async_trait::async_trait;
use model::{Actor, Timestamp, ToolId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    Done,
    /// The policy table said no.
    Refused,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub at: Timestamp,
    /// `user <id>`, `platform`, `anonymous`.
    pub actor: String,
    /// `noun.verb`, as [`model::Action::as_str`] writes it.
    pub action: String,
    pub tool: Option<ToolId>,
    /// What it was done to, for people: `run 12`, `member alice`.
    pub target: String,
    pub outcome: AuditOutcome,
}

#[async_trait]
pub trait Audit: Send + Sync {
    /// For what writes no row by itself: refusals, and reads that matter.
    async fn note(
        &self,
        by: &Actor,
        action: &str,
        tool: Option<ToolId>,
        target: &str,
        outcome: AuditOutcome,
    ) -> Result<(), StoreError>;

    /// Newest first, at most `limit`; of one tool, or of the platform as a whole.
    async fn audit(&self, tool: Option<ToolId>, limit: u32) -> Result<Vec<AuditEntry>, StoreError>;
}
