//! The audit on SQLite.

use crate::{
    columns::{plain, text, time, word},
    open::Sqlite,
};
use async_trait::async_trait;
use model::{Actor, ToolId};
use sqlx::{query, sqlite::SqliteRow};
use store::{Audit, AuditEntry, AuditOutcome, StoreError};

fn entry(row: &SqliteRow) -> Result<AuditEntry, StoreError> {
    let tool: Option<&str> = plain(row, "tool")?;
    Ok(AuditEntry {
        at: time(row, "at")?,
        actor: plain(row, "actor")?,
        action: plain(row, "action")?,
        tool: tool.map(|_| text(row, "tool")).transpose()?,
        target: plain(row, "target")?,
        outcome: word(row, "outcome")?,
    })
}

#[async_trait]
impl Audit for Sqlite {
    async fn note(
        &self,
        by: &Actor,
        action: &str,
        tool: Option<ToolId>,
        target: &str,
        outcome: AuditOutcome,
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.audit_outcome(&by.to_string(), action, tool, target, outcome).await?;
        work.commit().await
    }

    async fn audit(&self, tool: Option<ToolId>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let found = query("SELECT * FROM audit WHERE tool IS ? ORDER BY number DESC LIMIT ?")
            .bind(tool.map(|tool| tool.to_string()))
            .bind(limit);
        self.all(found).await?.iter().map(entry).collect()
    }
}
