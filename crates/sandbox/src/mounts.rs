//! The mounts of one sandbox, made in a mount namespace of its own so that they vanish with its processes.
//!
//! Layers lie in the store under the store's range of host ids. Each is cloned and ID-mapped into the tool's range
//! ([`idmap`]); an overlay ([`overlay`]) puts them below a writable upper, which is a directory for builds and a
//! sparse file system on a loop device ([`loop_device`]) for everything that runs longer. Whoever calls these
//! functions has one thread, since namespaces belong to threads.

pub mod idmap;
pub mod loop_device;
pub mod overlay;

use model::instance::RANGE_SIZE;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where in the sandbox's tmpfs the merged root appears.
pub const ROOT: &str = "root";

/// Everything that [`enter`] mounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// An existing empty directory: a small tmpfs is mounted here, and the root appears in it as `root`.
    pub at: PathBuf,
    /// The data directory; `layers` are looked up beneath it, through no symbolic link.
    pub data: PathBuf,
    /// Trees below the upper, bottom first, as [`layer_path`](crate::helper) writes them.
    pub layers: Vec<PathBuf>,
    pub upper: Upper,
    /// First host id of the layer store's range.
    pub store_id: u32,
    /// First host id of the tool's range.
    pub tool_id: u32,
}

/// Where a sandbox's own writes go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Upper {
    /// A directory that holds `upper/` (owned by the tool's range) and `work/`.
    Directory(PathBuf),
    /// A file with an ext4 file system.
    Image(PathBuf),
}

/// A mount that could not be made.
#[derive(Debug, Error)]
#[error("{what} {}", path.display())]
pub struct MountError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl MountError {
    pub(crate) fn new(what: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self { what, path: path.into(), source: source.into() }
    }
}

/// Gives the calling process a mount namespace of its own. The host's unmounts still reach it, so that it holds
/// nothing busy; its own mounts reach nobody.
pub fn own_namespace() -> io::Result<()> {
    unshare(UnshareFlags::NEWNS)?;
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(())
}

/// Moves the calling, single-threaded process into new namespaces.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: no caller passes FILES, the one flag that can hide descriptors from other threads.
    #[expect(unsafe_code, reason = "unshare is unsafe in rustix for the sake of FILES alone")]
    unsafe {
        rustix::thread::unshare_unsafe(flags)?;
    }
    Ok(())
}

/// Enters a mount namespace of its own and makes all of the plan's mounts in it. Gives the merged root.
pub fn enter(plan: &Plan) -> Result<PathBuf, MountError> {
    own_namespace().map_err(|error| MountError::new("cannot make a mount namespace for", &plan.at, error))?;
    tmpfs(&plan.at)?;
    let map = idmap::user_namespace(plan.store_id, plan.tool_id, RANGE_SIZE)
        .map_err(|error| MountError::new("cannot make the id map of", &plan.at, error))?;
    let lowers = plan.layers.iter().enumerate().map(|(index, layer)| {
        let tree = open_beneath(&plan.data, layer)?;
        let at = plan.at.join(index.to_string());
        make_directory(&at)?;
        idmap::mount(tree.as_fd(), Some(map.as_fd()), &at)
            .map_err(|error| MountError::new("cannot mount with the tool's ids the layer", layer, error))?;
        Ok(at)
    });
    let lowers: Vec<PathBuf> = lowers.collect::<Result<_, MountError>>()?;
    let upper = match &plan.upper {
        Upper::Directory(directory) => directory.clone(),
        Upper::Image(image) => mount_image(image, &plan.at.join("disk"), plan.tool_id)?,
    };
    let root = plan.at.join(ROOT);
    make_directory(&root)?;
    overlay::writable(&plan.at, &lowers, &upper, &root)?;
    Ok(root)
}

/// Mounts a small tmpfs that only holds mount points.
pub(crate) fn tmpfs(at: &Path) -> Result<(), MountError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("tmpfs", at, "tmpfs", flags, c"mode=0755,size=1m")
        .map_err(|error| MountError::new("cannot mount a tmpfs on", at, error))
}

pub(crate) fn make_directory(path: &Path) -> Result<(), MountError> {
    std::fs::create_dir(path).map_err(|error| MountError::new("cannot make the directory", path, error))
}

/// Opens a directory beneath `data`, following no symbolic link on the way: the store's range may write there.
pub(crate) fn open_beneath(data: &Path, relative: &Path) -> Result<OwnedFd, MountError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let failed = |error| MountError::new("cannot open", data.join(relative), io::Error::from(error));
    let top = rustix::fs::open(data, flags, Mode::empty()).map_err(failed)?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(top, relative, flags, Mode::empty(), resolve).map_err(failed)
}

/// Mounts an ext4 image and prepares `upper/` and `work/` in it.
fn mount_image(image: &Path, at: &Path, tool_id: u32) -> Result<PathBuf, MountError> {
    make_directory(at)?;
    let failed = |error| MountError::new("cannot mount the writable disk", image, error);
    let device = loop_device::attach(image).map_err(failed)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
    // Freed blocks go back to the host; the unused inode tables of a file that lives for one start stay sparse.
    rustix::mount::mount(device.path(), at, "ext4", flags, c"discard,noinit_itable,errors=remount-ro")
        .map_err(|error| failed(error.into()))?;
    make_directory(&at.join("work"))?;
    let upper = at.join("upper");
    make_directory(&upper)?;
    std::os::unix::fs::chown(&upper, Some(tool_id), Some(tool_id)).map_err(failed)?;
    Ok(at.to_owned())
}
