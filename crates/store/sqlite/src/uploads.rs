//! Unfinished uploads and the registry's own tokens, on SQLite.

use crate::{
    columns::{json, plain, text, time, to_json, whole},
    open::Sqlite,
    quotas::tool_of,
    tokens::identity,
};
use async_trait::async_trait;
use model::{Timestamp, TokenId};
use sqlx::query;
use store::{
    Conflict, Identity, RegistryGrant, RegistryTokens, RepositoryId, StoreError, TokenHash, Upload, Uploads,
};

#[async_trait]
impl Uploads for Sqlite {
    async fn open_upload(&self, upload: &Upload, max_per_tool: u32) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let count = query(
            "SELECT count(*) AS found FROM uploads JOIN repositories ON repositories.id = uploads.repository
             WHERE repositories.tool = (SELECT tool FROM repositories WHERE id = ?)",
        );
        let found = work.one("repository", count.bind(upload.repository.0)).await?;
        if plain::<u32>(&found, "found")? >= max_per_tool {
            return Err(Conflict::TooManyUploads(max_per_tool).into());
        }
        let insert = query(
            "INSERT INTO uploads (id, repository, user, received_bytes, expires_at) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(&upload.id)
        .bind(upload.repository.0)
        .bind(upload.user.to_string())
        .bind(whole(upload.received_bytes))
        .bind(upload.expires_at.0);
        work.run(insert).await?;
        work.commit().await
    }

    async fn upload(&self, repository: RepositoryId, id: &str) -> Result<Option<Upload>, StoreError> {
        let found = query("SELECT * FROM uploads WHERE id = ? AND repository = ?");
        let Some(row) = self.first(found.bind(id).bind(repository.0)).await? else { return Ok(None) };
        Ok(Some(Upload {
            id: plain(&row, "id")?,
            repository,
            user: text(&row, "user")?,
            received_bytes: plain(&row, "received_bytes")?,
            expires_at: time(&row, "expires_at")?,
        }))
    }

    async fn upload_received(
        &self,
        id: &str,
        received_bytes: u64,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let found = query("SELECT repository FROM uploads WHERE id = ?").bind(id);
        let repository = RepositoryId(plain(&work.one("upload", found).await?, "repository")?);
        let tool = tool_of(&mut work, repository).await?;
        let before = work.used_bytes(&tool).await?;
        let received =
            query("UPDATE uploads SET received_bytes = ?, expires_at = max(expires_at, ?) WHERE id = ?");
        if work.run(received.bind(whole(received_bytes)).bind(expires_at.0).bind(id)).await? == 0 {
            return Err(StoreError::NotFound("upload"));
        }
        self.within_quota(&mut work, &tool, before).await?;
        work.commit().await
    }

    async fn end_upload(&self, id: &str) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        if work.run(query("DELETE FROM uploads WHERE id = ?").bind(id)).await? == 0 {
            return Err(StoreError::NotFound("upload"));
        }
        work.commit().await
    }
}

#[async_trait]
impl RegistryTokens for Sqlite {
    async fn add_registry_token(
        &self,
        hash: &TokenHash,
        token: TokenId,
        grants: &[RegistryGrant],
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let old = query("DELETE FROM registry_tokens WHERE expires_at <= ?").bind(Timestamp::now().0);
        work.run(old).await?;
        let insert =
            query("INSERT INTO registry_tokens (hash, token, grants, expires_at) VALUES (?, ?, ?, ?)")
                .bind(hash.0.as_slice())
                .bind(token.to_string())
                .bind(to_json(&grants)?)
                .bind(expires_at.0);
        work.run(insert).await?;
        work.commit().await
    }

    async fn registry_identity(
        &self,
        hash: &TokenHash,
        now: Timestamp,
    ) -> Result<Option<(Identity, Vec<RegistryGrant>)>, StoreError> {
        let found = query(
            "SELECT users.*, tokens.id AS token, tokens.tool, registry_tokens.grants
             FROM registry_tokens JOIN tokens ON tokens.id = registry_tokens.token
             JOIN users ON users.id = tokens.user
             WHERE registry_tokens.hash = ?1 AND registry_tokens.expires_at > ?2 AND tokens.revoked_at IS NULL
               AND (tokens.expires_at IS NULL OR tokens.expires_at > ?2)",
        )
        .bind(hash.0.as_slice())
        .bind(now.0);
        let Some(row) = self.first(found).await? else { return Ok(None) };
        Ok(Some((identity(&row)?, json(&row, "grants")?)))
    }
}
