//! What is under way to which backend. A copy is ended once nobody is in the middle of its answer.

use crate::{control::Drained, upstream::Connection};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    time::timeout,
};

/// Counts per address. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Underway(Arc<Mutex<HashMap<SocketAddr, Arc<Load>>>>);

/// One backend's requests, downloads and tunnels.
#[derive(Default)]
struct Load {
    open: watch::Sender<u64>,
    cut: watch::Sender<bool>,
}

/// Something is under way to a backend until this is dropped.
pub(crate) struct Passage {
    all: Underway,
    address: SocketAddr,
    load: Arc<Load>,
}

impl Underway {
    pub(crate) fn enter(&self, address: SocketAddr) -> Passage {
        let load = Arc::clone(self.lock().entry(address).or_default());
        load.open.send_modify(|open| *open += 1);
        Passage { all: self.clone(), address, load }
    }

    /// What is under way to all backends.
    pub(crate) fn open(&self) -> u64 {
        self.lock().values().map(|load| *load.open.borrow()).sum()
    }

    /// What is under way to one.
    pub(crate) fn open_at(&self, address: SocketAddr) -> u64 {
        self.lock().get(&address).map_or(0, |load| *load.open.borrow())
    }

    /// Waits until nothing is under way to a backend; at the deadline the rest is cut.
    pub(crate) async fn drain(&self, address: SocketAddr, deadline: Duration) -> Drained {
        let Some(load) = self.lock().get(&address).cloned() else { return Drained::default() };
        let mut open = load.open.subscribe();
        let began = *open.borrow_and_update();
        if timeout(deadline, open.wait_for(|open| *open == 0)).await.is_ok() {
            return Drained { open: began, cut: 0 };
        }
        self.forget(address, &load);
        // Counted before they hear of it.
        let cut = *load.open.borrow();
        load.cut.send_replace(true);
        Drained { open: began, cut }
    }

    /// A later copy may get the same address: it starts with a count of its own.
    fn forget(&self, address: SocketAddr, load: &Arc<Load>) {
        let mut loads = self.lock();
        if loads.get(&address).is_some_and(|present| Arc::ptr_eq(present, load)) {
            loads.remove(&address);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, Arc<Load>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Passage {
    /// A connection that is under way for as long as it is open, and breaks when it is cut.
    pub(crate) fn over(self, stream: impl Connection + 'static) -> Box<dyn Connection> {
        let mut cut = self.load.cut.subscribe();
        let cut = async move {
            // The sender lives as long as this passage.
            let _ = cut.wait_for(|cut| *cut).await;
        };
        Box::new(Watched { stream, cut: Box::pin(cut), _passage: self })
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let mut loads = self.all.lock();
        self.load.open.send_modify(|open| *open = open.saturating_sub(1));
        let mine = loads.get(&self.address).is_some_and(|present| Arc::ptr_eq(present, &self.load));
        if mine && *self.load.open.borrow() == 0 {
            loads.remove(&self.address);
        }
    }
}

/// A backend's connection.
struct Watched<S> {
    stream: S,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    _passage: Passage,
}

impl<S: Connection> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(context).is_ready() {
            // Polled once more than it may be, it would panic.
            self.cut = Box::pin(std::future::ready(()));
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Connection> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
