//! The root side: mounts, id maps, control groups, networks and the OCI runtime, behind the typed verbs of
//! [`request`](crate::request). Blocking threads, no async, no parser of strangers' bytes.
//!
//! Its truth is on disk (`<run>/sandboxes/<id>`) and in the shims' locks; memory only mirrors it, so that a helper
//! that was killed goes on where it was ([`reconcile`]).

mod bundle;
mod check;
mod create;
mod disk;
#[cfg(test)]
mod example;
mod facts;
mod git;
mod keep;
mod place;
mod reconcile;
mod refusal;
mod serve;
mod spawn;
mod tree;
mod verbs;
mod way_out;
mod workers;

pub(crate) use check::check as check_spec;
pub(crate) use git::{argv as git_arguments, environment as git_environment};
pub use refusal::Refusal;

use crate::cgroup::Layout;
use crate::network::tool::ToolNetwork;
use crate::request::{Kind, SandboxId};
use keep::Kept;
use model::{Instance, Paths};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use thiserror::Error;

/// How long a helper that leaves finishes what it has begun. What only waits, for the end of a sandbox or of a push, is
/// not waited for.
const FINISH_WITHIN: Duration = Duration::from_secs(15);

/// What the operator and `windlass up` decide.
#[derive(Clone, Debug)]
pub struct Config {
    pub instance: Instance,
    pub paths: Paths,
    /// The `windlass` binary, for shims and workers; all may read it and its directory.
    pub program: PathBuf,
    /// The OCI runtime's program.
    pub runtime: PathBuf,
    /// The git program.
    pub git: PathBuf,
    /// The directory with the git hooks.
    pub hooks: PathBuf,
    /// Bound over the image's bundle in builds that ask for it.
    pub ca_bundle: Option<PathBuf>,
    /// `address/prefix` of the tools' network, for example 10.128.0.0/10.
    pub network_pool: String,
    /// What tools may ask for names; see [`system_resolvers`](crate::network::tool::system_resolvers).
    pub resolvers: Vec<Ipv4Addr>,
    /// Largest file that a git process may write: no push or collection makes more of a repository than this.
    pub git_file_bytes: u64,
    /// Free bytes below which no build starts, and below half of which the largest one is ended.
    pub free_reserve_bytes: u64,
}

