//! What serve may ask of the helper. Every request names things; the helper builds every path itself.

use egress::Policy;
use model::{DiffId, Instance, Limits, ToolId, instance::RangeIndex};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
};
use thiserror::Error;

/// Largest request or answer on the helper's socket, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The name of a sandbox or of a scratch tree: `[a-z0-9-]{1,64}`, not starting with a dash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SandboxId(String);

/// Text that is no sandbox id.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not an id: use 1 to 64 lower-case letters, digits and dashes")]
pub struct BadId(String);

impl FromStr for SandboxId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > 64 || text.starts_with('-') || !text.bytes().all(letter) {
            return Err(BadId(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl SandboxId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SandboxId {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<SandboxId> for String {
    fn from(id: SandboxId) -> Self {
        id.0
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// What a sandbox is for. Each kind has one reviewed config.json template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Buildpacks over a source tree: upper on the store's file system (watched), no outside network but egress.
    Build,
    /// A running process of a tool: upper is a sparse file system on a loop device.
    Service,
    /// A release command: as a service, but it ends by itself.
    Task,
}

/// One read-only layer of a sandbox's root, below its writable upper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerRef {
    /// A published layer of the layer store.
    Published(DiffId),
    /// A tree that an unpack worker made for this use: `scratch/<id>/tree`, owned by the store's range.
    Scratch(SandboxId),
}

/// The network of a sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Loopback only.
    None,
    /// Loopback, and our listeners inside it as the only way out (docs/egress.md).
    Egress(Policy),
    /// A veth pair with nftables rules: the outside, but never the host, private ranges, metadata or other tools.
    Tool,
}

/// Everything that makes a sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxSpec {
    pub id: SandboxId,
    pub kind: Kind,
    /// The tool's range; the helper refuses those of the platform.
    pub range: RangeIndex,
    /// Bottom layer first, 1 to 120 of them.
    pub layers: Vec<LayerRef>,
    pub argv: Vec<String>,
    /// `NAME=value` pairs in order.
    pub env: Vec<(String, String)>,
    /// Absolute path inside.
    pub cwd: String,
    /// User and group inside; never 0 unless an image extension asks for it (not yet).
    pub user_id: u32,
    pub group_id: u32,
    pub limits: Limits,
    pub network: Network,
    /// Bind the operator's CA bundle read-only over the image's (builds only).
    pub ca_bundle: bool,
}

/// A request to the helper: one JSON document, with descriptors by `SCM_RIGHTS` where noted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// Descriptor 0: the log stream, opened for append. Mounts, bundle, cgroup, network; the process waits to start.
    /// Answer: [`Answer::Created`]. The same spec twice gives the same sandbox.
    Create(SandboxSpec),
    /// Lets the created process run.
    Start { id: SandboxId },
    /// Answers when the sandbox has ended: [`Answer::Ended`]. May be asked again at any time, also after a restart.
    Wait { id: SandboxId },
    /// SIGTERM, then SIGKILL to the whole tree after the grace. Answer: [`Answer::Ended`].
    Kill { id: SandboxId, grace_milliseconds: u64 },
    /// Removes an ended sandbox: mounts, cgroup, network, directories. Answer: [`Answer::Done`].
    Remove { id: SandboxId },
    /// Answer: [`Answer::Sandboxes`]: the truth after a restart.
    List,
    /// Answer: [`Answer::Usage`].
    Usage { id: SandboxId },
    /// Answer: [`Answer::Listeners`]: what the sandbox's processes listen on, read from its network namespace
    /// (`/proc/<pid>/net/tcp` and `tcp6`); for telling a person why nothing answers.
    Listeners { id: SandboxId },
    /// Starts a worker of ours under an id of its own. Descriptors 0, 1, 2: its stdin, stdout, stderr.
    /// Answer: [`Answer::WorkerEnded`] when it ends; closing the connection kills it.
    Worker(Worker),
    /// Removes a scratch tree. Answer: [`Answer::Done`], also when it was not there.
    RemoveScratch { id: SandboxId },
    /// Removes a deleted tool's bare repository. Answer: [`Answer::Done`], also when it was not there.
    RemoveRepository { tool: ToolId },
    /// Answer: [`Answer::Facts`]: what `doctor` and the log print.
    Facts,
}

/// A fixed program over one tree. None takes a path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "worker", rename_all = "kebab-case")]
pub enum Worker {
    /// stdin: a layer tar, plain or gzip. Publishes it with its blob. stdout: one JSON `layers::Published`.
    /// Runs as root of the store's range.
    UnpackLayer,
    /// stdin: a tar, plain. Unpacks below `scratch/<id>/tree`, everything owned by `owner` (inside ids).
    /// stdout: one JSON `layers::Unpacked`. Runs as root of the store's range.
    UnpackScratch { id: SandboxId, owner: u32, max_bytes: u64, max_entries: u64 },
    /// Publishes the base images that lie in `<data>/base`. stdout: one JSON `layers::base::BaseImages`.
    /// Runs as root of the store's range.
    ImportBase,
    /// Reads the merged view of an ended build read-only at /view (owners shifted to the store's range) and writes
    /// layers and blobs. stdin: JSON `lifecycle::export::Request`, stdout: JSON `lifecycle::export::Report`.
    Export { sandbox: SandboxId },
    /// Removes, checks and repairs layers and blobs. stdin: JSON `layers::Order`, stdout: JSON `layers::Answer`.
    /// Runs as root of the store's range.
    Maintain,
    /// `git <service> …` in one tool's bare repository, as the git id. See `git::command`.
    Git { tool: ToolId, service: GitService, config: Vec<(String, String)>, env: Vec<(String, String)> },
    /// Removes what git processes that were killed left in one tool's repository, as the git id.
    /// stdout: one JSON [`Tidied`].
    TidyRepository { tool: ToolId },
}

/// What was left by git processes that were killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tidied {
    pub removed: u32,
    /// Still too young to be sure that nobody works with them.
    pub waiting: u32,
}

