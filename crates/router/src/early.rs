//! Backends that answer before they have heard the whole question, and close: a refusal of an upload, most often.
//!
//! Their answer waits to be read, but a client that meets a broken pipe while it sends does not look for it.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection on which what the backend no longer hears is thrown away, so that its answer is read.
pub(crate) struct Early<S> {
    stream: S,
    /// A tunnel has no answer to wait for: there, an end is an end.
    tunnel: Arc<AtomicBool>,
}

impl<S> Early<S> {
    /// The connection, and what says that it became a tunnel.
    pub(crate) fn new(stream: S) -> (Self, Arc<AtomicBool>) {
        let tunnel = Arc::new(AtomicBool::new(false));
        (Self { stream, tunnel: Arc::clone(&tunnel) }, tunnel)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Early<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Early<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(match written {
            Err(error) if gone(&error) && !self.tunnel.load(Ordering::Relaxed) => Ok(bytes.len()),
            other => other,
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}
