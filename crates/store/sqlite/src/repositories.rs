//! The registry's repositories on SQLite, and what a tool's releases make pullable.

use crate::{
    columns::{plain, text},
    open::Sqlite,
};
use async_trait::async_trait;
use model::{Digest, Timestamp, ToolId};
use sqlx::query;
use store::{Conflict, Repositories, RepositoryId, StoreError};

/// Images of one tool that a release of it names.
macro_rules! released {
    ($columns:literal, $tail:literal) => {
        query(concat!(
            "SELECT ",
            $columns,
            " FROM images JOIN releases ON releases.tool = images.tool, json_each(releases.processes) AS process
              WHERE images.tool = ? AND json_extract(process.value, '$.image') = images.digest ",
            $tail
        ))
    };
}

#[async_trait]
impl Repositories for Sqlite {
    async fn ensure_repository(
        &self,
        tool: ToolId,
        name: &str,
        max_per_tool: u32,
    ) -> Result<RepositoryId, StoreError> {
        // Nearly always it is there: no transaction then.
        if let Some(found) = self.repository(tool, name).await? {
            return Ok(found);
        }
        let mut work = self.write().await?;
        work.need_tool(tool).await?;
        let count = query("SELECT count(*) AS found FROM repositories WHERE tool = ?").bind(tool.to_string());
        if plain::<u32>(&work.one("tool", count).await?, "found")? >= max_per_tool {
            return Err(Conflict::TooManyRepositories(max_per_tool).into());
        }
        let insert = query(
            "INSERT INTO repositories (tool, name, created_at) VALUES (?, ?, ?)
             ON CONFLICT (tool, name) DO UPDATE SET name = excluded.name RETURNING id",
        )
        .bind(tool.to_string())
        .bind(name)
        .bind(Timestamp::now().0);
        let id = plain(&work.one("repository", insert).await?, "id")?;
        work.commit().await?;
        Ok(RepositoryId(id))
    }

    async fn repository(&self, tool: ToolId, name: &str) -> Result<Option<RepositoryId>, StoreError> {
        let found = query("SELECT id FROM repositories WHERE tool = ? AND name = ?");
        let row = self.first(found.bind(tool.to_string()).bind(name)).await?;
        row.map(|row| plain(&row, "id").map(RepositoryId)).transpose()
    }

    async fn released_images(&self, tool: ToolId) -> Result<Vec<(u64, Digest)>, StoreError> {
        // Where process types have images of their own, `web` stands for the release; the others are pulled by digest.
        let found = released!(
            "releases.number, images.digest, max(process.key = 'web')",
            "GROUP BY releases.number ORDER BY releases.number"
        );
        let rows = self.all(found.bind(tool.to_string())).await?;
        rows.iter().map(|row| Ok((plain(row, "number")?, text(row, "digest")?))).collect()
    }

    async fn is_released(&self, tool: ToolId, image: &Digest) -> Result<bool, StoreError> {
        let found = released!("1", "AND images.digest = ? LIMIT 1");
        Ok(self.first(found.bind(tool.to_string()).bind(image.to_string())).await?.is_some())
    }

    async fn released_blob(&self, tool: ToolId, digest: &Digest) -> Result<Option<Option<u64>>, StoreError> {
        let layer = query(
            "SELECT image_layers.size_bytes FROM image_layers, releases, json_each(releases.processes) AS process
             WHERE image_layers.blob = ? AND image_layers.tool = ? AND releases.tool = image_layers.tool
               AND json_extract(process.value, '$.image') = image_layers.digest LIMIT 1",
        );
        if let Some(row) = self.first(layer.bind(digest.to_string()).bind(tool.to_string())).await? {
            return plain(&row, "size_bytes").map(|size| Some(Some(size)));
        }
        let config = released!("1", "AND images.config = ? LIMIT 1");
        let config = self.first(config.bind(tool.to_string()).bind(digest.to_string())).await?;
        Ok(config.map(|_| None))
    }

    async fn expire_uploads(&self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let mut work = self.write().await?;
        let ended = query("DELETE FROM uploads WHERE expires_at <= ? RETURNING id").bind(now.0);
        let ended = work.all(ended).await?.iter().map(|row| plain(row, "id")).collect::<Result<_, _>>()?;
        let unused = query(
            "DELETE FROM repository_blobs WHERE lease_until > 0 AND lease_until <= ? AND NOT EXISTS (
                 SELECT 1 FROM manifest_uses
                 WHERE manifest_uses.repository = repository_blobs.repository
                   AND manifest_uses.digest = repository_blobs.digest)",
        );
        work.run(unused.bind(now.0)).await?;
        work.commit().await?;
        Ok(ended)
    }

    async fn renew_leases(&self, until: Timestamp) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.run(query("UPDATE uploads SET expires_at = ?").bind(until.0)).await?;
        let blobs = query("UPDATE repository_blobs SET lease_until = ? WHERE lease_until > 0");
        work.run(blobs.bind(until.0)).await?;
        work.commit().await
    }
}
