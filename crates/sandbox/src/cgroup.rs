//! The control group of one sandbox, on cgroup v1 (hybrid included) and v2: what it uses, ending all in it, removing it.
//!
//! The runtime makes the group from config.json; its path (see [`Layout`]) is the same below every v1 hierarchy and
//! below the one v2 tree. Facts about both: kernel documentation, admin-guide/cgroup-v1/ and admin-guide/cgroup-v2.rst.

mod layout;
mod usage;
mod watch;

pub use layout::Layout;
pub use watch::MemoryWatch;

use crate::request::Usage;
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Where the kernel's groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// How long ended processes may take to leave their group.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);

/// Which interface the kernel's memory and pids controllers have on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// Why a group could not be read, ended or removed.
#[derive(Debug, Error)]
pub enum CgroupError {
    #[error("cannot use the control group file {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the control group file {} has no number for {wanted}", path.display())]
    NoNumber { path: PathBuf, wanted: &'static str },
    #[error("processes of the control group {group} did not end within {} seconds", LEAVE_WITHIN.as_secs())]
    StillRunning { group: String },
    #[error("systemd does not end the scope {unit}; `systemctl status {unit}` says why")]
    Systemd { unit: String, source: io::Error },
}

/// One sandbox's group.
#[derive(Clone, Debug)]
pub struct Group {
    root: PathBuf,
    version: Version,
    /// Without its leading slash.
    path: String,
}

/// What this machine has: v2 when `/sys/fs/cgroup` itself is a v2 tree (its root lists its controllers).
pub fn version() -> Version {
    if Path::new(ROOT).join("cgroup.controllers").exists() { Version::V2 } else { Version::V1 }
}

impl Group {
    /// The group at `path`, as `linux.cgroupsPath` names it. It need not exist yet.
    pub fn new(path: &str) -> Self {
        Self::at(Path::new(ROOT), version(), path)
    }

    fn at(root: &Path, version: Version, path: &str) -> Self {
        Self { root: root.to_owned(), version, path: path.trim_start_matches('/').to_owned() }
    }

    /// Where a v1 controller (or, on v2, everything) of this group lies.
    fn directory(&self, controller: &str) -> PathBuf {
        match self.version {
            Version::V1 => self.root.join(controller).join(&self.path),
            Version::V2 => self.root.join(&self.path),
        }
    }

    /// What the whole group uses now. An error when the group does not exist.
    pub fn usage(&self) -> Result<Usage, CgroupError> {
        usage::read(self)
    }

    /// Host pids of all processes in the group and below it; none when there is no such group.
    pub fn pids(&self) -> Result<Vec<Pid>, CgroupError> {
        let mut pids = Vec::new();
        for directory in self.tree("pids")? {
            let path = directory.join("cgroup.procs");
            let text = match std::fs::read_to_string(&path) {
                Err(error) if is_gone(&error) => continue,
                other => other.map_err(|source| CgroupError::File { path, source })?,
            };
            pids.extend(text.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw));
        }
        Ok(pids)
    }

    /// Moves this process to the group, which is made when it is not there: on v2 only, where that is one place.
    pub(crate) fn enter(&self) -> Result<(), CgroupError> {
        let path = self.directory("").join("cgroup.procs");
        let moved = std::fs::create_dir_all(self.directory("")).and_then(|()| std::fs::write(&path, "0"));
        moved.map_err(|source| CgroupError::File { path, source })
    }

    /// Ends every process in the group and waits until none is left. Nothing to do when there is no such group.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        let deadline = Instant::now() + LEAVE_WITHIN;
        loop {
            let pids = self.pids()?;
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(CgroupError::StillRunning { group: self.path.clone() });
            }
            match self.version {
                Version::V2 => self.write("", "cgroup.kill", "1")?,
                Version::V1 => self.kill_frozen()?,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Frozen processes neither fork nor end, so that every pid read is still the same process when it is signalled.
    fn kill_frozen(&self) -> Result<(), CgroupError> {
        self.write("freezer", "freezer.state", "FROZEN")?;
        for pid in self.pids()? {
            let _ = kill_process(pid, Signal::KILL); // Gone already: what was wanted.
        }
        self.write("freezer", "freezer.state", "THAWED")
    }

    /// Removes the group's directories; all its processes must have ended. Done when there is none.
    pub fn remove(&self) -> Result<(), CgroupError> {
        let deadline = Instant::now() + LEAVE_WITHIN;
        for controller in self.controllers()? {
            // Deepest first: a group with a group below it cannot be removed.
            for directory in self.tree(&controller)?.into_iter().rev() {
                remove_directory(&directory, deadline)?;
            }
        }
        Ok(())
    }

    /// Every v1 hierarchy that is mounted (on a hybrid machine `unified` too); on v2 the one tree.
    fn controllers(&self) -> Result<Vec<String>, CgroupError> {
        if self.version == Version::V2 {
            return Ok(vec![String::new()]);
        }
        let file_error = |source| CgroupError::File { path: self.root.clone(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(file_error)? {
            let entry = entry.map_err(file_error)?;
            if entry.file_type().map_err(file_error)?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    /// The group's directory and all below it, parents first.
    fn tree(&self, controller: &str) -> Result<Vec<PathBuf>, CgroupError> {
        let mut found = vec![self.directory(controller)];
        let mut next = 0;
        while let Some(path) = found.get(next).cloned() {
            let entries = match std::fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if is_gone(&error) => {
                    found.remove(next);
                    continue;
                }
                Err(source) => return Err(CgroupError::File { path, source }),
            };
            let below = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            found.extend(below.map(|entry| entry.path()));
            next += 1;
        }
        Ok(found)
    }

    fn write(&self, controller: &str, file: &str, text: &str) -> Result<(), CgroupError> {
        let path = self.directory(controller).join(file);
        match std::fs::write(&path, text) {
            Err(error) if !is_gone(&error) => Err(CgroupError::File { path, source: error }),
            _ => Ok(()),
        }
    }
}

/// A group that is removed at this moment answers ENODEV.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// The kernel takes processes out of a group a moment after they have ended: EBUSY until then.
fn remove_directory(path: &Path, deadline: Instant) -> Result<(), CgroupError> {
    loop {
        match std::fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(source) => return Err(CgroupError::File { path: path.to_owned(), source }),
        }
    }
}

#[cfg(test)]
mod tests;
