//! gzip (RFC 1952) by several threads: one member of deflate blocks (RFC 1951), each compressed by itself with the 32 KiB
//! before it as dictionary. The bytes depend on the content alone, not on how many threads there are.

use super::deflate::Deflate;
use flate2::Crc;
use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, Scope},
};

/// More threads would take the machine from the tools that run on it.
const MAX_THREADS: usize = 4;
/// Blocks that a thread has before it at most.
const WAITING_BLOCKS: usize = 2;
/// No name, no time, an unknown system: equal tars give equal blobs.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The last block, which is empty: with fixed codes, at its end at once.
const LAST_BLOCK: [u8; 2] = [3, 0];

struct Block {
    bytes: Arc<Vec<u8>>,
    before: Option<Arc<Vec<u8>>>,
}

struct Packed {
    bytes: Vec<u8>,
    check: Crc,
}

/// A thread that compresses: what it is given, and what comes back in the same order.
struct Packer {
    blocks: SyncSender<Block>,
    packed: Receiver<Packed>,
}

/// Compresses what comes, chunk by chunk: the lengths of the chunks decide the bytes too.
pub(super) fn compress(chunks: &Receiver<Vec<u8>>, output: &mut impl Write) -> io::Result<()> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    compress_by(threads, chunks, output)
}

fn compress_by(threads: usize, chunks: &Receiver<Vec<u8>>, output: &mut impl Write) -> io::Result<()> {
    output.write_all(&HEADER)?;
    let check = thread::scope(|scope| {
        let packers = (0..threads).map(|_| packer(scope)).collect::<io::Result<Vec<_>>>()?;
        let mut check = Crc::new();
        let mut under_way = VecDeque::new();
        let mut before = None;
        let mut turns = packers.iter().cycle();
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            // Never more than the channels hold, so that neither side waits for the other.
            if under_way.len() == threads * WAITING_BLOCKS {
                take(&mut under_way, &mut check, output)?;
            }
            let Some(packer) = turns.next() else { break };
            let bytes = Arc::new(chunk);
            let block = Block { before: before.replace(Arc::clone(&bytes)), bytes };
            packer.blocks.send(block).map_err(|_| ended())?;
            under_way.push_back(packer);
        }
        while !under_way.is_empty() {
            take(&mut under_way, &mut check, output)?;
        }
        Ok::<_, io::Error>(check)
    })?;
    output.write_all(&LAST_BLOCK)?;
    output.write_all(&check.sum().to_le_bytes())?;
    output.write_all(&check.amount().to_le_bytes())
}

/// Writes the oldest block that is under way.
fn take(under_way: &mut VecDeque<&Packer>, check: &mut Crc, output: &mut impl Write) -> io::Result<()> {
    let Some(packer) = under_way.pop_front() else { return Ok(()) };
    let packed = packer.packed.recv().map_err(|_| ended())?;
    check.combine(&packed.check);
    output.write_all(&packed.bytes)
}

fn ended() -> io::Error {
    io::Error::other("a thread that compresses ended by itself")
}

fn packer<'scope>(scope: &'scope Scope<'scope, '_>) -> io::Result<Packer> {
    let (blocks, to_pack) = sync_channel::<Block>(WAITING_BLOCKS);
    let (packed_to, packed) = sync_channel(WAITING_BLOCKS);
    thread::Builder::new().name("gzip".to_owned()).spawn_scoped(scope, move || {
        let mut deflate = Deflate::new();
        for block in to_pack {
            let before = block.before.as_deref().map_or(&[][..], Vec::as_slice);
            let mut check = Crc::new();
            check.update(&block.bytes);
            let bytes = deflate.compress(before, &block.bytes);
            if packed_to.send(Packed { bytes, check }).is_err() {
                return;
            }
        }
    })?;
    Ok(Packer { blocks, packed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
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
    fn what_is_compressed_in_blocks_is_one_member_and_comes_back_whole() {
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
            // This reader stops after the first member.
            let mut decoder = GzDecoder::new(&output[..]);
            decoder.read_to_end(&mut back).unwrap();
            assert!(back == whole, "{} bytes came back of {}", back.len(), whole.len());
            assert!(decoder.into_inner().is_empty(), "something follows the member");
            for threads in [1, 2, 7] {
                assert_eq!(output, packed_by(threads, &chunks), "the bytes depend on the threads");
            }
            assert!(output.len() <= whole.len() + whole.len() / 100 + 64, "it grew to {}", output.len());
        }
    }

    #[test]
    fn a_block_uses_what_stood_before_it() {
        let noise: Vec<u8> =
            (0..20_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let alone = packed(&[noise[..30_000].to_vec()]).len();
        let twice = packed(&[noise[..30_000].to_vec(), noise[..30_000].to_vec()]).len();
        assert!(twice < alone + alone / 10, "{twice} beside {alone}");
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
            "sha256:734adc4c3a3e5e7b2a00c14ea0c2cbd0aa9a6ae50259cef73486a250417b03b1"
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
            let read = GzDecoder::new(&damaged[..]).read_to_end(&mut Vec::new());
            assert!(read.is_err(), "byte {at} of {} does not matter", output.len());
        }
    }
}
