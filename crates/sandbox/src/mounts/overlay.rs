//! Overlays over many layers. The option string must fit one page, so layers are named relative to a short directory.

use super::MountError;
use rustix::mount::MountFlags;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Mounts `lowers` (bottom first, each a child of `base`) below `upper/upper` at `at`.
///
/// `redirect_dir` lets a build rename a directory that a layer brought (EXDEV otherwise); `metacopy` is off so that the
/// upper holds whole files; `volatile` because no upper outlives a crash of the machine, so nothing need be synced.
pub fn writable(base: &Path, lowers: &[PathBuf], upper: &Path, at: &Path) -> Result<(), MountError> {
    let options = format!(
        "redirect_dir=on,metacopy=off,index=off,volatile,lowerdir={},upperdir={},workdir={}",
        stack(base, lowers)?,
        option_path(&upper.join("upper"))?,
        option_path(&upper.join("work"))?,
    );
    mount(base, at, MountFlags::NOSUID | MountFlags::NODEV, options)
}

/// Mounts `lowers` (bottom first, each a child of `base`) read-only at `at`.
pub fn read_only(base: &Path, lowers: &[PathBuf], at: &Path) -> Result<(), MountError> {
    let options = format!("redirect_dir=follow,metacopy=off,index=off,lowerdir={}", stack(base, lowers)?);
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    mount(base, at, flags, options)
}

/// `lowerdir` from the top down, relative to `base`.
fn stack(base: &Path, lowers: &[PathBuf]) -> Result<String, MountError> {
    let names: Result<Vec<String>, MountError> =
        lowers.iter().rev().map(|lower| option_path(lower.strip_prefix(base).unwrap_or(lower))).collect();
    Ok(names?.join(":"))
}

/// A path as an overlay option: no character that means something there.
fn option_path(path: &Path) -> Result<String, MountError> {
    match path.to_str() {
        Some(text) if !text.contains([',', ':', '\\', '"']) => Ok(text.to_owned()),
        _ => {
            let reason =
                std::io::Error::other("choose directories without comma, colon, quote and backslash");
            Err(MountError::new("cannot use in an overlay the path", path, reason))
        }
    }
}

fn mount(base: &Path, at: &Path, flags: MountFlags, options: String) -> Result<(), MountError> {
    let failed = |error: std::io::Error| MountError::new("cannot mount the layers at", at, error);
    let options = CString::new(options).map_err(|error| failed(error.into()))?;
    let before = std::env::current_dir().map_err(failed)?;
    std::env::set_current_dir(base).map_err(failed)?;
    let target = CString::new(at.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
    let mounted = rustix::mount::mount("overlay", target.as_c_str(), "overlay", flags, options.as_c_str());
    std::env::set_current_dir(before).map_err(failed)?;
    mounted.map_err(|error| failed(error.into()))
}
