//! A blob's bytes on their way out. One that nobody has looked at yet is hashed as it goes, and its last bytes go only if
//! it is what its name says: the client's connection is cut otherwise, and everything is looked at by a scrub.

use crate::{
    Door,
    files::Blob,
    seen::{Known, Stamp},
};
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use model::Digest;
use sha2::{Digest as _, Sha256};
use std::{fs::File, io, os::unix::fs::FileExt as _, sync::Arc};
use tokio::task::{JoinHandle, spawn_blocking};

/// Read at a time, the next part while the last one is sent.
const PART_BYTES: u64 = 512 * 1024;

/// A download that is under way.
struct Sending {
    door: Door,
    digest: Digest,
    stamp: Stamp,
    file: Arc<File>,
    /// The next byte, and how many are to come from there on.
    at: u64,
    left: u64,
    next: Option<JoinHandle<io::Result<Part>>>,
}

/// Some bytes, and the hash of all up to there when it is wanted.
struct Part {
    bytes: Bytes,
    hash: Option<Sha256>,
}

/// `length` bytes from `first` on. A part of a blob is sent unseen: whoever puts parts together hashes the whole.
pub(crate) fn send(door: &Door, digest: &Digest, blob: Blob, first: u64, length: u64) -> Body {
    let unseen = blob.known == Known::Nothing && first == 0 && length == blob.length;
    let mut sending = Sending {
        door: door.clone(),
        digest: *digest,
        stamp: blob.stamp,
        file: Arc::new(blob.file),
        at: first,
        left: length,
        next: None,
    };
    sending.read(unseen.then(Sha256::new));
    Body::from_stream(stream::try_unfold(sending, |mut sending| async move {
        let Some(next) = sending.next.take() else { return Ok::<_, io::Error>(None) };
        let Part { bytes, hash } = next.await.map_err(io::Error::other)??;
        sending.at += bytes.len() as u64;
        sending.left -= bytes.len() as u64;
        if sending.left == 0
            && let Some(hash) = hash
        {
            sending.judge(Digest::from_bytes(hash.finalize().into())).await?;
        } else {
            sending.read(hash);
        }
        Ok(Some((bytes, sending)))
    }))
}

impl Sending {
    /// Begins to read the next part, if there is one.
    fn read(&mut self, hash: Option<Sha256>) {
        let (file, at) = (Arc::clone(&self.file), self.at);
        let wanted = usize::try_from(self.left.min(PART_BYTES)).unwrap_or_default();
        self.next = (wanted > 0).then(|| {
            spawn_blocking(move || {
                let mut bytes = vec![0; wanted];
                // A blob that became shorter cuts the connection: it must not look whole.
                file.read_exact_at(&mut bytes, at)?;
                let hash = hash.map(|hash| hash.chain_update(&bytes));
                Ok(Part { bytes: bytes.into(), hash })
            })
        });
    }

    /// All has been read, and all but the last part was sent.
    async fn judge(&self, found: Digest) -> io::Result<()> {
        if found == self.digest {
            self.door.files.seen.note(&self.digest, self.stamp, Known::Whole);
            return Ok(());
        }
        self.door.files.seen.note(&self.digest, self.stamp, Known::Damaged);
        let digest = &self.digest;
        tracing::error!(%digest, %found, "a blob is damaged: a client was cut off, and everything is looked at");
        if let Err(problem) = self.door.app.doubt_blob(digest).await {
            tracing::error!(%problem, "no scrub could be asked for");
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the blob is damaged"))
    }
}
