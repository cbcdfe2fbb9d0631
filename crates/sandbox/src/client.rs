//! Asking the helper, from async code. One connection per request; a connection that breaks is an [`Unreachable`]
//! helper, which callers ask again: every verb may be repeated.
//!
//! [`Unreachable`]: HelperError::Unreachable

use crate::request::{
    Answer, Ended, Facts, MAX_MESSAGE_BYTES, Request, SandboxId, SandboxRow, SandboxSpec, Usage, Worker,
};
use crate::wire::{self, MAX_ANSWER_BYTES, MAX_DESCRIPTORS};
use model::ToolId;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

/// Why the helper did not do what was asked.
#[derive(Debug, Error)]
pub enum HelperError {
    /// It is away or went away: ask again, it is being restarted.
    #[error("the helper does not answer on {}; is `windlass up` running?", socket.display())]
    Unreachable {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It said no, or tried and failed; nothing is half-done.
    #[error("{text}")]
    Refused {
        /// Stable: `sandbox-…`, `worker-…`, `disk-full`, `platform`.
        id: String,
        text: String,
    },
    /// It speaks another language: two versions of the platform run at once.
    #[error(
        "the helper's answer is not understood ({0}); restart the platform so that all parts are of one version"
    )]
    Protocol(String),
}

/// What [`Helper::create`] made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// The address that answers, for [`Network::Tool`](crate::request::Network::Tool).
    pub address: Option<Ipv4Addr>,
}

/// The helper, by its socket.
#[derive(Clone, Debug)]
pub struct Helper {
    socket: PathBuf,
}

/// A worker at work. Dropping it kills the worker.
#[derive(Debug)]
pub struct RunningWorker {
    connection: Connection,
}

impl RunningWorker {
    /// Waits for the worker's end: its exit status, 128 + signal when a signal ended it.
    pub async fn status(mut self) -> Result<i32, HelperError> {
        match self.connection.answer().await? {
            Answer::WorkerEnded { status } => Ok(status),
            other => Err(unexpected(&other)),
        }
    }
}

impl Helper {
    /// `socket`: [`model::Paths::helper_socket`].
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Makes a sandbox whose process waits for [`start`](Self::start). `log` is its stream, opened for append.
    pub async fn create(&self, spec: &SandboxSpec, log: OwnedFd) -> Result<Created, HelperError> {
        let request = Request::Create(spec.clone());
        match self.ask(&request, &[log.as_fd()]).await? {
            Answer::Created { address } => Ok(Created { address }),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets the created process run.
    pub async fn start(&self, id: &SandboxId) -> Result<(), HelperError> {
        self.done(&Request::Start { id: id.clone() }).await
    }

    /// Waits for the sandbox's end, however long that takes.
    pub async fn wait(&self, id: &SandboxId) -> Result<Ended, HelperError> {
        self.ended(&Request::Wait { id: id.clone() }).await
    }

    /// SIGTERM, then SIGKILL to the whole tree after the grace. Gives how it ended.
    pub async fn kill(&self, id: &SandboxId, grace: Duration) -> Result<Ended, HelperError> {
        let grace_milliseconds = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.ended(&Request::Kill { id: id.clone(), grace_milliseconds }).await
    }

    /// Removes an ended sandbox and all that was its own. One that is not there is removed already.
    pub async fn remove(&self, id: &SandboxId) -> Result<(), HelperError> {
        self.done(&Request::Remove { id: id.clone() }).await
    }

    /// Every sandbox that there is.
    pub async fn list(&self) -> Result<Vec<SandboxRow>, HelperError> {
        match self.ask(&Request::List, &[]).await? {
            Answer::Sandboxes { rows } => Ok(rows),
            other => Err(unexpected(&other)),
        }
    }

    /// What a sandbox uses at this moment.
    pub async fn usage(&self, id: &SandboxId) -> Result<Usage, HelperError> {
        match self.ask(&Request::Usage { id: id.clone() }, &[]).await? {
            Answer::Usage(usage) => Ok(usage),
            other => Err(unexpected(&other)),
        }
    }

    /// What the sandbox's processes listen on.
    pub async fn listeners(&self, id: &SandboxId) -> Result<Vec<SocketAddr>, HelperError> {
        match self.ask(&Request::Listeners { id: id.clone() }, &[]).await? {
            Answer::Listeners { addresses } => Ok(addresses),
            other => Err(unexpected(&other)),
        }
    }

    /// Removes a deleted tool's repository. One that is not there is removed already.
    pub async fn remove_repository(&self, tool: ToolId) -> Result<(), HelperError> {
        self.done(&Request::RemoveRepository { tool }).await
    }

    /// What this machine is.
    pub async fn facts(&self) -> Result<Facts, HelperError> {
        match self.ask(&Request::Facts, &[]).await? {
            Answer::Facts(facts) => Ok(facts),
            other => Err(unexpected(&other)),
        }
    }

    /// Removes a scratch tree. One that is not there is removed already.
    pub async fn remove_scratch(&self, id: &SandboxId) -> Result<(), HelperError> {
        self.done(&Request::RemoveScratch { id: id.clone() }).await
    }

    /// Starts a worker with these as its standard input, output and error.
    pub async fn worker(
        &self,
        worker: Worker,
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    ) -> Result<RunningWorker, HelperError> {
        let request = Request::Worker(worker);
        let connection = self.send(&request, &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]).await?;
        Ok(RunningWorker { connection })
    }

    async fn done(&self, request: &Request) -> Result<(), HelperError> {
        match self.ask(request, &[]).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn ended(&self, request: &Request) -> Result<Ended, HelperError> {
        match self.ask(request, &[]).await? {
            Answer::Ended(ended) => Ok(ended),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<Answer, HelperError> {
        self.send(request, descriptors).await?.answer().await
    }

    async fn send(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Connection, HelperError> {
        let frame = wire::frame(request, MAX_MESSAGE_BYTES).map_err(|error| HelperError::Refused {
            id: "request-too-long".to_owned(),
            text: format!("the request cannot be sent: {error}; shorten its environment"),
        })?;
        let unreachable = |source| HelperError::Unreachable { socket: self.socket.clone(), source };
        let mut stream = UnixStream::connect(&self.socket).await.map_err(unreachable)?;
        let sent = async {
            let sending = || send_with_descriptors(&stream, &frame, descriptors);
            let sent = stream.async_io(Interest::WRITABLE, sending).await?;
            stream.write_all(&frame[sent..]).await
        };
        match sent.await {
            // A helper that refuses before it has read everything has closed, and its answer waits to be read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            sent => sent.map_err(unreachable)?,
        }
        Ok(Connection { stream, socket: self.socket.clone() })
    }
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    socket: PathBuf,
}

impl Connection {
    async fn answer(&mut self) -> Result<Answer, HelperError> {
        let unreachable = |source| HelperError::Unreachable { socket: self.socket.clone(), source };
        let length = self.stream.read_u32().await.map_err(unreachable)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_ANSWER_BYTES {
            return Err(HelperError::Protocol(format!("{length} bytes")));
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).await.map_err(unreachable)?;
        match serde_json::from_slice(&bytes) {
            Ok(Answer::Refused { id, text }) => Err(HelperError::Refused { id, text }),
            Ok(answer) => Ok(answer),
            Err(error) => Err(HelperError::Protocol(error.to_string())),
        }
    }
}

fn send_with_descriptors(
    stream: &UnixStream,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one request"));
    }
    Ok(rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

fn unexpected(answer: &Answer) -> HelperError {
    HelperError::Protocol(format!("{answer:?}"))
}
