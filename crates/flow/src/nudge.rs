//! A row was written that somebody should look at now. Only saves waiting: both loops also look by themselves.

use tokio::sync::Notify;

/// Wakes the engine and the reconciler, each at most once for any number of reasons.
#[derive(Default)]
pub struct Nudge {
    engine: Notify,
    reconciler: Notify,
}

impl Nudge {
    /// Something changed.
    pub fn all(&self) {
        self.engine.notify_one();
        self.reconciler.notify_one();
    }

    /// Until something has changed since the last time.
    pub async fn for_engine(&self) {
        self.engine.notified().await;
    }

    pub(crate) async fn for_reconciler(&self) {
        self.reconciler.notified().await;
    }
}
