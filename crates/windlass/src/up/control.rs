//! How root asks a running platform to replace its parts: one JSON document a line over a socket that only root may
//! connect to.

use super::child::Role;
use anyhow::{Context, Result, anyhow, bail};
use model::Paths;
use serde::{Deserialize, Serialize};
use std::{
    io::{BufRead, Write},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    process::ChildStdout,
    sync::{mpsc, oneshot},
};

/// Longest message in bytes.
const MAX_MESSAGE_BYTES: u64 = 4096;
/// What a part writes to its standard output once it answers.
const READY: &str = "ready";

/// Who waits for a part to be replaced, and hears how long it took.
pub(super) type Asked = oneshot::Sender<Result<Duration>>;

/// One line to the platform.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Message {
    Restart { part: String },
}

/// One line back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    Restarted { milliseconds: u64 },
    Failed { text: String },
}

/// Ways to ask for each part.
#[derive(Clone)]
pub(super) struct Requests {
    pub(super) helper: mpsc::Sender<Asked>,
    pub(super) router: mpsc::Sender<Asked>,
    pub(super) serve: mpsc::Sender<Asked>,
}

impl Requests {
    /// Returns when the new process of the part answers.
    pub(super) async fn replace(&self, role: Role) -> Result<Duration> {
        let part = match role {
            Role::Helper => &self.helper,
            Role::Router => &self.router,
            Role::Serve => &self.serve,
        };
        let (asked, answer) = oneshot::channel();
        part.send(asked).await.map_err(|_| anyhow!("the platform is stopping"))?;
        answer.await.map_err(|_| anyhow!("the platform is stopping"))?
    }
}

/// Answers root for ever.
pub(super) async fn serve(listener: UnixListener, requests: Requests) -> Result<std::convert::Infallible> {
    loop {
        let (stream, _) = listener.accept().await.context("root cannot be answered any more")?;
        let requests = requests.clone();
        tokio::spawn(async move {
            // The socket's mode lets nobody else in; this is said twice because it matters.
            if stream.peer_cred().is_ok_and(|peer| peer.uid() == 0)
                && let Err(error) = converse(stream, &requests).await
            {
                super::say(&format!("a request of root was not answered: {error:#}"));
            }
        });
    }
}

async fn converse(stream: UnixStream, requests: &Requests) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(MAX_MESSAGE_BYTES)).read_line(&mut line).await?;
    let replaced = match serde_json::from_str(&line) {
        Ok(Message::Restart { part }) => match Role::ALL.into_iter().find(|role| role.name() == part) {
            Some(role) => requests.replace(role).await,
            None => Err(anyhow!("there is no part `{part}`")),
        },
        Err(error) => Err(anyhow!("the request cannot be read: {error}")),
    };
    let reply = match replaced {
        Ok(took) => Reply::Restarted { milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX) },
        Err(error) => Reply::Failed { text: format!("{error:#}") },
    };
    let mut reply = serde_json::to_vec(&reply)?;
    reply.push(b'\n');
    Ok(write.write_all(&reply).await?)
}

/// Asks a running platform to replace one part, and waits until the new one answers.
///
/// # Errors
/// When no platform runs there, or the part cannot be replaced; then the old one goes on.
pub(crate) fn ask(paths: &Paths, part: &str) -> Result<Duration> {
    let socket = paths.starter_socket();
    let mut stream = std::os::unix::net::UnixStream::connect(&socket)
        .with_context(|| format!("no platform answers at {}", socket.display()))?;
    let mut line = serde_json::to_vec(&Message::Restart { part: part.to_owned() })?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    std::io::BufReader::new(stream).read_line(&mut answer)?;
    match serde_json::from_str(&answer).context("the platform went away")? {
        Reply::Restarted { milliseconds } => Ok(Duration::from_millis(milliseconds)),
        Reply::Failed { text } => bail!(text),
    }
}

/// A part's word that it answers.
pub(crate) fn say_ready() {
    // A starter that is gone, or does not listen for this, is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "{READY}");
    // Nobody reads there any more: what is ever printed goes where the log goes.
    let _ = rustix::stdio::dup2_stdout(std::io::stderr());
}

/// Waits for that word.
pub(super) async fn ready(stdout: Option<ChildStdout>) -> Result<()> {
    let stdout = stdout.context("a part without standard output")?;
    let mut line = String::new();
    BufReader::new(stdout.take(MAX_MESSAGE_BYTES)).read_line(&mut line).await?;
    if line.trim_end() == READY { Ok(()) } else { bail!("it ended before it was ready") }
}
