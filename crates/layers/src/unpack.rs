//! Unpacks a tar of a stranger into an empty directory: beneath its handle, through no symbolic link, within limits.
//!
//! An image's layer keeps what a client that pulls the image would see: owners, modes, times, hard links, file
//! capabilities and `user.*` attributes; whiteouts take the form that overlayfs knows. A scratch tree keeps content.

mod node;
mod path;

use crate::{
    limits::UnpackLimits,
    reader::{Entry, Kind, Modified, TarError, TarReader},
    tree::{Tree, shown},
    writer::LAYER_TIME_SECONDS,
};
pub(crate) use path::parts;
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, Mode, OFlags, mkdirat, openat2, statat, unlinkat},
    io::Errno,
};
use std::{collections::BTreeMap, ffi::OsStr, io::Read, os::unix::ffi::OsStrExt as _, path::Path};
use thiserror::Error;

/// A tar was not unpacked; nothing of it stays.
#[derive(Debug, Error)]
pub enum UnpackError {
    #[error("the layer cannot be read")]
    Tar(#[from] TarError),
    #[error("`{path}` {what}")]
    Refused { path: String, what: &'static str },
    #[error("`{path}` belongs to {user_id}:{group_id}; ids of an image go up to 65535")]
    Owner { path: String, user_id: u64, group_id: u64 },
    #[error("more than {max} {what}; make it smaller or ask the operator for a higher limit")]
    Limit { what: &'static str, max: u64 },
    #[error("cannot {action} `{path}`")]
    System { action: &'static str, path: String, source: std::io::Error },
    #[error("cannot write to the layer store")]
    Store(#[from] crate::StoreError),
}

/// What a tree is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// A layer of an image.
    Layer,
    /// A tree for one use: all below the root belongs to this user and group, modes are 644 or 755.
    Scratch { owner: u32 },
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Entries of the tar.
    pub entries: u64,
    /// Bytes of regular files in the tree.
    pub bytes: u64,
    /// Inodes of the tree, its root included.
    pub inodes: u64,
}

/// The time of directories that no entry names.
pub(crate) const UNNAMED_TIME: Modified =
    Modified { seconds: LAYER_TIME_SECONDS.cast_signed(), nanoseconds: 0 };

pub(crate) struct Unpacker {
    root: Tree,
    profile: Profile,
    limits: UnpackLimits,
    counts: Counts,
    /// Bytes of all files in the tar, those that a later entry replaced included.
    read_bytes: u64,
    /// Times of directories, set last: every file in them would change them.
    directory_times: BTreeMap<Vec<u8>, Modified>,
    /// The directory of the entry before: the next is mostly beside it.
    parent: Option<(Vec<u8>, OwnedFd)>,
    buffer: Vec<u8>,
}

/// Unpacks all of `input` into the directory `root`, which is empty and ours.
pub(crate) fn unpack(
    input: impl Read,
    root: OwnedFd,
    profile: Profile,
    limits: UnpackLimits,
) -> Result<Counts, UnpackError> {
    let mut unpacker = Unpacker {
        root: Tree::from_handle(root),
        profile,
        limits,
        counts: Counts { inodes: 1, ..Counts::default() },
        read_bytes: 0,
        directory_times: BTreeMap::from([(Vec::new(), UNNAMED_TIME)]),
        parent: None,
        buffer: vec![0; 128 * 1024],
    };
    let mut tar = TarReader::new(input);
    while let Some(entry) = tar.next_entry()? {
        unpacker.counts.entries += 1;
        if unpacker.counts.entries > limits.max_entries {
            return Err(UnpackError::Limit { what: "files and directories", max: limits.max_entries });
        }
        unpacker.entry(&entry, &mut tar)?;
    }
    unpacker.set_directory_times()?;
    Ok(unpacker.counts)
}

/// An entry together with where it goes.
struct Place<'a> {
    entry: &'a Entry,
    name: &'a OsStr,
    /// The whole path without leading slash, as a key and for messages.
    path: Vec<u8>,
}

impl Unpacker {
    fn entry(&mut self, entry: &Entry, content: &mut impl Read) -> Result<(), UnpackError> {
        let parts = path::parts(&entry.path)?;
        let Some((name, parents)) = parts.split_last() else {
            if entry.kind != Kind::Directory {
                return Err(refused(&entry.path, "would replace the root of the tree"));
            }
            return self.root_metadata(entry);
        };
        let parent = self.open_parent(&parents.join(&b'/'))?;
        let place = Place { entry, name: OsStr::from_bytes(name), path: parts.join(&b'/') };
        let result = self.place(&place, &parent, content);
        // Given back also when the entry failed: the whole unpacking ends then.
        self.parent = Some((parents.join(&b'/'), parent));
        result
    }

    fn place(
        &mut self,
        place: &Place<'_>,
        parent: &OwnedFd,
        content: &mut impl Read,
    ) -> Result<(), UnpackError> {
        if let Some(hidden) = place.name.as_bytes().strip_prefix(b".wh.")
            && self.profile == Profile::Layer
        {
            return self.whiteout(place, parent, hidden);
        }
        let replaced = self.make_room(place, parent)?;
        match place.entry.kind {
            Kind::Directory => self.directory(place, parent, replaced)?,
            Kind::File => self.file(place, parent, content)?,
            Kind::Symlink => self.symlink(place, parent)?,
            Kind::HardLink => self.hard_link(place, parent)?,
            Kind::Fifo => self.fifo(place, parent)?,
        }
        Ok(())
    }

    /// The directory at `path`, made when the tar did not name it.
    fn open_parent(&mut self, path: &[u8]) -> Result<OwnedFd, UnpackError> {
        if let Some((open, handle)) = self.parent.take()
            && open == path
        {
            return Ok(handle);
        }
        match self.open_directory(path) {
            Err(UnpackError::System { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            other => return other,
        }
        let mut made: Vec<u8> = Vec::new();
        let mut handle = self.open_directory(b"")?;
        for part in path.split(|byte| *byte == b'/') {
            if !made.is_empty() {
                made.push(b'/');
            }
            made.extend(part);
            match mkdirat(&handle, OsStr::from_bytes(part), Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    self.counts.inodes += 1;
                    self.directory_times.insert(made.clone(), UNNAMED_TIME);
                    handle = self.open_directory(&made)?;
                    self.own_unnamed(&handle, &made)?;
                }
                Err(Errno::EXIST) => handle = self.open_directory(&made)?,
                Err(errno) => return Err(failed("make the directory", &made, errno)),
            }
        }
        Ok(handle)
    }

    fn open_directory(&self, path: &[u8]) -> Result<OwnedFd, UnpackError> {
        let relative = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(self.root.root(), relative, flags, Mode::empty(), crate::tree::BENEATH).map_err(|errno| {
            match errno {
                Errno::LOOP => {
                    refused(path, "is a symbolic link, and another entry lies behind it; use the real path")
                }
                Errno::NOTDIR => refused(path, "is not a directory, and another entry lies in it"),
                errno => failed("open the directory", path, errno),
            }
        })
    }

    /// Removes what stands where the entry goes: of two entries with one name the last counts. Says whether it was a
    /// whiteout. A directory stays for a directory.
    fn make_room(&mut self, place: &Place<'_>, parent: &OwnedFd) -> Result<bool, UnpackError> {
        use rustix::fs::FileType;
        let stat = match statat(parent, place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(failed("look at", &place.path, errno)),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            if place.entry.kind == Kind::Directory {
                return Ok(false);
            }
            self.directory_times.remove(&place.path);
            unlinkat(parent, place.name, AtFlags::REMOVEDIR).map_err(|errno| match errno {
                Errno::NOTEMPTY => {
                    refused(&place.path, "was a directory with entries and becomes something else")
                }
                errno => failed("replace", &place.path, errno),
            })?;
        } else {
            unlinkat(parent, place.name, AtFlags::empty()).map_err(|e| failed("replace", &place.path, e))?;
        }
        if kind == FileType::Directory || stat.st_nlink == 1 {
            self.counts.inodes -= 1;
        }
        if kind == FileType::RegularFile && stat.st_nlink == 1 {
            self.counts.bytes -= u64::try_from(stat.st_size).unwrap_or(0);
        }
        Ok(kind == FileType::CharacterDevice)
    }

    fn set_directory_times(&mut self) -> Result<(), UnpackError> {
        for (path, modified) in std::mem::take(&mut self.directory_times) {
            let handle = self.open_directory(&path)?;
            node::set_times(handle.as_fd(), modified).map_err(|e| failed("set the time of", &path, e))?;
        }
        Ok(())
    }
}

fn refused(path: &[u8], what: &'static str) -> UnpackError {
    UnpackError::Refused { path: shown(Path::new(OsStr::from_bytes(path))), what }
}

fn failed(action: &'static str, path: &[u8], errno: Errno) -> UnpackError {
    UnpackError::System { action, path: shown(Path::new(OsStr::from_bytes(path))), source: errno.into() }
}
