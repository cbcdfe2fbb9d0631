//! A tree on disk beside what it must look like.

use super::{
    expected::{Expected, Node},
    pace::Pace,
};
use crate::{
    store::StoreError,
    tree::{EntryKind, Stat, Tree, TreeError, shown},
};
use rustix::{
    fs::{OFlags, fgetxattr, flistxattr, fstat},
    io::Errno,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::OsStr,
    fs::File,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// Longest attributes that are compared: what the kernel accepts.
const MAX_ATTRIBUTE_BYTES: usize = 64 * 1024;

/// What differs, at most `max` sentences.
pub(super) fn compare(
    tree: &Tree,
    expected: &Expected,
    pace: &mut Pace,
    max: usize,
) -> Result<Vec<String>, StoreError> {
    let mut walk = Walk { tree, expected, pace, found: Vec::new(), inodes: HashMap::new() };
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    // A stack, because strangers chose the depth.
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        if walk.found.len() >= max {
            return Ok(walk.found);
        }
        let is_directory = walk.look(&path)?;
        seen.insert(path.as_os_str().as_bytes().to_vec());
        if is_directory {
            let names = tree.list(&path).map_err(broken)?;
            waiting.extend(names.into_iter().rev().map(|name| path.join(name)));
        }
    }
    let missing = expected.paths.keys().filter(|path| !seen.contains(*path));
    let room = max.saturating_sub(walk.found.len());
    walk.found.extend(missing.take(room).map(|path| format!("`{}` is missing", name(path))));
    Ok(walk.found)
}

struct Walk<'a> {
    tree: &'a Tree,
    expected: &'a Expected,
    pace: &'a mut Pace,
    found: Vec<String>,
    /// Which expected node each inode of a file stands for.
    inodes: HashMap<u64, usize>,
}

impl Walk<'_> {
    /// Looks at one path; says whether it is a directory whose entries are to be looked at.
    fn look(&mut self, path: &Path) -> Result<bool, StoreError> {
        let key = path.as_os_str().as_bytes();
        let shown = name(key);
        let Some(index) = self.expected.paths.get(key).copied() else {
            self.found.push(format!("`{shown}` should not be there"));
            return Ok(false);
        };
        let node = &self.expected.nodes[index];
        let handle = self.tree.resolve(path, OFlags::PATH | OFlags::NOFOLLOW).map_err(broken)?;
        let raw = fstat(&handle).map_err(|errno| failed("look at", path, errno))?;
        let stat = Stat::from(&raw);
        if stat.kind != node.kind {
            self.found.push(format!("`{shown}` is a {:?}, not a {:?}", stat.kind, node.kind));
            return Ok(false);
        }
        if let Some(mode) = node.mode.filter(|mode| *mode != stat.mode) {
            self.found.push(format!("`{shown}` has mode {:o}, not {mode:o}", stat.mode));
        }
        let owner = (u64::from(stat.user_id), u64::from(stat.group_id));
        if let Some((user, group)) = node.owner.filter(|expected| *expected != owner) {
            self.found.push(format!("`{shown}` belongs to {}:{}, not {user}:{group}", owner.0, owner.1));
        }
        let time = (raw.st_mtime, i64::try_from(raw.st_mtime_nsec).unwrap_or(0));
        if node.modified.is_some_and(|modified| (modified.seconds, modified.nanoseconds) != time) {
            self.found.push(format!("`{shown}` was changed at another time than its blob says"));
        }
        if stat.kind == EntryKind::Symlink
            && self.tree.read_link(path).map_err(broken)?.as_bytes() != node.target
        {
            self.found.push(format!("`{shown}` points elsewhere"));
        }
        if stat.kind == EntryKind::File {
            self.file(path, &shown, &stat, index)?;
        }
        if matches!(stat.kind, EntryKind::File | EntryKind::Directory) {
            self.attributes(path, &shown, node)?;
        }
        Ok(stat.kind == EntryKind::Directory)
    }

    fn file(&mut self, path: &Path, shown: &str, stat: &Stat, index: usize) -> Result<(), StoreError> {
        let node = &self.expected.nodes[index];
        match self.inodes.insert(stat.inode, index) {
            // Another name of a file that was read already.
            Some(other) if other == index => return Ok(()),
            Some(_) => self.found.push(format!("`{shown}` is a link to another file")),
            None => {}
        }
        if stat.size_bytes != node.size_bytes {
            self.found.push(format!("`{shown}` has {} bytes, not {}", stat.size_bytes, node.size_bytes));
            return Ok(());
        }
        let mut file = self.tree.open_file(path).map_err(broken)?;
        match self.pace.hash(&mut file) {
            Ok(digest) if digest == model::Digest::from_bytes(node.content) => {}
            Ok(_) => self.found.push(format!("`{shown}` has other content")),
            Err(error) => self.found.push(format!("`{shown}` cannot be read: {error}")),
        }
        Ok(())
    }

    fn attributes(&mut self, path: &Path, shown: &str, node: &Node) -> Result<(), StoreError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(self.tree.resolve(path, flags).map_err(broken)?);
        let mut names = vec![0; MAX_ATTRIBUTE_BYTES];
        let length = match flistxattr(&file, names.as_mut_slice()) {
            Err(Errno::NOTSUP) => return Ok(()),
            length => length.map_err(|errno| failed("read the attributes of", path, errno))?,
        };
        let mut there = BTreeMap::new();
        for name in names[..length].split(|byte| *byte == 0) {
            if name != b"security.capability" && !name.starts_with(b"user.") {
                continue;
            }
            let mut value = vec![0; MAX_ATTRIBUTE_BYTES];
            let length = fgetxattr(&file, OsStr::from_bytes(name), value.as_mut_slice())
                .map_err(|errno| failed("read an attribute of", path, errno))?;
            value.truncate(length);
            there.insert(name.to_vec(), value);
        }
        // A capability names the range that it counts in; the kernel writes that where the tar could not.
        let same = there.len() == node.attributes.len()
            && node.attributes.iter().all(|(name, value)| {
                there.get(name).is_some_and(|found| found == value || name == b"security.capability")
            });
        if !same {
            self.found.push(format!("`{shown}` has other attributes"));
        }
        Ok(())
    }
}

/// A path for people.
fn name(path: &[u8]) -> String {
    if path.is_empty() { "/".to_owned() } else { shown(Path::new(OsStr::from_bytes(path))) }
}

fn failed(action: &'static str, path: &Path, errno: Errno) -> StoreError {
    StoreError::System { action, path: shown(path), source: errno.into() }
}

fn broken(error: TreeError) -> StoreError {
    match error {
        TreeError::System { action, path, source } => StoreError::System { action, path, source },
        other => StoreError::Damaged { path: String::new(), what: other.to_string() },
    }
}