/// Why the helper does not serve.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("the helper needs root; start the platform with `windlass up` as root")]
    NotRoot,
    #[error("the tools' network cannot be used")]
    Network(#[from] crate::network::NetworkError),
    #[error("the helper cannot take over what is there")]
    Prepare(#[from] Refusal),
    #[error("the helper's socket {} cannot be used", path.display())]
    Socket {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the helper has no thread to watch builds")]
    Thread(#[source] io::Error),
}

/// The helper's memory.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) network: ToolNetwork,
    layout: Layout,
    kept: Mutex<BTreeMap<SandboxId, Arc<Kept>>>,
    /// Ids that somebody is making or removing at this moment.
    busy: Mutex<BTreeSet<SandboxId>>,
    freed: Condvar,
    pub(crate) store_workers: Mutex<workers::StoreWorkers>,
    pub(crate) blank_images: disk::BlankImages,
    /// Requests that a helper finishes before it leaves.
    unfinished: Mutex<usize>,
    finished: Condvar,
}

/// What the starter gives to a helper.
pub struct Starter {
    /// The starter holds it, too: who asks while the helper restarts waits in it.
    pub listener: UnixListener,
    /// Becomes readable when the helper is to leave: it takes no more requests and finishes those that it has.
    pub leave: OwnedFd,
    /// Called once requests are taken.
    pub ready: fn(),
}

/// Serves until the starter says that it is to leave; without a starter for ever, on a listener of its own at
/// [`Paths::helper_socket`].
///
/// # Errors
/// When it cannot take over what is there, or its socket breaks.
pub fn serve(config: Config, starter: Option<Starter>) -> Result<(), ServeError> {
    if !rustix::process::geteuid().is_root() {
        return Err(ServeError::NotRoot);
    }
    raise_open_files();
    let network = ToolNetwork::new(config.instance, &config.network_pool, config.resolvers.clone())?;
    let state = Arc::new(State {
        config,
        network,
        layout: Layout::here(),
        kept: Mutex::default(),
        busy: Mutex::default(),
        freed: Condvar::new(),
        store_workers: Mutex::default(),
        blank_images: Mutex::default(),
        unfinished: Mutex::default(),
        finished: Condvar::new(),
    });
    reconcile::prepare_directories(&state)?;
    reconcile::sweep_store(&state);
    reconcile::adopt(&state)?;
    let watcher = Arc::clone(&state);
    thread::Builder::new()
        .name("disk".to_owned())
        .spawn(move || disk::watch(&watcher))
        .map_err(ServeError::Thread)?;
    let path = state.config.paths.helper_socket();
    let failed = |source| ServeError::Socket { path: path.clone(), source };
    let (listener, leave) = match starter {
        Some(Starter { listener, leave, ready }) => {
            // Whoever held it before may have waited on it in another way.
            listener.set_nonblocking(false).map_err(failed)?;
            ready();
            (listener, Some(leave))
        }
        None => (listen(&path, state.config.instance.serve_id()).map_err(failed)?, None),
    };
    serve::accept(&state, &listener, leave.as_ref()).map_err(failed)?;
    drop(listener);
    state.finish();
    Ok(())
}

/// A socket that only serve may connect to.
fn listen(path: &Path, owner: u32) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    chown(path, Some(owner), Some(owner))?;
    Ok(listener)
}

/// Many sandboxes, deep trees: as many open files as the machine allows.
fn raise_open_files() {
    let resource = rustix::process::Resource::Nofile;
    let mut limit = rustix::process::getrlimit(resource);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(resource, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// An id is free again when this goes.
struct Occupied<'a> {
    state: &'a State,
    id: SandboxId,
}

impl Drop for Occupied<'_> {
    fn drop(&mut self) {
        self.state.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        self.state.freed.notify_all();
    }
}

/// A request is finished when this goes.
struct Unfinished<'a>(&'a State);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        *self.0.unfinished.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.finished.notify_all();
    }
}

impl State {
    /// Begins a request that is to be finished whatever comes.
    fn begin(&self) -> Unfinished<'_> {
        *self.unfinished.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Unfinished(self)
    }

    /// Waits until those are done.
    fn finish(&self) {
        let unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        let waited =
            self.finished.wait_timeout_while(unfinished, FINISH_WITHIN, |unfinished| *unfinished > 0);
        let left = *waited.unwrap_or_else(PoisonError::into_inner).0;
        if left > 0 {
            tracing::warn!(left, "the helper leaves requests unfinished");
        }
    }

    /// Waits until nobody else makes or removes a sandbox of this id.
    fn occupy(&self, id: &SandboxId) -> Occupied<'_> {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_while(busy, |busy| busy.contains(id));
        waited.unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        Occupied { state: self, id: id.clone() }
    }

    fn find(&self, id: &SandboxId) -> Option<Arc<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn add(&self, kept: Arc<Kept>) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(kept.spec.id.clone(), kept);
    }

    fn forget(&self, id: &SandboxId) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn all(&self) -> Vec<Arc<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn running_builds(&self) -> Vec<Arc<Kept>> {
        let mut all = self.all();
        all.retain(|kept| kept.spec.kind == Kind::Build && kept.ended().is_none());
        all
    }

    /// The runtime's `--root`.
    fn runtime_root(&self) -> PathBuf {
        self.config.paths.run.join("runtime")
    }

    /// Where workers of the store mount their root, each in its own mount namespace.
    fn worker_root(&self) -> PathBuf {
        self.config.paths.run.join("worker")
    }

    /// A container's name for the runtime.
    fn container(&self, id: &SandboxId) -> String {
        format!("{}-{id}", self.config.instance.tag())
    }

    /// A sandbox's control group.
    fn cgroup(&self, id: &SandboxId) -> String {
        self.layout.path(self.config.instance, id)
    }
}
