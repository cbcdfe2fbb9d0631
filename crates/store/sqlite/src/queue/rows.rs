//! Rows of a run as the state table sees them, and its changes as rows.

use crate::{
    columns::{json, json_if_any, plain, to_json, word, word_if_any},
    words::Word as _,
    work::Work,
};
use model::{
    Problem, RunId, Timestamp,
    run::{Cause, Change, RunState, RunView, StepState, StepView, retry_delay},
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
    let found = query("SELECT state, cancel FROM runs WHERE id = ?").bind(run.to_string());
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
        steps: steps.iter().map(step).collect::<Result<_, StoreError>>()?,
    })
}

/// Writes what the state table said.
pub(crate) async fn apply(
    work: &mut Work,
    run: RunId,
    changes: &[Change],
    now: Timestamp,
) -> Result<(), StoreError> {
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
                let not_before = if *faults > 0 { now.plus(retry_delay(*faults)) } else { Timestamp(0) };
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
        }
    }
    Ok(())
}
