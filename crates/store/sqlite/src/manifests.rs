//! Manifests and tags that clients pushed, on SQLite.

use crate::{
    columns::{plain, text, whole},
    open::Sqlite,
    quotas::tool_of,
    work::Work,
};
use async_trait::async_trait;
use model::{Action, Actor, Digest, Timestamp, ToolId};
use sqlx::{query, sqlite::SqliteRow};
use store::{Conflict, Manifest, Manifests, NewManifest, RepositoryId, StoreError};

fn manifest(row: &SqliteRow) -> Result<Manifest, StoreError> {
    Ok(Manifest {
        digest: text(row, "digest")?,
        media_type: plain(row, "media_type")?,
        body: plain(row, "body")?,
    })
}

/// The repository must have all that the manifest needs.
async fn need(work: &mut Work, repository: RepositoryId, new: &NewManifest) -> Result<(), StoreError> {
    for (digest, size_bytes) in &new.blobs {
        let found =
            query("SELECT 1 FROM repository_blobs WHERE repository = ? AND digest = ? AND size_bytes = ?");
        let found = found.bind(repository.0).bind(digest.to_string()).bind(whole(*size_bytes));
        work.first(found).await?.ok_or(Conflict::BlobUnknown(*digest))?;
    }
    for child in &new.children {
        let found = query("SELECT 1 FROM manifests WHERE repository = ? AND digest = ?");
        let found = found.bind(repository.0).bind(child.to_string());
        work.first(found).await?.ok_or(Conflict::BlobUnknown(*child))?;
    }
    Ok(())
}

/// The audit row of what was done to a repository.
async fn audit(work: &mut Work, repository: RepositoryId, by: &Actor, what: &str) -> Result<(), StoreError> {
    let found = query("SELECT tool, name FROM repositories WHERE id = ?").bind(repository.0);
    let row = work.one("repository", found).await?;
    let (tool, name): (ToolId, String) = (text(&row, "tool")?, plain(&row, "name")?);
    let target = format!("{what} of {name}");
    work.audit(&by.to_string(), Action::DeleteImages.as_str(), Some(tool), &target).await
}

#[async_trait]
impl Manifests for Sqlite {
    async fn put_manifest(
        &self,
        repository: RepositoryId,
        new: &NewManifest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let tool = tool_of(&mut work, repository).await?;
        let before = work.used_bytes(&tool).await?;
        need(&mut work, repository, new).await?;
        let Manifest { digest, media_type, body } = &new.manifest;
        let insert = query(
            "INSERT INTO manifests (repository, digest, media_type, body, subject, pushed_at)
             VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (repository, digest) DO UPDATE SET media_type = excluded.media_type",
        )
        .bind(repository.0)
        .bind(digest.to_string())
        .bind(media_type)
        .bind(body)
        .bind(new.subject.map(|subject| subject.to_string()))
        .bind(now.0);
        work.run(insert).await?;
        let blobs = new.blobs.iter().map(|(digest, _)| digest);
        for used in blobs.chain(&new.foreign).chain(&new.children) {
            let insert = query("INSERT INTO manifest_uses VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
            work.run(insert.bind(repository.0).bind(digest.to_string()).bind(used.to_string())).await?;
            let needed =
                query("UPDATE repository_blobs SET lease_until = 0 WHERE repository = ? AND digest = ?");
            work.run(needed.bind(repository.0).bind(used.to_string())).await?;
        }
        for tag in &new.tags {
            let set = query(
                "INSERT INTO tags (repository, name, manifest, set_at) VALUES (?, ?, ?, ?)
                 ON CONFLICT (repository, name) DO UPDATE SET manifest = excluded.manifest, set_at = excluded.set_at",
            );
            work.run(set.bind(repository.0).bind(tag).bind(digest.to_string()).bind(now.0)).await?;
        }
        self.within_quota(&mut work, &tool, before).await?;
        work.commit().await
    }

    async fn manifest(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<Manifest>, StoreError> {
        let found =
            query("SELECT digest, media_type, body FROM manifests WHERE repository = ? AND digest = ?");
        let row = self.first(found.bind(repository.0).bind(digest.to_string())).await?;
        row.as_ref().map(manifest).transpose()
    }

    async fn tagged(&self, repository: RepositoryId, tag: &str) -> Result<Option<Digest>, StoreError> {
        let found = query("SELECT manifest FROM tags WHERE repository = ? AND name = ?");
        let row = self.first(found.bind(repository.0).bind(tag)).await?;
        row.map(|row| text(&row, "manifest")).transpose()
    }

    async fn tags(
        &self,
        repository: RepositoryId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        let found = query("SELECT name FROM tags WHERE repository = ? AND name > ? ORDER BY name LIMIT ?");
        let rows = self.all(found.bind(repository.0).bind(after).bind(limit)).await?;
        rows.iter().map(|row| plain(row, "name")).collect()
    }

    async fn referrers(
        &self,
        repository: RepositoryId,
        subject: &Digest,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Manifest>, StoreError> {
        let found = query(
            "SELECT digest, media_type, body FROM manifests
             WHERE repository = ? AND subject = ? AND digest > ? ORDER BY digest LIMIT ?",
        );
        let found = found.bind(repository.0).bind(subject.to_string()).bind(after).bind(limit);
        self.all(found).await?.iter().map(manifest).collect()
    }

    async fn delete_manifest(
        &self,
        repository: RepositoryId,
        digest: &Digest,
        by: &Actor,
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let user = query("SELECT manifest FROM manifest_uses WHERE repository = ? AND digest = ? LIMIT 1");
        if let Some(row) = work.first(user.bind(repository.0).bind(digest.to_string())).await? {
            return Err(Conflict::ManifestInUse(text(&row, "manifest")?).into());
        }
        let used = query("SELECT digest FROM manifest_uses WHERE repository = ? AND manifest = ?");
        let used = work.all(used.bind(repository.0).bind(digest.to_string())).await?;
        let remove = query("DELETE FROM manifests WHERE repository = ? AND digest = ?");
        if work.run(remove.bind(repository.0).bind(digest.to_string())).await? == 0 {
            return Err(StoreError::NotFound("manifest"));
        }
        for row in &used {
            // One with a lease is being pushed again; it goes when the lease ends.
            let unused = query(
                "DELETE FROM repository_blobs WHERE repository = ?1 AND digest = ?2 AND lease_until = 0
                    AND NOT EXISTS (SELECT 1 FROM manifest_uses WHERE repository = ?1 AND digest = ?2)",
            );
            work.run(unused.bind(repository.0).bind(plain::<String>(row, "digest")?)).await?;
        }
        audit(&mut work, repository, by, &format!("deleted manifest {digest}")).await?;
        work.commit().await
    }

    async fn delete_tag(&self, repository: RepositoryId, tag: &str, by: &Actor) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let remove = query("DELETE FROM tags WHERE repository = ? AND name = ?");
        if work.run(remove.bind(repository.0).bind(tag)).await? == 0 {
            return Err(StoreError::NotFound("tag"));
        }
        audit(&mut work, repository, by, &format!("deleted tag {tag}")).await?;
        work.commit().await
    }
}
