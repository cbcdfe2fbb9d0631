//! What stands before a block with codes of its own: which they are (RFC 1951, section 3.2.7).

#![expect(clippy::cast_possible_truncation, reason = "there are some hundred symbols")]

use super::{
    bits::Bits,
    codes::{code_of_lengths, lengths_of},
};

/// Order in which the lengths of the codes for code lengths stand (section 3.2.7).
const LENGTHS_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The lengths of both codes, in runs that have a code of their own.
pub(super) struct Header {
    literals: usize,
    distances: usize,
    /// Symbol, value and number of extra bits.
    runs: Vec<(usize, u32, u32)>,
    lengths: Vec<u8>,
    used: usize,
}

impl Header {
    pub(super) fn new(literals: &[u8], distances: &[u8]) -> Self {
        let used = |lengths: &[u8], least| {
            lengths.iter().rposition(|length| *length > 0).map_or(least, |last| last + 1).max(least)
        };
        let (literals, distances) = (&literals[..used(literals, 257)], &distances[..used(distances, 1)]);
        let all = [literals, distances].concat();
        let mut runs = Vec::new();
        let mut rest = &all[..];
        while let Some(first) = rest.first() {
            let mut run = rest.iter().take_while(|length| *length == first).count();
            rest = &rest[run..];
            if *first == 0 {
                while run >= 11 {
                    let count = run.min(138);
                    runs.push((18, count as u32 - 11, 7));
                    run -= count;
                }
                if run >= 3 {
                    runs.push((17, run as u32 - 3, 3));
                    run = 0;
                }
            } else {
                runs.push((usize::from(*first), 0, 0));
                run -= 1;
                while run >= 3 {
                    let count = run.min(6);
                    runs.push((16, count as u32 - 3, 2));
                    run -= count;
                }
            }
            runs.extend(std::iter::repeat_n((usize::from(*first), 0, 0), run));
        }
        let mut counts = [0; 19];
        for (symbol, _, _) in &runs {
            counts[*symbol] += 1;
        }
        let lengths = lengths_of(&counts, 7);
        let used =
            LENGTHS_ORDER.iter().rposition(|symbol| lengths[*symbol] > 0).map_or(4, |last| last + 1).max(4);
        Self { literals: literals.len(), distances: distances.len(), runs, lengths, used }
    }

    pub(super) fn bits(&self) -> u64 {
        let runs: u64 = self
            .runs
            .iter()
            .map(|(symbol, _, more)| u64::from(self.lengths[*symbol]) + u64::from(*more))
            .sum();
        3 + 5 + 5 + 4 + 3 * self.used as u64 + runs
    }

    pub(super) fn write(&self, bits: &mut Bits) {
        // Not the last block, codes of its own.
        bits.add(0b100, 3);
        bits.add(self.literals as u32 - 257, 5);
        bits.add(self.distances as u32 - 1, 5);
        bits.add(self.used as u32 - 4, 4);
        for symbol in &LENGTHS_ORDER[..self.used] {
            bits.add(u32::from(self.lengths[*symbol]), 3);
        }
        let code = code_of_lengths(&self.lengths);
        for (symbol, value, more) in &self.runs {
            bits.add(code[*symbol].bits, code[*symbol].length);
            bits.add(*value, *more);
        }
    }
}
