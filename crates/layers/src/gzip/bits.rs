//! Writes bits.

#![expect(clippy::cast_possible_truncation, reason = "what is cut off is written later")]

use super::codes::Code;

/// Bits in the order of deflate: the first one lowest.
pub(super) struct Bits {
    bytes: Vec<u8>,
    waiting: u64,
    count: u32,
}

impl Bits {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), waiting: 0, count: 0 }
    }

    pub(super) fn reserve(&mut self, bits: u64) {
        self.bytes.reserve(bits as usize / 8 + 16);
    }

    pub(super) fn add(&mut self, value: u32, count: u32) {
        self.waiting |= u64::from(value) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.waiting as u8);
            self.waiting >>= 8;
            self.count -= 8;
        }
    }

    /// All of them, so that what follows begins with a byte: an empty stored block ends with one.
    pub(super) fn whole_bytes(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.stored(&[]);
        }
        self.bytes
    }

    /// A stored block (RFC 1951, section 3.2.4), not the last one.
    pub(super) fn stored(&mut self, bytes: &[u8]) {
        self.add(0, 3);
        if self.count > 0 {
            self.add(0, 8 - self.count);
        }
        let length = bytes.len() as u16;
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend((!length).to_le_bytes());
        self.bytes.extend(bytes);
    }
}

/// The same for very many short codes, into room that is there.
pub(super) struct Room<'a> {
    bits: &'a mut Bits,
    at: usize,
    waiting: u64,
    count: u32,
}

impl<'a> Room<'a> {
    pub(super) fn new(bits: &'a mut Bits, most: u64) -> Self {
        let (at, waiting, count) = (bits.bytes.len(), bits.waiting, bits.count);
        bits.bytes.resize(at + most as usize / 8 + 16, 0);
        Self { bits, at, waiting, count }
    }

    /// At most 56 bits between two calls of [`Self::spill`].
    #[inline]
    pub(super) fn add(&mut self, code: Code) {
        self.waiting |= u64::from(code.bits) << self.count;
        self.count += code.length;
    }

    #[inline]
    pub(super) fn spill(&mut self) {
        self.bits.bytes[self.at..self.at + 8].copy_from_slice(&self.waiting.to_le_bytes());
        self.at += self.count as usize / 8;
        self.waiting >>= self.count & !7;
        self.count &= 7;
    }

    pub(super) fn end(self) {
        self.bits.bytes.truncate(self.at);
        (self.bits.waiting, self.bits.count) = (self.waiting, self.count);
    }
}
