//! A directory whose content strangers made: every path is resolved beneath it, and no symbolic link is followed.

use rustix::{
    fd::OwnedFd,
    fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2, readlinkat},
    io::Errno,
};
use std::{
    ffi::OsString,
    fs::File,
    io::Read,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The root of a tree, held open. Paths are read as if it were `/`; a leading slash makes no difference.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
}

/// What stands at a path; a symbolic link is itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: `0o7777` at most.
    pub mode: u32,
    pub user_id: u32,
    pub group_id: u32,
    /// Length of a regular file in bytes, 0 for all else.
    pub size_bytes: u64,
    /// Names of this inode.
    pub links: u64,
    /// Its number. An overlay shows what it did not copy up under the number that it has in its layer.
    pub inode: u64,
}

/// What an entry of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    Device,
}

/// Something in a tree could not be read.
#[derive(Debug, Error)]
pub enum TreeError {
    #[error("cannot {action} `{path}`")]
    System { action: &'static str, path: String, source: std::io::Error },
    #[error("`{path}` lies behind a symbolic link, which is not followed here; use the real path")]
    Symlink { path: String },
    #[error("`{path}` holds `..`, which may lead out of the tree; use the real path")]
    DotDot { path: String },
    #[error("`{path}` is not a regular file")]
    NotAFile { path: String },
    #[error("`{path}` is larger than {max_bytes} bytes")]
    TooLarge { path: String, max_bytes: u64 },
}

/// How every path is resolved: never out of the tree, never through a link.
pub(crate) const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

impl Tree {
    /// Opens a tree. The path of the root itself is the caller's and is trusted.
    pub fn open(root: &Path) -> Result<Self, TreeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root_handle = open(root, flags, Mode::empty()).map_err(|errno| failed("open", root, errno))?;
        Ok(Self { root: root_handle })
    }

    pub(crate) fn from_handle(root: OwnedFd) -> Self {
        Self { root }
    }

    /// The root's own handle.
    pub(crate) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// What stands at a path; `None` when nothing does.
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Option<Stat>, TreeError> {
        let path = path.as_ref();
        match self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(handle) => {
                fstat(&handle).map(|stat| Some(Stat::from(&stat))).map_err(|e| failed("read", path, e))
            }
            Err(TreeError::System { source, .. })
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The names in a directory, sorted bytewise.
    pub fn list(&self, path: impl AsRef<Path>) -> Result<Vec<OsString>, TreeError> {
        let path = path.as_ref();
        let handle = self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::new(handle).map_err(|e| failed("list", path, e))? {
            let entry = entry.map_err(|e| failed("list", path, e))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Opens a regular file for reading.
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<File, TreeError> {
        let path = path.as_ref();
        // Without O_NONBLOCK a pipe under this name would hold us for ever.
        let handle =
            self.resolve(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let stat = fstat(&handle).map_err(|e| failed("read", path, e))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(TreeError::NotAFile { path: shown(path) });
        }
        Ok(File::from(handle))
    }

    /// The content of a regular file of at most `max_bytes`; `None` when nothing stands there.
    pub fn read_file(&self, path: impl AsRef<Path>, max_bytes: u64) -> Result<Option<Vec<u8>>, TreeError> {
        let path = path.as_ref();
        if self.stat(path)?.is_none() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.open_file(path)?
            .take(max_bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|source| TreeError::System { action: "read", path: shown(path), source })?;
        if bytes.len() as u64 > max_bytes {
            return Err(TreeError::TooLarge { path: shown(path), max_bytes });
        }
        Ok(Some(bytes))
    }

    /// The target of a symbolic link, as it was written.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<OsString, TreeError> {
        let path = path.as_ref();
        let handle = self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let target = readlinkat(&handle, "", Vec::new()).map_err(|e| failed("read the link", path, e))?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// Opens a path beneath the root.
    pub(crate) fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, TreeError> {
        let beneath = beneath(path)?;
        openat2(&self.root, &beneath, flags | OFlags::CLOEXEC, Mode::empty(), BENEATH).map_err(|errno| {
            match errno {
                Errno::LOOP => TreeError::Symlink { path: shown(path) },
                Errno::XDEV => TreeError::DotDot { path: shown(path) },
                errno => failed("open", path, errno),
            }
        })
    }
}

/// The path without its leading slashes; the root itself is `.`.
fn beneath(path: &Path) -> Result<PathBuf, TreeError> {
    let mut relative = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => relative.push(name),
            std::path::Component::ParentDir => return Err(TreeError::DotDot { path: shown(path) }),
            _ => {}
        }
    }
    if relative.as_os_str().is_empty() {
        relative.push(".");
    }
    Ok(relative)
}

fn failed(action: &'static str, path: &Path, errno: Errno) -> TreeError {
    TreeError::System { action, path: shown(path), source: errno.into() }
}

/// A path for people: strangers chose it, so it is cut and control characters are escaped.
pub(crate) fn shown(path: &Path) -> String {
    let text = String::from_utf8_lossy(path.as_os_str().as_bytes());
    let mut shown: String = text.chars().take(200).flat_map(char::escape_debug).collect();
    if text.chars().nth(200).is_some() {
        shown.push('…');
    }
    shown
}

impl From<&rustix::fs::Stat> for Stat {
    fn from(stat: &rustix::fs::Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            FileType::Fifo => EntryKind::Fifo,
            FileType::Socket => EntryKind::Socket,
            _ => EntryKind::Device,
        };
        let size_bytes = if kind == EntryKind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            user_id: stat.st_uid,
            group_id: stat.st_gid,
            size_bytes,
            links: stat.st_nlink,
            inode: stat.st_ino,
        }
    }
}
