//! Inserting a run: for a push, and for the commit of an earlier run.

use crate::{
    columns::{plain, text, to_json, whole},
    queue::rows::{apply, view},
    words::Word as _,
    work::Work,
};
use model::{
    PushId, RunId, StepId, Timestamp, ToolId, UserId,
    run::{CancelReason, Event, Lane, OnNewPush, RunState, StepState, graph, next, rollback_graph},
};
use sqlx::query;
use store::{Conflict, NewPush, Recorded, StoreError};

/// The run that was recorded for this push before, if it was.
pub(super) async fn recorded_before(work: &mut Work, push: &NewPush) -> Result<Option<Recorded>, StoreError> {
    let found = query("SELECT * FROM pushes WHERE id = ?").bind(push.id.to_string());
    let Some(row) = work.first(found).await? else { return Ok(None) };
    let same = text::<ToolId>(&row, "tool")? == push.tool
        && plain::<&str>(&row, "ref_name")? == push.ref_name
        && plain::<Option<&str>>(&row, "old")? == push.old.as_deref()
        && plain::<&str>(&row, "commit_id")? == push.commit;
    if !same {
        return Err(Conflict::PushDiffers.into());
    }
    // Later runs of the same push are reruns.
    let first = query("SELECT id, number FROM runs WHERE push = ? ORDER BY number LIMIT 1");
    let row = work.one("run", first.bind(push.id.to_string())).await?;
    let (run, number) = (text(&row, "id")?, plain(&row, "number")?);
    Ok(Some(Recorded { run, number, superseded: Vec::new(), waits_for: None }))
}

pub(super) async fn insert_push(work: &mut Work, push: &NewPush) -> Result<(), StoreError> {
    let row = query(
        "INSERT INTO pushes (id, tool, ref_name, old, commit_id, user, production, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(push.id.to_string())
    .bind(push.tool.to_string())
    .bind(&push.ref_name)
    .bind(push.old.as_deref())
    .bind(&push.commit)
    .bind(push.by.to_string())
    .bind(push.production)
    .bind(Timestamp::now().0);
    work.run(row).await.map(drop)
}

/// How a run is put in line.
pub(super) struct Place {
    pub(super) on_new_push: OnNewPush,
    pub(super) lane: Lane,
    /// It deploys this release and builds nothing.
    pub(super) rollback_to: Option<u64>,
}

impl Place {
    /// Whoever wants the old release back does not wait for the new one.
    pub(super) fn rollback(release: u64) -> Self {
        Self { on_new_push: OnNewPush::Supersede, lane: Lane::People, rollback_to: Some(release) }
    }
}

/// A run and its steps for a recorded push; earlier ones that it takes over from are asked to end, or waited for.
pub(super) async fn insert_run(
    work: &mut Work,
    push: PushId,
    by: UserId,
    place: Place,
) -> Result<Recorded, StoreError> {
    let row = work.one("push", query("SELECT * FROM pushes WHERE id = ?").bind(push.to_string())).await?;
    let tool: ToolId = text(&row, "tool")?;
    let production: bool = plain(&row, "production")?;
    let ref_name: String = plain(&row, "ref_name")?;
    let now = Timestamp::now();
    let count = query("UPDATE tools SET last_run = last_run + 1 WHERE id = ? RETURNING last_run");
    let number: u64 = plain(&work.one("tool", count.bind(tool.to_string())).await?, "last_run")?;
    let (superseded, waits_for) = match place.on_new_push {
        OnNewPush::Supersede => (supersede(work, tool, &ref_name, production, number, now).await?, None),
        OnNewPush::Queue => (Vec::new(), last_open(work, tool, &ref_name, production).await?),
    };
    let waits = waits_for.is_some();
    let last = work.first(query("SELECT max(turn) AS last FROM runs")).await?;
    let last: Option<i64> = last.map(|row| plain(&row, "last")).transpose()?.flatten();
    let turn = last.unwrap_or(0) + 1;
    let run = RunId::new();
    let insert = query(
        "INSERT INTO runs (id, tool, number, push, user, state, rollback_to, created_at, turn, waits)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(run.to_string())
    .bind(tool.to_string())
    .bind(whole(number))
    .bind(push.to_string())
    .bind(by.to_string())
    .bind(RunState::Queued.word())
    .bind(place.rollback_to.map(whole))
    .bind(now.0)
    .bind(turn)
    .bind(waits);
    work.run(insert).await?;
    let graph = if place.rollback_to.is_some() { rollback_graph() } else { graph(production) };
    for (position, node) in (0_i64..).zip(graph) {
        let ready = node.after.is_empty() && !waits;
        let state = if ready { StepState::Ready } else { StepState::Blocked };
        let insert = query(
            "INSERT INTO steps (id, run, position, kind, needs, exclusive, state, tool, lane, turn)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(StepId::new().to_string())
        .bind(run.to_string())
        .bind(position)
        .bind(node.kind.word())
        .bind(to_json(&node.after)?)
        .bind(node.kind.is_exclusive())
        .bind(state.as_str())
        .bind(tool.to_string())
        .bind(place.lane.word())
        .bind(turn);
        work.run(insert).await?;
    }
    Ok(Recorded { run, number, superseded, waits_for })
}

/// Number of the newest open run that this one must wait for: those that [`supersede`] would ask to end.
async fn last_open(
    work: &mut Work,
    tool: ToolId,
    ref_name: &str,
    production: bool,
) -> Result<Option<u64>, StoreError> {
    let open = query(
        "SELECT max(runs.number) AS last FROM runs JOIN pushes ON pushes.id = runs.push
         WHERE runs.tool = ? AND (pushes.ref_name = ? OR (? AND pushes.production)) AND runs.ended_at IS NULL",
    )
    .bind(tool.to_string())
    .bind(ref_name)
    .bind(production);
    Ok(work.first(open).await?.map(|row| plain(&row, "last")).transpose()?.flatten())
}

/// Asks the open runs on this ref to end in favour of run `newer`, and when that is to be deployed, all that would be;
/// gives the numbers of those that were not asked before.
async fn supersede(
    work: &mut Work,
    tool: ToolId,
    ref_name: &str,
    production: bool,
    newer: u64,
    now: Timestamp,
) -> Result<Vec<u64>, StoreError> {
    let open = query(
        "SELECT runs.id, runs.number FROM runs JOIN pushes ON pushes.id = runs.push
         WHERE runs.tool = ? AND (pushes.ref_name = ? OR (? AND pushes.production))
           AND runs.ended_at IS NULL AND runs.cancel IS NULL
         ORDER BY runs.number",
    )
    .bind(tool.to_string())
    .bind(ref_name)
    .bind(production);
    let mut numbers = Vec::new();
    for row in work.all(open).await? {
        let run: RunId = text(&row, "id")?;
        if let Ok(changes) = next(&view(work, run).await?, Event::CancelAsked(CancelReason::Superseded)) {
            apply(work, run, &changes, now).await?;
            let by = query("UPDATE runs SET superseded_by = ? WHERE id = ?");
            work.run(by.bind(whole(newer)).bind(run.to_string())).await?;
            numbers.push(plain(&row, "number")?);
        }
    }
    Ok(numbers)
}
