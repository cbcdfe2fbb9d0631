//! Turns the bytes of a tar into the blob of a layer on a thread of its own, and recognises gzip on the way in.

mod blocks;

use flate2::read::MultiGzDecoder;
use model::Digest;
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Chain, Cursor, Read, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

/// Pinned: the length of chunks, the level and the compressor's version decide blob digests. A damaged blob is made anew from its
/// tree only where these are what they were when it was written.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks that may wait: 4 MiB.
const WAITING_CHUNKS: usize = 16;

/// A written blob.
pub(crate) struct Blob {
    pub file: File,
    pub digest: Digest,
    pub size_bytes: u64,
}

/// Receives bytes in order and writes them to a file, compressed unless they are already.
pub(crate) struct BlobWriter {
    sender: SyncSender<Vec<u8>>,
    chunk: Vec<u8>,
    thread: JoinHandle<io::Result<Blob>>,
}

struct Counted {
    file: BufWriter<File>,
    hash: Sha256,
    size_bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.size_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl BlobWriter {
    pub(crate) fn new(file: File, compress: bool) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_CHUNKS);
        let thread = std::thread::Builder::new()
            .name("blob".to_owned())
            .spawn(move || write_blob(file, compress, &receiver))?;
        Ok(Self { sender, chunk: Vec::with_capacity(CHUNK_BYTES), thread })
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // Chunks of one length, however the bytes come: they are the blocks that are compressed.
        let mut bytes = bytes;
        while self.chunk.len() + bytes.len() >= CHUNK_BYTES {
            let (fitting, rest) = bytes.split_at(CHUNK_BYTES - self.chunk.len());
            self.chunk.extend_from_slice(fitting);
            bytes = rest;
            let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
            // A receiver that is gone has failed; `finish` tells why.
            let _ = self.sender.send(chunk);
        }
        self.chunk.extend_from_slice(bytes);
    }

    /// Waits until everything is on disk.
    pub(crate) fn finish(self) -> io::Result<Blob> {
        let Self { sender, chunk, thread } = self;
        let _ = sender.send(chunk);
        drop(sender);
        thread.join().map_err(|_| io::Error::other("the thread that compresses ended by itself"))?
    }
}

fn write_blob(file: File, compress: bool, chunks: &Receiver<Vec<u8>>) -> io::Result<Blob> {
    let mut counted = Counted { file: BufWriter::new(file), hash: Sha256::new(), size_bytes: 0 };
    if compress {
        blocks::compress(chunks, &mut counted)?;
    } else {
        for chunk in chunks {
            counted.write_all(&chunk)?;
        }
    }
    let file = counted.file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(Blob {
        file,
        digest: Digest::from_bytes(counted.hash.finalize().into()),
        size_bytes: counted.size_bytes,
    })
}

/// The bytes as they came, after a look at the first two.
pub(crate) type Peeked<R> = Chain<Cursor<Vec<u8>>, R>;

/// Says whether the input is gzip (RFC 1952: 1f 8b), and gives all of it back.
pub(crate) fn peek_gzip<R: Read>(mut input: R) -> io::Result<(bool, Peeked<R>)> {
    let mut magic = Vec::new();
    (&mut input).take(2).read_to_end(&mut magic)?;
    let gzip = magic == [0x1f, 0x8b];
    Ok((gzip, Cursor::new(magic).chain(input)))
}

/// Passes what is read on to a blob.
pub(crate) struct Tee<'a, R> {
    pub input: R,
    pub blob: &'a mut BlobWriter,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.blob.push(&buffer[..count]);
        Ok(count)
    }
}

/// Hashes and counts what is read.
pub(crate) struct Hashed<R> {
    pub input: R,
    pub hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

/// The tar inside gzip, also when it is in several members.
pub(crate) fn decompress<R: Read>(input: R) -> MultiGzDecoder<BufReader<R>> {
    MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, input))
}
