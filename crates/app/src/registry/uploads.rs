//! Blobs on their way in. How long an upload or a blob without a manifest lives follows the steady clock: a clock that
//! is set ends nothing.

use super::{ImageRepository, Place, images::LEASE};
use crate::{App, problems};
use model::{Digest, Problem, Timestamp};
use std::time::Duration;
use store::{RemoveBlob, StoreError, Upload};

/// Largest blob that is taken at all, in bytes.
pub const MAX_BLOB_BYTES: u64 = 64 << 30;
/// Unfinished uploads of one tool.
const MAX_UPLOADS: u32 = 64;
/// An upload that nobody goes on with ends after this.
const IDLE: Duration = Duration::from_hours(1);

fn no_upload() -> Problem {
    Problem::new(
        "registry-upload",
        404,
        "there is no such upload",
        "it was finished or cancelled, belongs to somebody else, or nobody went on with it for an hour",
    )
    .hint("push again: what is there already is not sent again")
}

fn gone(what: &'static str) -> impl Fn(StoreError) -> Problem {
    move |error| match error {
        StoreError::NotFound("upload") => no_upload(),
        error => problems::store(what, &error),
    }
}

impl App {
    /// Whether so many bytes more would fit into the tool's quota now. What comes is counted again when it is kept.
    pub async fn check_room(&self, repository: &ImageRepository, bytes: u64) -> Result<(), Problem> {
        if bytes > MAX_BLOB_BYTES {
            return Err(problems::bad_request("this blob is too large", "no blob may be larger than 64 GiB"));
        }
        self.repository_row(repository).await?;
        let fits = self.store.check_quota(repository.tool, bytes).await;
        fits.map_err(|error| problems::store("looking at the quota", &error))
    }

    /// Begins an upload.
    pub async fn open_upload(&self, repository: &ImageRepository, id: &str) -> Result<(), Problem> {
        let upload = Upload {
            id: id.to_owned(),
            repository: self.repository_row(repository).await?,
            user: repository.user,
            received_bytes: 0,
            expires_at: Timestamp::steady().plus(IDLE),
        };
        let opened = self.store.open_upload(&upload, MAX_UPLOADS).await;
        opened.map_err(|error| problems::store("beginning an upload", &error))
    }

    /// An upload of this repository and this user.
    pub async fn upload(&self, repository: &ImageRepository, id: &str) -> Result<(), Problem> {
        let Place::Import(Some(row)) = repository.place else { return Err(no_upload()) };
        let found = self.store.upload(row, id).await;
        let found = found.map_err(|error| problems::store("looking up the upload", &error))?;
        found.filter(|upload| upload.user == repository.user).map(drop).ok_or_else(no_upload)
    }

    /// So many bytes of it have come.
    pub async fn upload_received(&self, id: &str, bytes: u64) -> Result<(), Problem> {
        let kept = self.store.upload_received(id, bytes, Timestamp::steady().plus(IDLE)).await;
        kept.map_err(gone("going on with an upload"))
    }

    pub async fn end_upload(&self, id: &str) -> Result<(), Problem> {
        self.store.end_upload(id).await.map_err(gone("ending an upload"))
    }

    /// What the process before left unfinished gets an hour by this one's steady clock. For the platform's own chores.
    pub async fn renew_leases(&self) -> Result<(), Problem> {
        let renewed = self.store.renew_leases(Timestamp::steady().plus(IDLE)).await;
        renewed.map_err(|error| problems::store("renewing leases", &error))
    }

    /// A blob's content was seen not to be what its name says: everything is looked at. For the platform's own doors.
    pub async fn doubt_blob(&self, digest: &Digest) -> Result<(), Problem> {
        let doubted = self.store.doubt_blob(digest).await;
        doubted.map_err(|error| problems::store("asking for a scrub", &error))
    }

    /// Ends uploads that nobody went on with, and takes blobs from repositories where no manifest came for them; gives
    /// the ids of those uploads. For the platform's own chores.
    pub async fn expire_uploads(&self, now: Timestamp) -> Result<Vec<String>, Problem> {
        self.store.expire_uploads(now).await.map_err(|error| problems::store("ending old uploads", &error))
    }

    /// Removes blobs that were let go of before `before` and that nothing names: see [`store::Blobs`].
    pub async fn remove_loose_blobs(
        &self,
        before: Timestamp,
        limit: u32,
        remove: RemoveBlob<'_>,
    ) -> Result<u32, Problem> {
        let removed = self.store.remove_loose_blobs(before, limit, remove).await;
        removed.map_err(|error| problems::store("removing blobs", &error))
    }

    /// The repository has not the blob after all: its file did not come.
    pub async fn drop_blob(&self, repository: &ImageRepository, digest: &Digest) -> Result<(), Problem> {
        let row = self.repository_row(repository).await?;
        let dropped = self.store.remove_blob(row, digest).await;
        dropped.map_err(|error| problems::store("taking back a blob", &error))
    }

    /// The repository has the blob from now on.
    pub async fn add_blob(
        &self,
        repository: &ImageRepository,
        digest: &Digest,
        size_bytes: u64,
        upload: Option<&str>,
    ) -> Result<(), Problem> {
        let row = self.repository_row(repository).await?;
        let until = Timestamp::steady().plus(LEASE);
        self.store.add_blob(row, digest, size_bytes, until, upload).await.map_err(gone("keeping the blob"))
    }
}
