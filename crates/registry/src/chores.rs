//! What nobody waits for: uploads that nobody goes on with, and files of blobs that nothing names any more.

use crate::{Door, files::Files};
use model::{Digest, Problem, Timestamp};
use std::{io, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Between two rounds.
const PERIOD: Duration = Duration::from_mins(1);
/// A blob's file stays for so long after its last row went, and after it was last written: a build may just have made
/// the same blob again, and its rows come after its files.
const GRACE: Duration = Duration::from_hours(3);
/// Files of uploads without a row are left over from a crash, once they are older than any upload may stand still.
const LEFT_OVER: Duration = Duration::from_hours(6);
/// Blobs that are looked at in one transaction: nobody else can write meanwhile.
const AT_ONCE: u32 = 50;

/// What time it is. Leases follow the steady clock. Files, and rows of what was let go of, carry the wall clock's time:
/// when that was set meanwhile, the earlier of the two is the one that errs by keeping.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    pub steady: Timestamp,
    pub wall: Timestamp,
}

impl Door {
    /// Does its rounds until told to stop. Two processes may do them at once.
    pub async fn keep(self, mut stop: watch::Receiver<bool>) {
        let mut renewed = false;
        loop {
            // The clock by which the process before wrote leases is not ours: those begin anew.
            if !renewed {
                renewed = self.app.renew_leases().await.is_ok();
            }
            let clocks = Clocks { steady: Timestamp::steady(), wall: Timestamp::now() };
            if renewed && let Err(problem) = self.round(clocks, GRACE).await {
                tracing::warn!(%problem, "a round of the registry's chores was not finished");
            }
            tokio::select! {
                _ = stop.changed() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// One round, at this time: what was let go of longer than `grace` ago goes.
    pub async fn round(&self, clocks: Clocks, grace: Duration) -> Result<(), Problem> {
        let written_before =
            |age: Duration| Timestamp(clocks.steady.min(clocks.wall).0 - Timestamp(0).plus(age).0);
        for id in self.app.expire_uploads(clocks.steady).await? {
            self.files.discard(&id).map_err(|error| app::internal("removing an upload", &error))?;
        }
        let (files, left_over) = (Arc::clone(&self.files), written_before(LEFT_OVER));
        let swept = tokio::task::spawn_blocking(move || files.sweep(left_over)).await;
        swept
            .map_err(io::Error::other)
            .and_then(|swept| swept)
            .map_err(|error| app::internal("removing old uploads", &error))?;
        let before = written_before(grace);
        let files: Arc<Files> = Arc::clone(&self.files);
        let remove = move |digest: &Digest| files.remove_older(digest, before);
        while self.app.remove_loose_blobs(before, AT_ONCE, &remove).await? == AT_ONCE {}
        Ok(())
    }
}
