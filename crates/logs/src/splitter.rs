//! Bytes of a pipe, as they come, into the texts of rows.

use crate::row::{Flags, MAX_ROW_BYTES};
use std::io;

/// The first two bytes of U+E000 and U+E001, between which a masked secret's name stands.
const MARK_BEGIN: [u8; 2] = [0xEE, 0x80];
/// Their last bytes. Tenants cannot write these after [`MARK_BEGIN`].
const MARK_ENDS: [u8; 2] = [0x80, 0x81];

/// Cuts one pipe's bytes at line ends. A line longer than a row comes in several, all but the last partial; what
/// waits for its line end longer than the caller likes (200 ms) is taken by [`Splitter::flush`] as partial.
#[derive(Debug, Default)]
pub struct Splitter {
    pending: Vec<u8>,
    /// The last two bytes of this line, also when they have left in a partial row.
    last: [u8; 2],
}

impl Splitter {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes and gives each text that is ready to `row`; the first error of `row` ends it.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        row: &mut impl FnMut(Flags, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = line.strip_suffix(b"\n").map_or((line, false), |text| (text, true));
            for piece in text.chunks(MAX_ROW_BYTES) {
                self.take(piece);
                while self.pending.len() > MAX_ROW_BYTES {
                    let end = whole_characters(&self.pending[..MAX_ROW_BYTES]);
                    row(Flags::PARTIAL, &self.pending[..end])?;
                    self.pending.drain(..end);
                }
            }
            if ended {
                row(Flags::NONE, &self.pending)?;
                self.pending.clear();
                self.last = [0; 2];
            }
        }
        Ok(())
    }

    /// Whether something waits for its line end.
    pub fn is_waiting(&self) -> bool {
        whole_characters(&self.pending) > 0
    }

    /// Gives what waits, as a partial row; the beginning of a character whose rest has not come stays.
    pub fn flush(&mut self, row: &mut impl FnMut(Flags, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let end = whole_characters(&self.pending);
        if end > 0 {
            row(Flags::PARTIAL, &self.pending[..end])?;
            self.pending.drain(..end);
        }
        Ok(())
    }

    /// Gives the last text, which had no line end. Nothing more will come.
    pub fn finish(&mut self, row: &mut impl FnMut(Flags, &[u8]) -> io::Result<()>) -> io::Result<()> {
        if !self.pending.is_empty() {
            row(Flags::NONE, &self.pending)?;
            self.pending.clear();
        }
        Ok(())
    }

    /// Adds bytes. One that would make one of the two marks is left out, so that half a character remains.
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.last == MARK_BEGIN && MARK_ENDS.contains(byte) {
                continue;
            }
            self.last = [self.last[1], *byte];
            self.pending.push(*byte);
        }
    }
}

/// Length without the beginning of a UTF-8 character at the end; everything, when it is no UTF-8 there.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let needed = match bytes[at] {
            0x80..=0xBF => continue,
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => return bytes.len(),
        };
        return if needed > back { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows_of(writes: &[&[u8]]) -> Vec<(Flags, Vec<u8>)> {
        let mut rows = Vec::new();
        let mut keep = |flags: Flags, text: &[u8]| {
            rows.push((flags, text.to_vec()));
            Ok(())
        };
        let mut splitter = Splitter::new();
        for bytes in writes {
            splitter.feed(bytes, &mut keep).unwrap();
        }
        splitter.finish(&mut keep).unwrap();
        rows
    }

    #[test]
    fn rows_end_at_line_ends_wherever_the_writes_were_cut() {
        let expected =
            [(Flags::NONE, b"one".to_vec()), (Flags::NONE, Vec::new()), (Flags::NONE, b"two".to_vec())];
        assert_eq!(rows_of(&[b"one\n\ntwo\n"]), expected);
        assert_eq!(rows_of(&[b"o", b"ne", b"\n", b"\nt", b"wo"]), expected);
    }

    #[test]
    fn a_prompt_without_line_end_is_shown_when_the_caller_has_waited_long_enough() {
        let mut rows = Vec::new();
        let mut keep = |flags: Flags, text: &[u8]| {
            rows.push((flags, text.to_vec()));
            Ok(())
        };
        let mut splitter = Splitter::new();
        splitter.feed("name? \u{e4}".as_bytes().strip_suffix(b"\xa4").unwrap(), &mut keep).unwrap();
        assert!(splitter.is_waiting());
        splitter.flush(&mut keep).unwrap();
        assert!(!splitter.is_waiting(), "half a character waits for its other half");
        splitter.feed(b"\xa4\n", &mut keep).unwrap();
        assert_eq!(rows, [(Flags::PARTIAL, b"name? ".to_vec()), (Flags::NONE, "\u{e4}".as_bytes().to_vec())]);
    }

    #[test]
    fn a_tenant_cannot_write_the_marks_of_a_masked_secret() {
        let text = "a\u{e000}NAME\u{e001}b \u{e002} stays\n";
        let expected = b"a\xEE\x80NAME\xEE\x80b \xEE\x80\x82 stays".to_vec();
        assert_eq!(rows_of(&[text.as_bytes()]), [(Flags::NONE, expected.clone())]);
        let cut: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(rows_of(&cut), [(Flags::NONE, expected)]);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_and_no_row_too_long(
            lines in proptest::collection::vec("[a-z\u{e4}\u{20ac}\u{1f600}]{0,40000}", 1..4), cut in 1_usize..30_000
        ) {
            let whole = lines.join("\n");
            let writes: Vec<&[u8]> = whole.as_bytes().chunks(cut).collect();
            let mut text = String::new();
            for (flags, row) in rows_of(&writes) {
                prop_assert!(row.len() <= MAX_ROW_BYTES);
                text.push_str(std::str::from_utf8(&row).unwrap());
                if !flags.has(Flags::PARTIAL) {
                    text.push('\n');
                }
            }
            prop_assert_eq!(text.trim_end_matches('\n'), whole.trim_end_matches('\n'));
        }

        #[test]
        fn whatever_comes_no_mark_is_ever_in_two_rows_read_together(
            writes in proptest::collection::vec(proptest::collection::vec(prop::sample::select(vec![0xEE, 0x80, 0x81, b'a']), 0..6), 0..12)
        ) {
            let mut joined = Vec::new();
            let mut keep = |_: Flags, text: &[u8]| { joined.extend_from_slice(text); Ok(()) };
            let mut splitter = Splitter::new();
            for write in &writes {
                splitter.feed(write, &mut keep).unwrap();
                splitter.flush(&mut keep).unwrap();
            }
            splitter.finish(&mut keep).unwrap();
            let is_mark = |window: &[u8]| window[..2] == MARK_BEGIN && MARK_ENDS.contains(&window[2]);
            prop_assert!(!joined.windows(3).any(is_mark));
        }
    }
}
