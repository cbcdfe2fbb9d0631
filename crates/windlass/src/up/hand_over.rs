//! How `windlass up` becomes another program, as an upgrade of its own code: it asks that program whether it would take
//! over, then executes it in its place. The process stays, and with it its children; what they need (lease, listening
//! sockets, processes) goes as descriptors of one message, on a socket that is the new program's standard input.

mod message;
mod rehearsal;

use super::{child::Start, control::Asker};
use crate::{lease::Lease, settings::Settings};
use anyhow::{Context, Result};
use message::Document;
pub(super) use rehearsal::rehearse;
pub(crate) use rehearsal::{VERB, answer};
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    stdio::{dup2_stdin, stdin},
};
use std::{
    net::TcpListener,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{net::UnixListener, process::CommandExt},
    },
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// Says to a new program that its standard input is a hand-over.
const VARIABLE: &str = "WINDLASS_HAND_OVER";

/// What one part had.
pub(super) struct Part {
    /// What it listens on; `None` when that was given back.
    pub(super) socket: Option<OwnedFd>,
    pub(super) process: Option<OwnedFd>,
    /// Processes that were replaced and finish what they have begun.
    pub(super) leaving: Vec<OwnedFd>,
}

/// What the program before this one left, beside the lease and the program's path.
pub(super) struct Taken {
    pub(super) public: TcpListener,
    pub(super) starter: UnixListener,
    /// In the order of [`super::Role::ALL`].
    pub(super) parts: [Part; 3],
    pub(super) asker: Asker,
    /// How long it took until now.
    pub(super) took: Duration,
}

/// What the program before this one hands over; `None` when there was none. The path is that of the program which
/// this process was told to become: after an upgrade the kernel might not know.
pub(super) fn receive() -> Result<Option<(Lease, PathBuf, Taken)>> {
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(None);
    }
    let (document, mut descriptors) = message::receive(stdin()).context("the hand-over cannot be read")?;
    let mut next = || descriptors.next().context("descriptors are missing in the hand-over");
    // The standard input that the process had before.
    dup2_stdin(next()?)?;
    let lease = Lease::taken_over(document.instance, next()?);
    let starter = next()?.into();
    let mut parts = Vec::new();
    for part in &document.parts {
        let socket = part.socket.then(&mut next).transpose()?;
        let process = part.process.then(&mut next).transpose()?;
        let leaving = (0..part.leaving).map(|_| next()).collect::<Result<_>>()?;
        parts.push(Part { socket, process, leaving });
    }
    let asker = if document.asker { Asker::Root(next()?.into()) } else { Asker::Signal };
    let mut parts: [Part; 3] =
        parts.try_into().ok().context("the hand-over names other parts than there are")?;
    let [_, router, _] = &mut parts;
    let public = router.socket.take().context("the hand-over has no public socket")?.into();
    let took = now().saturating_sub(document.began);
    Ok(Some((lease, document.program, Taken { public, starter, parts, asker, took })))
}

/// What stays the same whoever runs: the beginning of every hand-over.
pub(super) struct Running {
    pub(super) lease: Lease,
    pub(super) starter: UnixListener,
    pub(super) settings: Settings,
    pub(super) start: Arc<Start>,
}

/// Becomes the program that lies at the path now. Returns only when that cannot be; then all is as it was.
pub(super) fn execute(running: &Running, parts: &[Part; 3], asker: &Asker, began: Duration) -> anyhow::Error {
    let error = match prepared(running, parts, asker, began) {
        Ok((socket, own_stdin)) => {
            let mut command = Command::new(&running.start.program);
            command.arg("up").arg(&running.start.file).env(VARIABLE, "1").stdin(Stdio::from(socket));
            let error = command.exec();
            let _ = dup2_stdin(own_stdin);
            // This, too, was made ready for the other program: without a word a closed connection would end this one.
            let _ = signal(SignalKind::pipe());
            anyhow::Error::from(error)
        }
        Err(error) => error,
    };
    error.context(format!("cannot become {}", running.start.program.display()))
}

/// The socket in which everything lies ready for the new program, and the standard input that it stands in for.
fn prepared(
    running: &Running,
    parts: &[Part; 3],
    asker: &Asker,
    began: Duration,
) -> Result<(OwnedFd, OwnedFd)> {
    let document = Document::of(running, parts, matches!(asker, Asker::Root(_)), began);
    let own_stdin = rustix::io::fcntl_dupfd_cloexec(stdin(), 0)?;
    let mut descriptors: Vec<BorrowedFd<'_>> =
        vec![own_stdin.as_fd(), running.lease.as_fd(), running.starter.as_fd()];
    for part in parts {
        descriptors.extend(part.socket.iter().chain(&part.process).chain(&part.leaving).map(AsFd::as_fd));
    }
    if let Asker::Root(stream) = asker {
        descriptors.push(stream.as_fd());
    }
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    message::send(ours.as_fd(), &document, &descriptors)?;
    Ok((theirs, own_stdin))
}

/// The machine's monotonic clock, which both programs read.
pub(super) fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(now).unwrap_or_default()
}
