//! deflate (RFC 1951) where speed counts most: one look at one earlier place for each position, codes made for each
//! piece, and what does not get shorter stored as it is. The bytes are a function of the content: they are pinned by the
//! digests of blobs. Of text it makes about as much as zlib's level 3, in less than half of the time.

#![expect(clippy::cast_possible_truncation, reason = "a block's positions, and bits that are cut off, fit")]

use super::{
    bits::{Bits, Room},
    codes::{Code, code_of_lengths, lengths_of},
    header::Header,
};

/// How far back deflate looks.
const WINDOW_BYTES: usize = 32 * 1024;
/// So much text has codes of its own.
const PIECE_BYTES: usize = 64 * 1024;
const HASH_BITS: u32 = 14;
/// Shorter repetitions cost about as much as they save.
const MIN_MATCH: usize = 5;
const MAX_MATCH: usize = 258;
/// A stored block's length has 16 bits.
const MAX_STORED: usize = 65_535;
const END_OF_BLOCK: usize = 256;

/// Literals, then what repeats the bytes that stand `distance` before; a length of 0 repeats nothing.
#[derive(Clone, Copy)]
struct Sequence {
    literals: u32,
    length: u16,
    distance: u16,
}

/// What is needed for a block, kept from one to the next.
pub(super) struct Deflate {
    /// Where each hash was seen last.
    seen: Vec<u32>,
    text: Vec<u8>,
    sequences: Vec<Sequence>,
}

impl Deflate {
    pub(super) fn new() -> Self {
        Self { seen: vec![0; 1 << HASH_BITS], text: Vec::new(), sequences: Vec::new() }
    }

    /// Compresses `block`, which follows `before`, to whole bytes; another block may follow.
    pub(super) fn compress(&mut self, before: &[u8], block: &[u8]) -> Vec<u8> {
        let window = &before[before.len().saturating_sub(WINDOW_BYTES)..];
        self.seen.fill(0);
        self.text.clear();
        self.text.extend_from_slice(window);
        self.text.extend_from_slice(block);
        for at in (0..window.len().saturating_sub(8)).step_by(2) {
            self.seen[hash(word(&self.text, at))] = at as u32;
        }
        let mut bits = Bits::with_capacity(block.len() + block.len() / 1024 + 64);
        let mut from = window.len();
        while from < self.text.len() {
            let to = self.text.len().min(from + PIECE_BYTES);
            self.find(from, to);
            self.write(&mut bits, from, to);
            from = to;
        }
        bits.whole_bytes()
    }

    /// Cuts a piece into sequences.
    fn find(&mut self, from: usize, to: usize) {
        self.sequences.clear();
        let text = &self.text[..to];
        let (mut at, mut written) = (from, from);
        while at + 8 <= to {
            let here = word(text, at);
            let slot = &mut self.seen[hash(here)];
            let there = *slot as usize;
            *slot = at as u32;
            let distance = at - there;
            if distance < WINDOW_BYTES && distance > 0 && (word(text, there) ^ here) << 24 == 0 {
                let length = MIN_MATCH + same(&text[there + MIN_MATCH..], &text[at + MIN_MATCH..]);
                self.sequences.push(Sequence {
                    literals: (at - written) as u32,
                    length: length as u16,
                    distance: distance as u16,
                });
                at += length;
                written = at;
                if at + 8 <= to {
                    self.seen[hash(word(text, at - 2))] = (at - 2) as u32;
                }
            } else {
                // The longer nothing repeats, the less it is looked for.
                at += 1 + ((at - written) >> 7).min(31);
            }
        }
        if written < to {
            self.sequences.push(Sequence { literals: (to - written) as u32, length: 0, distance: 0 });
        }
    }

    /// Writes a piece in the shorter of two ways.
    fn write(&self, bits: &mut Bits, from: usize, to: usize) {
        let (mut literals, mut distances) = ([0_u32; 288], [0_u32; 32]);
        let mut extra = 0_u64;
        let mut at = from;
        for sequence in &self.sequences {
            for byte in &self.text[at..at + sequence.literals as usize] {
                literals[usize::from(*byte)] += 1;
            }
            at += sequence.literals as usize + usize::from(sequence.length);
            if sequence.length > 0 {
                let (symbol, _, more) = length_symbol(sequence.length);
                literals[symbol] += 1;
                let (symbol, _, further) = distance_symbol(sequence.distance);
                distances[symbol] += 1;
                extra += u64::from(more + further);
            }
        }
        literals[END_OF_BLOCK] = 1;
        if distances.iter().all(|count| *count == 0) {
            // Decoders want one distance to have a code.
            distances[0] = 1;
        }
        let (literal_lengths, distance_lengths) = (lengths_of(&literals, 15), lengths_of(&distances, 15));
        let header = Header::new(&literal_lengths[..286], &distance_lengths[..30]);
        let cost = |counts: &[u32], lengths: &[u8]| -> u64 {
            counts.iter().zip(lengths).map(|(count, length)| u64::from(*count) * u64::from(*length)).sum()
        };
        let coded =
            header.bits() + extra + cost(&literals, &literal_lengths) + cost(&distances, &distance_lengths);
        if coded / 8 + 8 >= (to - from) as u64 {
            for part in self.text[from..to].chunks(MAX_STORED) {
                bits.stored(part);
            }
            return;
        }
        bits.reserve(coded);
        header.write(bits);
        let literals = code_of_lengths(&literal_lengths);
        let distances = code_of_lengths(&distance_lengths);
        let mut out = Room::new(bits, coded);
        let mut at = from;
        for sequence in &self.sequences {
            let end = at + sequence.literals as usize;
            let mut run = self.text[at..end].chunks_exact(3);
            for bytes in &mut run {
                for byte in bytes {
                    out.add(literals[usize::from(*byte)]);
                }
                out.spill();
            }
            for byte in run.remainder() {
                out.add(literals[usize::from(*byte)]);
            }
            out.spill();
            at = end + usize::from(sequence.length);
            if sequence.length > 0 {
                let (symbol, value, more) = length_symbol(sequence.length);
                out.add(literals[symbol]);
                out.add(Code { bits: value, length: more });
                let (symbol, value, more) = distance_symbol(sequence.distance);
                out.spill();
                out.add(distances[symbol]);
                out.add(Code { bits: value, length: more });
                out.spill();
            }
        }
        out.add(literals[END_OF_BLOCK]);
        out.spill();
        out.end();
    }
}

