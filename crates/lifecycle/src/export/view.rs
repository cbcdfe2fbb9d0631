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

    /// Whether the build wrote nothing at `path` or below, so that all of it is as the layers below brought it.
    ///
    /// An overlay copies a directory up before anything in it changes; a directory that was deleted and made again
    /// stands in the upper too. Without an upper nobody knows, and the answer is no.
    pub(super) fn is_untouched(&self, path: &Path) -> Result<bool, TreeError> {
        match &self.upper {
            Some(upper) => Ok(upper.stat(path)?.is_none()),
            None => Ok(false),
        }
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
