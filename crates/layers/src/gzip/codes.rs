//! Prefix codes of limited length (RFC 1951, section 3.2.2).

#![expect(clippy::cast_possible_truncation, reason = "lengths of codes are below 16")]

/// One symbol's code, its first bit lowest.
#[derive(Clone, Copy, Default)]
pub(super) struct Code {
    pub(super) bits: u32,
    pub(super) length: u32,
}

/// Lengths of codes for symbols that occur so often; 0 where one does not occur. No length is above `most`.
pub(super) fn lengths_of(counts: &[u32], most: usize) -> Vec<u8> {
    let mut lengths = vec![0; counts.len()];
    let mut symbols: Vec<usize> = (0..counts.len()).filter(|symbol| counts[*symbol] > 0).collect();
    symbols.sort_by_key(|symbol| counts[*symbol]);
    if symbols.len() < 2 {
        for symbol in symbols {
            lengths[symbol] = 1;
        }
        return lengths;
    }
    // Huffman: the two rarest become one. Leaves and what was joined wait in two queues, each in order.
    let leaves = symbols.len();
    let mut weights: Vec<u64> = symbols.iter().map(|symbol| u64::from(counts[*symbol])).collect();
    let mut parents = vec![0; 2 * leaves - 1];
    let (mut leaf, mut joined) = (0, leaves);
    for node in leaves..2 * leaves - 1 {
        let mut rarest = || {
            let take_leaf = leaf < leaves && (joined >= node || weights[leaf] <= weights[joined]);
            let queue = if take_leaf { &mut leaf } else { &mut joined };
            *queue += 1;
            *queue - 1
        };
        let (one, other) = (rarest(), rarest());
        (parents[one], parents[other]) = (node, node);
        weights.push(weights[one] + weights[other]);
    }
    // Depths from the root, which is the last node; too deep ones count as the deepest.
    let mut depths = vec![0_usize; 2 * leaves - 1];
    let mut with_length = vec![0_usize; most + 1];
    for node in (0..2 * leaves - 2).rev() {
        depths[node] = depths[parents[node]] + 1;
        if node < leaves {
            with_length[depths[node].min(most)] += 1;
        }
    }
    // They take more room than there is then: a shorter code becomes two longer ones until it fits.
    let room = 1_usize << most;
    let mut taken: usize = (1..=most).map(|length| with_length[length] << (most - length)).sum();
    while taken > room {
        let Some(length) = (1..most).rev().find(|length| with_length[*length] > 0) else { break };
        with_length[most] -= 1;
        with_length[length] -= 1;
        with_length[length + 1] += 2;
        taken -= 1;
    }
    let mut rarest_first = symbols.into_iter();
    for length in (1..=most).rev() {
        for symbol in rarest_first.by_ref().take(with_length[length]) {
            lengths[symbol] = length as u8;
        }
    }
    lengths
}

/// The codes that these lengths mean.
pub(super) fn code_of_lengths(lengths: &[u8]) -> Vec<Code> {
    let mut with_length = [0_u32; 16];
    for length in lengths {
        with_length[usize::from(*length)] += 1;
    }
    with_length[0] = 0;
    let mut next = [0_u32; 17];
    for length in 0..16 {
        next[length + 1] = (next[length] + with_length[length]) << 1;
    }
    lengths
        .iter()
        .map(|length| {
            if *length == 0 {
                return Code::default();
            }
            let code = next[usize::from(*length)];
            next[usize::from(*length)] += 1;
            Code { bits: code.reverse_bits() >> (32 - u32::from(*length)), length: u32::from(*length) }
        })
        .collect()
}
