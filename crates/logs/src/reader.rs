//! Reading a stream's rows from an offset on, also while it grows and while old rows are dropped.

use crate::keep;
use crate::row::{Decoded, MAX_FRAME_BYTES, Row, decode};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Bytes that are asked for at once; more than the longest row.
const CHUNK_BYTES: usize = 4 * MAX_FRAME_BYTES;

/// A row and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Byte position of the row: its id in the stream, for ever.
    pub offset: u64,
    /// Where the next row begins or will begin.
    pub next_offset: u64,
    pub row: Row,
}

/// Why rows cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error("cannot read the log {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the log {} ends at byte {end}, before offset {offset}; read it from the start", path.display())]
    BeyondEnd { path: PathBuf, offset: u64, end: u64 },
    #[error("no row begins at byte {offset} of the log {}; use an offset that was read from it", path.display())]
    NoRow { path: PathBuf, offset: u64 },
}

/// Reads whole rows, in order.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: OwnedFd,
    /// Where the next row begins.
    offset: u64,
    /// Bytes of the file from `offset` on, as far as they were read; `used` of them are done.
    buffer: Vec<u8>,
    used: usize,
}

impl Reader {
    /// Opens a stream at the row that begins at `offset`; at the first one that is still there when that was dropped.
    pub fn open(path: &Path, offset: u64) -> Result<Self, ReadError> {
        let io_error = |source| ReadError::Io { path: path.to_owned(), source };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| io_error(error.into()))?;
        let stat = rustix::fs::fstat(&file).map_err(|error| io_error(error.into()))?;
        let end = u64::try_from(stat.st_size).unwrap_or(0);
        if offset > end {
            return Err(ReadError::BeyondEnd { path: path.to_owned(), offset, end });
        }
        let offset = offset.max(keep::start(path).map_err(io_error)?);
        Ok(Self { path: path.to_owned(), file, offset, buffer: Vec::new(), used: 0 })
    }

    /// Where the next row begins or will begin.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next whole row; `None` at the end, and a later call may find more. A damaged row is stepped over when a
    /// good one (or the end) follows where its length says; otherwise [`ReadError::NoRow`].
    pub fn next_row(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            match decode(&self.buffer[self.used..]) {
                Decoded::Row { row, frame_bytes } => {
                    let offset = self.offset;
                    self.advance(frame_bytes);
                    return Ok(Some(Entry { offset, next_offset: self.offset, row }));
                }
                Decoded::Short => {
                    if !self.fill()? {
                        return Ok(None);
                    }
                }
                Decoded::Damaged { frame_bytes } => self.step_over(frame_bytes)?,
            }
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.used += bytes;
        self.offset += bytes as u64;
    }

    fn io_error(&self, error: impl Into<io::Error>) -> ReadError {
        ReadError::Io { path: self.path.clone(), source: error.into() }
    }

    /// Reads on from the end of the buffer; false when there is nothing more.
    fn fill(&mut self) -> Result<bool, ReadError> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let known = self.buffer.len();
        self.buffer.resize(known + CHUNK_BYTES, 0);
        let result = rustix::io::retry_on_intr(|| {
            rustix::io::pread(&self.file, &mut self.buffer[known..], self.offset + known as u64)
        });
        let count = *result.as_ref().unwrap_or(&0);
        self.buffer.truncate(known + count);
        result.map_err(|error| self.io_error(error))?;
        Ok(count > 0)
    }

    /// No row begins here: the place was dropped meanwhile (go to the new start), or one row is damaged (go on after
    /// it), or this never was a row's beginning.
    fn step_over(&mut self, frame_bytes: Option<usize>) -> Result<(), ReadError> {
        let start = keep::start(&self.path).map_err(|error| self.io_error(error))?;
        if start > self.offset {
            self.offset = start;
            self.buffer.clear();
            self.used = 0;
            return Ok(());
        }
        let no_row = ReadError::NoRow { path: self.path.clone(), offset: self.offset };
        let Some(frame_bytes) = frame_bytes else { return Err(no_row) };
        while self.buffer.len() - self.used < frame_bytes + MAX_FRAME_BYTES && self.fill()? {}
        match decode(&self.buffer[self.used + frame_bytes..]) {
            Decoded::Damaged { .. } => Err(no_row),
            Decoded::Row { .. } | Decoded::Short => {
                self.advance(frame_bytes);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flags, Stream, Writer};
    use std::os::unix::fs::FileExt;

    fn stream_with(place: &tempfile::TempDir, rows: &[&str]) -> PathBuf {
        let path = place.path().join("stream");
        let mut writer = Writer::open(&path, u64::MAX).unwrap();
        for row in rows {
            writer.row(Stream::Out, Flags::NONE, row.as_bytes()).unwrap();
        }
        path
    }

    fn texts(path: &Path, offset: u64) -> Vec<String> {
        let mut reader = Reader::open(path, offset).unwrap();
        std::iter::from_fn(|| reader.next_row().unwrap())
            .map(|e| String::from_utf8(e.row.bytes).unwrap())
            .collect()
    }

    #[test]
    fn a_reader_goes_on_where_another_one_stopped() {
        let place = tempfile::tempdir().unwrap();
        let path = stream_with(&place, &["one", "two", "three"]);
        let mut reader = Reader::open(&path, 0).unwrap();
        let first = reader.next_row().unwrap().unwrap();
        assert_eq!((first.offset, first.row.bytes.as_slice()), (0, b"one".as_slice()));
        assert_eq!(texts(&path, first.next_offset), ["two", "three"]);
    }

    #[test]
    fn a_row_that_is_still_being_written_is_not_there_yet() {
        let place = tempfile::tempdir().unwrap();
        let path = stream_with(&place, &["one", "two"]);
        let whole = std::fs::read(&path).unwrap();
        for length in 22..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let mut reader = Reader::open(&path, 0).unwrap();
            assert_eq!(reader.next_row().unwrap().unwrap().row.bytes, b"one");
            assert_eq!(reader.next_row().unwrap(), None);
            std::fs::write(&path, &whole).unwrap();
            assert_eq!(reader.next_row().unwrap().unwrap().row.bytes, b"two");
        }
    }

    #[test]
    fn rows_longer_than_a_read_are_whole() {
        let place = tempfile::tempdir().unwrap();
        let long = "y".repeat(crate::MAX_ROW_BYTES);
        let rows: Vec<&str> = std::iter::repeat_n(long.as_str(), 40).collect();
        assert_eq!(texts(&stream_with(&place, &rows), 0), rows);
    }

    #[test]
    fn an_offset_that_is_no_row_is_told_and_never_guessed() {
        let place = tempfile::tempdir().unwrap();
        let path = stream_with(&place, &["one", "two"]);
        let mut inside = Reader::open(&path, 3).unwrap();
        assert!(matches!(inside.next_row(), Err(ReadError::NoRow { offset: 3, .. })));
        let beyond = Reader::open(&path, 1000).unwrap_err();
        assert!(beyond.to_string().contains("ends at byte 42"), "{beyond}");
    }

    #[test]
    fn a_damaged_row_costs_only_itself() {
        let place = tempfile::tempdir().unwrap();
        let path = stream_with(&place, &["one", "two", "three"]);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_at(b"X", 21 + 15).unwrap();
        assert_eq!(texts(&path, 0), ["one", "three"]);
    }

    #[test]
    fn a_reader_that_was_overtaken_by_dropping_goes_on_at_the_new_start() {
        let place = tempfile::tempdir().unwrap();
        let rows: Vec<String> = (0..20_000).map(|n| format!("row {n:05}")).collect();
        let path = stream_with(&place, &rows.iter().map(String::as_str).collect::<Vec<_>>());
        let mut reader = Reader::open(&path, 0).unwrap();
        reader.next_row().unwrap().unwrap();
        crate::trim(&path, 27 * 10).unwrap();
        let mut last = Vec::new();
        while let Some(entry) = reader.next_row().unwrap() {
            last.push(entry.row.bytes);
        }
        assert_eq!(last.last().unwrap(), b"row 19999");
        assert_eq!(texts(&path, 0).len(), 10);
    }
}
