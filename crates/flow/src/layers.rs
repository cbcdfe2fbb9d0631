//! The layer store looked after: what nobody needs goes, and there is room for the next build.
//!
//! Two loops ([`keep`]). Old releases, images and build memories are given up first ([`retention`]), then the layers
//! that nobody needs ([`collect`]). [`room`] is what a build asks before it begins. [`scrub`] looks whether what is
//! stored is what it should be.

mod collect;
mod retention;
pub(crate) mod room;
mod scrub;

use crate::{Line, line::StationError};
use model::limits::MIB;
use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};
use tokio::sync::{Mutex, Notify, watch};

/// Between two rounds while space is short.
const HURRIED: Duration = Duration::from_secs(5);

/// What the operator set about storage.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// Releases of a tool that can be rolled back to, the newest ones.
    pub keep_releases: u32,
    /// What a branch's builds left is given up when it was not built for so long.
    pub keep_builds: Duration,
    /// Between two rounds of the collector.
    pub collect_every: Duration,
    /// Most bytes of layers and their blobs together; `None`: as much as the disk holds.
    pub max_bytes: Option<u64>,
    /// Free bytes below which no build begins.
    pub reserve_bytes: u64,
    /// Everything is looked at so often by itself.
    pub scrub_every: Duration,
    /// How fast that reads; 0: as fast as it goes.
    pub scrub_bytes_per_second: u64,
}

/// The reserve where the operator set none: 2 GiB, or a twentieth of a small disk.
///
/// # Errors
/// When the kernel does not tell about the disk.
pub fn default_reserve_bytes(data: &Path) -> std::io::Result<u64> {
    // It is asked for before the first start has made the directory.
    let there = data.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(there)?;
    Ok((disk.f_blocks.saturating_mul(disk.f_frsize) / 20).min(2048 * MIB))
}

/// What the loop and the stations share.
#[derive(Default)]
pub struct Keeping {
    /// Held while layers lose their names, and while rows are written for layers that were just published: so that what
    /// a build found in place is in place when its rows say so.
    pub(crate) naming: Mutex<()>,
    /// Space is short, or somebody asks for a round now.
    pub(crate) hurry: Notify,
    /// Directories that a repair replaced, each with those who may run on it.
    replaced: Mutex<HashMap<String, Vec<String>>>,
}

/// Collects and scrubs until told to stop.
pub async fn keep(line: Arc<Line>, stop: watch::Receiver<bool>) {
    tokio::join!(rounds(&line, stop.clone()), scrub::keep(&line, stop));
}

async fn rounds(line: &Line, mut stop: watch::Receiver<bool>) {
    loop {
        if let Err(error) = round(line).await {
            let chain = model::sentence::of(&error);
            tracing::warn!(chain, "a round of the layer store's collector was not finished");
        }
        let short = room::is_short(line).await;
        let pause = if short { HURRIED } else { line.settings.storage.collect_every };
        tokio::select! {
            _ = stop.changed() => return,
            () = line.keeping.hurry.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn round(line: &Line) -> Result<(), StationError> {
    retention::give_up(line).await?;
    collect::collect(line).await?;
    // The least recently used first, one after another, until there is room.
    while room::is_short(line).await {
        if !retention::give_up_oldest_build(line).await? {
            break;
        }
        collect::collect(line).await?;
    }
    Ok(())
}
