//! The ledger of storage on SQLite. Rows of it are written by triggers alone (migration 0010).

use crate::{
    columns::{plain, whole},
    open::Sqlite,
    work::Work,
};
use async_trait::async_trait;
use model::{Action, Actor, ToolId};
use sqlx::query;
use store::{Conflict, Quotas, StoreError, Usage};

/// A tool's ledger as one number, and its limit; unfinished uploads included.
const TOTALS: &str = "SELECT coalesce(tools.quota_bytes, (SELECT bytes FROM default_quota)) AS limit_bytes,
        coalesce((SELECT used_bytes FROM tool_usage WHERE tool = tools.id), 0)
        + coalesce((SELECT sum(received_bytes) FROM uploads JOIN repositories ON repositories.id = uploads.repository
                    WHERE repositories.tool = tools.id), 0) AS used_bytes
     FROM tools WHERE id = ?";

impl Work {
    /// Bytes that count for the tool at this point of the transaction, and how many may.
    async fn totals(&mut self, tool: &str) -> Result<(u64, u64), StoreError> {
        let row = self.one("tool", query(TOTALS).bind(tool)).await?;
        Ok((plain(&row, "used_bytes")?, plain(&row, "limit_bytes")?))
    }

    pub(crate) async fn used_bytes(&mut self, tool: &str) -> Result<u64, StoreError> {
        Ok(self.totals(tool).await?.0)
    }
}

impl Sqlite {
    /// Whether a transaction may be committed that began when the tool used `before`. One that adds nothing may, also
    /// when the limit was lowered meanwhile.
    pub(crate) async fn within_quota(
        &self,
        work: &mut Work,
        tool: &str,
        before: u64,
    ) -> Result<(), StoreError> {
        let (used, limit) = work.totals(tool).await?;
        if used <= limit || used <= before {
            return Ok(());
        }
        let id: ToolId = tool.parse().map_err(|_| StoreError::NotFound("tool"))?;
        // What is there without this transaction: a reader sees just that.
        let usage = self.usage(id).await?;
        Err(Conflict::QuotaExceeded { usage, more_bytes: used - before }.into())
    }
}

/// The tool of a repository.
pub(crate) async fn tool_of(work: &mut Work, repository: store::RepositoryId) -> Result<String, StoreError> {
    let found = query("SELECT tool FROM repositories WHERE id = ?").bind(repository.0);
    plain(&work.one("repository", found).await?, "tool")
}

#[async_trait]
impl Quotas for Sqlite {
    async fn set_default_quota(&self, bytes: u64) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.run(query("UPDATE default_quota SET bytes = ?").bind(whole(bytes))).await?;
        work.commit().await
    }

    async fn set_quota(&self, tool: ToolId, bytes: Option<u64>, by: &Actor) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.need_tool(tool).await?;
        let set = query("UPDATE tools SET quota_bytes = ? WHERE id = ?").bind(bytes.map(whole));
        work.run(set.bind(tool.to_string())).await?;
        let target = bytes.map_or_else(|| "quota: the platform's".to_owned(), |n| format!("quota {n} bytes"));
        work.audit(&by.to_string(), Action::SetQuota.as_str(), Some(tool), &target).await?;
        work.commit().await
    }

    async fn usage(&self, tool: ToolId) -> Result<Usage, StoreError> {
        let found = query(
            "SELECT coalesce(tools.quota_bytes, (SELECT bytes FROM default_quota)) AS limit_bytes,
                coalesce((SELECT sum(received_bytes) FROM uploads
                          JOIN repositories ON repositories.id = uploads.repository
                          WHERE repositories.tool = tools.id), 0) AS uploads,
                coalesce((SELECT sum(size_bytes) FROM tool_items WHERE tool = tools.id), 0) AS used,
                coalesce((SELECT sum(size_bytes) FROM tool_items AS item WHERE tool = tools.id AND EXISTS (
                    SELECT 1 FROM image_layers WHERE image_layers.tool = item.tool
                        AND ((item.kind = 'blob' AND image_layers.blob = item.digest)
                          OR (item.kind = 'tree' AND image_layers.diff_id = item.digest)))), 0) AS images,
                coalesce((SELECT sum(size_bytes) FROM tool_items AS item WHERE tool = tools.id AND NOT EXISTS (
                    SELECT 1 FROM image_layers WHERE image_layers.tool = item.tool
                        AND ((item.kind = 'blob' AND image_layers.blob = item.digest)
                          OR (item.kind = 'tree' AND image_layers.diff_id = item.digest)))
                    AND EXISTS (SELECT 1 FROM layers JOIN layer_use ON layer_use.diff_id = layers.diff_id
                        WHERE layer_use.holder GLOB 'build:' || item.tool || ':*'
                          AND ((item.kind = 'blob' AND layers.blob = item.digest)
                            OR (item.kind = 'tree' AND layers.diff_id = item.digest)))), 0) AS caches
             FROM tools WHERE id = ?",
        );
        let row = self.one("tool", found.bind(tool.to_string())).await?;
        let used: u64 = plain(&row, "used")?;
        let (images_bytes, caches_bytes): (u64, u64) = (plain(&row, "images")?, plain(&row, "caches")?);
        Ok(Usage {
            images_bytes,
            caches_bytes,
            pushed_bytes: used.saturating_sub(images_bytes + caches_bytes),
            uploads_bytes: plain(&row, "uploads")?,
            limit_bytes: plain(&row, "limit_bytes")?,
        })
    }

    async fn check_quota(&self, tool: ToolId, more_bytes: u64) -> Result<(), StoreError> {
        let row = self.one("tool", query(TOTALS).bind(tool.to_string())).await?;
        let (used, limit): (u64, u64) = (plain(&row, "used_bytes")?, plain(&row, "limit_bytes")?);
        if used.saturating_add(more_bytes) <= limit {
            return Ok(());
        }
        Err(Conflict::QuotaExceeded { usage: self.usage(tool).await?, more_bytes }.into())
    }

    async fn count_anew(&self, tool: ToolId) -> Result<u64, StoreError> {
        let found = query(
            "SELECT coalesce(sum(size_bytes), 0) AS bytes FROM (
                 SELECT max(size_bytes) AS size_bytes FROM tool_needs WHERE tool = ?1
                    AND digest NOT IN (
                        SELECT layers.blob FROM layers JOIN layer_use ON layer_use.diff_id = layers.diff_id
                            WHERE layer_use.holder GLOB 'base:*'
                        UNION SELECT diff_id FROM layer_use WHERE holder GLOB 'base:*')
                 GROUP BY kind, digest
                 UNION ALL
                 SELECT received_bytes FROM uploads JOIN repositories ON repositories.id = uploads.repository
                    WHERE repositories.tool = ?1)",
        );
        plain(&self.one("tool", found.bind(tool.to_string())).await?, "bytes")
    }
}
