//! One of a container's output pipes, drained into the log.

use logs::{Flags, Splitter, Stream, Writer};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a text without line end waits for one.
const PARTIAL_AFTER: Duration = Duration::from_millis(200);
/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;
/// Pause after each read once rows are dropped: who floods the log waits, not the machine.
const DROPPING_PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Pipe {
    /// `None` when every writer has closed it.
    descriptor: Option<OwnedFd>,
    stream: Stream,
    splitter: Splitter,
    waiting_since: Option<Instant>,
}

impl Pipe {
    /// Takes the reading end, which must not block.
    pub(super) fn new(descriptor: OwnedFd, stream: Stream) -> Self {
        Self { descriptor: Some(descriptor), stream, splitter: Splitter::new(), waiting_since: None }
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }

    /// Reads once; whether there may be more at once.
    pub(super) fn read(&mut self, log: &mut Writer) -> io::Result<bool> {
        let Some(descriptor) = &self.descriptor else { return Ok(false) };
        let mut buffer = [0_u8; READ_BYTES];
        let count = match rustix::io::read(descriptor, &mut buffer) {
            Ok(0) => {
                self.descriptor = None;
                return Ok(false);
            }
            Ok(count) => count,
            Err(rustix::io::Errno::AGAIN) => return Ok(false),
            Err(rustix::io::Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let stream = self.stream;
        self.splitter
            .feed(&buffer[..count], &mut |flags: Flags, text: &[u8]| log.row(stream, flags, text))?;
        self.waiting_since =
            self.splitter.is_waiting().then(|| self.waiting_since.unwrap_or_else(Instant::now));
        if log.is_dropping() {
            std::thread::sleep(DROPPING_PAUSE);
        }
        Ok(true)
    }

    /// When [`Pipe::flush_due`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting_since.map(|since| since + PARTIAL_AFTER)
    }

    /// Writes a text that has waited long enough for its line end.
    pub(super) fn flush_due(&mut self, log: &mut Writer) -> io::Result<()> {
        if self.due().is_some_and(|due| due <= Instant::now()) {
            self.waiting_since = None;
            let stream = self.stream;
            self.splitter.flush(&mut |flags: Flags, text: &[u8]| log.row(stream, flags, text))?;
        }
        Ok(())
    }

    /// Reads what is left; nobody writes any more.
    pub(super) fn drain(&mut self, log: &mut Writer) -> io::Result<()> {
        while self.read(log)? {}
        let stream = self.stream;
        self.splitter.finish(&mut |flags: Flags, text: &[u8]| log.row(stream, flags, text))
    }
}
