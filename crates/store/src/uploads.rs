//! Unfinished uploads of the registry. A row says whose an upload is and how much of the quota it holds; its bytes lie
//! in a file, whose length is the truth after a crash.

use crate::{RepositoryId, StoreError};
use async_trait::async_trait;
use model::{Timestamp, TokenId, ToolId, UserId};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Also its file's name.
    pub id: String,
    pub repository: RepositoryId,
    pub user: UserId,
    /// As counted towards the quota.
    pub received_bytes: u64,
    pub expires_at: Timestamp,
}

#[async_trait]
pub trait Uploads: Send + Sync {
    /// # Errors
    /// `TooManyUploads` when the tool has `max_per_tool` of them.
    async fn open_upload(&self, upload: &Upload, max_per_tool: u32) -> Result<(), StoreError>;

    /// `None`: never was, has ended, or belongs to another repository.
    async fn upload(&self, repository: RepositoryId, id: &str) -> Result<Option<Upload>, StoreError>;

    /// So many bytes have come; it lives at least until then.
    ///
    /// # Errors
    /// `NotFound("upload")`, `QuotaExceeded`.
    async fn upload_received(
        &self,
        id: &str,
        received_bytes: u64,
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// # Errors
    /// `NotFound("upload")`.
    async fn end_upload(&self, id: &str) -> Result<(), StoreError>;
}

/// What a registry token lets its bearer do in one repository. It carries the tool's id: when the name comes back as
/// another tool, old tokens are worth nothing there.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryGrant {
    pub tool: ToolId,
    /// Without the tool's name: `release`, `import/redis`.
    pub repository: String,
    /// `pull`, `push`, `delete`.
    pub actions: Vec<String>,
}

#[async_trait]
pub trait RegistryTokens: Send + Sync {
    /// Keeps a short-lived token that stands for `token`, and forgets those that have run out.
    async fn add_registry_token(
        &self,
        hash: &crate::TokenHash,
        token: TokenId,
        grants: &[RegistryGrant],
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Whom it stands for and what for; `None` when it is unknown or has run out, or the token behind it has.
    async fn registry_identity(
        &self,
        hash: &crate::TokenHash,
        now: Timestamp,
    ) -> Result<Option<(crate::Identity, Vec<RegistryGrant>)>, StoreError>;
}
