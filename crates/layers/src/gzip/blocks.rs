//! gzip (RFC 1952) by several threads: one member for each chunk, so that the bytes depend on the content alone, not on how
//! many threads there are.

use libdeflater::{CompressionLvl, Compressor};
use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, Scope},
};

/// More threads would take the machine from the tools that run on it.
const MAX_THREADS: usize = 4;
/// Chunks that a thread has before it at most.
const WAITING_CHUNKS: usize = 2;
/// Pinned, as libdeflate is. Of a Debian base of 500 MB level 1 makes 36 % at 194 MB/s, level 3 34 % at 137; zlib's level 3 made
/// 35 % at 93.
const LEVEL: i32 = 1;

/// A thread that compresses: what it is given, and what comes back in the same order.
struct Packer {
    chunks: SyncSender<Vec<u8>>,
    packed: Receiver<io::Result<Vec<u8>>>,
}

/// Compresses what comes, chunk by chunk: the lengths of the chunks decide the bytes too.
pub(super) fn compress(chunks: &Receiver<Vec<u8>>, output: &mut impl Write) -> io::Result<()> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    compress_by(threads, chunks, output)
}

fn compress_by(threads: usize, chunks: &Receiver<Vec<u8>>, output: &mut impl Write) -> io::Result<()> {
    thread::scope(|scope| {
        let packers = (0..threads).map(|_| packer(scope)).collect::<io::Result<Vec<_>>>()?;
        let mut under_way = VecDeque::new();
        let mut empty = true;
        let mut turns = packers.iter().cycle();
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            empty = false;
            // Never more than the channels hold, so that neither side waits for the other.
            if under_way.len() == threads * WAITING_CHUNKS {
                take(&mut under_way, output)?;
            }
            let Some(packer) = turns.next() else { break };
            packer.chunks.send(chunk).map_err(|_| ended())?;
            under_way.push_back(packer);
        }
        while !under_way.is_empty() {
            take(&mut under_way, output)?;
        }
        // A gzip of nothing has a member, too.
        if empty { output.write_all(&member(&mut compressor()?, &[])?) } else { Ok(()) }
    })
}

/// Writes the oldest chunk that is under way.
fn take(under_way: &mut VecDeque<&Packer>, output: &mut impl Write) -> io::Result<()> {
    let Some(packer) = under_way.pop_front() else { return Ok(()) };
    output.write_all(&packer.packed.recv().map_err(|_| ended())??)
}

fn ended() -> io::Error {
    io::Error::other("a thread that compresses ended by itself")
}

fn packer<'scope>(scope: &'scope Scope<'scope, '_>) -> io::Result<Packer> {
    let (chunks, to_pack) = sync_channel::<Vec<u8>>(WAITING_CHUNKS);
    let (packed_to, packed) = sync_channel(WAITING_CHUNKS);
    let mut compressor = compressor()?;
    thread::Builder::new().name("gzip".to_owned()).spawn_scoped(scope, move || {
        for chunk in to_pack {
            if packed_to.send(member(&mut compressor, &chunk)).is_err() {
                return;
            }
        }
    })?;
    Ok(Packer { chunks, packed })
}

fn compressor() -> io::Result<Compressor> {
    let level = CompressionLvl::new(LEVEL).map_err(|_| io::Error::other("libdeflate has no such level"))?;
    Ok(Compressor::new(level))
}

/// One whole gzip member, without a name or a time: equal tars give equal blobs.
fn member(compressor: &mut Compressor, chunk: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; compressor.gzip_compress_bound(chunk.len())];
    let length = compressor.gzip_compress(chunk, &mut bytes).map_err(io::Error::other)?;
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::MultiGzDecoder;
    use std::io::Read;

    fn packed(chunks: &[Vec<u8>]) -> Vec<u8> {
        packed_by(MAX_THREADS, chunks)
    }

    fn packed_by(threads: usize, chunks: &[Vec<u8>]) -> Vec<u8> {
        let (sender, receiver) = sync_channel(chunks.len().max(1));
        for chunk in chunks {
            sender.send(chunk.clone()).unwrap();
        }
        drop(sender);
        let mut output = Vec::new();
        compress_by(threads, &receiver, &mut output).unwrap();
        output
    }

    #[test]
    fn what_is_compressed_in_chunks_comes_back_whole() {
        let text = |length: usize, seed: u64| -> Vec<u8> {
            let mut state = seed;
            let mut step = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state
            };
            (0..length).map(|_| b"abcdefgh layer\n"[(step() >> 40) as usize % 15]).collect()
        };
        let noise = |length: usize| -> Vec<u8> {
            let mut state = 7_u64;
            (0..length)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_le_bytes()[3]
                })
                .collect()
        };
        for chunks in [
            vec![],
            vec![vec![]],
            vec![b"x".to_vec()],
            vec![text(300_000, 1)],
            (1..40).map(|seed| text(100_000, seed)).collect(),
            vec![noise(1_000_000), vec![0; 1_000_000], noise(70_000), text(10, 1)],
        ] {
            let whole = chunks.concat();
            let output = packed(&chunks);
            let mut back = Vec::new();
            MultiGzDecoder::new(&output[..]).read_to_end(&mut back).unwrap();
            assert!(back == whole, "{} bytes came back of {}", back.len(), whole.len());
            for threads in [1, 2, 7] {
                assert_eq!(output, packed_by(threads, &chunks), "the bytes depend on the threads");
            }
            assert!(output.len() <= whole.len() + whole.len() / 100 + 64, "it grew to {}", output.len());
        }
    }

    /// The digests of blobs in stores are these bytes': whoever changes them must know it.
    #[test]
    fn the_bytes_are_pinned_and_gzip_itself_reads_them() {
        let text: Vec<u8> = (0..60_000_u32)
            .flat_map(|number| format!("{} of {}\n", number.wrapping_mul(number), number / 7).into_bytes())
            .collect();
        let output = packed(&text.chunks(256 * 1024).map(<[u8]>::to_vec).collect::<Vec<_>>());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&output).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let read = std::process::Command::new("gzip").arg("-dc").stdin(file).output().unwrap();
        assert!(read.status.success() && read.stdout == text, "{:?}", read.status);
        assert_eq!(
            oci::digest_of(&output).to_string(),
            "sha256:e0a45f85ded8e7a96a0f8b16b71e075769efe23279df0a51a534b5aeb0dda5b4"
        );
    }

    #[test]
    fn a_changed_byte_is_noticed_by_whoever_unpacks() {
        let text: Vec<u8> =
            (0..40_000_u32).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        let output = packed(&[text]);
        for at in (10..output.len()).step_by(output.len() / 40) {
            let mut damaged = output.clone();
            damaged[at] ^= 4;
            let read = MultiGzDecoder::new(&damaged[..]).read_to_end(&mut Vec::new());
            assert!(read.is_err(), "byte {at} of {} does not matter", output.len());
        }
    }
}
