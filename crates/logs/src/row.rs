//! The framing of one row, little-endian:
//! `u32 length · u64 microseconds · u8 stream · u8 flags · length bytes · u32 crc32c` of all that stands before it.

use std::ops::BitOr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Most bytes of text in one row; longer lines become several rows.
pub const MAX_ROW_BYTES: usize = 16 * 1024;

/// Bytes before the text.
const HEADER_BYTES: usize = 14;
/// Bytes of the checksum after the text.
const CHECKSUM_BYTES: usize = 4;
/// The longest whole row in bytes.
pub(crate) const MAX_FRAME_BYTES: usize = HEADER_BYTES + MAX_ROW_BYTES + CHECKSUM_BYTES;

/// Who speaks in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stream {
    /// The process's standard output.
    Out = 1,
    /// The process's standard error.
    Err = 2,
    /// The platform, about the process.
    Platform = 3,
    /// The log, about itself: rows dropped.
    Marker = 4,
}

/// Properties of a row, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    pub const NONE: Self = Self(0);
    /// No line end follows: the line goes on in the next row of the same stream.
    pub const PARTIAL: Self = Self(1);
    /// A secret was replaced in this row.
    pub const MASKED: Self = Self(2);
    /// The text was longer than a row may be, and the rest was thrown away.
    pub const CUT: Self = Self(4);

    /// The byte as written.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other` is set here.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One row as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Microseconds since 1970-01-01T00:00:00Z by the writer's wall clock.
    pub microseconds: u64,
    pub stream: Stream,
    pub flags: Flags,
    /// The text without its line end; any bytes. Show it to people through [`crate::clean`] only.
    pub bytes: Vec<u8>,
}

/// What stands at the beginning of some bytes of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A row of this many bytes, framing included.
    Row { row: Row, frame_bytes: usize },
    /// The beginning of a row; more bytes are needed.
    Short,
    /// No row begins here; the frame's length in bytes, when the header looks like one.
    Damaged { frame_bytes: Option<usize> },
}

/// Microseconds since 1970 by this machine's wall clock.
pub(crate) fn now_microseconds() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

/// Appends one framed row to `out`. Text beyond [`MAX_ROW_BYTES`] is cut, and the row says so.
pub fn encode(microseconds: u64, stream: Stream, flags: Flags, text: &[u8], out: &mut Vec<u8>) {
    let (text, flags) = match text.get(..MAX_ROW_BYTES) {
        Some(kept) if text.len() > MAX_ROW_BYTES => (kept, flags | Flags::CUT),
        _ => (text, flags),
    };
    let begin = out.len();
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&microseconds.to_le_bytes());
    out.extend_from_slice(&[stream as u8, flags.bits()]);
    out.extend_from_slice(text);
    let checksum = crc32c::crc32c(&out[begin..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Reads the row at the beginning of `bytes`.
pub fn decode(bytes: &[u8]) -> Decoded {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Decoded::Short };
    let [l0, l1, l2, l3, t0, t1, t2, t3, t4, t5, t6, t7, stream, flags] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let stream = match stream {
        1 => Stream::Out,
        2 => Stream::Err,
        3 => Stream::Platform,
        4 => Stream::Marker,
        _ => return Decoded::Damaged { frame_bytes: None },
    };
    if length > MAX_ROW_BYTES || flags & !7 != 0 {
        return Decoded::Damaged { frame_bytes: None };
    }
    let frame_bytes = HEADER_BYTES + length + CHECKSUM_BYTES;
    let (Some(text), Some(checksum)) = (rest.get(..length), rest.get(length..length + CHECKSUM_BYTES)) else {
        return Decoded::Short;
    };
    if crc32c::crc32c(&bytes[..HEADER_BYTES + length]).to_le_bytes() != checksum {
        return Decoded::Damaged { frame_bytes: Some(frame_bytes) };
    }
    let microseconds = u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
    Decoded::Row { row: Row { microseconds, stream, flags: Flags(flags), bytes: text.to_vec() }, frame_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(7, Stream::Err, Flags::PARTIAL, text, &mut out);
        out
    }

    #[test]
    fn the_framing_is_what_the_documentation_says() {
        let expected = b"\x02\0\0\0\x07\0\0\0\0\0\0\0\x02\x01hi";
        let checksum = crc32c::crc32c(expected).to_le_bytes();
        assert_eq!(framed(b"hi"), [expected.as_slice(), &checksum].concat());
    }

    #[test]
    fn text_that_is_too_long_is_cut_and_the_row_says_so() {
        let Decoded::Row { row, .. } = decode(&framed(&vec![b'a'; MAX_ROW_BYTES + 1])) else {
            panic!("no row")
        };
        assert_eq!(row.bytes.len(), MAX_ROW_BYTES);
        assert!(row.flags.has(Flags::CUT) && row.flags.has(Flags::PARTIAL) && !row.flags.has(Flags::MASKED));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let frame = framed(&text);
            let row = Row { microseconds: 7, stream: Stream::Err, flags: Flags::PARTIAL, bytes: text };
            prop_assert_eq!(decode(&frame), Decoded::Row { row, frame_bytes: frame.len() });
        }

        #[test]
        fn a_row_that_is_not_whole_is_short(text in proptest::collection::vec(any::<u8>(), 0..50), missing in 1_usize..20) {
            let frame = framed(&text);
            let end = frame.len().saturating_sub(missing);
            prop_assert_eq!(decode(&frame[..end]), Decoded::Short);
        }

        #[test]
        fn any_bytes_decode_without_panic_and_one_flipped_bit_is_never_a_row(
            text in proptest::collection::vec(any::<u8>(), 0..50), noise in proptest::collection::vec(any::<u8>(), 0..50),
            place in any::<proptest::sample::Index>(), bit in 0_u8..8,
        ) {
            decode(&noise);
            let mut frame = framed(&text);
            let place = place.index(frame.len());
            frame[place] ^= 1 << bit;
            let is_row = matches!(decode(&frame), Decoded::Row { .. });
            prop_assert!(!is_row);
        }
    }
}
