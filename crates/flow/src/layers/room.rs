//! Whether there is room for a build: the disk's reserve, in bytes and in files, and the ceiling of the store.

use crate::{Line, line::StationError, size, step_log::StepLog};
use model::{Problem, limits::MIB, run::Cause};
use std::time::{Duration, Instant};

/// How long a build waits for room before its run is told that the platform has none.
const PATIENCE: Duration = Duration::from_mins(10);
const LOOK: Duration = Duration::from_secs(1);
/// Files that the platform itself may need while it cleans up.
const RESERVE_FILES: u64 = 20_000;

/// What is there, as far as a limit is set.
struct Space {
    free_bytes: u64,
    free_files: u64,
    /// Of layers and blobs, when there is a ceiling.
    stored_bytes: u64,
}

async fn space(line: &Line) -> Result<Space, StationError> {
    let disk = rustix::fs::statvfs(&line.paths.data).map_err(std::io::Error::from)?;
    let totals = line.store.layer_totals().await?;
    Ok(Space {
        free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        // Some file systems count no files.
        free_files: if disk.f_files == 0 { u64::MAX } else { disk.f_favail },
        stored_bytes: totals.tree_bytes + totals.blob_bytes,
    })
}

/// Whether the collector should take more than what nobody needs: before builds have to wait.
pub(super) async fn is_short(line: &Line) -> bool {
    let settings = &line.settings.storage;
    space(line).await.is_ok_and(|space| {
        space.free_bytes < settings.reserve_bytes.saturating_add(settings.reserve_bytes / 2)
            || space.free_files < RESERVE_FILES + RESERVE_FILES / 2
            || settings.max_bytes.is_some_and(|max| space.stored_bytes > max / 10 * 9)
    })
}

/// What a build lacks, as a sentence.
async fn lack(line: &Line) -> Result<Option<String>, StationError> {
    let settings = &line.settings.storage;
    let space = space(line).await?;
    let data = line.paths.data.display();
    Ok(if space.free_bytes < settings.reserve_bytes {
        Some(format!(
            "{} MiB are free on {data}, and {} MiB are kept free (storage.reserve_mebibytes)",
            space.free_bytes / MIB,
            settings.reserve_bytes / MIB
        ))
    } else if space.free_files < RESERVE_FILES {
        Some(format!(
            "{data} has room for {} more files, and {RESERVE_FILES} are kept free",
            space.free_files
        ))
    } else {
        settings.max_bytes.filter(|max| space.stored_bytes >= *max).map(|max| {
            let stored = size::bytes(space.stored_bytes);
            format!(
                "layers and blobs take {stored}, and may take {} (storage.max_mebibytes)",
                size::bytes(max)
            )
        })
    })
}

/// Waits until there is room. The push waits with it: nothing is lost.
///
/// # Errors
/// The platform's fault, named, when there is none in time.
pub(crate) async fn wait(line: &Line, log: &mut StepLog) -> Result<(), StationError> {
    let until = Instant::now() + PATIENCE;
    let Some(mut what) = lack(line).await? else { return Ok(()) };
    tracing::error!(what, "no build begins: space is short; remove tools, add a disk, or change the limit");
    log.say(&format!("waits for space on the platform: {what}"));
    loop {
        line.keeping.hurry.notify_one();
        tokio::time::sleep(LOOK).await;
        let Some(still) = lack(line).await? else {
            log.say("there is space again");
            return Ok(());
        };
        what = still;
        if Instant::now() >= until {
            let problem = Problem::new("storage-full", 507, "the platform has no space for a build", what)
                .hint("This is not your code's fault: what is live stays. The operator must remove tools, add a disk or raise the limit; then push again.");
            return Err(StationError::told(Cause::Platform, problem));
        }
    }
}