/// Eight bytes, the first one lowest.
fn word(text: &[u8], at: usize) -> u64 {
    text[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Of the first five bytes.
fn hash(word: u64) -> usize {
    ((word << 24).wrapping_mul(0x9e37_79b1_85eb_ca87) >> (64 - HASH_BITS)) as usize
}

/// How many bytes more are the same, up to the longest match.
fn same(there: &[u8], here: &[u8]) -> usize {
    let most = here.len().min(MAX_MATCH - MIN_MATCH);
    let mut at = 0;
    while at + 8 <= most {
        let differ = word(there, at) ^ word(here, at);
        if differ != 0 {
            return at + differ.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while at < most && there[at] == here[at] {
        at += 1;
    }
    at
}

/// Symbol of a length, with the value and the number of its extra bits (section 3.2.5).
fn length_symbol(length: u16) -> (usize, u32, u32) {
    if length == 258 {
        return (285, 0, 0);
    }
    let above = u32::from(length) - 3;
    if above < 8 {
        return (257 + above as usize, 0, 0);
    }
    let more = above.ilog2() - 2;
    (257 + (more * 4 + (above >> more)) as usize, above & ((1 << more) - 1), more)
}

fn distance_symbol(distance: u16) -> (usize, u32, u32) {
    let above = u32::from(distance) - 1;
    if above < 4 {
        return (above as usize, 0, 0);
    }
    let more = above.ilog2() - 1;
    ((more * 2 + (above >> more)) as usize, above & ((1 << more) - 1), more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Decompress, FlushDecompress};
    use proptest::prelude::*;

    /// What zlib makes of blocks that follow one another.
    fn unpacked(blocks: &[Vec<u8>]) -> Vec<u8> {
        let (mut ours, mut zlib) = (Deflate::new(), Decompress::new(false));
        let mut before: &[u8] = &[];
        let mut whole = Vec::with_capacity(blocks.iter().map(Vec::len).sum::<usize>() + 64);
        for block in blocks {
            let packed = ours.compress(before, block);
            assert_eq!(packed, Deflate::new().compress(before, block), "nothing of the block before stays");
            assert!(packed.len() <= block.len() + block.len() / 1000 + 16, "it grew to {}", packed.len());
            let known = zlib.total_in();
            zlib.decompress_vec(&packed, &mut whole, FlushDecompress::Sync).unwrap();
            assert_eq!(zlib.total_in() - known, packed.len() as u64, "zlib ended early");
            before = block;
        }
        whole
    }

    fn check(blocks: &[Vec<u8>]) {
        assert!(unpacked(blocks) == blocks.concat());
    }

    #[test]
    fn what_is_rare_in_files_comes_back_too() {
        // Fibonacci's numbers make the longest codes.
        let mut steep = Vec::new();
        let (mut count, mut next) = (1, 1);
        for byte in 0..24_u8 {
            steep.extend(
                std::iter::repeat_n(byte, count).enumerate().map(|(at, byte)| byte ^ (at as u8 & 0x80)),
            );
            (count, next) = (next, count + next);
        }
        let period = |length: usize, bytes: usize| -> Vec<u8> {
            (0..bytes).map(|at| ((at % length) * 7 + (at % length) / 251) as u8).collect()
        };
        check(&[steep]);
        check(&[vec![0; PIECE_BYTES], vec![0; 1], vec![], vec![0; 3 * PIECE_BYTES + 5]]);
        // Repetitions as far away as they may be, and one byte further; over the ends of pieces and blocks.
        for length in [1, 2, 3, 4, 5, 257, 258, 259, WINDOW_BYTES - 1, WINDOW_BYTES, WINDOW_BYTES + 1] {
            check(&[period(length, 100_000), period(length, 40), period(length, PIECE_BYTES + 1)]);
        }
        // Stored: longer than one stored block can be.
        let noise: Vec<u8> = (1..50_000_u64)
            .flat_map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at.pow(3)).to_le_bytes())
            .collect();
        check(&[noise]);
    }

    proptest! {
        #[test]
        fn whatever_is_compressed_comes_back(
            blocks in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..2000), 1..40_usize, 1..=255_u8), 1..5),
        ) {
            // Some bytes, few different ones, again and again with one changed each time.
            let blocks: Vec<Vec<u8>> = blocks
                .into_iter()
                .map(|(bytes, times, most)| {
                    (0..times)
                        .flat_map(|time| {
                            let mut again: Vec<u8> = bytes.iter().map(|byte| byte % most).collect();
                            if let Some(byte) = again.get_mut(time * 7) {
                                *byte ^= 1;
                            }
                            again
                        })
                        .collect()
                })
                .collect();
            check(&blocks);
        }
    }
}
