//! Following a stream while it grows.

use crate::reader::{Entry, ReadError, Reader};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A reader that can wait for more. Its descriptor becomes readable when the stream changed (for an async reactor:
/// wait for that, call [`Tail::acknowledge`], then read until `None`).
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    reader: Reader,
    watch: OwnedFd,
}

impl Tail {
    /// Opens a stream at `offset`, as [`Reader::open`] does, and watches it from now on.
    pub fn open(path: &Path, offset: u64) -> Result<Self, ReadError> {
        let io_error =
            |error: rustix::io::Errno| ReadError::Io { path: path.to_owned(), source: error.into() };
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(io_error)?;
        inotify::add_watch(&watch, path, inotify::WatchFlags::MODIFY).map_err(io_error)?;
        Ok(Self { path: path.to_owned(), reader: Reader::open(path, offset)?, watch })
    }

    /// Where the next row begins or will begin.
    pub fn offset(&self) -> u64 {
        self.reader.offset()
    }

    /// The next whole row, without waiting.
    pub fn next_row(&mut self) -> Result<Option<Entry>, ReadError> {
        self.reader.next_row()
    }

    /// The next whole row; `None` when none came within `longest`.
    pub fn wait_row(&mut self, longest: Duration) -> Result<Option<Entry>, ReadError> {
        let deadline = std::time::Instant::now() + longest;
        loop {
            if let Some(entry) = self.reader.next_row()? {
                return Ok(Some(entry));
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.wait_change(left).map_err(|source| ReadError::Io { path: self.path.clone(), source })?;
        }
    }

    /// Forgets the changes seen so far, so that the descriptor is readable only after the next one.
    pub fn acknowledge(&self) -> io::Result<()> {
        let mut events = [0_u8; 4096];
        loop {
            match rustix::io::read(&self.watch, &mut events) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait_change(&self, longest: Duration) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: i64::try_from(longest.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: longest.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&self.watch, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => self.acknowledge(),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Tail {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flags, Stream, Writer};

    #[test]
    fn a_tail_hears_a_row_soon_after_it_is_written() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("stream");
        let mut writer = Writer::open(&path, u64::MAX).unwrap();
        let mut tail = Tail::open(&path, 0).unwrap();
        assert_eq!(tail.wait_row(Duration::from_millis(20)).unwrap(), None);
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            for text in ["one", "two"] {
                writer.row(Stream::Out, Flags::NONE, text.as_bytes()).unwrap();
            }
        });
        let begun = std::time::Instant::now();
        assert_eq!(tail.wait_row(Duration::from_secs(20)).unwrap().unwrap().row.bytes, b"one");
        assert_eq!(tail.wait_row(Duration::from_secs(20)).unwrap().unwrap().row.bytes, b"two");
        assert!(begun.elapsed() < Duration::from_secs(10), "woken by the change, not by the deadline");
        thread.join().unwrap();
        assert_eq!(tail.offset(), path.metadata().unwrap().len());
    }
}
