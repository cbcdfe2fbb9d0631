//! A row was written that somebody should look at now. Only saves waiting: all who are woken also look by themselves.

use tokio::sync::{Notify, watch};

/// Wakes the engine, the reconciler and those who follow runs, each at most once for any number of reasons.
#[derive(Default)]
pub struct Nudge {
    engine: Notify,
    reconciler: Notify,
    followers: watch::Sender<()>,
}

impl Nudge {
    /// Something changed.
    pub fn all(&self) {
        self.engine.notify_one();
        self.reconciler.notify_one();
        self.followers.send_replace(());
    }

    /// Marked as changed whenever something has changed. Another serve's runs are not seen here.
    pub fn follow(&self) -> watch::Receiver<()> {
        self.followers.subscribe()
    }

    /// Until something has changed since the last time.
    pub async fn for_engine(&self) {
        self.engine.notified().await;
    }

    pub(crate) async fn for_reconciler(&self) {
        self.reconciler.notified().await;
    }
}