/// Memory that one git process may ask for: a pack of the largest honest push is read within it.
pub const GIT_ADDRESS_SPACE_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Processor time of one git process; maintenance has more.
pub const GIT_CPU_SECONDS: u64 = 120;

/// What the git program is asked to do. Arguments are object ids and ref names of a strict grammar, passed after `--`
/// or in places where git takes no option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GitService {
    /// `init --bare`
    Init,
    /// `upload-pack --stateless-rpc [--http-backend-info-refs]`
    UploadPack { advertise: bool },
    /// `receive-pack --stateless-rpc [--http-backend-info-refs]`
    ReceivePack { advertise: bool },
    /// `update-ref <ref> <new> <old>`; new all zeros deletes, old all zeros means "must not exist"
    UpdateRef { name: String, new: String, old: String },
    /// `archive --format=tar --prefix=workspace/ <commit>`
    Archive { commit: String },
    /// `cat-file --batch` (object names on stdin)
    CatFile,
    /// `ls-tree -r -l -z --full-tree <commit>`
    ListTree { commit: String },
    /// `merge-base --is-ancestor <old> <new>`
    IsAncestor { old: String, new: String },
    /// `cat-file --batch-check` (object names on stdin)
    CheckObjects,
    /// `for-each-ref` below these names: one `<object> <ref>` a line
    ListRefs { under: Vec<String> },
    /// `repack`: few packs of growing size; what nobody names stays
    Repack,
    /// `gc`: one pack; what nobody names and is older than `keep_days` (at least 1) goes
    Collect { keep_days: u32 },
}

impl GitService {
    /// Whether it mostly waits for the run that a push sets off, which may take longer than a helper lives: such a git
    /// goes on without the helper that started it, and ends with its pipes.
    pub(crate) const fn outlives_helpers(&self) -> bool {
        matches!(self, Self::ReceivePack { advertise: false })
    }
}

/// How a sandbox's process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Exit status, 128 + signal when a signal ended it.
    pub status: i32,
    /// Why we ended it, when we did.
    pub killed_by: Option<KilledBy>,
    /// Highest memory use of the tree in bytes.
    pub memory_peak_bytes: u64,
    /// Processes that the kernel killed for memory, workers of the tool included.
    pub memory_kills: u64,
    /// CPU time of the tree in microseconds.
    pub cpu_microseconds: u64,
    /// Wall clock from start to end in microseconds.
    pub wall_microseconds: u64,
}

/// Which limit or actor ended a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KilledBy {
    /// The memory limit ended the first process.
    Memory,
    /// The wall clock.
    Wall,
    /// The writable bytes of a build tree.
    Disk,
    /// A request.
    Request,
    /// The shim was lost: the platform's fault, never the tool's.
    Platform,
}

/// Where a sandbox is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Created,
    Running,
    Ended,
}

/// One row of [`Answer::Sandboxes`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxRow {
    pub id: SandboxId,
    pub kind: Kind,
    pub state: State,
    /// The address that answers, for [`Network::Tool`].
    pub address: Option<Ipv4Addr>,
}

/// Use at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub memory_bytes: u64,
    pub memory_peak_bytes: u64,
    pub memory_kills: u64,
    pub cpu_microseconds: u64,
    pub pids: u64,
}

/// What this machine is, for `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub instance: Instance,
    pub kernel: String,
    pub runtime: String,
    pub runtime_version: String,
    /// `v1` or `v2`.
    pub cgroup: String,
}

/// The helper's answer to one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    Done,
    /// `address` is set for [`Network::Tool`].
    Created {
        address: Option<Ipv4Addr>,
    },
    Ended(Ended),
    Sandboxes {
        rows: Vec<SandboxRow>,
    },
    Usage(Usage),
    Listeners {
        addresses: Vec<SocketAddr>,
    },
    /// Exit status as in [`Ended::status`].
    WorkerEnded {
        status: i32,
    },
    Facts(Facts),
    /// The request was refused or failed; nothing is half-done.
    Refused {
        id: String,
        text: String,
    },
}
