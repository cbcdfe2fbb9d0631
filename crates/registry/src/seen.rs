//! Which blobs this process saw to be what their names say, and which not.
//!
//! A blob is hashed on its way out when it is pulled whole for the first time, and again once its file was touched:
//! written, replaced, or its inode changed in any way that the kernel dates. What rots without a date is the scrub's.

use model::Digest;
use std::{
    collections::HashMap,
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    sync::{Mutex, PoisonError},
};

/// Blobs that are remembered, at about 100 bytes each; past this all are looked at anew.
const MAX_BLOBS: usize = 100_000;

/// A file as it was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What is known of a blob's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Nothing,
    Whole,
    Damaged,
}

#[derive(Default)]
pub(crate) struct Seen(Mutex<HashMap<Digest, (Stamp, Known)>>);

impl Seen {
    pub(crate) fn of(&self, digest: &Digest, stamp: Stamp) -> Known {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(digest).filter(|(other, _)| *other == stamp).map_or(Known::Nothing, |(_, known)| *known)
    }

    pub(crate) fn note(&self, digest: &Digest, stamp: Stamp, known: Known) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_BLOBS {
            seen.clear();
        }
        seen.insert(*digest, (stamp, known));
    }
}
