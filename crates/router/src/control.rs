//! How serve speaks to the router: one JSON document a line over a Unix socket.
//!
//! While a router is replaced the old one still finishes requests. Each has a socket of its own in one directory, and
//! every message goes to all of them.

use crate::table::Table;
use serde::{Deserialize, Serialize};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// Longest message in bytes: tens of thousands of routes.
pub const MAX_MESSAGE_BYTES: u64 = 16 * 1024 * 1024;
/// How long a restarting router is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one answer may take: a router that hangs is told again, or given up.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// From serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "kebab-case")]
pub enum Message {
    /// Replaces the table. Answer: [`Reply::Applied`] once it is on disk and every new request sees it.
    Table(Table),
    /// Waits until nothing is under way to a backend that the table names no more; what is left at the deadline is
    /// cut. Answer: [`Reply::Drained`].
    Drain { backend: SocketAddr, deadline_seconds: u64 },
    /// How much is under way to a backend? Answer: [`Reply::Open`].
    Open { backend: SocketAddr },
    /// Answer: [`Reply::Statistics`].
    Statistics,
}

/// From the router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    Applied { generation: u64 },
    Drained(Drained),
    Open { open: u64 },
    Statistics(Statistics),
    Refused { text: String },
}

/// How a backend was left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Requests, downloads and tunnels under way when the wait began.
    pub open: u64,
    /// Those that were under way still at the deadline, and were cut.
    pub cut: u64,
}

/// Counted since the start of each router that lives, and added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Requests of all hosts.
    pub requests: u64,
    /// Requests that the router sent once more by itself, which it does only when nothing can have happened twice.
    pub retries: u64,
    /// Requests, downloads and tunnels under way to tools now.
    pub open: u64,
}

/// Why the router did not do it.
#[derive(Debug, Error)]
pub enum ControlError {
    #[error("the router cannot be reached")]
    Away(#[source] io::Error),
    #[error("the router refused: {0}")]
    Refused(String),
}

/// Serve's end.
#[derive(Clone, Debug)]
pub struct Control {
    directory: PathBuf,
}

impl Control {
    /// `directory`: [`model::Paths::router_sockets`].
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Returns once every new request is answered by this table. Waits for a router that is being restarted.
    ///
    /// # Errors
    /// When a router refuses it, or none can be reached.
    pub async fn apply(&self, table: &Table) -> Result<(), ControlError> {
        self.insist(&Message::Table(table.clone()), ANSWER_WITHIN).await.map(drop)
    }

    /// Returns once nothing is under way to a backend, at the latest after `deadline`; then what is left is cut. The
    /// backend's address must have left the table before.
    ///
    /// # Errors
    /// When the table still names the backend, or no router can be reached.
    pub async fn drain(&self, backend: SocketAddr, deadline: Duration) -> Result<Drained, ControlError> {
        let message = Message::Drain { backend, deadline_seconds: deadline.as_secs() };
        let mut sum = Drained::default();
        for reply in self.insist(&message, deadline + ANSWER_WITHIN).await? {
            if let Reply::Drained(drained) = reply {
                sum.open += drained.open;
                sum.cut += drained.cut;
            }
        }
        Ok(sum)
    }

    /// Requests, downloads and tunnels under way to a backend now.
    ///
    /// # Errors
    /// When no router can be reached.
    pub async fn open(&self, backend: SocketAddr) -> Result<u64, ControlError> {
        let replies = self.insist(&Message::Open { backend }, ANSWER_WITHIN).await?;
        Ok(replies.iter().map(|reply| if let Reply::Open { open } = reply { *open } else { 0 }).sum())
    }

    /// What the routers have done.
    ///
    /// # Errors
    /// When none can be reached.
    pub async fn statistics(&self) -> Result<Statistics, ControlError> {
        let mut sum = Statistics::default();
        for reply in self.insist(&Message::Statistics, ANSWER_WITHIN).await? {
            if let Reply::Statistics(statistics) = reply {
                sum.requests += statistics.requests;
                sum.retries += statistics.retries;
                sum.open += statistics.open;
            }
        }
        Ok(sum)
    }

    /// Tells every router; again until one has answered and none has failed to.
    async fn insist(&self, message: &Message, within: Duration) -> Result<Vec<Reply>, ControlError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.tell_all(message, within).await {
                Ok(replies) => {
                    let refused = replies.iter().find_map(|reply| match reply {
                        Reply::Refused { text } => Some(text.clone()),
                        _ => None,
                    });
                    return refused.map_or(Ok(replies), |text| Err(ControlError::Refused(text)));
                }
                Err(error) if Instant::now() >= until => return Err(ControlError::Away(error)),
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn tell_all(&self, message: &Message, within: Duration) -> io::Result<Vec<Reply>> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut asked = JoinSet::new();
        for socket in sockets(&self.directory)? {
            let line = line.clone();
            asked.spawn(async move {
                let asked = timeout(within, ask(&socket, &line)).await;
                asked.unwrap_or_else(|elapsed| Err(elapsed.into()))
            });
        }
        let mut replies = Vec::new();
        while let Some(asked) = asked.join_next().await {
            replies.extend(asked.map_err(io::Error::other)??);
        }
        if replies.is_empty() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Ok(replies)
    }
}

/// The control sockets of this directory, of routers that live and of some that were killed.
pub(crate) fn sockets(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in directory.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sock") {
            found.push(path);
        }
    }
    Ok(found)
}

/// `None`: its router is gone.
async fn ask(socket: &Path, line: &[u8]) -> io::Result<Option<Reply>> {
    let stream = match UnixStream::connect(socket).await {
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            return Ok(None);
        }
        other => other?,
    };
    let (read, mut write) = stream.into_split();
    write.write_all(line).await?;
    let mut answer = String::new();
    BufReader::new(read.take(MAX_MESSAGE_BYTES)).read_line(&mut answer).await?;
    Ok(Some(serde_json::from_str(&answer)?))
}
