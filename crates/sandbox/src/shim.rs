//! The keeper of one running container: a single-threaded process that outlives the platform's restarts.
//!
//! The helper starts `windlass shim` as root with three descriptors ([`CONFIG_FD`], [`LOG_FD`], [`READY_FD`]). The shim
//! locks `shim.lock`, makes the sandbox's mounts, runs the runtime's `create`, says [`Ready`], waits on `shim.sock` to
//! be told to start, then gives up root (it keeps CAP_KILL only), drains stdout and stderr into the log, ends what
//! outstays its wall clock, waits for the container's first process itself and writes `exit.json`.
//! [`state`] is the helper's side: whether a shim lives, how its sandbox ended, and asking it for something.

pub mod state;

use crate::request::SandboxId;
use model::Limits;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
    /// `linux.cgroupsPath` of config.json: `/wl0/<id>`.
    pub cgroup: String,
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
