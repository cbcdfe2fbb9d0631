//! How long a step that may begin waits for the engine, while a thousand runs of two hundred tools wait behind it: the
//! real store on this disk, the engine's own wake-up, its caps as they are by default.

use crate::table::{Table, percentile};
use anyhow::{Context, Result};
use flow::Nudge;
use model::{
    Actor, PushId, Timestamp, ToolId, UserId,
    run::{Lane, OnNewPush, Outcome},
};
use serde_json::json;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use store::{ClaimedStep, Claiming, NewPush, NewTool, Queue as _, Tools as _, Users as _};
use store_sqlite::Sqlite;
use tokio::sync::mpsc;

const TOOLS: u32 = 200;
const RUNS_OF_EACH: u32 = 5;
/// As `windlass.toml` has them by default.
const PER_MACHINE: u32 = 4;
const PER_TOOL: u32 = 2;
/// The goal for 99 of 100, in milliseconds.
const GOAL: f64 = 20.0;

/// Measures `times` claims.
pub(crate) fn measure(table: &mut Table, times: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let directory = tempfile::Builder::new().prefix("windlass-bench-").tempdir_in("/var/lib")?;
    let waits = runtime.block_on(async {
        let store = Sqlite::open(&directory.path().join("state.sqlite")).await?;
        let waits = claims(&store, times).await?;
        store.close().await;
        anyhow::Ok(waits)
    })?;
    let mut waits: Vec<f64> = waits.iter().map(|wait| wait.as_secs_f64() * 1000.0).collect();
    waits.sort_by(f64::total_cmp);
    table.heading(format!("queue: {} runs of {TOOLS} tools wait", TOOLS * RUNS_OF_EACH));
    table.numbers("a step from ready to claimed", "ms", waits.clone());
    table.words(format!("99 of 100 within {:.3} ms; the goal is {GOAL} ms", percentile(&waits, 99)));
    Ok(())
}

async fn claims(store: &Sqlite, times: usize) -> Result<Vec<Duration>> {
    let by = store.ensure_operator("operator").await?.id;
    let mut tools = Vec::new();
    for number in 0..TOOLS {
        let new = NewTool { name: format!("tool-{number}").parse()?, owner: by };
        tools.push(store.create_tool(&new, &Actor::Platform).await?.id);
    }
    for _ in 0..RUNS_OF_EACH {
        for tool in &tools {
            push(store, *tool, by).await?;
        }
    }
    let nudge = Arc::new(Nudge::default());
    let (claimed, mut claims) = mpsc::channel(PER_MACHINE as usize);
    let engine = tokio::spawn(engine(store.clone(), Arc::clone(&nudge), claimed));
    nudge.all();
    let mut under_way = VecDeque::new();
    for _ in 0..PER_MACHINE {
        under_way.push_back(claims.recv().await.context("the engine ended")?.0);
    }
    let mut waits = Vec::new();
    while waits.len() < times {
        let step = under_way.pop_front().context("nothing is under way")?;
        store.finish_step(&step.claim, &Outcome::done(json!({}))).await?;
        let ready = Instant::now();
        nudge.all();
        let (next, at) = claims.recv().await.context("the engine ended")?;
        waits.push(at.saturating_duration_since(ready));
        if next.run != step.run {
            // One run fewer waits: another push of that tool takes its place.
            push(store, next.tool, by).await?;
        }
        under_way.push_back(next);
    }
    engine.abort();
    Ok(waits)
}

/// Claims as `flow::engine` does, and says when.
async fn engine(
    store: Sqlite,
    nudge: Arc<Nudge>,
    claimed: mpsc::Sender<(ClaimedStep, Instant)>,
) -> Result<()> {
    loop {
        nudge.for_engine().await;
        loop {
            let claiming = Claiming {
                worker: "bench",
                now: Timestamp::steady(),
                lease: Duration::from_mins(10),
                per_tool: PER_TOOL,
                per_machine: PER_MACHINE,
            };
            let Some(step) = store.claim_step(&claiming).await? else { break };
            claimed.send((step, Instant::now())).await?;
        }
    }
}

/// A push of a branch of its own, so that none supersedes another.
async fn push(store: &Sqlite, tool: ToolId, by: UserId) -> Result<()> {
    let id = PushId::new();
    let push = NewPush {
        id,
        tool,
        ref_name: format!("refs/heads/{id}"),
        old: None,
        commit: "a".repeat(40),
        by,
        production: false,
        on_new_push: OnNewPush::Supersede,
        lane: Lane::People,
    };
    store.record_push(&push).await?;
    Ok(())
}
