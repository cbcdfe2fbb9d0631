//! How a worker process of ours becomes harmless before it reads a stranger's byte.
//!
//! The helper starts `windlass worker <kind>` as root with a [`Task`] on [`TASK_FD`]; the binary calls [`enter`] first
//! of all, with one thread, and then does the work that [`Entered`] names. Workers of the layer store see a root of
//! their own (`/data/layers`, `/data/blobs`, `/data/scratch`, `/data/base`, an export also `/view` and `/upper`) as
//! root of the store's range; git runs under landlock in the one repository.

mod jail;
mod store;
pub mod tidy;

use crate::request::SandboxId;
use rustix::fd::FromRawFd;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use thiserror::Error;

/// Descriptor with the [`Task`] as JSON, read to its end.
pub const TASK_FD: i32 = 3;
/// Where a worker of the layer store sees the data directory.
pub const DATA: &str = "/data";
/// Where an export sees the merged root of its sandbox.
pub const VIEW: &str = "/view";
/// Where an export sees what its sandbox wrote.
pub const UPPER: &str = "/upper";

/// What one worker does, with everything that the helper decided about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Task {
    UnpackLayer(StoreRoot),
    UnpackScratch { root: StoreRoot, id: SandboxId, owner: u32, max_bytes: u64, max_entries: u64 },
    ImportBase(StoreRoot),
    Maintain(StoreRoot),
    Export { root: StoreRoot, view: View },
    Git(GitTask),
    TidyRepository(GitTask),
}

/// The root of a worker of the layer store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoreRoot {
    /// An existing empty directory, covered in the worker's own mount namespace.
    pub(crate) at: PathBuf,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// First host id of the store's range.
    pub(crate) store_id: u32,
}

/// What an export reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct View {
    /// Beneath the data directory, bottom first.
    pub(crate) layers: Vec<PathBuf>,
    /// The sandbox's upper, beneath the data directory.
    pub(crate) upper: PathBuf,
    /// First host id of the range that wrote it.
    pub(crate) tool_id: u32,
}

/// One git process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GitTask {
    pub(crate) program: PathBuf,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) repository: PathBuf,
    /// Directories with our hooks and the binary that they run.
    pub(crate) programs: Vec<PathBuf>,
    pub(crate) user_id: u32,
    pub(crate) group_id: u32,
    pub(crate) cpu_seconds: u64,
    pub(crate) file_bytes: u64,
    /// Whether it goes on when the helper that started it is gone.
    pub(crate) outlives_helper: bool,
}

/// The work that the calling binary does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entered {
    /// Unpack the layer on stdin into the store at `data`.
    UnpackLayer { data: PathBuf },
    /// Unpack the tar on stdin into the scratch tree `id` of the store at `data`.
    UnpackScratch { data: PathBuf, id: SandboxId, owner: u32, max_bytes: u64, max_entries: u64 },
    /// Publish the base images that lie in `data/base`.
    ImportBase { data: PathBuf },
    /// Do what the order on stdin says with the store at `data`.
    Maintain { data: PathBuf },
    /// Export what [`VIEW`] holds into the store at `data`.
    Export { data: PathBuf },
    /// Call [`tidy::tidy`] on this repository.
    TidyRepository { repository: PathBuf },
}

/// A worker that could not be confined; it has read nothing of a stranger's.
#[derive(Debug, Error)]
pub enum EnterError {
    #[error("no task on descriptor {TASK_FD}: workers are started by the helper only")]
    NoTask(#[source] io::Error),
    #[error("the task on descriptor {TASK_FD} is of another version")]
    BadTask(#[source] serde_json::Error),
    #[error(transparent)]
    Mount(#[from] crate::mounts::MountError),
    #[error("the worker cannot {what}")]
    Confine {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("landlock does not confine the worker")]
    Landlock(#[from] landlock::RulesetError),
    #[error("the program {} cannot be started", program.display())]
    Execute {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// For `map_err`: what could not be done.
fn cannot<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> EnterError {
    move |source| EnterError::Confine { what, source: source.into() }
}

/// Reads the task, gives up everything that it does not need, and says what is to be done. For git it does not come
/// back: the process has become git.
pub fn enter() -> Result<Entered, EnterError> {
    match read_task()? {
        Task::UnpackLayer(root) => {
            store::enter(&root, None)?;
            Ok(Entered::UnpackLayer { data: DATA.into() })
        }
        Task::UnpackScratch { root, id, owner, max_bytes, max_entries } => {
            store::enter(&root, None)?;
            Ok(Entered::UnpackScratch { data: DATA.into(), id, owner, max_bytes, max_entries })
        }
        Task::ImportBase(root) => {
            store::enter(&root, None)?;
            Ok(Entered::ImportBase { data: DATA.into() })
        }
        Task::Maintain(root) => {
            store::enter(&root, None)?;
            Ok(Entered::Maintain { data: DATA.into() })
        }
        Task::Export { root, view } => {
            store::enter(&root, Some(&view))?;
            Ok(Entered::Export { data: DATA.into() })
        }
        Task::Git(task) => Err(jail::become_git(&task)),
        Task::TidyRepository(task) => {
            jail::confine_git(&task)?;
            Ok(Entered::TidyRepository { repository: task.repository })
        }
    }
}

fn read_task() -> Result<Task, EnterError> {
    // Judged before it is owned: without a helper the number may belong to nobody.
    rustix::io::fcntl_getfd(task_descriptor()).map_err(|error| EnterError::NoTask(error.into()))?;
    #[expect(unsafe_code, reason = "descriptors inherited by number")]
    // SAFETY: it is open, and by the contract with the helper nothing else in this process uses it.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(TASK_FD) });
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(EnterError::NoTask)?;
    serde_json::from_slice(&bytes).map_err(EnterError::BadTask)
}

fn task_descriptor() -> rustix::fd::BorrowedFd<'static> {
    #[expect(unsafe_code, reason = "descriptors inherited by number")]
    // SAFETY: not -1; only asked whether it is open.
    unsafe {
        rustix::fd::BorrowedFd::borrow_raw(TASK_FD)
    }
}
