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
    /// A connection that is under way for as long as it is open, and the word that it is cut.
    pub(crate) fn over(self, stream: impl Connection + 'static) -> (Box<dyn Connection>, Cut) {
        let cut = Cut(Some(self.load.cut.subscribe()));
        (Box::new(Counted { stream, _passage: self }), cut)
    }
}

/// The word that what is under way to a backend is cut. Whoever holds a connection waits for it beside its work: one
/// whose client stands still is never polled otherwise.
#[derive(Clone)]
pub(crate) struct Cut(Option<watch::Receiver<bool>>);

impl Cut {
    /// For what has no deadline of its own: requests to the platform.
    pub(crate) const NEVER: Self = Self(None);

    /// Whether it is cut.
    pub(crate) fn is_told(&self) -> bool {
        self.0.as_ref().is_some_and(|cut| *cut.borrow())
    }

    /// Returns when it is cut.
    pub(crate) async fn told(&mut self) {
        if let Some(cut) = &mut self.0
            && cut.wait_for(|cut| *cut).await.is_ok()
        {
            return;
        }
        // Nothing is under way any more.
        std::future::pending::<()>().await;
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
struct Counted<S> {
    stream: S,
    _passage: Passage,
}

impl<S: Connection> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Connection> AsyncWrite for Counted<S> {
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
