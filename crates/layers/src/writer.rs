//! Writes the tar of a layer byte for byte as the reference lifecycle does, so that both give the same diffID:
//! absolute names without a trailing slash, one fixed time, no names of owners, hard links as copies, no extended
//! attributes, two closing blocks and no padding to a record.

mod header;

use crate::tree::{EntryKind, Stat, Tree, TreeError, shown};
use header::Header;
pub(crate) use header::LAYER_TIME_SECONDS;
use model::{DiffId, Digest};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Who owns an entry of a layer: ids as in the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub user_id: u32,
    pub group_id: u32,
}

impl Owner {
    pub const ROOT: Self = Self { user_id: 0, group_id: 0 };
}

/// A layer could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    #[error("cannot read the tree")]
    Tree(#[from] TreeError),
    #[error("`{path}` is not there")]
    Missing { path: String },
    #[error("`{path}` is a device, which no layer may hold; remove it")]
    Device { path: String },
    #[error("`{path}` became shorter while it was read; something still writes to it")]
    Changed { path: String },
    #[error("cannot write the layer")]
    Output(#[from] io::Error),
    #[error("the thread that writes the layer ended by itself")]
    Ended,
}

/// A layer could not be written or published.
#[derive(Debug, Error)]
pub enum PublishError {
    #[error("cannot make the layer")]
    Write(#[from] WriteError),
    #[error("cannot unpack the layer")]
    Unpack(#[from] crate::UnpackError),
    #[error("cannot keep the layer")]
    Store(#[from] crate::StoreError),
}

/// Writes one layer's tar. Paths are absolute paths in the image.
pub struct LayerWriter<'a> {
    output: &'a mut dyn Write,
    /// Parents already written by [`Self::tree`].
    parents: BTreeSet<PathBuf>,
}

impl<'a> LayerWriter<'a> {
    fn new(output: &'a mut dyn Write) -> Self {
        Self { output, parents: BTreeSet::new() }
    }

    /// A directory.
    pub fn directory(&mut self, path: impl AsRef<Path>, mode: u32, owner: Owner) -> Result<(), WriteError> {
        self.entry(path.as_ref(), b'5', b"", mode, owner, 0)
    }

    /// A regular file with this content.
    pub fn file(
        &mut self,
        path: impl AsRef<Path>,
        mode: u32,
        owner: Owner,
        content: &[u8],
    ) -> Result<(), WriteError> {
        self.entry(path.as_ref(), b'0', b"", mode, owner, content.len() as u64)?;
        self.output.write_all(content)?;
        self.pad(content.len() as u64)
    }

    /// A symbolic link, with the mode that the reference gives to the links of process types.
    pub fn symlink(
        &mut self,
        path: impl AsRef<Path>,
        target: impl AsRef<Path>,
        owner: Owner,
    ) -> Result<(), WriteError> {
        self.entry(path.as_ref(), b'2', target.as_ref().as_os_str().as_bytes(), 0o755, owner, 0)
    }

    /// The parents of `path` with the owner and mode that they have in `view`, then `path` and all below it in the
    /// order of names, owned by `owner`. Sockets are left out; a device is an error.
    pub fn tree(&mut self, view: &Tree, path: impl AsRef<Path>, owner: Owner) -> Result<(), WriteError> {
        let top = path.as_ref();
        let mut parents: Vec<_> = top.ancestors().skip(1).filter(|p| p.file_name().is_some()).collect();
        parents.reverse();
        for parent in parents {
            if self.parents.insert(parent.to_owned()) {
                let stat = stat(view, parent)?;
                let owner = Owner { user_id: stat.user_id, group_id: stat.group_id };
                self.directory(parent, stat.mode, owner)?;
            }
        }
        // Depth first in the order of names; a stack, because strangers choose the depth.
        let mut waiting = vec![top.to_owned()];
        while let Some(path) = waiting.pop() {
            let stat = stat(view, &path)?;
            self.node(view, &path, stat, owner)?;
            if stat.kind == EntryKind::Directory {
                let names: Vec<OsString> = view.list(&path)?;
                waiting.extend(names.iter().rev().map(|name| path.join(name)));
            }
        }
        Ok(())
    }

    /// All of a tree that was a layer once, with the owners that it has. Gives the bytes of a layer that was written
    /// here in the order of names.
    pub(crate) fn whole(&mut self, tree: &Tree, link_mode: u32) -> Result<(), WriteError> {
        let mut waiting = vec![PathBuf::from("/")];
        while let Some(path) = waiting.pop() {
            let mut stat = stat(tree, &path)?;
            if stat.kind == EntryKind::Symlink {
                stat.mode = link_mode;
            }
            if path.file_name().is_some() {
                let owner = Owner { user_id: stat.user_id, group_id: stat.group_id };
                self.node(tree, &path, stat, owner)?;
            }
            if stat.kind == EntryKind::Directory {
                waiting.extend(tree.list(&path)?.iter().rev().map(|name| path.join(name)));
            }
        }
        Ok(())
    }

    fn node(&mut self, view: &Tree, path: &Path, stat: Stat, owner: Owner) -> Result<(), WriteError> {
        match stat.kind {
            EntryKind::Directory => self.directory(path, stat.mode, owner),
            EntryKind::File => self.copy(view, path, stat, owner),
            EntryKind::Symlink => {
                let target = view.read_link(path)?;
                self.entry(path, b'2', target.as_bytes(), stat.mode, owner, 0)
            }
            EntryKind::Fifo => self.entry(path, b'6', b"", stat.mode, owner, 0),
            EntryKind::Socket => Ok(()),
            EntryKind::Device => Err(WriteError::Device { path: shown(path) }),
        }
    }

    fn copy(&mut self, view: &Tree, path: &Path, stat: Stat, owner: Owner) -> Result<(), WriteError> {
        let file = view.open_file(path)?;
        self.entry(path, b'0', b"", stat.mode, owner, stat.size_bytes)?;
        let copied = io::copy(&mut file.take(stat.size_bytes), &mut self.output)?;
        if copied != stat.size_bytes {
            return Err(WriteError::Changed { path: shown(path) });
        }
        self.pad(copied)
    }

    fn entry(
        &mut self,
        path: &Path,
        kind: u8,
        link: &[u8],
        mode: u32,
        owner: Owner,
        size_bytes: u64,
    ) -> Result<(), WriteError> {
        let name = path.as_os_str().as_bytes();
        let header = Header { name, kind, link, mode: mode & 0o7777, owner, size_bytes };
        self.output.write_all(&header.to_bytes())?;
        Ok(())
    }

    fn pad(&mut self, size_bytes: u64) -> Result<(), WriteError> {
        let rest = usize::try_from(size_bytes % 512).unwrap_or(0);
        if rest != 0 {
            self.output.write_all(&[0; 512][rest..])?;
        }
        Ok(())
    }
}

fn stat(view: &Tree, path: &Path) -> Result<Stat, WriteError> {
    view.stat(path)?.ok_or_else(|| WriteError::Missing { path: shown(path) })
}

/// Writes one whole layer: what `fill` writes, and the end of the tar.
pub(crate) fn write_layer<F>(output: &mut dyn Write, fill: F) -> Result<(), WriteError>
where
    F: FnOnce(&mut LayerWriter<'_>) -> Result<(), WriteError>,
{
    fill(&mut LayerWriter::new(output))?;
    output.write_all(&[0; 1024])?;
    output.flush()?;
    Ok(())
}

/// The diffID that publishing this layer would give, with nothing written: to compare with the previous image's.
pub fn diff_id_of<F>(fill: F) -> Result<DiffId, WriteError>
where
    F: FnOnce(&mut LayerWriter<'_>) -> Result<(), WriteError>,
{
    struct Hasher(Sha256);
    impl Write for Hasher {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hasher = Hasher(Sha256::new());
    write_layer(&mut hasher, fill)?;
    Ok(DiffId(Digest::from_bytes(hasher.0.finalize().into())))
}
