//! Appending rows to a stream, within its size.

use crate::row::{Flags, Stream, encode, now_microseconds};
use rustix::fs::{Mode, OFlags, SeekFrom};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;

/// One of a stream's writers. Every row is one `write` on a descriptor opened for append.
///
/// The limit counts what the stream occupies on disk, rows of other writers included and dropped ones not: when serve
/// drops old rows, writing goes on. Rows beyond the limit are counted and told in one marker row. Rows of the
/// platform are always written: a limit must not hide why something was ended.
#[derive(Debug)]
pub struct Writer {
    file: OwnedFd,
    limit_bytes: u64,
    /// Bytes that may be written before the file's size is looked at again.
    left_bytes: u64,
    dropped_rows: u64,
    frame: Vec<u8>,
}

impl Writer {
    /// Opens a stream for append and makes it when it is new: for its owner and group to write, as far as the
    /// process's umask lets them (serve drops old rows of streams that the router made).
    pub fn open(path: &Path, limit_bytes: u64) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o660))?;
        Ok(Self::from_fd(file, limit_bytes))
    }

    /// Writes to a descriptor that somebody else opened with `O_APPEND`.
    pub fn from_fd(file: OwnedFd, limit_bytes: u64) -> Self {
        Self { file, limit_bytes, left_bytes: 0, dropped_rows: 0, frame: Vec::new() }
    }

    /// Appends one row with the time of now. Beyond the limit or on a full disk: `Ok`, and the row is counted as
    /// dropped.
    pub fn row(&mut self, stream: Stream, flags: Flags, text: &[u8]) -> io::Result<()> {
        self.encode(stream, flags, text);
        if !self.fits()? {
            self.dropped_rows += 1;
            return Ok(());
        }
        let told = self.tell_dropped();
        self.encode(stream, flags, text);
        match told.and_then(|()| self.append()) {
            Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                self.dropped_rows += 1;
                Ok(())
            }
            other => other,
        }
    }

    /// Whether the last row was dropped: who writes more should slow down.
    pub fn is_dropping(&self) -> bool {
        self.dropped_rows > 0
    }

    /// Appends what the platform has to say, one row a line, whatever the limit.
    pub fn platform(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            self.encode(Stream::Platform, Flags::NONE, line.as_bytes());
            self.append()?;
        }
        Ok(())
    }

    /// Tells how many rows were dropped since this was last told. Call it when the writer's work is over.
    pub fn finish(&mut self) -> io::Result<()> {
        self.tell_dropped()
    }

    fn tell_dropped(&mut self) -> io::Result<()> {
        if self.dropped_rows == 0 {
            return Ok(());
        }
        let rows = if self.dropped_rows == 1 { "row" } else { "rows" };
        let text = format!(
            "{} {rows} dropped: no room (this log may hold {} bytes)",
            self.dropped_rows, self.limit_bytes
        );
        self.encode(Stream::Marker, Flags::NONE, text.as_bytes());
        self.append()?;
        self.dropped_rows = 0;
        Ok(())
    }

    fn encode(&mut self, stream: Stream, flags: Flags, text: &[u8]) {
        self.frame.clear();
        encode(now_microseconds(), stream, flags, text, &mut self.frame);
    }

    /// Whether the row in `frame` is within the limit. The size is looked at when what was left then is used up.
    fn fits(&mut self) -> io::Result<bool> {
        let needed_bytes = self.frame.len() as u64;
        if needed_bytes > self.left_bytes {
            // Blocks, not length: dropped rows are holes. A writer looks each MiB, since others write too.
            let occupied_bytes = u64::try_from(rustix::fs::fstat(&self.file)?.st_blocks).unwrap_or(0) * 512;
            self.left_bytes = self.limit_bytes.saturating_sub(occupied_bytes).min(1024 * 1024);
        }
        Ok(needed_bytes <= self.left_bytes)
    }

    fn append(&mut self) -> io::Result<()> {
        self.left_bytes = self.left_bytes.saturating_sub(self.frame.len() as u64);
        let mut written = 0;
        while written < self.frame.len() {
            match rustix::io::write(&self.file, &self.frame[written..]) {
                Ok(count) => written += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    self.take_back(written as u64)?;
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Cuts off the part of a row that a full disk let through, unless somebody has written after it.
    fn take_back(&self, written_bytes: u64) -> io::Result<()> {
        if written_bytes == 0 {
            return Ok(());
        }
        let end = rustix::fs::seek(&self.file, SeekFrom::Current(0))?;
        if u64::try_from(rustix::fs::fstat(&self.file)?.st_size) == Ok(end) {
            rustix::fs::ftruncate(&self.file, end.saturating_sub(written_bytes))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reader, Row};

    fn rows(path: &Path) -> Vec<Row> {
        let mut reader = Reader::open(path, 0).unwrap();
        std::iter::from_fn(|| reader.next_row().unwrap()).map(|entry| entry.row).collect()
    }

    #[test]
    fn rows_of_two_writers_never_mix() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("stream");
        let write = |text: &'static [u8]| {
            let mut writer = Writer::open(&path, u64::MAX).unwrap();
            std::thread::spawn(move || {
                for _ in 0..2000 {
                    writer.row(Stream::Out, Flags::NONE, text).unwrap();
                }
            })
        };
        for thread in [write(b"one"), write(b"another, longer")] {
            thread.join().unwrap();
        }
        let rows = rows(&path);
        assert_eq!(rows.iter().filter(|row| row.bytes == b"one").count(), 2000);
        assert_eq!(rows.iter().filter(|row| row.bytes == b"another, longer").count(), 2000);
    }

    #[test]
    fn the_umask_decides_whether_a_group_may_write_a_new_stream() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("stream");
        Writer::open(&path, u64::MAX).unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
        let umask = u32::from_str_radix(umask.trim(), 8).unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o660 & !umask);
    }

    #[test]
    fn rows_beyond_the_limit_are_counted_but_the_platform_is_always_heard() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("stream");
        let mut writer = Writer::open(&path, 64 * 1024).unwrap();
        for _ in 0..100 {
            writer.row(Stream::Out, Flags::NONE, &[b'x'; 1000]).unwrap();
        }
        writer.platform("killed: memory 512 MiB").unwrap();
        writer.finish().unwrap();
        writer.finish().unwrap();
        let rows = rows(&path);
        let kept = rows.iter().filter(|row| row.stream == Stream::Out).count();
        assert!((50..=64).contains(&kept), "{kept} rows kept");
        assert!(
            rows.iter().any(|row| row.stream == Stream::Platform && row.bytes == b"killed: memory 512 MiB")
        );
        let markers: Vec<_> = rows.iter().filter(|row| row.stream == Stream::Marker).collect();
        assert_eq!(markers.len(), 1);
        assert!(markers[0].bytes.starts_with(format!("{} rows dropped", 100 - kept).as_bytes()));
    }

    #[test]
    fn writing_goes_on_when_old_rows_are_dropped() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("stream");
        let mut writer = Writer::open(&path, 64 * 1024).unwrap();
        for _ in 0..100 {
            writer.row(Stream::Out, Flags::NONE, &[b'x'; 1000]).unwrap();
        }
        crate::trim(&path, 8 * 1024).unwrap();
        writer.row(Stream::Out, Flags::NONE, b"heard again").unwrap();
        let rows = rows(&path);
        assert_eq!(rows[rows.len() - 1].bytes, b"heard again");
        assert_eq!(rows[rows.len() - 2].stream, Stream::Marker);
    }
}
