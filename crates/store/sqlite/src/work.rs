//! The few ways in which queries are run: inside a writing transaction, or on a reader.

use crate::{fault::told, open::Sqlite};
use model::{Timestamp, ToolId};
use sqlx::{
    Transaction, query,
    sqlite::{SqliteArguments, SqliteRow},
};
use store::{AuditOutcome, StoreError};

pub(crate) type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, SqliteArguments>;

/// A transaction that writes.
pub(crate) struct Work(Transaction<'static, sqlx::Sqlite>);

impl Work {
    pub(crate) fn new(transaction: Transaction<'static, sqlx::Sqlite>) -> Self {
        Self(transaction)
    }

    /// Gives the number of rows that changed.
    pub(crate) async fn run(&mut self, query: Query<'_>) -> Result<u64, StoreError> {
        query.execute(&mut *self.0).await.map(|done| done.rows_affected()).map_err(told)
    }

    pub(crate) async fn first(&mut self, query: Query<'_>) -> Result<Option<SqliteRow>, StoreError> {
        query.fetch_optional(&mut *self.0).await.map_err(told)
    }

    pub(crate) async fn all(&mut self, query: Query<'_>) -> Result<Vec<SqliteRow>, StoreError> {
        query.fetch_all(&mut *self.0).await.map_err(told)
    }

    /// The row, or `NotFound(noun)`.
    pub(crate) async fn one(
        &mut self,
        noun: &'static str,
        query: Query<'_>,
    ) -> Result<SqliteRow, StoreError> {
        self.first(query).await?.ok_or(StoreError::NotFound(noun))
    }

    /// `NotFound("tool")` unless it is there and not deleted.
    pub(crate) async fn need_tool(&mut self, tool: ToolId) -> Result<(), StoreError> {
        let found = query("SELECT 1 FROM tools WHERE id = ? AND deleted_at IS NULL").bind(tool.to_string());
        self.one("tool", found).await.map(drop)
    }

    /// The audit row of what this transaction does.
    pub(crate) async fn audit(
        &mut self,
        actor: &str,
        action: &str,
        tool: Option<ToolId>,
        target: &str,
    ) -> Result<(), StoreError> {
        self.audit_outcome(actor, action, tool, target, AuditOutcome::Done).await
    }

    pub(crate) async fn audit_outcome(
        &mut self,
        actor: &str,
        action: &str,
        tool: Option<ToolId>,
        target: &str,
        outcome: AuditOutcome,
    ) -> Result<(), StoreError> {
        let row =
            query("INSERT INTO audit (at, actor, action, tool, target, outcome) VALUES (?, ?, ?, ?, ?, ?)")
                .bind(Timestamp::now().0)
                .bind(actor)
                .bind(action)
                .bind(tool.map(|tool| tool.to_string()))
                .bind(target)
                .bind(crate::words::Word::word(outcome));
        self.run(row).await.map(drop)
    }

    /// On disk once this returns.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.0.commit().await.map_err(told)
    }
}

impl Sqlite {
    pub(crate) async fn first(&self, query: Query<'_>) -> Result<Option<SqliteRow>, StoreError> {
        query.fetch_optional(&self.readers).await.map_err(told)
    }

    pub(crate) async fn all(&self, query: Query<'_>) -> Result<Vec<SqliteRow>, StoreError> {
        query.fetch_all(&self.readers).await.map_err(told)
    }

    /// The row, or `NotFound(noun)`.
    pub(crate) async fn one(&self, noun: &'static str, query: Query<'_>) -> Result<SqliteRow, StoreError> {
        self.first(query).await?.ok_or(StoreError::NotFound(noun))
    }
}
