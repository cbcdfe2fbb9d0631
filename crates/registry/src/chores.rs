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

impl Door {
    /// Does its rounds until told to stop. Two processes may do them at once.
    pub async fn keep(self, mut stop: watch::Receiver<bool>) {
        loop {
            if let Err(problem) = self.round(Timestamp::now(), GRACE).await {
                tracing::warn!(%problem, "a round of the registry's chores was not finished");
            }
            tokio::select! {
                _ = stop.changed() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// One round, at this time: what was let go of longer than `grace` ago goes.
    pub async fn round(&self, now: Timestamp, grace: Duration) -> Result<(), Problem> {
        for id in self.app.expire_uploads(now).await? {
            self.files.discard(&id).map_err(|error| app::internal("removing an upload", &error))?;
        }
        let files = Arc::clone(&self.files);
        let swept = tokio::task::spawn_blocking(move || files.sweep(LEFT_OVER)).await;
        swept
            .map_err(io::Error::other)
            .and_then(|swept| swept)
            .map_err(|error| app::internal("removing old uploads", &error))?;
        let before = Timestamp(now.0 - Timestamp(0).plus(grace).0);
        let files: Arc<Files> = Arc::clone(&self.files);
        let remove = move |digest: &Digest| files.remove_older(digest, grace);
        while self.app.remove_loose_blobs(before, AT_ONCE, &remove).await? == AT_ONCE {}
        Ok(())
    }
}
