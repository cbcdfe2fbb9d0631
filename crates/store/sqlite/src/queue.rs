//! The queue on SQLite: claims and what they report. Every change of state comes from `model::run::next`.

mod push;
pub(crate) mod rows;

use crate::{
    columns::{plain, text, to_json, whole, word, word_if_any},
    open::Sqlite,
    words::Word as _,
    work::{Query, Work},
};
use async_trait::async_trait;
use model::{
    Action, Actor, Fault, RunId, StepId, Timestamp, ToolId, UserId,
    run::{CancelReason, Change, Event, Illegal, Lane, OnNewPush, Outcome, RunState, StepKind, next},
};
use push::{Place, insert_push, insert_run, recorded_before};
use rows::{apply, view};
use sqlx::{query, sqlite::SqliteRow};
use std::time::Duration;
use store::{Beat, Claim, ClaimedStep, Claiming, Conflict, NewPush, Queue, Recorded, StoreError};

/// A claim that still holds.
struct Held {
    run: RunId,
    kind: StepKind,
    cancel: Option<CancelReason>,
}

/// # Errors
/// `Lost` when the step is not running under this claim.
async fn held(work: &mut Work, claim: &Claim) -> Result<Held, StoreError> {
    let found = query(
        "SELECT steps.run, steps.kind, runs.cancel FROM steps JOIN runs ON runs.id = steps.run
         WHERE steps.id = ? AND steps.state = 'running' AND steps.fence = ?",
    )
    .bind(claim.step.to_string())
    .bind(claim.fence);
    let row = work.first(found).await?.ok_or(StoreError::Lost)?;
    Ok(Held { run: text(&row, "run")?, kind: word(&row, "kind")?, cancel: word_if_any(&row, "cancel")? })
}

/// What the state table makes of an event of a step that is known to be running.
async fn follow(
    work: &mut Work,
    run: RunId,
    event: Event,
    now: Timestamp,
) -> Result<Vec<Change>, StoreError> {
    let changes = next(&view(work, run).await?, event).map_err(|illegal| {
        // Rows that contradict each other: a running step in a run that has ended.
        StoreError::Damaged { what: format!("run {run}"), source: Some(illegal.into()) }
    })?;
    apply(work, run, &changes, now).await?;
    Ok(changes)
}

/// A statement over the open runs of which no step is running.
macro_rules! waiting {
    ($head:literal) => {
        concat!(
            $head,
            "ended_at IS NULL AND NOT EXISTS (
                 SELECT 1 FROM steps WHERE steps.run = runs.id AND steps.state = 'running')"
        )
    };
}

async fn audit_run(work: &mut Work, actor: &str, action: Action, run: RunId) -> Result<(), StoreError> {
    let row =
        work.one("run", query("SELECT tool, number FROM runs WHERE id = ?").bind(run.to_string())).await?;
    let tool: ToolId = text(&row, "tool")?;
    let target = format!("run {}", plain::<u64>(&row, "number")?);
    work.audit(actor, action.as_str(), Some(tool), &target).await
}

#[async_trait]
impl Queue for Sqlite {
    async fn record_push(&self, push: &NewPush) -> Result<Recorded, StoreError> {
        let mut work = self.write().await?;
        if let Some(recorded) = recorded_before(&mut work, push).await? {
            return Ok(recorded);
        }
        work.need_tool(push.tool).await?;
        work.one("user", query("SELECT 1 FROM users WHERE id = ?").bind(push.by.to_string())).await?;
        insert_push(&mut work, push).await?;
        let place = Place { on_new_push: push.on_new_push, lane: push.lane, rollback_to: None };
        let recorded = insert_run(&mut work, push.id, push.by, place).await?;
        audit_run(&mut work, &format!("user {}", push.by), Action::PushCode, recorded.run).await?;
        work.commit().await?;
        Ok(recorded)
    }

    async fn record_rollback(&self, tool: ToolId, release: u64, by: UserId) -> Result<Recorded, StoreError> {
        let mut work = self.write().await?;
        work.need_tool(tool).await?;
        work.one("user", query("SELECT 1 FROM users WHERE id = ?").bind(by.to_string())).await?;
        let made = query(
            "SELECT runs.push FROM releases JOIN runs ON runs.id = releases.run
             WHERE releases.tool = ? AND releases.number = ? AND releases.state <> 'removed'",
        );
        let row = work.one("release", made.bind(tool.to_string()).bind(whole(release))).await?;
        let recorded = insert_run(&mut work, text(&row, "push")?, by, Place::rollback(release)).await?;
        let target = format!("v{release} by run {}", recorded.number);
        work.audit(&format!("user {by}"), Action::RollBack.as_str(), Some(tool), &target).await?;
        work.commit().await?;
        Ok(recorded)
    }

