//! Moves runs along the line: claims ready steps, lets stations work, beats, reports. Knows no station's business.

use crate::{Line, branch, build, clock::Watch, deploy, line::StationError, plan, release};
use model::{
    Timestamp,
    run::{Outcome, StepKind},
};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Beat, ClaimedStep, Claiming, Run, StoreError};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::MissedTickBehavior,
};

/// How long a claim holds without a beat, and how often it is beaten.
const LEASE: Duration = Duration::from_secs(15);
const BEAT: Duration = Duration::from_millis(500);
/// Between two looks when nobody nudges.
const PERIOD: Duration = Duration::from_millis(500);

/// Between two countings of how long runs have waited.
const AGE: Duration = Duration::from_mins(1);

/// Works until told to stop; then hands its claims back, so that the next engine goes on at once.
///
/// # Errors
/// When the store cannot be used at the start.
pub async fn drive(line: Arc<Line>, mut stop: watch::Receiver<bool>) -> Result<(), StoreError> {
    // This engine has just become the only one: no earlier claim is alive.
    line.store.take_over().await?;
    let worker = format!("serve {}", std::process::id());
    let room = Arc::new(Semaphore::new(line.settings.parallel as usize));
    let mut stations = JoinSet::new();
    let mut aged = Instant::now();
    let mut clock = Watch::new();
    let mut rounds = tokio::time::interval(PERIOD);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        while stations.try_join_next().is_some() {}
        match claim(&line, &worker, &room).await {
            Ok(Some((step, permit))) => {
                let (line, stop) = (Arc::clone(&line), stop.clone());
                stations.spawn(async move {
                    work(&line, step, stop).await;
                    drop(permit);
                    // The next step of the run is ready, and there is room.
                    line.nudge.all();
                });
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the engine cannot claim"),
        }
        tokio::select! {
            _ = stop.changed() => break,
            () = line.nudge.for_engine() => {}
            _ = rounds.tick() => {
                if let Err(error) = line.store.expire_claims(Timestamp::steady()).await {
                    tracing::error!(%error, "the engine cannot expire claims");
                }
                if let Some(seconds) = clock.jumped(Timestamp::now(), Timestamp::steady()) {
                    tracing::warn!(seconds, "the clock was set; runs go on by a clock that is not");
                }
                if aged.elapsed() >= AGE {
                    age(&line, aged.elapsed()).await;
                    aged = Instant::now();
                }
            }
        }
    }
    while stations.join_next().await.is_some() {}
    Ok(())
}

/// Ends runs that have waited too long for their turn; what is counted is time in which this platform was up.
async fn age(line: &Line, waited: Duration) {
    match line.store.age_runs(waited, line.settings.wait).await {
        Ok(ended) if ended.is_empty() => {}
        Ok(ended) => {
            tracing::error!(runs = ended.len(), "runs waited too long for their turn and were ended");
        }
        Err(error) => tracing::error!(%error, "the engine cannot count how long runs have waited"),
    }
}

type Room = tokio::sync::OwnedSemaphorePermit;

async fn claim(
    line: &Line,
    worker: &str,
    room: &Arc<Semaphore>,
) -> Result<Option<(ClaimedStep, Room)>, StoreError> {
    let Ok(permit) = Arc::clone(room).try_acquire_owned() else { return Ok(None) };
    let claiming = Claiming {
        worker,
        now: Timestamp::steady(),
        lease: LEASE,
        per_tool: line.settings.per_tool,
        per_machine: line.settings.parallel,
    };
    Ok(line.store.claim_step(&claiming).await?.map(|step| (step, permit)))
}

/// One step from claim to report.
async fn work(line: &Line, step: ClaimedStep, mut stop: watch::Receiver<bool>) {
    let run = match line.store.run(step.run).await {
        Ok(run) => run,
        Err(error) => {
            tracing::error!(%error, "a claimed step has no run");
            return;
        }
    };
    tracing::info!(run = run.number, step = %step.kind, tool = %run.tool, "step begins");
    let mut station = std::pin::pin!(station(line, &run, step.kind));
    let outcome = tokio::select! {
        outcome = &mut station => outcome.unwrap_or_else(StationError::outcome),
        beat = beats(line, &step) => match beat {
            Beat::Lost => return,
            Beat::Cancel(_) if step.kind == StepKind::Deploy && line.deploying.is_committed(run.tool) => {
                station.await.unwrap_or_else(StationError::outcome)
            }
            Beat::Go | Beat::Cancel(_) => {
                clean(line, &run, step.kind).await;
                Outcome::Cancelled
            }
        },
        () = stopped(&mut stop) => {
            // What it started lives on; the next serve finds it by its name.
            if let Err(error) = line.store.hand_back(&step.claim).await {
                tracing::warn!(%error, "a claim could not be handed back");
            }
            return;
        }
    };
    match line.store.finish_step(&step.claim, &outcome).await {
        Ok(_) => tracing::info!(run = run.number, step = %step.kind, "step ends"),
        Err(error) => tracing::warn!(%error, run = run.number, step = %step.kind, "an outcome was not taken"),
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means the end as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Beats until there is a reason to stop.
async fn beats(line: &Line, step: &ClaimedStep) -> Beat {
    loop {
        tokio::time::sleep(BEAT).await;
        match line.store.beat(&step.claim, Timestamp::steady(), LEASE).await {
            Ok(Beat::Go) => {}
            Ok(other) => return other,
            // The lease outlasts a store that is busy for a moment.
            Err(error) => tracing::warn!(%error, "a beat was not taken"),
        }
    }
}

async fn station(line: &Line, run: &Run, kind: StepKind) -> Result<Outcome, StationError> {
    let outputs = line.store.outputs(run.id).await?;
    let of = |kind: StepKind| -> Result<&Value, StationError> {
        outputs
            .get(&kind)
            .ok_or_else(|| StationError::Inconsistent(format!("the {kind} step left no outputs")))
    };
    let tool = line.store.tool(run.tool).await?;
    let outputs = match kind {
        StepKind::Plan => {
            if run.late {
                branch::check(line, run).await?;
            }
            plan::plan(line, run).await?
        }
        StepKind::Build => {
            let outputs = build::build(line, run, &tool, of(StepKind::Plan)?).await?;
            if !run.production {
                // The last step of such a run: its verdict is the branch's.
                branch::advance(line, run, kind, None).await?;
            }
            outputs
        }
        StepKind::Release => {
            release::release(line, run, &tool, of(StepKind::Plan)?, of(StepKind::Build)?).await?
        }
        StepKind::Deploy => {
            let release = match run.rollback_to {
                Some(release) => release,
                None => release::number_of(of(StepKind::Release)?)?,
            };
            deploy::deploy(line, run, &tool, release).await?
        }
    };
    Ok(Outcome::Done { outputs })
}

/// Ends what a cancelled step started.
async fn clean(line: &Line, run: &Run, kind: StepKind) {
    match kind {
        StepKind::Plan => {}
        StepKind::Build => build::clean(line, run).await,
        StepKind::Release => release::clean(line, run).await,
        StepKind::Deploy => deploy::clean(line, run).await,
    }
}
