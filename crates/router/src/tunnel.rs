//! Connections that changed their protocol, as web sockets do: bytes go through both ways until one side leaves.

use crate::underway::Cut;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

/// Both sides, once each has heard of the change.
pub(crate) struct Tunnel {
    pub(crate) client: OnUpgrade,
    pub(crate) backend: OnUpgrade,
    pub(crate) cut: Cut,
}

impl Tunnel {
    /// Carries bytes until a side leaves, or it is cut; what the client got is counted as it goes. Whether a side left.
    pub(crate) async fn carry(mut self, sent_bytes: &mut u64) -> bool {
        if let (Ok(client), Ok(backend)) = tokio::join!(self.client, self.backend) {
            let mut client = Counted { stream: TokioIo::new(client), sent_bytes };
            let mut backend = TokioIo::new(backend);
            tokio::select! {
                // Either side may go at any time; that is how these connections end.
                _ = copy_bidirectional(&mut client, &mut backend) => {}
                () = self.cut.told() => return false,
            }
        }
        true
    }
}

/// A stream that counts what is written to it.
struct Counted<'a, S> {
    stream: S,
    sent_bytes: &'a mut u64,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        *self.sent_bytes += written.as_ref().map_or(0, |count| *count as u64);
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
