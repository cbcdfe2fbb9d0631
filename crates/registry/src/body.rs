//! Bodies on their way to and from the disk: a megabyte at a time, the next one while the last one is worked on.

use crate::{
    Door,
    answer::Refusal,
    files::{Blob, Session},
};
use axum::{body::Body, http::StatusCode};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::{fs::File, io, os::unix::fs::FileExt as _, sync::Arc, time::Duration};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout, timeout_at},
};

/// Read and written at a time.
const BATCH_BYTES: usize = 1024 * 1024;
/// A client that sends nothing for this long is given up; its upload can be resumed.
const SILENCE: Duration = Duration::from_mins(1);
/// Bytes of one upload that may come before they are counted.
const COUNT_EVERY_BYTES: u64 = 8 * 1024 * 1024;
/// What of a refused body is read on, so that its client gets to read the refusal.
const DRAIN_BYTES: u64 = 64 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// How an upload's bytes came.
pub(crate) struct Received {
    pub(crate) session: Session,
    /// Why not all of them did.
    pub(crate) refused: Option<Refusal>,
}

/// Receives a body into an upload, hashing it on its way, and counts it while it grows. `counted`: the length that is
/// counted already; `None` for an upload that has no row and is small.
pub(crate) async fn receive(
    door: &Door,
    session: Session,
    body: Body,
    max_bytes: u64,
    mut counted: Option<u64>,
) -> Result<Received, Refusal> {
    let id = session.id.clone();
    let most = session.length.saturating_add(max_bytes);
    let mut length = session.length;
    let mut frames = body.into_data_stream();
    let mut writer = Writer::new(session);
    let mut refused = None;
    loop {
        match timeout(SILENCE, frames.next()).await {
            Ok(Some(Ok(bytes))) => {
                length += bytes.len() as u64;
                if length > most {
                    refused = Some(Refusal::bad("SIZE_INVALID", "more bytes came than were announced"));
                    break;
                }
                writer.push(bytes).await?;
            }
            Ok(Some(Err(error))) => {
                tracing::info!(%error, "an upload broke off");
                refused =
                    Some(Refusal::bad("BLOB_UPLOAD_INVALID", "the upload broke off; go on where it ended"));
                break;
            }
            Ok(None) => break,
            Err(_) => {
                let text = "nothing came for a minute; go on where the upload ended";
                refused = Some(Refusal::new(StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID", text));
                break;
            }
        }
        if let Some(before) = counted
            && length >= before.saturating_add(COUNT_EVERY_BYTES)
        {
            if let Err(problem) = door.app.upload_received(&id, length).await {
                refused = Some(problem.into());
                break;
            }
            counted = Some(length);
        }
    }
    let session = writer.end().await?;
    if refused.is_some() {
        drain(frames).await;
    }
    Ok(Received { session, refused })
}

/// Reads on what nobody wants, within limits: a client that is still sending would otherwise see a broken connection
/// in place of the refusal.
async fn drain(mut frames: axum::body::BodyDataStream) {
    let until = Instant::now() + DRAIN_TIME;
    let mut left = DRAIN_BYTES;
    while let Ok(Some(Ok(bytes))) = timeout_at(until, frames.next()).await {
        left = left.saturating_sub(bytes.len() as u64);
        if left == 0 {
            return;
        }
    }
}

/// Drains a request's body that was refused before it was looked at.
pub(crate) async fn pass_over(body: Body) {
    drain(body.into_data_stream()).await;
}

/// One batch is written while the next one comes.
struct Writer {
    batch: Vec<Bytes>,
    batch_bytes: usize,
    writing: JoinHandle<io::Result<Session>>,
}

impl Writer {
    fn new(session: Session) -> Self {
        Self { batch: Vec::new(), batch_bytes: 0, writing: tokio::spawn(async move { Ok(session) }) }
    }

    async fn push(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        self.batch_bytes += bytes.len();
        self.batch.push(bytes);
        if self.batch_bytes >= BATCH_BYTES { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), Refusal> {
        let mut session = written((&mut self.writing).await)?;
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.writing = spawn_blocking(move || session.add(&batch).map(|()| session));
        Ok(())
    }

    async fn end(mut self) -> Result<Session, Refusal> {
        if !self.batch.is_empty() {
            self.write().await?;
        }
        written(self.writing.await)
    }
}

fn written(ended: Result<io::Result<Session>, tokio::task::JoinError>) -> Result<Session, Refusal> {
    let failed = |error: &(dyn std::error::Error + 'static)| Refusal::broken("writing the upload", error);
    ended.map_err(|error| failed(&error))?.map_err(|error| {
        // Everybody's disk, not this tool's quota.
        if error.kind() == io::ErrorKind::StorageFull {
            tracing::error!(%error, "the disk of the registry is full");
            let text = "the platform's disk is full; tell the operator, and push again later";
            return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "DENIED", text);
        }
        failed(&error)
    })
}

/// A blob's bytes from `first` on, as a body.
pub(crate) fn send(blob: Blob, first: u64, length: u64) -> Body {
    let file = Arc::new(blob.file);
    let next = (length > 0).then(|| read(&file, first, length));
    let state = (file, next, first, length);
    Body::from_stream(stream::try_unfold(state, |(file, next, at, left)| async move {
        let Some(next) = next else { return Ok::<_, io::Error>(None) };
        let bytes = next.await.map_err(io::Error::other)??;
        let (at, left) = (at + bytes.len() as u64, left - bytes.len() as u64);
        let next = (left > 0).then(|| read(&file, at, left));
        Ok(Some((bytes, (file, next, at, left))))
    }))
}

fn read(file: &Arc<File>, at: u64, left: u64) -> JoinHandle<io::Result<Bytes>> {
    let file = Arc::clone(file);
    let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(BATCH_BYTES / 2);
    spawn_blocking(move || {
        let mut bytes = vec![0; wanted];
        // A blob that became shorter cuts the connection: it must not look whole.
        file.read_exact_at(&mut bytes, at)?;
        Ok(bytes.into())
    })
}
