//! Measuring and removing trees that strangers wrote: of any depth, changing meanwhile, full of links.

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Deepest tree that is measured; one open directory a level. Real trees (`node_modules`) stay below 60.
const MAX_DEPTH: usize = 512;
/// What a file costs at least, of whatever size: a file system runs out of inodes too, and an empty file takes no block.
const FILE_BYTES: u64 = 4096;
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Bytes that a tree takes on disk, at least 4 KiB a file; links to one file count once. A tree deeper than 512 directories counts as
/// endless, since nobody can say what it holds.
pub(crate) fn bytes(tree: &Path) -> io::Result<u64> {
    let mut total: u64 = 0;
    let mut linked: HashSet<(u64, u64)> = HashSet::new();
    let mut open = vec![Dir::new(rustix::fs::openat(CWD, tree, DIRECTORY, Mode::empty())?)?];
    while let Some(directory) = open.last_mut() {
        let Some(entry) = directory.read() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if is_dots(name) {
            continue;
        }
        let here = directory.fd()?;
        let Some(stat) = present(rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW))? else {
            continue;
        };
        if counts(&stat, &mut linked) {
            let bytes = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
            total = total.saturating_add(bytes.max(FILE_BYTES));
        }
        if is_directory(&stat) {
            let opened = present(rustix::fs::openat(here, name, DIRECTORY, Mode::empty()))?;
            if open.len() >= MAX_DEPTH {
                return Ok(u64::MAX);
            }
            if let Some(below) = opened {
                open.push(Dir::new(below)?);
            }
        }
    }
    Ok(total)
}

fn counts(stat: &Stat, linked: &mut HashSet<(u64, u64)>) -> bool {
    is_directory(stat) || stat.st_nlink < 2 || linked.insert((stat.st_dev, stat.st_ino))
}

/// Removes a tree, also one that is deeper than there are descriptors: what lies deep is first moved up. Gives false
/// when there was none. The caller has ended everything that could still write to it.
pub(crate) fn remove(tree: &Path) -> io::Result<bool> {
    let stat = match rustix::fs::statat(CWD, tree, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        other => other?,
    };
    if !is_directory(&stat) {
        std::fs::remove_file(tree)?;
        return Ok(true);
    }
    let top = rustix::fs::openat(CWD, tree, DIRECTORY, Mode::empty())?;
    let mut moved: u64 = 0;
    loop {
        let names = entries(&top)?;
        if names.is_empty() {
            break;
        }
        for name in &names {
            if unlink_file(&top, name)? {
                continue;
            }
            let below = rustix::fs::openat(&top, name.as_c_str(), DIRECTORY, Mode::empty())?;
            for inner in entries(&below)? {
                if !unlink_file(&below, &inner)? && !remove_empty(&below, &inner)? {
                    move_up(&below, &inner, &top, &mut moved)?;
                }
            }
            rustix::fs::unlinkat(&top, name.as_c_str(), AtFlags::REMOVEDIR)?;
        }
    }
    std::fs::remove_dir(tree)?;
    Ok(true)
}

/// Renames a directory into `top` under a name that is free there.
fn move_up(from: &OwnedFd, name: &CStr, top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    loop {
        let free = format!("windlass-removed-{moved}");
        *moved += 1;
        match rustix::fs::renameat_with(from, name, top, free.as_str(), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            other => return Ok(other?),
        }
    }
}

fn entries(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !is_dots(entry.file_name()) {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// False when it is a directory.
fn unlink_file(directory: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// False when it is not empty.
fn remove_empty(directory: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
        Ok(()) => Ok(true),
        Err(Errno::NOTEMPTY) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What is there; `None` when the build has removed or replaced it meanwhile.
fn present<T>(result: rustix::io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_deeper_than_there_are_descriptors_is_measured_as_endless_and_removed() {
        let place = tempfile::tempdir().unwrap();
        let tree = place.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let mut here = rustix::fs::openat(CWD, &tree, DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&here, "deeper", Mode::from_raw_mode(0o755)).unwrap();
            here = rustix::fs::openat(&here, "deeper", DIRECTORY, Mode::empty()).unwrap();
        }
        assert_eq!(bytes(&tree).unwrap(), u64::MAX);
        assert!(remove(&tree).unwrap());
        assert!(!tree.exists());
        assert!(!remove(&tree).unwrap());
    }

    #[test]
    fn links_count_once_and_what_they_point_to_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let outside = place.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), vec![1; 1 << 20]).unwrap();
        let tree = place.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::write(tree.join("a/file"), vec![1; 1 << 20]).unwrap();
        std::fs::hard_link(tree.join("a/file"), tree.join("a/b/same")).unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("a/link")).unwrap();
        let measured = bytes(&tree).unwrap();
        assert!((1 << 20..(1 << 20) + 65_536).contains(&measured), "{measured}");
        assert!(remove(&tree).unwrap());
        assert!(outside.join("kept").exists());
    }
}
