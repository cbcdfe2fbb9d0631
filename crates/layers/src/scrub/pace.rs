//! Reading slowly enough that nobody notices.

use model::Digest;
use sha2::{Digest as _, Sha256};
use std::{
    io::{self, Read},
    thread,
    time::{Duration, Instant},
};

const CHUNK_BYTES: usize = 128 * 1024;

/// Counts what is read and sleeps when it was too fast.
pub(super) struct Pace {
    bytes_per_second: u64,
    began: Instant,
    total_bytes: u64,
    buffer: Vec<u8>,
}

impl Pace {
    /// 0: no limit.
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, began: Instant::now(), total_bytes: 0, buffer: vec![0; CHUNK_BYTES] }
    }

    pub(super) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// SHA-256 of all that is left.
    pub(super) fn hash(&mut self, input: &mut impl Read) -> io::Result<Digest> {
        let mut hash = Sha256::new();
        loop {
            let count = match input.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            if count == 0 {
                return Ok(Digest::from_bytes(hash.finalize().into()));
            }
            hash.update(&self.buffer[..count]);
            self.spent(count as u64);
        }
    }

    fn spent(&mut self, bytes: u64) {
        self.total_bytes += bytes;
        if self.bytes_per_second == 0 {
            return;
        }
        let due = u128::from(self.total_bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let due = Duration::from_nanos(u64::try_from(due).unwrap_or(u64::MAX));
        thread::sleep(due.saturating_sub(self.began.elapsed()));
    }
}
