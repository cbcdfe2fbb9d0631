//! `POST git-receive-pack`: the pack streams into git, git's answer streams out, and a client that leaves changes
//! nothing: what git still says is read to its end and thrown away (docs/git.md).

use super::{
    Door, broken, log_stderr,
    opening::{self, Opening},
    relay::Relay,
    upload::{Unread, Upload},
};
use crate::{
    Grant,
    pktline::{self, Watch},
    repository::Running,
    settings::{self, PUSH_VARIABLE, SOCKET_VARIABLE},
};
use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use model::{Fault, sentence};
use sandbox::{client::RunningWorker, request::GitService};
use std::{
    io::{self, Read},
    sync::OnceLock,
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt, net::unix::pipe, sync::mpsc};

/// Refs that one push may name: each is a line of the advertisement for ever.
const MAX_REFS: usize = 1000;
const TOO_MANY_REFS: &str = "too many refs at once";
/// Of a push that is refused before git starts, so much is still read: most clients then read the answer.
const MAX_DRAINED_BYTES: u64 = 1024 * 1024 * 1024;

/// Starts `receive-pack` for a client and gives the body that streams its answer.
pub(super) async fn start(
    door: Door,
    grant: Grant,
    headers: &HeaderMap,
    body: Body,
) -> Result<Body, Response> {
    let gzip = headers.get(header::CONTENT_ENCODING).is_some_and(|value| value == "gzip");
    let mut upload = Upload::new(body, gzip);
    let began = Instant::now();
    let opening = match tokio::time::timeout(door.limits.upload_time, upload.opening()).await {
        Ok(Ok(opening)) => opening,
        Ok(Err(Unread::TooLong(begun))) => {
            let text = format!(
                "windlass: this push names more refs than {} MiB hold; {MAX_REFS} may come at once",
                opening::MAX_OPENING_BYTES >> 20
            );
            return Ok(refuse(&door, upload, &begun, &text, TOO_MANY_REFS).await);
        }
        Ok(Err(Unread::Bad)) => return Err(StatusCode::BAD_REQUEST.into_response()),
        Err(_) => return Err(StatusCode::REQUEST_TIMEOUT.into_response()),
    };
    if let Some((text, reason)) = too_much(&door, &grant, &opening) {
        return Ok(refuse(&door, upload, &opening, &text, reason).await);
    }
    let (send, receive) = mpsc::channel::<Result<Bytes, io::Error>>(16);
    let (started, start) = tokio::sync::oneshot::channel();
    // A task of its own: it must outlive the client's connection.
    tokio::spawn(async move {
        let admission = match door.gate.admit(grant.clone()) {
            Ok(admission) => admission,
            Err(error) => return drop(started.send(Err(broken(&error)))),
        };
        let env = vec![
            (PUSH_VARIABLE.to_owned(), admission.secret.clone()),
            (SOCKET_VARIABLE.to_owned(), door.places.socket.display().to_string()),
        ];
        let config = settings::receive(&door.places, grant.max_input_bytes);
        let service = GitService::ReceivePack { advertise: false };
        let Running { stdin, stdout, stderr, worker } =
            match door.repositories.start(grant.tool, service, config, env).await {
                Ok(running) => running,
                Err(error) => return drop(started.send(Err(broken(&error)))),
            };
        if started.send(Ok(())).is_err() {
            return;
        }
        log_stderr(stderr);
        let notice = OnceLock::new();
        let upload = async {
            let (pack_at, max) = (opening.pack_at, grant.max_input_bytes);
            let fed = upload.feed(stdin, pack_at, max, &notice, &grant.too_large);
            match tokio::time::timeout(door.limits.upload_time.saturating_sub(began.elapsed()), fed).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::info!(%error, "an upload broke off"),
                Err(_) => {
                    let seconds = door.limits.upload_time.as_secs();
                    let _ = notice.set(format!(
                        "windlass: the upload took longer than {seconds} s and was given up; nothing was changed"
                    ));
                }
            }
        };
        let relay = Relay::new(opening.side_band.then_some(&notice));
        let ((), answer) = tokio::join!(upload, download(stdout, send, relay, door.limits.patience));
        let ended = worker.status().await;
        let cause = match &ended {
            Ok(0) => None,
            Ok(status) => Some(format!("receive-pack ended with status {status}")),
            Err(error) => Some(sentence::of(error)),
        };
        answer.finish(cause).await;
    });
    start.await.map_err(|error| broken(&error))??;
    Ok(Body::from_stream(received(receive)))
}

/// Answers in git's place, once the client has sent what it has.
async fn refuse(door: &Door, mut upload: Upload, opening: &Opening, text: &str, reason: &str) -> Body {
    let drained = upload.drain(MAX_DRAINED_BYTES);
    let _ = tokio::time::timeout(door.limits.upload_time, drained).await;
    Body::from(opening::refusal(opening, text, reason))
}

