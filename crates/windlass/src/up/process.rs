//! A part's process, held by a descriptor: the program that this process becomes by an upgrade goes on waiting for it.

use rustix::{
    event::{PollFd, PollFlags},
    process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal, waitid,
    },
};
use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::ExitStatus,
};
use tokio::signal::unix::{SignalKind, signal};

/// A child of this process, however many programs ago it was started.
pub(super) struct Process(OwnedFd);

impl Process {
    /// One that was just started, and that nobody else waits for.
    pub(super) fn of(child: &std::process::Child) -> io::Result<Self> {
        Ok(Self(pidfd_open(Pid::from_child(child), PidfdFlags::empty())?))
    }

    /// The one that a pidfd stands for.
    pub(super) fn held(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// Waits for its end. To be called no more once it has said so.
    pub(super) async fn wait(&self) -> io::Result<ExitStatus> {
        // Before the first look: no end comes between.
        let mut ends = signal(SignalKind::child())?;
        loop {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            if let Some(status) = waitid(WaitId::PidFd(self.as_fd()), options)? {
                return Ok(exit_status(&status));
            }
            ends.recv().await;
        }
    }

    /// Whether it has not ended.
    pub(super) fn lives(&self) -> bool {
        let mut ended = [PollFd::new(&self.0, PollFlags::IN)];
        let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut ended, Some(&now)) == Ok(0)
    }

    pub(super) fn signal(&self, signal: Signal) {
        // It may have ended by itself a moment ago.
        let _ = pidfd_send_signal(&self.0, signal);
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// As wait(2) packs it.
fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    match status.exit_status() {
        Some(code) => ExitStatus::from_raw((code & 0xff) << 8),
        None => ExitStatus::from_raw(status.terminating_signal().unwrap_or_default()),
    }
}
