//! Rows of a run as the state table sees them, and its changes as rows.

use crate::{
    columns::{json, json_if_any, plain, text, to_json, word, word_if_any},
    words::Word as _,
    work::Work,
};
use model::{
    Problem, RunId, Timestamp,
    run::{Cause, Change, Event, RunState, RunView, StepState, StepView, next, retry_delay},
};
use serde::{Deserialize, Serialize};
use sqlx::{query, sqlite::SqliteRow};
use store::StoreError;

/// The column `failure`.
#[derive(Serialize, Deserialize)]
struct Failure {
    cause: Cause,
    problem: Problem,
}

/// The columns `state` and `failure`.
pub(crate) fn step_state(row: &SqliteRow) -> Result<StepState, StoreError> {
    let failure: Option<Failure> = json_if_any(row, "failure")?;
    Ok(match (plain::<&str>(row, "state")?, failure) {
        ("blocked", None) => StepState::Blocked,
        ("ready", None) => StepState::Ready,
        ("running", None) => StepState::Running,
        ("done", None) => StepState::Done,
        ("failed", Some(Failure { cause, problem })) => StepState::Failed { cause, problem },
        ("skipped", None) => StepState::Skipped,
        ("cancelled", None) => StepState::Cancelled,
        (other, _) => {
            return Err(StoreError::Damaged {
                what: format!("column `state`: a step is {other}"),
                source: None,
            });
        }
    })
}

/// The run as the state table wants it.
pub(crate) async fn view(work: &mut Work, run: RunId) -> Result<RunView, StoreError> {
    let found = query("SELECT state, cancel, waits FROM runs WHERE id = ?").bind(run.to_string());
    let row = work.one("run", found).await?;
    let steps =
        query("SELECT kind, needs, state, failure, faults FROM steps WHERE run = ? ORDER BY position");
    let steps = work.all(steps.bind(run.to_string())).await?;
    let step = |row: &SqliteRow| {
        Ok(StepView {
            kind: word(row, "kind")?,
            after: json(row, "needs")?,
            state: step_state(row)?,
            faults: plain(row, "faults")?,
        })
    };
    Ok(RunView {
        state: word(&row, "state")?,
        cancel: word_if_any(&row, "cancel")?,
        waits: plain(&row, "waits")?,
        steps: steps.iter().map(step).collect::<Result<_, StoreError>>()?,
    })
}

/// Writes what the state table said. When the run ended, those that waited for nothing else wait no longer.
pub(crate) async fn apply(
    work: &mut Work,
    run: RunId,
    changes: &[Change],
    now: Timestamp,
) -> Result<(), StoreError> {
    write(work, run, changes, now).await?;
    if changes.iter().any(|change| matches!(change, Change::Run(state) if state.is_final())) {
        free(work, run, now).await?;
    }
    Ok(())
}

/// A run waits for every earlier one on its ref that is open, and when both are to be deployed, whatever their refs.
async fn free(work: &mut Work, ended: RunId, now: Timestamp) -> Result<(), StoreError> {
    let free = query(
        "SELECT runs.id FROM runs JOIN pushes ON pushes.id = runs.push
         WHERE runs.tool = (SELECT tool FROM runs WHERE id = ?) AND runs.ended_at IS NULL AND runs.waits
           AND NOT EXISTS (
               SELECT 1 FROM runs AS before JOIN pushes AS pushed ON pushed.id = before.push
               WHERE before.tool = runs.tool AND before.ended_at IS NULL AND before.turn < runs.turn
                 AND (pushed.ref_name = pushes.ref_name OR (pushed.production AND pushes.production)))",
    )
    .bind(ended.to_string());
    for row in work.all(free).await? {
        let run = text(&row, "id")?;
        let changes = next(&view(work, run).await?, Event::Freed)
            .map_err(|illegal| StoreError::Unavailable(illegal.into()))?;
        write(work, run, &changes, now).await?;
    }
    Ok(())
}

async fn write(work: &mut Work, run: RunId, changes: &[Change], now: Timestamp) -> Result<(), StoreError> {
    for change in changes {
        match change {
            Change::Step { kind, state, faults } => {
                let failure = match state {
                    StepState::Failed { cause, problem } => {
                        Some(to_json(&Failure { cause: cause.clone(), problem: problem.clone() })?)
                    }
                    _ => None,
                };
                // A step that is tried again waits a little longer each time; others never.
                let not_before =
                    if *faults > 0 { Timestamp::steady().plus(retry_delay(*faults)) } else { Timestamp(0) };
                let write = query(
                    "UPDATE steps SET state = ?, failure = ?, faults = ?, not_before = ?, ended_at = ?,
                     worker = NULL, until = NULL WHERE run = ? AND kind = ?",
                )
                .bind(state.as_str())
                .bind(failure)
                .bind(*faults)
                .bind(not_before.0)
                .bind(state.is_final().then_some(now.0))
                .bind(run.to_string())
                .bind(kind.word());
                work.run(write).await?;
            }
            Change::Run(state) => {
                let write = query(
                    "UPDATE runs SET state = ?, started_at = coalesce(started_at, ?), ended_at = ? WHERE id = ?",
                )
                .bind(state.word())
                .bind((*state == RunState::Running).then_some(now.0))
                .bind(state.is_final().then_some(now.0))
                .bind(run.to_string());
                work.run(write).await?;
            }
            Change::CancelAsked(reason) => {
                let write = query("UPDATE runs SET cancel = ? WHERE id = ?");
                work.run(write.bind(reason.word()).bind(run.to_string())).await?;
            }
            Change::Freed => {
                work.run(query("UPDATE runs SET waits = 0 WHERE id = ?").bind(run.to_string())).await?;
            }
        }
    }
    Ok(())
}
