//! Hearing at once that the kernel killed a process of a group for memory.

use super::{CgroupError, Group, Version, usage::keyed};
use rustix::event::{EventfdFlags, PollFlags, eventfd};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// A descriptor that wakes `poll` when the group's memory ran out.
///
/// v1: an eventfd registered with `cgroup.event_control` (cgroup-v1/memory.rst, "OOM Control"); it wakes *before* the
/// kernel has chosen and counted. v2: `memory.events` itself, whose changes wake `poll` (cgroup-v2.rst).
#[derive(Debug)]
pub struct MemoryWatch {
    descriptor: OwnedFd,
    version: Version,
    counter: PathBuf,
}

impl MemoryWatch {
    /// Watches an existing group. Needs root; the watch itself does not.
    pub fn new(group: &Group) -> Result<Self, CgroupError> {
        let directory = group.directory("memory");
        let file_error = |path: PathBuf, error: io::Error| CgroupError::File { path, source: error };
        match group.version {
            Version::V1 => {
                let counter = directory.join("memory.oom_control");
                let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
                let descriptor =
                    eventfd(0, flags).map_err(|error| file_error(counter.clone(), error.into()))?;
                let file = open(&counter).map_err(|error| file_error(counter.clone(), error))?;
                let control = directory.join("cgroup.event_control");
                let line = format!("{} {}", descriptor.as_raw_fd(), file.as_raw_fd());
                std::fs::write(&control, line).map_err(|error| file_error(control, error))?;
                Ok(Self { descriptor, version: Version::V1, counter })
            }
            Version::V2 => {
                let counter = directory.join("memory.events");
                let descriptor = open(&counter).map_err(|error| file_error(counter.clone(), error))?;
                Ok(Self { descriptor, version: Version::V2, counter })
            }
        }
    }

    /// What to wait for on [`MemoryWatch::as_fd`].
    pub fn events(&self) -> PollFlags {
        match self.version {
            Version::V1 => PollFlags::IN,
            Version::V2 => PollFlags::PRI,
        }
    }

    /// How many processes the kernel has killed so far; the descriptor wakes again after the next change.
    pub fn kills(&self) -> Result<u64, CgroupError> {
        let mut seen = [0_u8; 512];
        // Reading is what arms it again; v1's eventfd is empty (EAGAIN) when nothing happened.
        let _ = match self.version {
            Version::V1 => rustix::io::read(&self.descriptor, &mut seen),
            Version::V2 => rustix::io::pread(&self.descriptor, &mut seen, 0),
        };
        keyed(&self.counter, "oom_kill")
    }
}

impl AsFd for MemoryWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn open(path: &std::path::Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}
