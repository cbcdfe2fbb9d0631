//! Bodies on their way to the disk: a megabyte at a time, the next one while the last one is written.

use crate::{Door, answer::Refusal, files::Session};
use axum::{body::Body, http::StatusCode};
use bytes::Bytes;
use futures_util::StreamExt;
use std::{io, time::Duration};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

/// Written at a time.
const BATCH_BYTES: usize = 1024 * 1024;
/// A client that sends nothing for this long is given up; its upload can be resumed.
const SILENCE: Duration = Duration::from_mins(1);
/// Bytes of one upload that may come before they are counted.
const COUNT_EVERY_BYTES: u64 = 8 * 1024 * 1024;

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
    Ok(Received { session, refused })
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
    ended.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}
