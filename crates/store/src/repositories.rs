//! The registry's repositories: `<tool>/import/…` for people's own pushes, and `<tool>/release`, which has no row of
//! its own because it is made of images and releases.

use crate::StoreError;
use async_trait::async_trait;
use model::{Digest, Timestamp, ToolId};

/// A repository that somebody pushed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepositoryId(pub i64);

#[async_trait]
pub trait Repositories: Send + Sync {
    /// The repository of that name, made when it is not there. `name` is without the tool's: `import/redis`.
    ///
    /// # Errors
    /// `NotFound("tool")`; `TooManyRepositories` when the tool has `max_per_tool` of them.
    async fn ensure_repository(
        &self,
        tool: ToolId,
        name: &str,
        max_per_tool: u32,
    ) -> Result<RepositoryId, StoreError>;

    async fn repository(&self, tool: ToolId, name: &str) -> Result<Option<RepositoryId>, StoreError>;

    /// Releases of the tool whose images are there, with the digest of each release's image; ascending.
    async fn released_images(&self, tool: ToolId) -> Result<Vec<(u64, Digest)>, StoreError>;

    /// Whether some release of the tool names this image.
    async fn is_released(&self, tool: ToolId, image: &Digest) -> Result<bool, StoreError>;

    /// Whether the blob belongs to an image that some release of the tool names, and its length where rows know it:
    /// a configuration's stands in its manifest only.
    async fn released_blob(&self, tool: ToolId, digest: &Digest) -> Result<Option<Option<u64>>, StoreError>;

    /// Removes unfinished uploads and blobs without a manifest whose time has come; gives the ids of those uploads,
    /// whose files are the caller's to remove.
    async fn expire_uploads(&self, now: Timestamp) -> Result<Vec<String>, StoreError>;

    /// Unfinished uploads and blobs without a manifest live until then, whatever was written before: by a clock that
    /// the caller does not share.
    async fn renew_leases(&self, until: Timestamp) -> Result<(), StoreError>;
}
