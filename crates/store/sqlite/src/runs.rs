//! Reading runs and steps on SQLite.

use crate::{
    columns::{json, json_if_any, plain, text, time, time_if_any, whole, word, word_if_any},
    open::Sqlite,
    queue::rows::step_state,
};
use async_trait::async_trait;
use model::{PushId, RunId, StepId, ToolId, run::StepKind};
use serde_json::Value;
use sqlx::{query, sqlite::SqliteRow};
use std::collections::BTreeMap;
use store::{Run, Runs, Step, StoreError};

/// A query for runs with what their push says.
macro_rules! runs {
    ($tail:literal) => {
        query(concat!(
            "SELECT runs.*, pushes.ref_name, pushes.old, pushes.commit_id, pushes.production,
                 CASE WHEN runs.waits AND runs.ended_at IS NULL THEN (
                     SELECT max(before.number) FROM runs AS before JOIN pushes AS pushed ON pushed.id = before.push
                     WHERE before.tool = runs.tool AND before.ended_at IS NULL AND before.turn < runs.turn
                       AND (pushed.ref_name = pushes.ref_name OR (pushed.production AND pushes.production))) END AS waits_for
             FROM runs JOIN pushes ON pushes.id = runs.push ",
            $tail
        ))
    };
}

fn run(row: &SqliteRow) -> Result<Run, StoreError> {
    Ok(Run {
        id: text(row, "id")?,
        number: plain(row, "number")?,
        tool: text(row, "tool")?,
        push: text(row, "push")?,
        ref_name: plain(row, "ref_name")?,
        old: plain(row, "old")?,
        commit: plain(row, "commit_id")?,
        by: text(row, "user")?,
        production: plain(row, "production")?,
        rollback_to: plain(row, "rollback_to")?,
        state: word(row, "state")?,
        cancel: word_if_any(row, "cancel")?,
        superseded_by: plain(row, "superseded_by")?,
        waits_for: plain(row, "waits_for")?,
        created_at: time(row, "created_at")?,
        started_at: time_if_any(row, "started_at")?,
        ended_at: time_if_any(row, "ended_at")?,
    })
}

fn step(row: &SqliteRow) -> Result<Step, StoreError> {
    Ok(Step {
        id: text(row, "id")?,
        run: text(row, "run")?,
        kind: word(row, "kind")?,
        state: step_state(row)?,
        faults: plain(row, "faults")?,
        started_at: time_if_any(row, "started_at")?,
        heard_at: time_if_any(row, "heard_at")?,
        ended_at: time_if_any(row, "ended_at")?,
        outputs: json_if_any(row, "outputs")?,
    })
}

#[async_trait]
impl Runs for Sqlite {
    async fn run(&self, id: RunId) -> Result<Run, StoreError> {
        run(&self.one("run", runs!("WHERE runs.id = ?").bind(id.to_string())).await?)
    }

    async fn run_by_number(&self, tool: ToolId, number: u64) -> Result<Run, StoreError> {
        let found =
            runs!("WHERE runs.tool = ? AND runs.number = ?").bind(tool.to_string()).bind(whole(number));
        run(&self.one("run", found).await?)
    }

    async fn runs_of(&self, tool: ToolId, limit: u32, before: Option<u64>) -> Result<Vec<Run>, StoreError> {
        let found = runs!("WHERE runs.tool = ? AND runs.number < ? ORDER BY runs.number DESC LIMIT ?")
            .bind(tool.to_string())
            .bind(before.map_or(i64::MAX, whole))
            .bind(limit);
        self.all(found).await?.iter().map(run).collect()
    }

    async fn runs_of_push(&self, push: PushId) -> Result<Vec<Run>, StoreError> {
        let found = runs!("WHERE runs.push = ? ORDER BY runs.number").bind(push.to_string());
        self.all(found).await?.iter().map(run).collect()
    }

    async fn open_runs(&self) -> Result<Vec<Run>, StoreError> {
        let found = runs!("WHERE runs.ended_at IS NULL ORDER BY runs.turn");
        self.all(found).await?.iter().map(run).collect()
    }

    async fn steps_of(&self, run: RunId) -> Result<Vec<Step>, StoreError> {
        let found = query("SELECT * FROM steps WHERE run = ? ORDER BY position").bind(run.to_string());
        self.all(found).await?.iter().map(step).collect()
    }

    async fn step(&self, id: StepId) -> Result<Step, StoreError> {
        step(&self.one("step", query("SELECT * FROM steps WHERE id = ?").bind(id.to_string())).await?)
    }

    async fn outputs(&self, run: RunId) -> Result<BTreeMap<StepKind, Value>, StoreError> {
        let found =
            query("SELECT kind, outputs FROM steps WHERE run = ? AND state = 'done' AND outputs IS NOT NULL");
        let rows = self.all(found.bind(run.to_string())).await?;
        rows.iter().map(|row| Ok((word(row, "kind")?, json(row, "outputs")?))).collect()
    }
}
