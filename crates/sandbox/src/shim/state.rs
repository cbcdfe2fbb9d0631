//! What others may know and ask of a shim, by its sandbox's directory.
//!
//! A living shim holds an exclusive flock on `shim.lock`. `exit.json` is empty until the end, written by one `write`
//! before the lock goes. So: lock free and `exit.json` empty or missing = the shim was lost.

use crate::request::{Ended, KilledBy, State};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Held exclusively by the shim as long as it lives.
pub const LOCK_FILE: &str = "shim.lock";
/// Where the shim answers.
pub const SOCKET_FILE: &str = "shim.sock";
/// One [`Ended`] as JSON.
pub const EXIT_FILE: &str = "exit.json";
/// Host pid of the container's first process, as the runtime wrote it.
pub const PID_FILE: &str = "container.pid";

/// Longest question or reply on the socket in bytes, its newline included.
pub(crate) const MAX_LINE_BYTES: u64 = 4096;

/// A question to a shim: one JSON document on one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Ask {
    /// Lets the created process run. Asked again: nothing more happens.
    Start,
    /// SIGTERM now, SIGKILL to the whole tree after the grace. The reply does not wait for the end.
    Kill { grace_milliseconds: u64, because: KilledBy },
    /// Where is it?
    State,
}

/// A shim's reply: one JSON document on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// Done; this is the state now.
    State { state: State },
    /// Not done, and why.
    Failed { text: String },
}

fn lock(directory: &Path, operation: FlockOperation) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(directory.join(LOCK_FILE), flags, Mode::empty())?;
    Ok(rustix::fs::flock(&file, operation)?)
}

/// Whether a shim lives for this sandbox.
pub fn is_alive(directory: &Path) -> io::Result<bool> {
    match lock(directory, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(error) if error.raw_os_error() == Some(Errno::WOULDBLOCK.raw_os_error()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Blocks this thread until no shim lives for this sandbox.
pub fn wait_gone(directory: &Path) -> io::Result<()> {
    loop {
        match lock(directory, FlockOperation::LockShared) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
}

/// How the sandbox ended; `None` when it has not, or when its shim was lost before it could tell.
pub fn ended(directory: &Path) -> io::Result<Option<Ended>> {
    let bytes = match std::fs::read(directory.join(EXIT_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from)
}

/// Asks the sandbox's shim and waits at most ten seconds for its reply. Refused or missing socket: no shim.
pub fn ask(directory: &Path, ask: Ask) -> io::Result<Reply> {
    // By the directory's descriptor: a socket's address holds 107 bytes, a directory's name may be longer.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    let mut socket = UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET_FILE}", directory.as_raw_fd()))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.set_write_timeout(Some(Duration::from_secs(10)))?;
    let mut line = serde_json::to_vec(&ask)?;
    line.push(b'\n');
    socket.write_all(&line)?;
    let mut reply = Vec::new();
    BufReader::new(socket.take(MAX_LINE_BYTES)).read_until(b'\n', &mut reply)?;
    Ok(serde_json::from_slice(&reply)?)
}
