//! The tree that a build left, and what of it the build itself wrote.

use super::ExportError;
use layers::{EntryKind, Stat, Tree, TreeError};
use std::path::{Path, PathBuf};

/// Most bytes and entries of one layer, checked before anything is read: a file with holes is as long as it says.
const MAX_BYTES: u64 = 16 * 1024 * 1024 * 1024;
const MAX_ENTRIES: u64 = 1_000_000;

/// A build's tree.
#[derive(Debug)]
pub struct View {
    /// All of it, as the build saw it at its end.
    pub(super) merged: Tree,
    /// What the build wrote: the upper directory of its overlay, when it is known.
    upper: Option<Tree>,
}

impl View {
    /// Opens the merged tree and, when the platform shows it, the upper directory alone.
    pub fn open(merged: &Path, upper: Option<&Path>) -> Result<Self, TreeError> {
        Ok(Self { merged: Tree::open(merged)?, upper: upper.map(Tree::open).transpose()? })
    }

    /// Whether `path` is, with all below it, what `mounted` brought: the tree of the layer that was mounted there.
    ///
    /// An overlay copies a directory up before anything in it changes, so nothing of an unchanged one stands in the
    /// upper. That alone is no proof: a directory above may have been renamed to here, with another layer in it. So
    /// it must also be the same directory, by its inode's number, which an overlay keeps. Where the platform shows no
    /// upper, or layers lie on several file systems, the answer is no and the layer is read.
    pub(super) fn is_untouched(&self, path: &Path, mounted: &Tree) -> Result<bool, TreeError> {
        let Some(upper) = &self.upper else { return Ok(false) };
        if upper.stat(path)?.is_some() {
            return Ok(false);
        }
        let inode = |stat: Option<Stat>| stat.map(|stat| stat.inode);
        let (here, there) = (inode(self.merged.stat(path)?), inode(mounted.stat(path)?));
        Ok(here.is_some() && here == there)
    }

    /// Whether a real directory stands at `path`; anything else there is an error.
    pub(super) fn is_directory(&self, path: &Path) -> Result<bool, ExportError> {
        let found = match self.merged.stat(path)?.map(|stat: Stat| stat.kind) {
            None => return Ok(false),
            Some(EntryKind::Directory) => return Ok(true),
            Some(EntryKind::File) => "a file",
            Some(EntryKind::Symlink) => "a symbolic link",
            Some(EntryKind::Fifo) => "a pipe",
            Some(EntryKind::Socket) => "a socket",
            Some(EntryKind::Device) => "a device",
        };
        Err(ExportError::NotADirectory { path: shown(path), found })
    }

    /// Refuses what is too much for one layer.
    pub(super) fn check_size(&self, path: &Path) -> Result<(), ExportError> {
        let (mut bytes, mut entries) = (0_u64, 0_u64);
        let mut waiting: Vec<PathBuf> = vec![path.to_owned()];
        while let Some(next) = waiting.pop() {
            let Some(stat) = self.merged.stat(&next)? else { continue };
            bytes = bytes.saturating_add(stat.size_bytes);
            entries += 1;
            if bytes > MAX_BYTES || entries > MAX_ENTRIES {
                return Err(ExportError::TooLarge {
                    path: shown(path),
                    max_bytes: MAX_BYTES,
                    max_entries: MAX_ENTRIES,
                });
            }
            if stat.kind == EntryKind::Directory {
                waiting.extend(self.merged.list(&next)?.into_iter().map(|name| next.join(name)));
            }
        }
        Ok(())
    }
}

/// A path for people: strangers chose it, so it is cut and control characters are escaped.
pub(super) fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().take(200).flat_map(char::escape_debug).collect()
}
