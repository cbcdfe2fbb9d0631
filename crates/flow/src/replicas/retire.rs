//! The good end of a copy: no new requests, time for those under way, SIGTERM, a grace, removed.

use super::remove;
use crate::{Line, line::StationError};
use logs::Writer;
use model::LogStream;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use store::{Replica, ReplicaState};

/// SIGTERM, this long, SIGKILL.
const STOP_GRACE: Duration = Duration::from_secs(15);
/// How long a deploy waits to tell that the old copy is drained; it goes on without it.
const TELL_WITHIN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Rows that the platform may write into one process's log at a time, in bytes.
const LIMIT_BYTES: u64 = 64 * 1024;

/// From here on the copy gets no new requests.
pub(super) async fn begin(line: &Line, replica: &Replica) -> Result<(), StationError> {
    line.store.update_replica(replica.id, ReplicaState::Draining, replica.address.as_deref()).await?;
    line.routes.publish(line.store.as_ref(), &line.settings, None).await
}

/// Waits for what is under way to it, ends it and removes it. What takes too long is cut, and the tool's log says so.
pub(super) async fn finish(line: &Line, replica: &Replica) -> Result<(), StationError> {
    if let Some(address) = address(replica) {
        let deadline = line.settings.drain;
        let drained = line.routes.drain(address, deadline).await?;
        if drained.cut > 0 {
            let text = format!(
                "v{} was replaced or stopped: {} still open after {} s, and cut",
                replica.release,
                requests(drained.cut),
                deadline.as_secs()
            );
            note(line, replica, &text);
        }
    }
    remove(line, replica, STOP_GRACE).await;
    Ok(())
}

/// `v11 drained, 0 requests lost`, or that it still drains; of copies that get no new requests any more.
pub(crate) async fn tell(line: &Line, release: u64, copies: &[Replica]) -> String {
    let began = Instant::now();
    loop {
        let mut open = 0;
        for address in copies.iter().filter_map(address) {
            match line.routes.open(address).await {
                Ok(count) => open += count,
                Err(error) => {
                    tracing::warn!(%error, "the router does not say what is under way");
                    return format!("v{release} is draining");
                }
            }
        }
        if open == 0 {
            return format!("v{release} drained, 0 requests lost");
        }
        if began.elapsed() > TELL_WITHIN {
            return format!("v{release} is draining ({} open)", requests(open));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn address(replica: &Replica) -> Option<SocketAddr> {
    replica.address.as_ref()?.parse().ok()
}

fn requests(count: u64) -> String {
    if count == 1 { "1 request".to_owned() } else { format!("{count} requests") }
}

/// A row in the log of the process, beside its own. A log that cannot be written stops nothing.
fn note(line: &Line, replica: &Replica, text: &str) {
    let stream = LogStream::Process { process: replica.process.clone(), number: 1 };
    let written = line
        .log_path(replica.tool, &stream)
        .and_then(|path| Writer::open(&path, LIMIT_BYTES))
        .and_then(|mut writer| writer.platform(text));
    if let Err(error) = written {
        tracing::warn!(%error, "a tool's log could not be written");
    }
}
