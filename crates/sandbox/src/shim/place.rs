//! The shim's files in its sandbox's directory: lock, exit status, socket.

use super::ShimError;
use super::state::{Ask, EXIT_FILE, LOCK_FILE, MAX_LINE_BYTES, Reply, SOCKET_FILE};
use crate::request::Ended;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long others' short looks at the lock are waited for.
const LOCK_WITHIN: Duration = Duration::from_secs(1);
/// How long a caller may take to write its question: until then tools' output waits.
const QUESTION_WITHIN: Duration = Duration::from_secs(1);

/// What a living shim holds.
pub(super) struct Place {
    exit: File,
    listener: UnixListener,
    /// Held until the process ends; last, so that the lock goes after everything else.
    _lock: OwnedFd,
}

impl Place {
    /// Takes the directory: from now on this shim, and no other, keeps its sandbox.
    pub(super) fn take(directory: &Path) -> Result<Self, ShimError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let directory = rustix::fs::open(directory, flags, Mode::empty())
            .map_err(|error| ShimError::Place("itself", error.into()))?;
        let lock = lock(&directory)?;
        let exit = open(&directory, EXIT_FILE, OFlags::WRONLY | OFlags::TRUNC)?;
        let listener = listen(&directory).map_err(|error| ShimError::Place(SOCKET_FILE, error))?;
        Ok(Self { exit: exit.into(), listener, _lock: lock })
    }

    /// Writes how the sandbox ended, with one `write`.
    pub(super) fn record(&self, ended: &Ended) -> Result<(), ShimError> {
        let written =
            serde_json::to_vec(ended).map_err(io::Error::from).and_then(|text| (&self.exit).write_all(&text));
        written.map_err(|error| ShimError::Place(EXIT_FILE, error))
    }

    /// Takes one question from the socket and writes what `answer` says. A caller that goes away is no error.
    pub(super) fn converse(&self, answer: impl FnOnce(Ask) -> Reply) -> io::Result<()> {
        let (stream, _) = match self.listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            other => other?,
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(QUESTION_WITHIN))?;
        stream.set_write_timeout(Some(QUESTION_WITHIN))?;
        let mut line = Vec::new();
        BufReader::new((&stream).take(MAX_LINE_BYTES)).read_until(b'\n', &mut line)?;
        let reply = match serde_json::from_slice(&line) {
            Ok(ask) => answer(ask),
            Err(error) => Reply::Failed { text: format!("not a question: {error}") },
        };
        let mut text = serde_json::to_vec(&reply)?;
        text.push(b'\n');
        (&stream).write_all(&text)
    }
}

/// Readable when somebody asks something.
impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

fn open(directory: &OwnedFd, name: &'static str, flags: OFlags) -> Result<OwnedFd, ShimError> {
    let flags = flags | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))
        .map_err(|error| ShimError::Place(name, error.into()))
}

fn lock(directory: &OwnedFd) -> Result<OwnedFd, ShimError> {
    let file = open(directory, LOCK_FILE, OFlags::RDWR)?;
    let deadline = Instant::now() + LOCK_WITHIN;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            // Whoever asks whether a shim lives holds the lock for a moment.
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(ShimError::Locked),
            Err(error) => return Err(ShimError::Place(LOCK_FILE, error.into())),
        }
    }
}

/// Listens in the directory by its descriptor: a socket's address holds 107 bytes, a directory's name may be longer.
fn listen(directory: &OwnedFd) -> io::Result<UnixListener> {
    match rustix::fs::unlinkat(directory, SOCKET_FILE, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET_FILE}", directory.as_raw_fd()))?;
    rustix::fs::chmodat(directory, SOCKET_FILE, Mode::from_raw_mode(0o600), rustix::fs::AtFlags::empty())?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
