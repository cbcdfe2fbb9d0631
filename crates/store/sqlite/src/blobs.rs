//! Blobs that clients pushed, on SQLite.

use crate::{
    columns::{plain, text, whole},
    open::Sqlite,
    quotas::tool_of,
};
use async_trait::async_trait;
use model::{Digest, Timestamp};
use sqlx::query;
use std::time::Duration;
use store::{Blobs, Conflict, RemoveBlob, RepositoryId, StoreError};

/// A lease is moved when it would move by more than this.
const MOVE_LEASE_BY: Duration = Duration::from_mins(15);

#[async_trait]
impl Blobs for Sqlite {
    async fn add_blob(
        &self,
        repository: RepositoryId,
        digest: &Digest,
        size_bytes: u64,
        lease_until: Timestamp,
        upload: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let tool = tool_of(&mut work, repository).await?;
        let before = work.used_bytes(&tool).await?;
        if let Some(upload) = upload
            && work.run(query("DELETE FROM uploads WHERE id = ?").bind(upload)).await? == 0
        {
            return Err(StoreError::NotFound("upload"));
        }
        let add = query(
            "INSERT INTO repository_blobs (repository, digest, size_bytes, lease_until) VALUES (?, ?, ?, ?)
             ON CONFLICT (repository, digest) DO UPDATE SET lease_until = max(lease_until, excluded.lease_until)",
        )
        .bind(repository.0)
        .bind(digest.to_string())
        .bind(whole(size_bytes))
        .bind(lease_until.0);
        work.run(add).await?;
        self.within_quota(&mut work, &tool, before).await?;
        work.commit().await
    }

    async fn blob(&self, repository: RepositoryId, digest: &Digest) -> Result<Option<u64>, StoreError> {
        let found = query("SELECT size_bytes FROM repository_blobs WHERE repository = ? AND digest = ?");
        let row = self.first(found.bind(repository.0).bind(digest.to_string())).await?;
        row.map(|row| plain(&row, "size_bytes")).transpose()
    }

    async fn lease_blob(
        &self,
        repository: RepositoryId,
        digest: &Digest,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let slack = i64::try_from(MOVE_LEASE_BY.as_micros()).unwrap_or(i64::MAX);
        let short =
            query("SELECT 1 FROM repository_blobs WHERE repository = ? AND digest = ? AND lease_until < ?");
        let short = short.bind(repository.0).bind(digest.to_string()).bind(until.0 - slack);
        if self.first(short).await?.is_none() {
            return Ok(());
        }
        let mut work = self.write().await?;
        let moved = query("UPDATE repository_blobs SET lease_until = ? WHERE repository = ? AND digest = ?");
        work.run(moved.bind(until.0).bind(repository.0).bind(digest.to_string())).await?;
        work.commit().await
    }

    async fn remove_blob(&self, repository: RepositoryId, digest: &Digest) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let user = query("SELECT manifest FROM manifest_uses WHERE repository = ? AND digest = ? LIMIT 1");
        if let Some(row) = work.first(user.bind(repository.0).bind(digest.to_string())).await? {
            return Err(Conflict::BlobInUse(text(&row, "manifest")?).into());
        }
        let remove = query("DELETE FROM repository_blobs WHERE repository = ? AND digest = ?");
        if work.run(remove.bind(repository.0).bind(digest.to_string())).await? == 0 {
            return Err(StoreError::NotFound("blob"));
        }
        work.commit().await
    }

    async fn remove_loose_blobs(
        &self,
        before: Timestamp,
        limit: u32,
        remove: RemoveBlob<'_>,
    ) -> Result<u32, StoreError> {
        // Whoever stores a blob writes its row before it relies on the file, and this transaction is the only one
        // that writes: a row comes before it and is seen, or after it and finds the file gone and puts it back.
        let mut work = self.write().await?;
        let due = query("DELETE FROM loose_blobs WHERE digest IN (
                 SELECT digest FROM loose_blobs WHERE loose_at < ? ORDER BY loose_at LIMIT ?) RETURNING digest")
        .bind(before.0)
        .bind(limit);
        let due = work.all(due).await?;
        for row in &due {
            let digest: Digest = text(row, "digest")?;
            let named = query(
                "SELECT 1 WHERE EXISTS (SELECT 1 FROM repository_blobs WHERE digest = ?1)
                    OR EXISTS (SELECT 1 FROM image_layers WHERE blob = ?1)
                    OR EXISTS (SELECT 1 FROM layers WHERE blob = ?1)
                    OR EXISTS (SELECT 1 FROM images WHERE digest = ?1 OR config = ?1)",
            );
            if work.first(named.bind(digest.to_string())).await?.is_some() {
                continue;
            }
            // A commit that fails leaves the rows, and absent files are fine the next time.
            if !remove(&digest).map_err(|error| StoreError::Unavailable(error.into()))? {
                let again = query("INSERT INTO loose_blobs VALUES (?, ?)");
                work.run(again.bind(digest.to_string()).bind(Timestamp::now().0)).await?;
            }
        }
        work.commit().await?;
        Ok(u32::try_from(due.len()).unwrap_or(u32::MAX))
    }
}
