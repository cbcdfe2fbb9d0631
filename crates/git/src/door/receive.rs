//! `POST git-receive-pack`: the pack streams into git, git's answer streams out, and a client that leaves changes
//! nothing: what git still says is read to its end and thrown away (docs/git.md).

use super::{Door, broken, log_stderr};
use crate::{
    Grant,
    pktline::{self, Watch},
    repository::Running,
    settings::{self, PUSH_VARIABLE, SOCKET_VARIABLE},
};
use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use flate2::write::GzDecoder;
use futures_util::{Stream, StreamExt, stream};
use model::{Fault, sentence};
use sandbox::request::GitService;
use std::{
    io::{self, Read, Write},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe,
    sync::mpsc,
};

/// A client that takes nothing for this long is given up; its run goes on.
const PATIENCE: Duration = Duration::from_secs(300);
/// Time for the upload alone; the run after it has its own deadlines.
const UPLOAD_TIME: Duration = Duration::from_secs(900);

/// Starts `receive-pack` for a client and gives the body that streams its answer.
pub(super) async fn start(
    door: Door,
    grant: Grant,
    headers: &HeaderMap,
    body: Body,
) -> Result<Body, Response> {
    let gzip = headers.get(header::CONTENT_ENCODING).is_some_and(|value| value == "gzip");
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
        let upload = tokio::time::timeout(UPLOAD_TIME, upload(body, gzip, stdin));
        let (upload, answer) = tokio::join!(upload, download(stdout, send));
        if let Ok(Err(error)) = upload {
            tracing::info!(%error, "an upload broke off");
        }
        let ended = worker.status().await;
        let cause = match &ended {
            Ok(0) => None,
            Ok(status) => Some(format!("receive-pack ended with status {status}")),
            Err(error) => Some(sentence::of(error)),
        };
        answer.finish(cause).await;
    });
    start.await.map_err(|error| broken(&error))??;
    Ok(Body::from_stream(stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|chunk| (chunk, receive))
    })))
}

async fn upload(body: Body, gzip: bool, mut stdin: pipe::Sender) -> io::Result<()> {
    let mut body = body.into_data_stream();
    let mut decoder = GzDecoder::new(Vec::new());
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(io::Error::other)?;
        let written = if gzip {
            inflate(&mut decoder, &chunk, &mut stdin).await?
        } else {
            stdin.write_all(&chunk).await
        };
        if written.is_err() {
            // git has refused and closed its end: what it says is in its answer. Drain what still comes.
            while body.next().await.is_some() {}
            return Ok(());
        }
    }
    if gzip {
        decoder.try_finish()?;
        let plain = std::mem::take(decoder.get_mut());
        stdin.write_all(&plain).await?;
    }
    Ok(())
}

/// A few bytes at a time: they may unpack to a thousand times as many, and git stops reading at its own limit.
async fn inflate(
    decoder: &mut GzDecoder<Vec<u8>>,
    chunk: &[u8],
    stdin: &mut pipe::Sender,
) -> io::Result<io::Result<()>> {
    for piece in chunk.chunks(4096) {
        decoder.write_all(piece)?;
        let plain = std::mem::take(decoder.get_mut());
        if let Err(refused) = stdin.write_all(&plain).await {
            return Ok(Err(refused));
        }
    }
    Ok(Ok(()))
}

/// The answer as far as git wrote it, and the client if it still listens.
struct Answer {
    client: Option<mpsc::Sender<Result<Bytes, io::Error>>>,
    watch: Watch,
    any: bool,
}

/// Copies git's answer to the client while it listens, and reads it to the end in any case.
async fn download(mut stdout: pipe::Receiver, send: mpsc::Sender<Result<Bytes, io::Error>>) -> Answer {
    let mut answer = Answer { client: Some(send), watch: Watch::default(), any: false };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = match stdout.read(&mut buffer).await {
            Ok(0) | Err(_) => return answer,
            Ok(read) => read,
        };
        answer.any = true;
        answer.watch.see(&buffer[..read]);
        if let Some(client) = &answer.client {
            let chunk = Ok(Bytes::copy_from_slice(&buffer[..read]));
            if !matches!(tokio::time::timeout(PATIENCE, client.send(chunk)).await, Ok(Ok(()))) {
                answer.client = None;
            }
        }
    }
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

/// The chunks that git writes.
pub(super) fn chunks(stdout: pipe::Receiver) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(stdout, |mut stdout| async move {
        let mut buffer = vec![0; 64 * 1024];
        match stdout.read(&mut buffer).await {
            Ok(0) => None,
            Ok(read) => {
                buffer.truncate(read);
                Some((Ok(Bytes::from(buffer)), stdout))
            }
            Err(error) => Some((Err(error), stdout)),
        }
    })
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
