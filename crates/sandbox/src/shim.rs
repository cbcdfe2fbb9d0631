//! The keeper of one running container: a single-threaded process that outlives the platform's restarts.
//!
//! The helper starts `windlass shim` as root with three descriptors ([`CONFIG_FD`], [`LOG_FD`], [`READY_FD`]). The shim
//! locks `shim.lock`, makes the sandbox's mounts, runs the runtime's `create`, says [`Ready`], waits on `shim.sock` to
//! be told to start, then gives up root (it keeps `CAP_KILL` only), drains stdout and stderr into the log, ends what
//! outstays its wall clock, waits for the container's first process itself and writes `exit.json`.
//! [`state`] is the helper's side: whether a shim lives, how its sandbox ended, and asking it for something.

mod inherit;
mod keeper;
mod memory;
mod pipe;
mod place;
mod privilege;
mod runtime;
pub mod state;

use crate::cgroup::{CgroupError, Group, MemoryWatch};
use crate::mounts::{self, MountError};
use crate::request::{Ended, SandboxId};
use keeper::{Container, Keeper};
use model::Limits;
use place::Place;
use runtime::{Failure, Refusal, Runtime, RuntimeError};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use thiserror::Error;

/// Descriptor with the [`Config`] as JSON, read to its end.
pub const CONFIG_FD: i32 = 3;
/// Descriptor of the sandbox's log stream, opened for append (see the `logs` crate).
pub const LOG_FD: i32 = 4;
/// Descriptor to which the shim writes one [`Ready`] as JSON before it closes it. Closed without a word: it died.
pub const READY_FD: i32 = 5;

/// What one shim is told. The helper makes every path in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub id: SandboxId,
    /// The OCI runtime's program.
    pub runtime: PathBuf,
    /// Its `--root`: where it keeps the state of this platform's containers.
    pub runtime_root: PathBuf,
    /// The container's name for the runtime, with the instance tag: `wl0-<id>`.
    pub container: String,
    /// The sandbox's own directory, made by the helper: `bundle/` is in it; the shim adds `shim.lock`, `shim.sock`,
    /// `exit.json` and `container.pid`.
    pub directory: PathBuf,
    /// Made in a mount namespace of the shim's own before the runtime is called.
    pub mounts: crate::mounts::Plan,
    /// `linux.cgroupsPath` of config.json.
    pub cgroup: String,
    /// The group that the shim moves itself to, see [`Layout`](crate::cgroup::Layout).
    pub own_cgroup: Option<String>,
    /// Of these the shim enforces `wall_seconds` and `log_bytes`; the others it names in texts.
    pub limits: Limits,
    /// User and group that the shim becomes once the container runs: `Instance::shim_id`.
    pub drop_to: u32,
}

/// What the shim says when `create` is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ready", rename_all = "kebab-case")]
pub enum Ready {
    /// The container's first process (host pid) exists and waits for [`state::Ask::Start`].
    Created { pid: i32 },
    /// The tool's own fault, such as a program that is not in the image: told in the log and in `exit.json`.
    Ended,
    /// The platform's fault; nothing was left running and there is no `exit.json`.
    Failed { text: String },
}

/// Why a shim could not do its work: the platform's fault.
#[derive(Debug, Error)]
enum ShimError {
    #[error("descriptor {0} is not open: `windlass shim` is started by the helper only")]
    NotInherited(i32),
    #[error("cannot read the shim's configuration")]
    Config(#[source] io::Error),
    #[error("cannot use {0} in the sandbox's directory")]
    Place(&'static str, #[source] io::Error),
    #[error("another shim keeps this sandbox")]
    Locked,
    #[error("cannot {0}")]
    Kernel(&'static str, #[source] io::Error),
    #[error(transparent)]
    Mounts(#[from] MountError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// `windlass shim`: keeps one container from its creation to its end. Exit status 0 when `exit.json` was written.
pub fn main() -> ExitCode {
    match inherit::take().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass shim: {}", model::sentence::of(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(inherited: inherit::Inherited) -> Result<(), ShimError> {
    let inherit::Inherited { config, log, ready } = inherited;
    let mut log = logs::Writer::from_fd(log, config.limits.log_bytes);
    let runtime = Runtime::new(&config);
    match set_up(&config, &runtime) {
        Ok((place, Ok(container))) => {
            inherit::say(ready, &Ready::Created { pid: container.pid }).inspect_err(|_| runtime.delete())?;
            let ended = Keeper::new(&config, &runtime, &place, container, log).run()?;
            place.record(&ended)
        }
        Ok((place, Err(refusal))) => {
            log.platform(&refusal.text).map_err(|error| ShimError::Kernel("write to the log", error))?;
            place.record(&ended_before_start(refusal.status))?;
            inherit::say(ready, &Ready::Ended)
        }
        Err(error) => {
            inherit::say(ready, &Ready::Failed { text: model::sentence::of(&error) })?;
            Err(error)
        }
    }
}

fn ended_before_start(status: i32) -> Ended {
    Ended {
        status,
        killed_by: None,
        memory_peak_bytes: 0,
        memory_kills: 0,
        cpu_microseconds: 0,
        wall_microseconds: 0,
    }
}

/// Everything up to a container that waits to be started; nothing is left running after an error or a refusal.
fn set_up(config: &Config, runtime: &Runtime) -> Result<(Place, Result<Container, Refusal>), ShimError> {
    let place = Place::take(&config.directory)?;
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
        .map_err(|error| ShimError::Kernel("become the parent of orphans", error.into()))?;
    if let Some(own) = &config.own_cgroup {
        // Before the runtime gives controllers to the scope: no process may then be in it.
        Group::new(own).enter()?;
        privilege::outlive_terminate();
    }
    mounts::enter(&config.mounts)?;
    let created = match runtime.create() {
        Ok(created) => created,
        Err(Failure::Refused(refusal)) => return Ok((place, Err(refusal))),
        Err(Failure::Runtime(error)) => return Err(error.into()),
    };
    let group = Group::new(&config.cgroup);
    match MemoryWatch::new(&group) {
        Ok(memory) => Ok((place, Ok(Container::new(created, group, memory)))),
        Err(error) => {
            runtime.delete();
            Err(error.into())
        }
    }
}
