//! Small work that nobody waits for: logs kept within their size, what deleted tools left behind.

use crate::{Line, line::StationError};
use model::{ToolId, limits::MIB};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// Between two rounds.
const PERIOD: Duration = Duration::from_secs(15);
/// A stream that takes more than this on disk is cut back to the newest [`KEEP_BYTES`].
const TRIM_ABOVE_BYTES: u64 = 48 * MIB;
const KEEP_BYTES: u64 = 32 * MIB;

/// Does its rounds until told to stop.
pub async fn keep(line: Arc<Line>, mut stop: watch::Receiver<bool>) {
    loop {
        if let Err(error) = round(&line).await {
            tracing::warn!(%error, "a round of chores was not finished");
        }
        tokio::select! {
            _ = stop.changed() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn round(line: &Arc<Line>) -> Result<(), StationError> {
    for tool in line.store.deleted_tools().await? {
        clear(line, tool.id).await?;
    }
    for tool in line.store.tools().await? {
        let logs = line.paths.logs(tool.id);
        let trimmed = tokio::task::spawn_blocking(move || trim(&logs)).await;
        trimmed.map_err(|error| StationError::Inconsistent(error.to_string()))??;
    }
    Ok(())
}

/// Once nothing of a deleted tool runs, its repository and logs go.
async fn clear(line: &Line, tool: ToolId) -> Result<(), StationError> {
    let running = line.store.replicas().await?.iter().any(|replica| replica.tool == tool);
    let open = line.store.open_runs().await?.iter().any(|run| run.tool == tool);
    if running || open {
        return Ok(());
    }
    line.repositories.remove(tool).await?;
    match fs::remove_dir_all(line.paths.logs(tool)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(line.store.tool_cleared(tool).await?)
}

/// Cuts back what running processes and the router wrote; runs have limits of their own.
fn trim(logs: &Path) -> Result<(), StationError> {
    let processes = fs::read_dir(logs.join("process")).into_iter().flatten().flatten();
    let streams = processes.map(|entry| entry.path()).chain([logs.join("router.log")]);
    for stream in streams.filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
        if occupied(&stream) > TRIM_ABOVE_BYTES {
            logs::trim(&stream, KEEP_BYTES).map_err(|error| StationError::Inconsistent(error.to_string()))?;
        }
    }
    Ok(())
}

/// Bytes on disk, holes left out; 512-byte blocks whatever the file system's own (stat(2)).
fn occupied(stream: &PathBuf) -> u64 {
    fs::metadata(stream).map_or(0, |metadata| metadata.blocks() * 512)
}
