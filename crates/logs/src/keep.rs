//! What happens to a stream besides appending: old rows go, a torn end is cut off.

use crate::reader::{ReadError, Reader};
use rustix::fs::{FallocateFlags, Mode, OFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

fn side_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".start");
    name.into()
}

/// Offset of the first row that is still there: 0 until something was dropped.
pub fn start(path: &Path) -> io::Result<u64> {
    match std::fs::read_to_string(side_file(path)) {
        Ok(text) => text.trim().parse().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} holds no number", side_file(path).display()),
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Drops all rows before the one at `offset`: their disk space is freed, all other offsets stay. One caller at a
/// time per stream; writers and readers may go on.
pub fn drop_before(path: &Path, offset: u64) -> Result<(), ReadError> {
    let reader = Reader::open(path, offset)?;
    if reader.offset() != offset {
        return Ok(()); // Dropped before.
    }
    check_row(reader)?;
    punch(path, offset).map_err(|source| ReadError::Io { path: path.to_owned(), source })
}

/// Drops the oldest rows until at most `keep_bytes` of rows are left; gives the offset of the first one kept.
pub fn trim(path: &Path, keep_bytes: u64) -> Result<u64, ReadError> {
    let io_error = |source| ReadError::Io { path: path.to_owned(), source };
    let end = std::fs::metadata(path).map_err(io_error)?.len();
    let mut reader = Reader::open(path, 0)?;
    let begin = reader.offset();
    while end.saturating_sub(reader.offset()) > keep_bytes && reader.next_row()?.is_some() {}
    let kept = reader.offset();
    if kept > begin {
        punch(path, kept).map_err(io_error)?;
    }
    Ok(kept)
}

fn check_row(mut reader: Reader) -> Result<(), ReadError> {
    reader.next_row().map(|_| ())
}

/// The new start is on record before the bytes go, so that no reader takes a hole for damage.
fn punch(path: &Path, offset: u64) -> io::Result<()> {
    let side = side_file(path);
    let fresh = side.with_extension("start.new");
    std::fs::write(&fresh, format!("{offset}\n"))?;
    std::fs::rename(&fresh, &side)?;
    let file = open_write(path)?;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(&file, flags, 0, offset) {
        // A file system without holes: the rows are out of sight, their space is freed with the stream.
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn open_write(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?)
}

/// What [`recover`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Where the next row will stand.
    pub end: u64,
    /// Bytes cut off: a row that a crash tore, or what followed a row whose length is damaged.
    pub cut_bytes: u64,
    /// Whole rows whose checksum is wrong; they stay, and readers step over them.
    pub damaged_rows: u64,
}

/// Cuts the stream back to its last whole row. Only for a stream that has no living writer.
pub fn recover(path: &Path) -> Result<Recovered, ReadError> {
    let io_error = |source| ReadError::Io { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(io_error)?.len();
    let mut reader = Reader::open(path, 0)?;
    let mut expected = reader.offset();
    let mut damaged_rows = 0;
    loop {
        match reader.next_row() {
            Ok(Some(entry)) => {
                damaged_rows += u64::from(entry.offset != expected);
                expected = entry.next_offset;
            }
            Ok(None) | Err(ReadError::NoRow { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    if length > expected {
        rustix::fs::ftruncate(open_write(path).map_err(io_error)?, expected)
            .map_err(|e| io_error(e.into()))?;
    }
    Ok(Recovered { end: expected, cut_bytes: length.saturating_sub(expected), damaged_rows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flags, Stream, Writer};
    use std::os::unix::fs::{FileExt, MetadataExt};

    fn stream_of(place: &tempfile::TempDir, rows: usize) -> (PathBuf, Vec<u64>) {
        let path = place.path().join("stream");
        let mut writer = Writer::open(&path, u64::MAX).unwrap();
        let offsets = (0..rows)
            .map(|_| {
                let offset = path.metadata().unwrap().len();
                writer.row(Stream::Out, Flags::NONE, &[b'x'; 1000]).unwrap();
                offset
            })
            .collect();
        (path, offsets)
    }

    #[test]
    fn dropping_frees_the_disk_and_leaves_every_later_offset_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let (path, offsets) = stream_of(&place, 200);
        let before = path.metadata().unwrap();
        drop_before(&path, offsets[150]).unwrap();
        let after = path.metadata().unwrap();
        assert_eq!(after.len(), before.len());
        assert!(after.blocks() * 512 < 60 * 1024, "{} blocks left", after.blocks());
        assert_eq!(start(&path).unwrap(), offsets[150]);
        for wanted in [0, offsets[10], offsets[150]] {
            let first = Reader::open(&path, wanted).unwrap().next_row().unwrap().unwrap();
            assert_eq!(first.offset, offsets[150]);
        }
        assert_eq!(
            Reader::open(&path, offsets[199]).unwrap().next_row().unwrap().unwrap().offset,
            offsets[199]
        );
    }

    #[test]
    fn dropping_at_an_offset_that_is_no_row_drops_nothing() {
        let place = tempfile::tempdir().unwrap();
        let (path, offsets) = stream_of(&place, 3);
        assert!(matches!(drop_before(&path, offsets[1] + 1), Err(ReadError::NoRow { .. })));
        assert_eq!(start(&path).unwrap(), 0);
    }

    #[test]
    fn trimming_keeps_the_newest_rows() {
        let place = tempfile::tempdir().unwrap();
        let (path, offsets) = stream_of(&place, 100);
        assert_eq!(trim(&path, 1_000_000).unwrap(), 0);
        assert_eq!(trim(&path, 5 * 1018).unwrap(), offsets[95]);
        assert_eq!(trim(&path, 0).unwrap(), path.metadata().unwrap().len());
    }

    #[test]
    fn a_torn_end_is_cut_back_to_the_last_whole_row_at_every_place_it_may_tear() {
        let place = tempfile::tempdir().unwrap();
        let (path, offsets) = stream_of(&place, 3);
        let whole = std::fs::read(&path).unwrap();
        for torn in [1, 13, 14, 500, 1017] {
            std::fs::write(&path, &whole[..usize::try_from(offsets[2]).unwrap() + torn]).unwrap();
            let found = recover(&path).unwrap();
            assert_eq!(found, Recovered { end: offsets[2], cut_bytes: torn as u64, damaged_rows: 0 });
            assert_eq!(path.metadata().unwrap().len(), offsets[2]);
        }
        assert_eq!(recover(&path).unwrap().cut_bytes, 0);
    }

    #[test]
    fn zeros_that_a_power_cut_left_at_the_end_are_cut_and_a_damaged_row_is_counted() {
        let place = tempfile::tempdir().unwrap();
        let (path, _) = stream_of(&place, 3);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_at(&[0; 4000], 3 * 1018).unwrap();
        file.write_at(b"!", 500).unwrap();
        let found = recover(&path).unwrap();
        assert_eq!(found, Recovered { end: 3 * 1018, cut_bytes: 4000, damaged_rows: 1 });
    }
}
