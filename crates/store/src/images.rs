//! What builds made: images by digest, and what the next build of the same branch can start from.

use crate::StoreError;
use async_trait::async_trait;
use model::{DiffId, Digest, RunId, Timestamp, ToolId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One layer of an image, bottom first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageLayer {
    pub diff_id: DiffId,
    /// Of the gzip blob that a pull transfers.
    pub blob: Digest,
    /// Of that blob.
    pub size_bytes: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Of the manifest: the image's name for ever.
    pub digest: Digest,
    pub tool: ToolId,
    /// The run that built it last.
    pub run: RunId,
    /// Digest of the image configuration.
    pub config: Digest,
    pub layers: Vec<ImageLayer>,
    pub created_at: Timestamp,
}

impl Image {
    /// What a client without any of the layers pulls.
    pub fn size_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size_bytes).sum()
    }
}

/// What a build leaves for the next.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildMemory {
    pub image: Digest,
    /// As the exporter wrote it (buildpacks' layers, what is cached, what is reused).
    pub metadata: Value,
}

/// What the builds of one ref left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleBuild {
    pub tool: ToolId,
    pub ref_name: String,
    /// When it was left.
    pub at: Timestamp,
    /// Left by builds for tests.
    pub for_tests: bool,
}

#[async_trait]
pub trait Images: Send + Sync {
    /// Storing the same image again only says that this run built it, too.
    ///
    /// # Errors
    /// `LayerMissing`, `QuotaExceeded`, `NotFound("tool")`, `NotFound("run")`.
    async fn put_image(&self, image: &Image) -> Result<(), StoreError>;

    async fn image(&self, tool: ToolId, digest: &Digest) -> Result<Image, StoreError>;

    /// What the next build starts from. `cache_layers` are the layers that are no part of the image: they are held
    /// until the next call for this branch.
    ///
    /// # Errors
    /// `LayerMissing`, `QuotaExceeded`, `NotFound("image")`.
    async fn remember_build(
        &self,
        tool: ToolId,
        ref_name: &str,
        build: &BuildMemory,
        cache_layers: &[DiffId],
    ) -> Result<(), StoreError>;

    /// Of this ref; else the newest of any ref of the tool.
    async fn last_build(&self, tool: ToolId, ref_name: &str) -> Result<Option<BuildMemory>, StoreError>;

    /// What builds left, those for tests too, the one that was left longest ago first; those of runs that are open are not told.
    async fn idle_builds(&self) -> Result<Vec<IdleBuild>, StoreError>;

    /// The next build of this ref starts from scratch, unless it was built again since `at`. Its caches are let go.
    async fn forget_build(&self, build: &IdleBuild) -> Result<(), StoreError>;

    /// Drops the rows of at most `limit` images that nobody needs: of no kept release, no build memory, no open run.
    /// What is deployed is never among them. Gives how many there were.
    async fn drop_images(&self, limit: u32) -> Result<u64, StoreError>;
}
