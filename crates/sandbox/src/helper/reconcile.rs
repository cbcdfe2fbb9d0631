//! What a starting helper finds: sandboxes that run are adopted untouched, everything half-made or orphaned goes.

use super::keep::{self, Kept};
use super::place::Place;
use super::refusal::Refusal;
use super::{State, create, tree};
use crate::request::{Network, SandboxId};
use model::instance::RangeIndex;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// Makes the directories that the helper and its workers need, with their owners.
pub(crate) fn prepare_directories(state: &State) -> Result<(), Refusal> {
    let paths = &state.config.paths;
    let instance = state.config.instance;
    let store = instance.first_id(RangeIndex::STORE);
    let (git, serve) = (instance.git_id(), instance.serve_id());
    let layers = paths.layers();
    let wanted = [
        // Lent and looked through by other ids: only the owner lists them.
        (paths.run.clone(), 0o711, None),
        (paths.sandbox_runs(), 0o711, Some((0, 0))),
        (state.worker_root(), 0o711, Some((0, 0))),
        (state.runtime_root(), 0o700, Some((0, 0))),
        (paths.data.clone(), 0o711, None),
        (paths.sandboxes(), 0o700, Some((0, 0))),
        (layers.clone(), 0o755, Some((store, store))),
        (layers.join(".new"), 0o755, Some((store, store))),
        (layers.join(".trash"), 0o755, Some((store, store))),
        (layers.join(".replaced"), 0o755, Some((store, store))),
        (paths.data.join("scratch"), 0o755, Some((store, store))),
        (paths.data.join("blobs"), 0o755, Some((store, store))),
        (paths.blobs(), 0o755, Some((store, store))),
        // Filled by the set-up script, as root.
        (paths.data.join("base"), 0o755, None),
        (paths.data.join("git"), 0o750, Some((git, serve))),
    ];
    for (directory, mode, owner) in wanted {
        make(&directory, mode, owner).map_err(|error| {
            Refusal::platform(format_args!("cannot prepare the directory {}", directory.display()), &error)
        })?;
    }
    Ok(())
}

/// One that exists and belongs to somebody keeps its mode and owner where none is asked for.
fn make(directory: &Path, mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let is_new = !directory.exists();
    fs::create_dir_all(directory)?;
    if is_new || owner.is_some() {
        fs::set_permissions(directory, fs::Permissions::from_mode(mode))?;
    }
    if let Some((user, group)) = owner {
        chown(directory, Some(user), Some(group))?;
    }
    Ok(())
}

/// Adopts what has a record and removes what has none.
pub(crate) fn adopt(state: &Arc<State>) -> Result<(), Refusal> {
    let paths = &state.config.paths;
    for id in ids_in(&paths.sandbox_runs())? {
        let place = Place::new(paths, &id);
        match place.record() {
            Ok(Some(record)) => {
                let cgroup = state.cgroup(&id);
                let kept = Arc::new(Kept::new(record.spec, record.address, place, cgroup));
                keep::keep(state, &kept, Vec::new()).map_err(|error| {
                    Refusal::platform(format_args!("cannot adopt the sandbox {id}"), &error)
                })?;
                if let Some(worker) = record.egress {
                    create::watch_way_out(state, &kept, worker);
                }
                state.add(kept);
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(sandbox = %id, %error, "the record of a sandbox is damaged"),
        }
        let _busy = state.occupy(&id);
        state.clear(&id, &place)?;
    }
    // After a reboot the run directory is empty and what sandboxes wrote is still there.
    for id in ids_in(&paths.sandboxes())? {
        if state.find(&id).is_none() {
            state.clear(&id, &Place::new(paths, &id))?;
        }
    }
    if state.all().iter().any(|kept| kept.spec.network == Network::Tool)
        && let Err(error) = state.network.prepare()
    {
        tracing::error!(%error, "the rules of running tools cannot be renewed");
    }
    Ok(())
}

/// Removes what dead workers were writing or removing: none of them outlives its helper. What is large is removed
/// beside the helper's work; it has lost its name first, so that no new worker meets it.
pub(crate) fn sweep_store(state: &State) {
    let layers = state.config.paths.layers();
    let trash = layers.join(".trash");
    for entry in entries(&layers.join(".new")) {
        if let Err(error) = fs::rename(&entry, trash.join(model::PushId::new().to_string())) {
            tracing::warn!(path = %entry.display(), %error, "cannot sweep");
        }
    }
    let unfinished =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".new-"));
    for blob in entries(&state.config.paths.blobs()).into_iter().filter(unfinished) {
        if let Err(error) = fs::remove_file(&blob) {
            tracing::warn!(path = %blob.display(), %error, "cannot sweep");
        }
    }
    let rubbish = entries(&trash);
    let sweeping = thread::Builder::new().name("sweep".to_owned()).spawn(move || {
        for path in rubbish {
            if let Err(error) = tree::remove(&path) {
                tracing::warn!(path = %path.display(), %error, "cannot sweep");
            }
        }
    });
    if let Err(error) = sweeping {
        tracing::warn!(%error, "no thread to sweep the layer store with; it is done at the next start");
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn ids_in(directory: &Path) -> Result<Vec<SandboxId>, Refusal> {
    let failed = |error: &io::Error| {
        Refusal::platform(format_args!("cannot read the directory {}", directory.display()), error)
    };
    let mut ids = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| failed(&error))? {
        let entry = entry.map_err(|error| failed(&error))?;
        if let Some(Ok(id)) = entry.file_name().to_str().map(str::parse) {
            ids.push(id);
        } else {
            tracing::warn!(path = %entry.path().display(), "not a sandbox's directory; left alone");
        }
    }
    Ok(ids)
}
