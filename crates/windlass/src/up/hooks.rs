//! The hooks directory: two names of this very program, owned by root, for git's processes to run.

use anyhow::{Context, Result};
use model::Paths;
use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// Where the helper tells git to look for hooks.
pub(crate) fn directory(paths: &Paths) -> PathBuf {
    paths.run.join("hooks")
}

/// Makes `pre-receive` and `proc-receive` in it: names of `program`.
pub(super) fn install(paths: &Paths, program: &Path) -> Result<()> {
    let directory = directory(paths);
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for name in ["pre-receive", "proc-receive"] {
        let (link, new) = (directory.join(name), directory.join(format!("{name}.new")));
        // At no moment a hook is missing: during an upgrade git may be about to call it.
        replace(program, &link, &new).with_context(|| format!("cannot make {}", link.display()))?;
    }
    Ok(())
}

fn replace(program: &Path, link: &Path, new: &Path) -> io::Result<()> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(program, new)?;
    fs::rename(new, link)
}
