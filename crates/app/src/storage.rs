//! What is stored on the platform's disk, how much room there is, and whether it was looked at. For operators.

use crate::{App, problems};
use model::{Action, Actor, Problem};
use serde::Deserialize;
use std::path::Path;
use store::{LayerTotals, Scrub, StoreError};

/// The store's size and its disk.
#[derive(Clone, Debug)]
pub struct StorageView {
    pub totals: LayerTotals,
    /// Trees that wait to be removed, and those that a repair replaced while tools ran on them.
    pub trashed: Lying,
    pub replaced: Lying,
    pub disk_bytes: u64,
    pub free_bytes: u64,
    /// Files that the disk has room for; `None` where it does not count them.
    pub free_files: Option<u64>,
    /// What the operator set.
    pub limits: StorageLimits,
    pub scrub: Option<Scrub>,
}

/// Layers' directories that have no name any more and are still on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lying {
    pub trees: u64,
    /// Of their regular files, by the layers' own notes.
    pub bytes: u64,
}

impl Lying {
    fn of(area: &Path) -> Self {
        let entries = std::fs::read_dir(area).into_iter().flatten().flatten();
        entries.fold(Self::default(), |all, entry| {
            // One that is being removed has lost its notes, or will be gone in a moment.
            let notes = std::fs::read(entry.path().join("meta.json")).unwrap_or_default();
            let notes: Option<Notes> = serde_json::from_slice(&notes).ok();
            let bytes = notes.map_or(0, |notes| notes.tree_bytes);
            Self { trees: all.trees + 1, bytes: all.bytes.saturating_add(bytes) }
        })
    }
}

/// Of a layer's `meta.json` what is told here.
#[derive(Deserialize)]
struct Notes {
    tree_bytes: u64,
}

/// Limits of storage as they hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct StorageLimits {
    /// Free bytes below which no build begins.
    pub reserve_bytes: u64,
    /// Most bytes of layers and their blobs.
    pub max_bytes: Option<u64>,
}

impl App {
    /// Says which limits hold.
    #[must_use]
    pub fn with_storage_limits(self, storage_limits: StorageLimits) -> Self {
        Self { storage_limits, ..self }
    }

    pub async fn storage(&self, actor: &Actor) -> Result<StorageView, Problem> {
        self.allow(actor, Action::ReadStorage).await?;
        let failed = |error: StoreError| problems::store("reading what is stored", &error);
        let disk = rustix::fs::statvfs(&self.paths.data)
            .map_err(|error| problems::internal("asking for the disk's size", &error))?;
        let lying = |area: &str| Lying::of(&self.paths.layers().join(area));
        Ok(StorageView {
            totals: self.store.layer_totals().await.map_err(failed)?,
            trashed: lying(".trash"),
            replaced: lying(".replaced"),
            disk_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
            free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
            free_files: (disk.f_files > 0).then_some(disk.f_favail),
            limits: self.storage_limits,
            scrub: self.store.last_scrub().await.map_err(failed)?,
        })
    }

    /// Has everything looked at; the pass that is under way when there is one.
    pub async fn begin_scrub(&self, actor: &Actor) -> Result<Scrub, Problem> {
        self.allow(actor, Action::ScrubStorage).await?;
        let failed = |error: StoreError| problems::store("beginning a scrub", &error);
        let number = self.store.begin_scrub(actor).await.map_err(failed)?;
        self.store.scrub(number).await.map_err(failed)
    }

    pub async fn scrub(&self, actor: &Actor, number: u64) -> Result<Scrub, Problem> {
        self.allow(actor, Action::ReadStorage).await?;
        self.store.scrub(number).await.map_err(|error| match error {
            StoreError::NotFound(_) => Problem::new(
                "scrub-unknown",
                404,
                format!("there is no scrub {number}"),
                "it may be long ago",
            )
            .hint("`windlass storage` shows the last one"),
            error => problems::store("reading a scrub", &error),
        })
    }
}
