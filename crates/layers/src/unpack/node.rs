//! Makes one file, directory, link, pipe or whiteout, with its metadata.

use super::{Place, Profile, UnpackError, Unpacker, failed, path, refused};
use crate::{
    reader::{Entry, Modified},
    tree::shown,
};
use model::instance::RANGE_SIZE;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat,
        fchmod, fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, statat, symlinkat, utimensat,
    },
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

const OPAQUE: &str = "trusted.overlay.opaque";
/// Longest target of a symbolic link (`PATH_MAX` without its NUL).
const MAX_TARGET_BYTES: usize = 4095;

impl Unpacker {
    pub(super) fn root_metadata(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        if let Profile::Layer = self.profile {
            let handle = self.open_directory(b"")?;
            self.set_metadata(handle.as_fd(), entry, b"/")?;
            self.directory_times.insert(Vec::new(), entry.modified);
        }
        Ok(())
    }

    pub(super) fn directory(
        &mut self,
        place: &Place<'_>,
        parent: &OwnedFd,
        replaced_whiteout: bool,
    ) -> Result<(), UnpackError> {
        match mkdirat(parent, place.name, Mode::from_raw_mode(0o700)) {
            Ok(()) => self.counts.inodes += 1,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("make the directory", &place.path, errno)),
        }
        let handle = self.open_directory(&place.path)?;
        self.set_metadata(handle.as_fd(), place.entry, &place.path)?;
        if replaced_whiteout {
            set_opaque(handle.as_fd(), &place.path)?;
        }
        self.directory_times.insert(place.path.clone(), place.entry.modified);
        Ok(())
    }

    pub(super) fn file(
        &mut self,
        place: &Place<'_>,
        parent: &OwnedFd,
        content: &mut impl Read,
    ) -> Result<(), UnpackError> {
        let size_bytes = place.entry.size_bytes;
        self.read_bytes = self.read_bytes.saturating_add(size_bytes);
        if self.read_bytes > self.limits.max_bytes {
            return Err(UnpackError::Limit { what: "bytes", max: self.limits.max_bytes });
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = openat(parent, place.name, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| failed("make", &place.path, errno))?;
        let mut file = File::from(handle);
        let mut rest = size_bytes;
        while rest > 0 {
            let count = content.read(&mut self.buffer).map_err(crate::reader::TarError::Input)?;
            if count == 0 {
                return Err(crate::reader::TarError::Cut.into());
            }
            file.write_all(&self.buffer[..count]).map_err(|source| UnpackError::System {
                action: "write",
                path: shown(Path::new(OsStr::from_bytes(&place.path))),
                source,
            })?;
            rest = rest.saturating_sub(count as u64);
        }
        self.set_metadata(file.as_fd(), place.entry, &place.path)?;
        set_times(file.as_fd(), place.entry.modified)
            .map_err(|e| failed("set the time of", &place.path, e))?;
        self.counts.inodes += 1;
        self.counts.bytes += size_bytes;
        Ok(())
    }

    pub(super) fn symlink(&mut self, place: &Place<'_>, parent: &OwnedFd) -> Result<(), UnpackError> {
        let target = &place.entry.link;
        if target.is_empty() || target.len() > MAX_TARGET_BYTES || target.contains(&0) {
            return Err(refused(&place.path, "is a symbolic link with a bad target"));
        }
        symlinkat(OsStr::from_bytes(target), parent, place.name)
            .map_err(|errno| failed("make the link", &place.path, errno))?;
        self.counts.inodes += 1;
        self.own_by_name(place, parent)
    }

    /// A pipe. It can do nothing that a file cannot.
    pub(super) fn fifo(&mut self, place: &Place<'_>, parent: &OwnedFd) -> Result<(), UnpackError> {
        if self.profile != Profile::Layer {
            return Err(refused(&place.path, "is a pipe, which is not accepted here"));
        }
        mknodat(parent, place.name, FileType::Fifo, Mode::from_raw_mode(place.entry.mode & 0o777), 0)
            .map_err(|errno| failed("make the pipe", &place.path, errno))?;
        self.counts.inodes += 1;
        self.own_by_name(place, parent)
    }

    pub(super) fn hard_link(&mut self, place: &Place<'_>, parent: &OwnedFd) -> Result<(), UnpackError> {
        let parts = path::parts(&place.entry.link)?;
        let Some((name, parents)) = parts.split_last() else {
            return Err(refused(&place.path, "is a hard link to the root of the tree"));
        };
        let absent = "is a hard link to a file that is not in this tar before it";
        let name = OsStr::from_bytes(name);
        let target = match self.open_directory(&parents.join(&b'/')) {
            Err(UnpackError::System { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(refused(&place.path, absent));
            }
            other => other?,
        };
        match statat(&target, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                return Err(refused(&place.path, "is a hard link to a directory"));
            }
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice => {
                return Err(refused(&place.path, absent));
            }
            Ok(_) => {}
            Err(Errno::NOENT) => return Err(refused(&place.path, absent)),
            Err(errno) => return Err(failed("look at the target of", &place.path, errno)),
        }
        linkat(&target, name, parent, place.name, AtFlags::empty())
            .map_err(|errno| failed("make the hard link", &place.path, errno))
    }

    /// `.wh.NAME` hides NAME of the layers below, `.wh..wh..opq` all of this directory (OCI image specification,
    /// layer.md "Whiteouts"); overlayfs says so with a character device 0:0 and an attribute.
    pub(super) fn whiteout(
        &mut self,
        place: &Place<'_>,
        parent: &OwnedFd,
        hidden: &[u8],
    ) -> Result<(), UnpackError> {
        if hidden == b".wh..opq" {
            return set_opaque(parent.as_fd(), &place.path);
        }
        if hidden.starts_with(b".wh.") {
            return Ok(()); // AUFS kept notes of its own under such names; nobody reads them.
        }
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(refused(&place.path, "is a whiteout of nothing"));
        }
        let name = OsStr::from_bytes(hidden);
        match mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => {
                self.counts.inodes += 1;
                Ok(())
            }
            // This layer brings the name anew: only what is below it is hidden, which a file does by itself.
            Err(Errno::EXIST) => {
                let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|errno| failed("look at", &place.path, errno))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    let handle = openat(
                        parent,
                        name,
                        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW,
                        Mode::empty(),
                    )
                    .map_err(|errno| failed("open", &place.path, errno))?;
                    set_opaque(handle.as_fd(), &place.path)?;
                }
                Ok(())
            }
            Err(errno) => Err(failed("make the whiteout", &place.path, errno)),
        }
    }

    /// Owner and mode of a directory that no entry names.
    pub(super) fn own_unnamed(&self, handle: &OwnedFd, path: &[u8]) -> Result<(), UnpackError> {
        let owner = match self.profile {
            Profile::Layer => 0,
            Profile::Scratch { owner } => owner,
        };
        chown(handle.as_fd(), owner, owner)
            .and_then(|()| fchmod(handle, Mode::from_raw_mode(0o755)))
            .map_err(|errno| failed("set the owner of", path, errno))
    }

    /// Owner, then mode (changing the owner clears setuid), then attributes (writing clears capabilities).
    fn set_metadata(&self, handle: BorrowedFd<'_>, entry: &Entry, path: &[u8]) -> Result<(), UnpackError> {
        let (user_id, group_id) = self.owner(entry, path)?;
        let mode = match self.profile {
            Profile::Layer => entry.mode,
            Profile::Scratch { .. } if entry.kind == crate::reader::Kind::Directory => 0o755,
            Profile::Scratch { .. } => 0o644 | (if entry.mode & 0o111 == 0 { 0 } else { 0o111 }),
        };
        chown(handle, user_id, group_id).map_err(|errno| failed("set the owner of", path, errno))?;
        fchmod(handle, Mode::from_raw_mode(mode)).map_err(|errno| failed("set the mode of", path, errno))?;
        if self.profile == Profile::Layer {
            for (name, value) in &entry.attributes {
                // The others (ACLs, labels of a security module, overlayfs' own) mean something on their machine only.
                if name == b"security.capability" || name.starts_with(b"user.") {
                    fsetxattr(handle, OsStr::from_bytes(name), value, XattrFlags::empty())
                        .map_err(|errno| failed("set an attribute of", path, errno))?;
                }
            }
        }
        Ok(())
    }

    /// Owner and time of what cannot be opened without meaning more: links and pipes.
    fn own_by_name(&self, place: &Place<'_>, parent: &OwnedFd) -> Result<(), UnpackError> {
        let (user_id, group_id) = self.owner(place.entry, &place.path)?;
        let (user, group) = (Some(Uid::from_raw(user_id)), Some(Gid::from_raw(group_id)));
        chownat(parent, place.name, user, group, AtFlags::SYMLINK_NOFOLLOW)
            .and_then(|()| {
                utimensat(parent, place.name, &timestamps(place.entry.modified), AtFlags::SYMLINK_NOFOLLOW)
            })
            .map_err(|errno| failed("set the owner of", &place.path, errno))
    }

    fn owner(&self, entry: &Entry, path: &[u8]) -> Result<(u32, u32), UnpackError> {
        if let Profile::Scratch { owner } = self.profile {
            return Ok((owner, owner));
        }
        let inside = |id: u64| u32::try_from(id).ok().filter(|id| *id < RANGE_SIZE);
        inside(entry.user_id).zip(inside(entry.group_id)).ok_or_else(|| UnpackError::Owner {
            path: shown(Path::new(OsStr::from_bytes(path))),
            user_id: entry.user_id,
            group_id: entry.group_id,
        })
    }
}

fn chown(handle: BorrowedFd<'_>, user_id: u32, group_id: u32) -> Result<(), Errno> {
    fchown(handle, Some(Uid::from_raw(user_id)), Some(Gid::from_raw(group_id)))
}

fn set_opaque(directory: BorrowedFd<'_>, path: &[u8]) -> Result<(), UnpackError> {
    fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty()).map_err(|errno| match errno {
        // In a user namespace the kernel lets nobody write this attribute.
        Errno::PERM => refused(path, "hides a whole directory of the layers below, which is not supported yet; delete the files one by one"),
        errno => failed("hide the lower layers below", path, errno),
    })
}

fn timestamps(modified: Modified) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanoseconds },
    }
}

pub(super) fn set_times(handle: BorrowedFd<'_>, modified: Modified) -> Result<(), Errno> {
    futimens(handle, &timestamps(modified))
}
