//! Blobs and unfinished uploads on disk.
//!
//! An upload is a file of its own beside the blobs; it becomes one by a rename. Whoever works on one locks it, so that
//! two requests on the same upload, or two processes during a hand-over, never write side by side.

use crate::seen::{Known, Seen, Stamp};
use model::{Digest, Paths, Timestamp};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use thiserror::Error;

/// Hashes under way that are kept in memory; past this they are read from their files again.
const MAX_HASHES: usize = 4096;
/// Read at a time.
const BUFFER_BYTES: usize = 1024 * 1024;

pub(crate) struct Files {
    paths: Paths,
    /// Of uploads that nobody works on now: how far each was hashed.
    hashes: Mutex<HashMap<String, (u64, Sha256)>>,
    pub(crate) seen: Seen,
}

/// A blob, open.
pub(crate) struct Blob {
    pub(crate) file: File,
    pub(crate) length: u64,
    pub(crate) stamp: Stamp,
    pub(crate) known: Known,
}

/// An upload that this request alone works on.
pub(crate) struct Session {
    pub(crate) id: String,
    file: File,
    hash: Sha256,
    /// Bytes that have come.
    pub(crate) length: u64,
}

/// Why an upload cannot be worked on.
#[derive(Debug, Error)]
pub(crate) enum SessionError {
    #[error("its file is gone")]
    Gone,
    #[error("another request is working on it")]
    Busy,
    #[error("its file cannot be used")]
    Io(#[from] io::Error),
}

impl Files {
    pub(crate) fn new(paths: &Paths) -> Self {
        Self { paths: paths.clone(), hashes: Mutex::default(), seen: Seen::default() }
    }

    /// `None`: absent, not of the length that its row says, or seen to be damaged. The operator is told: half a blob is
    /// none.
    pub(crate) fn blob(&self, digest: &Digest, length: Option<u64>) -> io::Result<Option<Blob>> {
        let file = match File::open(self.paths.blob(digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::error!(%digest, "a blob is gone from the disk; a push or a build of it puts it back");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let (found, stamp) = (metadata.len(), Stamp::of(&metadata));
        if length.is_some_and(|length| length != found) {
            tracing::error!(%digest, found, ?length, "a blob is damaged: its length is not the one that was stored");
            return Ok(None);
        }
        let known = self.seen.of(digest, stamp);
        if known == Known::Damaged {
            tracing::error!(%digest, "a damaged blob was asked for; a push or a build of it puts it right");
            return Ok(None);
        }
        Ok(Some(Blob { file, length: found, stamp, known }))
    }

    /// A small blob, whole; `None` when it is absent or its content is not what its name says.
    pub(crate) fn document(&self, digest: &Digest, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(blob) = self.blob(digest, None)? else { return Ok(None) };
        let mut bytes = Vec::new();
        blob.file.take(max_bytes).read_to_end(&mut bytes)?;
        let whole = oci::digest_of(&bytes) == *digest;
        if !whole {
            tracing::error!(%digest, "a document is damaged: its content is not what its name says");
        }
        Ok(whole.then_some(bytes))
    }

    fn upload_path(&self, id: &str) -> PathBuf {
        self.paths.uploads().join(id)
    }

    /// A new, empty upload.
    pub(crate) fn begin(&self, id: &str) -> Result<Session, SessionError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true).mode(0o600);
        let file = options.open(self.upload_path(id))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from)?;
        Ok(Session { id: id.to_owned(), file, hash: Sha256::new(), length: 0 })
    }

    /// Goes on with an upload. What is in its file counts, whatever a process that was killed had noted.
    pub(crate) fn resume(&self, id: &str) -> Result<Session, SessionError> {
        let file = match OpenOptions::new().read(true).append(true).open(self.upload_path(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SessionError::Gone),
            file => file?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(SessionError::Busy),
            locked => locked.map_err(io::Error::from)?,
        }
        let length = file.metadata()?.len();
        let kept = self.hashes.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        let hash = match kept {
            Some((hashed, hash)) if hashed == length => hash,
            _ => hash_of(&self.upload_path(id))?,
        };
        Ok(Session { id: id.to_owned(), file, hash, length })
    }

    /// Bytes that have come so far.
    pub(crate) fn received(&self, id: &str) -> Result<u64, SessionError> {
        match fs::metadata(self.upload_path(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SessionError::Gone),
            metadata => Ok(metadata?.len()),
        }
    }

    /// Lets go of an upload that goes on later.
    pub(crate) fn pause(&self, session: Session) {
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        if hashes.len() >= MAX_HASHES {
            hashes.clear();
        }
        let Session { id, file, hash, length } = session;
        hashes.insert(id, (length, hash));
        // Only now may another request lock it.
        drop(file);
    }

    /// Removes an upload's file.
    pub(crate) fn discard(&self, id: &str) -> io::Result<()> {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        match fs::remove_file(self.upload_path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The upload becomes the blob of this digest, which its content must have, and is on disk. Its row comes first:
    /// from then on no clearing-up removes a file of that name.
    pub(crate) fn publish(&self, session: Session, digest: &Digest) -> io::Result<()> {
        let Session { id, file, .. } = session;
        let (from, to) = (self.upload_path(&id), self.paths.blob(digest));
        // Builds read blobs under other ids.
        file.set_permissions(Permissions::from_mode(0o644))?;
        let there = fs::metadata(&to).ok().map(|metadata| Stamp::of(&metadata));
        if there.is_some_and(|stamp| self.seen.of(digest, stamp) == Known::Whole) {
            fs::remove_file(&from)?;
            // Whoever wrote it may not have come to this yet.
            return File::open(&to)?.sync_all();
        }
        if there.is_some() {
            // Nobody knows whether it is whole. It is replaced by nothing that a power cut could damage.
            file.sync_all()?;
        } else if let Some(directory) = to.parent().filter(|directory| !directory.exists()) {
            DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
        }
        fs::rename(&from, &to)?;
        // Brings the new name to disk together with the bytes (ext4, XFS and Btrfs log both at once).
        file.sync_all()?;
        self.seen.note(digest, Stamp::of(&file.metadata()?), Known::Whole);
        Ok(())
    }

    /// Removes a blob's file if it was written before that time; absent is fine.
    pub(crate) fn remove_older(&self, digest: &Digest, before: Timestamp) -> io::Result<bool> {
        let path = self.paths.blob(digest);
        let written = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            metadata => metadata?.modified()?,
        };
        if Timestamp::of(written) > before {
            return Ok(false);
        }
        fs::remove_file(&path)?;
        tracing::info!(%digest, "removed a blob that nothing names");
        Ok(true)
    }

    /// Removes files of uploads that no row knows any more: a process was killed between the two.
    pub(crate) fn sweep(&self, before: Timestamp) -> io::Result<()> {
        for entry in fs::read_dir(self.paths.uploads())? {
            let entry = entry?;
            let changed = entry.metadata()?.modified()?;
            if Timestamp::of(changed) < before {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Session {
    /// Adds bytes at the end.
    pub(crate) fn add(&mut self, parts: &[bytes::Bytes]) -> io::Result<()> {
        for part in parts {
            self.file.write_all(part)?;
            self.hash.update(part);
            self.length += part.len() as u64;
        }
        Ok(())
    }

    /// Of all that has come.
    pub(crate) fn digest(&self) -> Digest {
        Digest::from_bytes(self.hash.clone().finalize().into())
    }
}

fn hash_of(path: &Path) -> io::Result<Sha256> {
    let mut file = File::open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash),
            read => hash.update(&buffer[..read]),
        }
    }
}