/// What is refused before git starts, with the text and the short reason.
fn too_much(door: &Door, grant: &Grant, opening: &Opening) -> Option<(String, &'static str)> {
    let (refs, objects) = (opening.commands.len(), opening.objects.unwrap_or(0));
    let most = door.limits.max_objects;
    if refs > MAX_REFS {
        let text = format!("windlass: this push names {refs} refs; {MAX_REFS} may come at once");
        return Some((text, TOO_MANY_REFS));
    }
    if objects > most {
        let text = format!(
            "windlass: this push brings {objects} objects; {most} may come at once (git.max_objects): push older\n\
             windlass: commits first (`git push windlass <commit>:refs/heads/main`), or keep generated files out of git"
        );
        return Some((text, "too many objects"));
    }
    (objects > 0 && grant.max_input_bytes == 0).then(|| (grant.too_large.clone(), "the repository is full"))
}

/// The answer as far as git wrote it, and the client if it still listens.
struct Answer {
    client: Option<mpsc::Sender<Result<Bytes, io::Error>>>,
    watch: Watch,
    any: bool,
}

impl Answer {
    /// Sends on, and gives a client up that takes nothing for that long.
    async fn send(&mut self, bytes: Vec<u8>, patience: Duration) {
        if bytes.is_empty() {
            return;
        }
        self.watch.see(&bytes);
        if let Some(client) = &self.client
            && !matches!(tokio::time::timeout(patience, client.send(Ok(bytes.into()))).await, Ok(Ok(())))
        {
            self.client = None;
        }
    }
}

/// Copies git's answer to the client while it listens, and reads it to the end in any case.
async fn download(
    mut stdout: pipe::Receiver,
    send: mpsc::Sender<Result<Bytes, io::Error>>,
    mut relay: Relay<'_>,
    patience: Duration,
) -> Answer {
    let mut answer = Answer { client: Some(send), watch: Watch::default(), any: false };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = match stdout.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        answer.any = true;
        answer.send(relay.pass(&buffer[..read]), patience).await;
    }
    answer.send(relay.rest(), patience).await;
    answer
}

impl Answer {
    /// Completes an answer that git left without its final flush: a client would wait for that flush for ever. An
    /// empty answer is whole only when git ended well (it is what a client's probe with `0000` gets). `cause`: how git
    /// ended when it did not end well.
    async fn finish(self, cause: Option<String>) {
        if self.watch.complete() || (!self.any && cause.is_none()) {
            if let Some(cause) = cause {
                tracing::info!(cause, "git ended after its answer");
            }
            return;
        }
        let cause = cause.as_deref().unwrap_or("git's answer has no end");
        let fault = Fault::caused_by("receiving a push", cause);
        let Some(client) = self.client else { return };
        let last = if self.watch.between_packets() {
            let text = format!(
                "\x03windlass: git on the platform stopped; a run that has begun goes on, see `windlass status`\n\
                 windlass: {}\n",
                fault.sentence()
            );
            let mut packet = pktline::encode(text.as_bytes());
            packet.extend(b"0000");
            Ok(Bytes::from(packet))
        } else {
            Err(io::Error::other("git stopped in the middle of a packet"))
        };
        let _ = client.send(last).await;
    }
}

/// What git writes for a fetch. A client that takes nothing for that long is given up, and git ends.
pub(super) fn streamed(
    mut stdout: pipe::Receiver,
    worker: RunningWorker,
    patience: Duration,
) -> impl Stream<Item = io::Result<Bytes>> {
    let (send, receive) = mpsc::channel(4);
    tokio::spawn(async move {
        // Dropped with this task, which ends git.
        let _worker = worker;
        loop {
            let mut buffer = vec![0; 64 * 1024];
            let chunk = match stdout.read(&mut buffer).await {
                Ok(0) => return,
                Ok(read) => {
                    buffer.truncate(read);
                    Ok(Bytes::from(buffer))
                }
                Err(error) => Err(error),
            };
            if !matches!(tokio::time::timeout(patience, send.send(chunk)).await, Ok(Ok(()))) {
                tracing::info!("a fetch was given up: its client left or took nothing any more");
                return;
            }
        }
    });
    received(receive)
}

fn received(receive: mpsc::Receiver<io::Result<Bytes>>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(receive, |mut receive| async move { receive.recv().await.map(|chunk| (chunk, receive)) })
}

/// A request body without its gzip, at most `max_bytes` long.
pub(crate) fn plain(headers: &HeaderMap, body: &Bytes, max_bytes: usize) -> Result<Bytes, StatusCode> {
    if headers.get(header::CONTENT_ENCODING).is_none_or(|value| value != "gzip") {
        return Ok(body.clone());
    }
    let mut plain = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(body.as_ref()).take(max_bytes as u64 + 1);
    decoder.read_to_end(&mut plain).map_err(|_| StatusCode::BAD_REQUEST)?;
    if plain.len() > max_bytes {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    Ok(Bytes::from(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up_and_git_is_read_to_its_end() {
        let (mut git, stdout) = pipe::pipe().unwrap();
        let (send, client) = mpsc::channel(1);
        // Far more than pipe and channel hold: this ends only when somebody reads.
        let writer = async move {
            for _ in 0..200 {
                git.write_all(&[b'x'; 16 * 1024]).await.unwrap();
            }
        };
        let ((), answer) = tokio::join!(writer, download(stdout, send, Relay::new(None), SHORT));
        assert!(answer.client.is_none());
        drop(client);
    }
}
