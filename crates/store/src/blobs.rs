//! Blobs that clients pushed: which repository has which, and which files nothing names any more.

use crate::{RepositoryId, StoreError};
use async_trait::async_trait;
use model::{Digest, Timestamp};
use std::io;

/// Removes one blob's file; absent is fine. `false`: it is too new to go, and is asked about again.
pub type RemoveBlob<'a> = &'a (dyn Fn(&Digest) -> io::Result<bool> + Send + Sync);

#[async_trait]
pub trait Blobs: Send + Sync {
    /// The repository has the blob from now on, for at least as long as the lease. Its length is what was stored,
    /// never what a client says. `upload` is the session that it came by, which ends with it.
    ///
    /// # Errors
    /// `QuotaExceeded`: nothing is linked then. `NotFound("upload")` when that session has ended meanwhile.
    async fn add_blob(
        &self,
        repository: RepositoryId,
        digest: &Digest,
        size_bytes: u64,
        lease_until: Timestamp,
        upload: Option<&str>,
    ) -> Result<(), StoreError>;

    /// Its length in bytes, when the repository has it.
    async fn blob(&self, repository: RepositoryId, digest: &Digest) -> Result<Option<u64>, StoreError>;

    /// The repository's blob stays at least until then. Written only when the lease that it has is much shorter, so
    /// that asking does not become writing.
    async fn lease_blob(
        &self,
        repository: RepositoryId,
        digest: &Digest,
        until: Timestamp,
    ) -> Result<(), StoreError>;

    /// Takes the blob from the repository.
    ///
    /// # Errors
    /// `NotFound("blob")`; `BlobInUse` while a manifest of that repository needs it.
    async fn remove_blob(&self, repository: RepositoryId, digest: &Digest) -> Result<(), StoreError>;

    /// Removes the files of blobs that were let go of before `before` and that nothing names: no image, no layer, no
    /// repository. The rows cannot change meanwhile, so what is named again in time stays. Gives how many were looked
    /// at; call again while that is `limit`.
    async fn remove_loose_blobs(
        &self,
        before: Timestamp,
        limit: u32,
        remove: RemoveBlob<'_>,
    ) -> Result<u32, StoreError>;
}
