//! Passes over everything that is stored: what was looked at, what was damaged, whom that concerns.

use crate::{Layer, StoreError};
use async_trait::async_trait;
use model::{Actor, DiffId, Digest, Timestamp};

/// One pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrub {
    pub number: u64,
    /// Who asked for it; `None`: the platform itself, because the last one was long ago.
    pub asked_by: Option<String>,
    pub began_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Layers and other blobs that were looked at.
    pub layers: u64,
    pub blobs: u64,
    pub read_bytes: u64,
    pub damages: Vec<Damage>,
}

/// Something that was not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// A layer's diffID or a blob's digest.
    pub subject: Digest,
    /// Which file, and what was wrong with it; one sentence each.
    pub found: Vec<String>,
    /// Releases that need it, as `wordcount v3`.
    pub users: Vec<String>,
    pub outcome: DamageOutcome,
    pub at: Timestamp,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageOutcome {
    /// It is as it should be again.
    Repaired,
    /// It cannot be made good here: nobody is given it until it is made or pushed again.
    Refused,
}

#[async_trait]
pub trait Scrubs: Send + Sync {
    /// Asks for a pass; gives the number of the one that is under way when there is one.
    async fn begin_scrub(&self, by: &Actor) -> Result<u64, StoreError>;

    /// A blob was seen to be damaged: a pass begins if none is under way, and a layer of that blob is looked at first.
    async fn doubt_blob(&self, blob: &Digest) -> Result<(), StoreError>;

    /// The one under way, else the last one; `None` before the first.
    async fn last_scrub(&self) -> Result<Option<Scrub>, StoreError>;

    async fn scrub(&self, number: u64) -> Result<Scrub, StoreError>;

    /// Layers that were not looked at since `before`, the longest ago first.
    async fn layers_to_check(&self, before: Timestamp, limit: u32) -> Result<Vec<Layer>, StoreError>;

    /// A layer was looked at. A damage that is refused makes that it cannot be held until it is stored again.
    async fn layer_checked(
        &self,
        scrub: u64,
        diff_id: &DiffId,
        read_bytes: u64,
        damage: Option<&Damage>,
    ) -> Result<(), StoreError>;

    /// Blobs that are no layer's were looked at.
    async fn blobs_checked(
        &self,
        scrub: u64,
        blobs: u64,
        read_bytes: u64,
        damages: &[Damage],
    ) -> Result<(), StoreError>;

    async fn end_scrub(&self, number: u64) -> Result<(), StoreError>;

    /// Which of these blobs are a layer's.
    async fn layer_blobs(&self, blobs: &[Digest]) -> Result<Vec<Digest>, StoreError>;

    /// Kept releases whose image has this layer, manifest or configuration, as `wordcount v3`.
    async fn users_of(&self, subject: &Digest) -> Result<Vec<String>, StoreError>;
}
