//! What tests leave, on SQLite.

use crate::{
    columns::{json, text, to_json},
    images::cache_holder,
    layers::hold,
    open::Sqlite,
};
use async_trait::async_trait;
use model::{DiffId, Digest, RunId, Timestamp, ToolId};
use serde_json::Value;
use sqlx::query;
use store::{KEPT_PASSES, StoreError, TestBuilds};

/// Who holds the layers that only the next build for tests of this ref needs. No ref's name holds a blank.
pub(crate) fn test_holder(tool: ToolId, ref_name: &str) -> String {
    cache_holder(tool, &format!("test {ref_name}"))
}

#[async_trait]
impl TestBuilds for Sqlite {
    async fn remember_test_build(
        &self,
        tool: ToolId,
        ref_name: &str,
        metadata: &Value,
        layers: &[DiffId],
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.need_tool(tool).await?;
        let before = work.used_bytes(&tool.to_string()).await?;
        let row = query(
            "INSERT INTO test_builds (tool, ref_name, metadata, at) VALUES (?, ?, ?, ?)
             ON CONFLICT (tool, ref_name) DO UPDATE SET metadata = excluded.metadata, at = excluded.at",
        )
        .bind(tool.to_string())
        .bind(ref_name)
        .bind(to_json(metadata)?)
        .bind(Timestamp::now().0);
        work.run(row).await?;
        let holder = test_holder(tool, ref_name);
        work.run(query("DELETE FROM layer_use WHERE holder = ?").bind(&holder)).await?;
        hold(&mut work, &holder, layers).await?;
        self.within_quota(&mut work, &tool.to_string(), before).await?;
        work.commit().await
    }

    async fn last_test_build(&self, tool: ToolId, ref_name: &str) -> Result<Option<Value>, StoreError> {
        let found = query(
            "SELECT metadata FROM test_builds WHERE tool = ? ORDER BY ref_name = ? DESC, at DESC LIMIT 1",
        );
        let row = self.first(found.bind(tool.to_string()).bind(ref_name)).await?;
        row.map(|row| json(&row, "metadata")).transpose()
    }

    async fn remember_pass(&self, tool: ToolId, recipe: &Digest, run: RunId) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.need_tool(tool).await?;
        work.one("run", query("SELECT 1 FROM runs WHERE id = ?").bind(run.to_string())).await?;
        let row = query(
            "INSERT INTO test_passes (tool, recipe, run, at) VALUES (?, ?, ?, ?)
             ON CONFLICT (tool, recipe) DO UPDATE SET run = excluded.run, at = excluded.at",
        )
        .bind(tool.to_string())
        .bind(recipe.to_string())
        .bind(run.to_string())
        .bind(Timestamp::now().0);
        work.run(row).await?;
        let old = query(
            "DELETE FROM test_passes WHERE tool = ?1 AND recipe NOT IN (
                 SELECT recipe FROM test_passes WHERE tool = ?1 ORDER BY at DESC, recipe LIMIT ?2)",
        );
        work.run(old.bind(tool.to_string()).bind(KEPT_PASSES)).await?;
        work.commit().await
    }

    async fn pass_of(&self, tool: ToolId, recipe: &Digest) -> Result<Option<RunId>, StoreError> {
        let found = query("SELECT run FROM test_passes WHERE tool = ? AND recipe = ?");
        let row = self.first(found.bind(tool.to_string()).bind(recipe.to_string())).await?;
        row.map(|row| text(&row, "run")).transpose()
    }
}