    async fn rerun(&self, run: RunId, by: UserId, on_new_push: OnNewPush) -> Result<Recorded, StoreError> {
        let mut work = self.write().await?;
        let found =
            query("SELECT tool, push, state, rollback_to FROM runs WHERE id = ?").bind(run.to_string());
        let row = work.one("run", found).await?;
        let state: RunState = word(&row, "state")?;
        if !state.is_final() {
            return Err(Conflict::RunOpen(state).into());
        }
        work.need_tool(text(&row, "tool")?).await?;
        work.one("user", query("SELECT 1 FROM users WHERE id = ?").bind(by.to_string())).await?;
        let place = match plain(&row, "rollback_to")? {
            Some(release) => Place::rollback(release),
            None => Place { on_new_push, lane: Lane::People, rollback_to: None },
        };
        let recorded = insert_run(&mut work, text(&row, "push")?, by, place).await?;
        audit_run(&mut work, &format!("user {by}"), Action::RetryRun, recorded.run).await?;
        work.commit().await?;
        Ok(recorded)
    }

    async fn claim_step(&self, claiming: &Claiming<'_>) -> Result<Option<ClaimedStep>, StoreError> {
        // Asked on a reader first: an idle engine never waits for the writer nor makes it wait.
        if candidate(self.first(candidates(claiming)).await?)?.is_none() {
            return Ok(None);
        }
        let mut work = self.write().await?;
        let Some(step) = candidate(work.first(candidates(claiming)).await?)? else { return Ok(None) };
        let until = claiming.now.plus(claiming.lease);
        let changes = follow(&mut work, step.run, Event::Claimed(step.kind), Timestamp::now()).await?;
        if changes.contains(&Change::Run(RunState::Running)) {
            let served = query("UPDATE tools SET served = (SELECT max(served) FROM tools) + 1 WHERE id = ?");
            work.run(served.bind(step.tool.to_string())).await?;
        }
        let claim = query(
            "UPDATE steps SET fence = fence + 1, worker = ?, until = ?, started_at = ?, heard_at = ? WHERE id = ?",
        )
        .bind(claiming.worker)
        .bind(until.0)
        .bind(Timestamp::now().0)
        .bind(Timestamp::now().0)
        .bind(step.claim.step.to_string());
        work.run(claim).await?;
        work.commit().await?;
        let claim = Claim { fence: step.claim.fence + 1, ..step.claim };
        Ok(Some(ClaimedStep { claim, until, ..step }))
    }

    async fn beat(&self, claim: &Claim, now: Timestamp, lease: Duration) -> Result<Beat, StoreError> {
        let mut work = self.write().await?;
        let held = match held(&mut work, claim).await {
            Ok(held) => held,
            Err(StoreError::Lost) => return Ok(Beat::Lost),
            Err(other) => return Err(other),
        };
        let beat = query("UPDATE steps SET heard_at = ?, until = ? WHERE id = ?")
            .bind(Timestamp::now().0)
            .bind(now.plus(lease).0)
            .bind(claim.step.to_string());
        work.run(beat).await?;
        work.commit().await?;
        Ok(held.cancel.map_or(Beat::Go, Beat::Cancel))
    }

    async fn finish_step(&self, claim: &Claim, outcome: &Outcome) -> Result<Vec<Change>, StoreError> {
        let mut work = self.write().await?;
        let held = held(&mut work, claim).await?;
        let event = Event::Ended(held.kind, outcome.clone());
        let changes = follow(&mut work, held.run, event, Timestamp::now()).await?;
        write_outputs(&mut work, held.run, held.kind, outcome).await?;
        work.commit().await?;
        Ok(changes)
    }

    async fn hand_back(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let held = held(&mut work, claim).await?;
        follow(&mut work, held.run, Event::HandedBack(held.kind), Timestamp::now()).await?;
        // No fault: nothing to wait for.
        let soon = query("UPDATE steps SET not_before = 0 WHERE id = ?").bind(claim.step.to_string());
        work.run(soon).await?;
        work.commit().await
    }

    async fn take_over(&self) -> Result<Vec<StepId>, StoreError> {
        let lost = self.expire_claims(Timestamp(i64::MAX), &[]).await?;
        let mut work = self.write().await?;
        work.run(query("UPDATE steps SET not_before = 0 WHERE state = 'ready' AND not_before > 0")).await?;
        work.commit().await?;
        Ok(lost)
    }

    async fn expire_claims(&self, now: Timestamp, alive: &[StepId]) -> Result<Vec<StepId>, StoreError> {
        // Nearly always there is nothing: a reader sees that without the writer.
        let any = query("SELECT 1 FROM steps WHERE state = 'running' AND until < ? LIMIT 1");
        if self.first(any.bind(now.0)).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut work = self.write().await?;
        let silent =
            query("SELECT id, run, kind FROM steps WHERE state = 'running' AND until < ? ORDER BY until");
        let rows = work.all(silent.bind(now.0)).await?;
        let mut steps = Vec::new();
        for row in rows {
            let step = text(&row, "id")?;
            if alive.contains(&step) {
                continue;
            }
            let at = Timestamp::now();
            let (run, kind): (RunId, StepKind) = (text(&row, "run")?, word(&row, "kind")?);
            let fault =
                Fault::caused_by("a step of a run", &format!("nobody heard of the {kind} step of {run}"));
            follow(&mut work, run, Event::LeaseLost(kind, fault), at).await?;
            steps.push(step);
        }
        work.commit().await?;
        Ok(steps)
    }

