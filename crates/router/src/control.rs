//! How serve speaks to the router: one JSON document a line over a Unix socket.

use crate::table::Table;
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
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
}

/// From the router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    Applied { generation: u64 },
    Refused { text: String },
}

/// Why the router does not serve a table.
#[derive(Debug, Error)]
pub enum ControlError {
    #[error("the router cannot be reached")]
    Away(#[source] io::Error),
    #[error("the router refused the table: {0}")]
    Refused(String),
}

/// Serve's end.
#[derive(Clone, Debug)]
pub struct Control {
    socket: PathBuf,
}

impl Control {
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Returns once every new request is answered by this table. Waits for a router that is being restarted.
    pub async fn apply(&self, table: &Table) -> Result<(), ControlError> {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let asked = tokio::time::timeout(ANSWER_WITHIN, self.ask(table)).await;
            match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(Reply::Applied { .. }) => return Ok(()),
                Ok(Reply::Refused { text }) => return Err(ControlError::Refused(text)),
                Err(error) if tokio::time::Instant::now() >= until => return Err(ControlError::Away(error)),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn ask(&self, table: &Table) -> io::Result<Reply> {
        let mut line = serde_json::to_vec(&Message::Table(table.clone()))?;
        line.push(b'\n');
        let (read, mut write) = UnixStream::connect(&self.socket).await?.into_split();
        write.write_all(&line).await?;
        let mut answer = String::new();
        BufReader::new(read.take(MAX_MESSAGE_BYTES)).read_line(&mut answer).await?;
        Ok(serde_json::from_str(&answer)?)
    }
}
