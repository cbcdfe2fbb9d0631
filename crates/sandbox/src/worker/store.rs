//! The confinement of workers that write the layer store: a root with nothing but the store, and the store's range.

use super::jail::{self, Account};
use super::{EnterError, StoreRoot, View, cannot};
use crate::mounts::{self, MountError, idmap, overlay};
use model::instance::RANGE_SIZE;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// CPU seconds of one unpack or export.
const CPU_SECONDS: u64 = 1800;
/// Address space: the store streams, it never holds a layer.
const ADDRESS_SPACE_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// The store walks trees with a descriptor a level.
const OPEN_FILES: u64 = 4096;

/// The parts of the data directory that a worker sees.
const SHARED: [&str; 4] = ["layers", "blobs", "scratch", "base"];

/// Becomes root of the store's range in a root of its own.
pub(super) fn enter(root: &StoreRoot, view: Option<&View>) -> Result<(), EnterError> {
    let map =
        idmap::user_namespace(0, root.store_id, RANGE_SIZE).map_err(cannot("make its user namespace"))?;
    mounts::own_namespace().map_err(cannot("have a mount namespace of its own"))?;
    mounts::unshare(UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWNET)
        .map_err(cannot("leave the host's network"))?;
    let new_root = build_root(root, view)?;
    change_root(&new_root)?;
    jail::limit(&[
        (rustix::process::Resource::Cpu, CPU_SECONDS),
        (rustix::process::Resource::As, ADDRESS_SPACE_BYTES),
        (rustix::process::Resource::Nofile, OPEN_FILES),
        (rustix::process::Resource::Core, 0),
    ])?;
    // The namespaces above belong to the host: even root of the store's range cannot mount or configure in them.
    rustix::thread::move_into_link_name_space(map.as_fd(), Some(LinkNameSpaceType::User))
        .map_err(cannot("enter the store's range"))?;
    jail::become_account(&Account { user_id: 0, group_id: 0 })
}

fn build_root(root: &StoreRoot, view: Option<&View>) -> Result<PathBuf, MountError> {
    mounts::tmpfs(&root.at)?;
    let new_root = root.at.join("root");
    mounts::make_directory(&new_root)?;
    mounts::tmpfs(&new_root)?;
    for directory in ["data", "proc"] {
        mounts::make_directory(&new_root.join(directory))?;
    }
    for part in SHARED {
        mounts::make_directory(&new_root.join("data").join(part))?;
        let source = root.data.join(part);
        let target = new_root.join("data").join(part);
        rustix::mount::mount_bind(&source, &target)
            .map_err(|error| MountError::new("cannot give a worker the directory", source, error))?;
    }
    // Its own processes and nothing else, for /proc/self/fd.
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", new_root.join("proc"), "proc", flags, c"subset=pid,hidepid=invisible")
        .map_err(|error| MountError::new("cannot mount a proc on", new_root.join("proc"), error))?;
    if let Some(view) = view {
        mount_view(root, view, &new_root)?;
    }
    Ok(new_root)
}

/// Mounts what a sandbox saw at `/view` and what it wrote at `/upper`, both read-only and with the store's owners.
///
/// The upper directory alone does not tell the truth once a directory was renamed (`redirect_dir`); the merged view does.
fn mount_view(root: &StoreRoot, view: &View, new_root: &Path) -> Result<(), MountError> {
    let map = idmap::user_namespace(view.tool_id, root.store_id, RANGE_SIZE)
        .map_err(|error| MountError::new("cannot make the id map of", &view.upper, error))?;
    let mut lowers = Vec::new();
    for (index, layer) in view.layers.iter().enumerate() {
        lowers.push(mount_read_only(root, layer, None, root.at.join(index.to_string()))?);
    }
    lowers.push(mount_read_only(root, &view.upper, Some(&map), root.at.join("upper"))?);
    mount_read_only(root, &view.upper, Some(&map), new_root.join("upper"))?;
    let merged = new_root.join("view");
    mounts::make_directory(&merged)?;
    overlay::read_only(&root.at, &lowers, &merged)
}

fn mount_read_only(
    root: &StoreRoot,
    tree: &Path,
    map: Option<&OwnedFd>,
    at: PathBuf,
) -> Result<PathBuf, MountError> {
    let opened = mounts::open_beneath(&root.data, tree)?;
    mounts::make_directory(&at)?;
    idmap::mount(opened.as_fd(), map.map(AsFd::as_fd), &at)
        .map_err(|error| MountError::new("cannot show a worker the tree", tree, error))?;
    Ok(at)
}

/// `pivot_root(2)`, "the current directory is both": the old root ends up on top and is taken away.
fn change_root(new_root: &Path) -> Result<(), EnterError> {
    std::env::set_current_dir(new_root).map_err(cannot("enter its own root"))?;
    rustix::process::pivot_root(".", ".").map_err(cannot("change to its own root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(cannot("leave the host's root"))?;
    std::env::set_current_dir("/").map_err(cannot("enter its own root"))
}