    async fn age_runs(&self, waited: Duration, limit: Duration) -> Result<Vec<RunId>, StoreError> {
        let seconds = |duration: Duration| whole(duration.as_secs());
        let mut work = self.write().await?;
        let age = query(waiting!("UPDATE runs SET waited_seconds = waited_seconds + ? WHERE "));
        work.run(age.bind(seconds(waited))).await?;
        let over = query(waiting!("SELECT id, waited_seconds FROM runs WHERE waited_seconds >= ? AND "));
        let mut runs = Vec::new();
        for row in work.all(over.bind(seconds(limit))).await? {
            let run = text(&row, "id")?;
            let event = Event::WaitedTooLong { seconds: plain(&row, "waited_seconds")? };
            follow(&mut work, run, event, Timestamp::now()).await?;
            runs.push(run);
        }
        work.commit().await?;
        Ok(runs)
    }

    async fn cancel_run(&self, run: RunId, by: &Actor) -> Result<Vec<Change>, StoreError> {
        let mut work = self.write().await?;
        let event = Event::CancelAsked(CancelReason::Person);
        let changes = match next(&view(&mut work, run).await?, event) {
            Ok(changes) => changes,
            Err(Illegal::RunEnded(state)) => return Err(Conflict::RunEnded(state).into()),
            Err(other) => return Err(StoreError::Unavailable(other.into())),
        };
        apply(&mut work, run, &changes, Timestamp::now()).await?;
        audit_run(&mut work, &by.to_string(), Action::CancelRun, run).await?;
        work.commit().await?;
        Ok(changes)
    }
}

/// What the step gave, and those that were passed over with it. A step that is tried again gave nothing.
async fn write_outputs(
    work: &mut Work,
    run: RunId,
    kind: StepKind,
    outcome: &Outcome,
) -> Result<(), StoreError> {
    let of_others = match outcome {
        Outcome::Done { idle, .. } => Some(idle),
        _ => None,
    };
    let own = match outcome {
        Outcome::Done { outputs, .. } | Outcome::Failed { outputs: Some(outputs), .. } => Some(outputs),
        _ => None,
    };
    let all = own.map(|outputs| (&kind, outputs)).into_iter().chain(of_others.into_iter().flatten());
    for (kind, outputs) in all {
        let write =
            query("UPDATE steps SET outputs = ? WHERE run = ? AND kind = ? AND state IN ('done', 'failed')")
                .bind(to_json(outputs)?)
                .bind(run.to_string())
                .bind(kind.word());
        work.run(write).await?;
    }
    Ok(())
}

/// The step to be claimed next, if there is one: `store::Queue::claim_step` says by which order. Reads the two small
/// partial indexes of steps that are ready or running, and one row for each tool that has any.
const CANDIDATES: &str = "
    WITH busy AS (
        SELECT tool, count(*) AS steps, max(exclusive) AS exclusive FROM steps WHERE state = 'running' GROUP BY tool
    )
    SELECT steps.id, steps.kind, steps.run, steps.fence, steps.tool
    FROM steps JOIN tools ON tools.id = steps.tool LEFT JOIN busy ON busy.tool = steps.tool
    WHERE steps.state = 'ready' AND steps.not_before <= ?
      AND coalesce(busy.steps, 0) < ? + (steps.exclusive AND steps.position = 0)
      AND (SELECT coalesce(sum(busy.steps), 0) FROM busy) < ? + (steps.exclusive AND steps.position = 0)
      AND NOT (steps.exclusive AND coalesce(busy.exclusive, 0))
    ORDER BY steps.lane = 'platform', coalesce(busy.steps, 0), steps.position = 0 AND NOT steps.exclusive,
        tools.served, steps.turn, steps.position
    LIMIT 1";

fn candidates<'q>(claiming: &Claiming<'_>) -> Query<'q> {
    query(CANDIDATES).bind(claiming.now.0).bind(claiming.per_tool).bind(claiming.per_machine)
}

fn candidate(row: Option<SqliteRow>) -> Result<Option<ClaimedStep>, StoreError> {
    let Some(row) = row else { return Ok(None) };
    Ok(Some(ClaimedStep {
        claim: Claim { step: text(&row, "id")?, fence: plain(&row, "fence")? },
        kind: word(&row, "kind")?,
        run: text(&row, "run")?,
        tool: text(&row, "tool")?,
        until: Timestamp(0),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Row as _;

    #[tokio::test]
    async fn a_claim_reads_the_indexes_of_ready_and_running_steps_and_never_all_steps() {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&directory.path().join("state.sqlite")).await.unwrap();
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {CANDIDATES}"));
        let plan = query(explain).bind(0).bind(2).bind(4).fetch_all(&store.readers).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get::<String, _>("detail")).collect();
        for index in ["steps USING INDEX steps_ready", "steps USING COVERING INDEX steps_running"] {
            assert!(plan.iter().any(|line| line.contains(index)), "{plan:#?}");
        }
        assert!(!plan.iter().any(|line| line.trim_end() == "SCAN steps"), "{plan:#?}");
    }
}
