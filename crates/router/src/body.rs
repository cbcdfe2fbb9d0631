//! Bodies on their way: streamed, watched, accounted.

use crate::access::Row;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::sync::OwnedSemaphorePermit;

/// Any body that passes the router.
pub(crate) type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// A text of the router's own.
pub(crate) fn text(text: String) -> Body {
    Full::from(text).map_err(never).boxed_unsync()
}

pub(crate) fn empty() -> Body {
    Empty::new().map_err(never).boxed_unsync()
}

fn never(never: Infallible) -> hyper::Error {
    match never {}
}

/// How a request's body fares: when it last moved, since a backend's time to answer counts from there, and whether
/// its client broke it.
#[derive(Clone)]
pub(crate) struct Activity {
    started: Instant,
    last_milliseconds: Arc<AtomicU64>,
    broken: Arc<AtomicBool>,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), last_milliseconds: Arc::default(), broken: Arc::default() }
    }

    fn moved(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_milliseconds.store(now, Ordering::Relaxed);
    }

    /// How long nothing has moved.
    pub(crate) fn idle(&self) -> Duration {
        let last = Duration::from_millis(self.last_milliseconds.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }

    /// Whether the body could not be read to its end.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

/// A request's body on its way to a backend.
pub(crate) struct Upload {
    pub(crate) body: Incoming,
    pub(crate) activity: Activity,
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.activity.moved();
        if matches!(frame, Some(Err(_))) {
            self.activity.broken.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A tool's answer on its way to the client: its row is written, and its place given back, when it has ended, in
/// whatever way.
pub(crate) struct Download {
    pub(crate) body: Incoming,
    pub(crate) row: Row,
    pub(crate) _place: OwnedSemaphorePermit,
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => self.row.sent_bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => {}
            None => self.row.complete = true,
        }
        if self.body.is_end_stream() {
            self.row.complete = true;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
