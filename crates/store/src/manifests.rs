//! Manifests and tags that clients pushed.

use crate::{RepositoryId, StoreError};
use async_trait::async_trait;
use model::{Actor, Digest, Timestamp};

/// One manifest, byte for byte as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub digest: Digest,
    pub media_type: String,
    pub body: Vec<u8>,
}

/// A manifest on its way in.
#[derive(Clone, Debug)]
pub struct NewManifest {
    pub manifest: Manifest,
    /// Configuration and layers that the repository must have, with their lengths in bytes.
    pub blobs: Vec<(Digest, u64)>,
    /// Layers that may lie elsewhere ("non-distributable"); they are kept when they are there.
    pub foreign: Vec<Digest>,
    /// Manifests that it must have: an index's.
    pub children: Vec<Digest>,
    /// The manifest that this one speaks of; it need not be there.
    pub subject: Option<Digest>,
    pub tags: Vec<String>,
}

#[async_trait]
pub trait Manifests: Send + Sync {
    /// Keeps the manifest and points the tags at it, all or nothing. Its blobs need no lease from then on.
    ///
    /// # Errors
    /// `BlobUnknown` for the first thing that the repository lacks or has with another length; `QuotaExceeded`.
    async fn put_manifest(
        &self,
        repository: RepositoryId,
        new: &NewManifest,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    async fn manifest(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<Manifest>, StoreError>;

    /// What the tag points at.
    async fn tagged(&self, repository: RepositoryId, tag: &str) -> Result<Option<Digest>, StoreError>;

    /// Tags after `after`, in the order of their bytes.
    async fn tags(
        &self,
        repository: RepositoryId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, StoreError>;

    /// Manifests whose subject is this one, after `after`, by digest.
    async fn referrers(
        &self,
        repository: RepositoryId,
        subject: &Digest,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Manifest>, StoreError>;

    /// Removes the manifest, its tags, and those of its blobs that nothing else there needs.
    ///
    /// # Errors
    /// `NotFound("manifest")`; `ManifestInUse` while an index lists it.
    async fn delete_manifest(
        &self,
        repository: RepositoryId,
        digest: &Digest,
        by: &Actor,
    ) -> Result<(), StoreError>;

    /// Removes the tag alone.
    ///
    /// # Errors
    /// `NotFound("tag")`.
    async fn delete_tag(&self, repository: RepositoryId, tag: &str, by: &Actor) -> Result<(), StoreError>;
}
