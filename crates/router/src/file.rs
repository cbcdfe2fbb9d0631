//! Bodies that are files: the kernel moves their bytes from the page cache to the client, and no process copies them.
//!
//! hyper frames the answer and believes that it writes a body from memory. What it is given are slices of [`STAND_IN`];
//! when one of them reaches the connection, as many bytes of the file go out in its place. hyper hands buffers through
//! untouched because this connection takes several at once (`is_write_vectored`); were it to copy them into one, the
//! connection would be cut rather than the stand-in be sent.

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use rustix::fs::{Advice, fadvise, sendfile};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IoSlice},
    num::NonZeroU64,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// Sent at a time.
const FRAME_BYTES: usize = 1024 * 1024;
/// Stands for bytes of a file. Its address counts; its content is never sent.
static STAND_IN: [u8; FRAME_BYTES] = [0; FRAME_BYTES];

/// What is still to be sent of a file.
pub(crate) struct Part {
    file: File,
    at: u64,
    left: u64,
}

impl Part {
    /// A part that is wholly there.
    pub(crate) fn new(file: File, first: u64, length_bytes: u64) -> io::Result<Self> {
        if first
            .checked_add(length_bytes)
            .is_none_or(|end| end > file.metadata().map_or(0, |meta| meta.len()))
        {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file is shorter than it should be",
            ));
        }
        // Reads ahead further; only speed depends on it.
        let _ = fadvise(&file, first, NonZeroU64::new(length_bytes), Advice::Sequential);
        Ok(Self { file, at: first, left: length_bytes })
    }
}

/// The files that one connection is to send, in the order of its answers.
#[derive(Clone, Default)]
pub(crate) struct Queue(Arc<Mutex<VecDeque<Part>>>);

impl Queue {
    /// The body that stands for this part on this connection.
    pub(crate) fn body(&self, part: Part) -> FileBody {
        FileBody { left: part.left, part: Some(part), queue: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many stand-in bytes as the file has.
pub(crate) struct FileBody {
    left: u64,
    /// Queued once a byte is asked for: of an answer to HEAD nothing is sent.
    part: Option<Part>,
    queue: Queue,
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(FRAME_BYTES);
        self.left -= count as u64;
        if let Some(part) = self.part.take_if(|_| count > 0) {
            self.queue.lock().push_back(part);
        }
        Poll::Ready((count > 0).then(|| Ok(Frame::data(Bytes::from_static(&STAND_IN[..count])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A client's connection.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) files: Queue,
}

impl Connection {
    /// Sends at most `count` bytes of the file whose turn it is.
    fn send_file(&self, context: &mut Context<'_>, count: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            let mut files = self.files.lock();
            let Some(part) = files.front_mut() else {
                return Poll::Ready(Err(io::Error::other("there is no file to send")));
            };
            let count = usize::try_from(part.left).unwrap_or(usize::MAX).min(count);
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                Ok(sendfile(&self.stream, &part.file, Some(&mut part.at), count)?)
            });
            match sent {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(sent) => {
                    part.left -= sent as u64;
                    if part.left == 0 {
                        files.pop_front();
                    }
                    return Poll::Ready(Ok(sent));
                }
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

fn is_stand_in(bytes: &[u8]) -> bool {
    STAND_IN.as_ptr_range().contains(&bytes.as_ptr())
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.files.lock().is_empty() {
            return Poll::Ready(Err(io::Error::other("a file's answer was copied")));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = buffers.iter().position(|bytes| !bytes.is_empty()).unwrap_or(0);
        let buffers = &buffers[first..];
        match buffers.iter().position(|bytes| is_stand_in(bytes)) {
            Some(0) => self.send_file(context, buffers[0].len()),
            before => {
                let plain = &buffers[..before.unwrap_or(buffers.len())];
                Pin::new(&mut self.stream).poll_write_vectored(context, plain)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}
