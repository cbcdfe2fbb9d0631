//! Moves runs along the line: claims ready steps, lets stations work, beats, reports. Knows no station's business.

use crate::{Line, branch, build, clock::Watch, deadline, deploy, line::StationError, plan, release, test};
use model::{
    StepId, Timestamp,
    run::{Outcome, StepKind},
};
use serde_json::Value;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
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

/// Between two rows that say the same of the store.
const TELL: Duration = Duration::from_secs(10);
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
    // One more for a rollback, which waits for no build.
    let room = Arc::new(Semaphore::new(line.settings.parallel as usize + 1));
    let mut stations = JoinSet::new();
    let (alive, trouble) = (Arc::new(Alive::default()), Arc::new(Trouble::default()));
    let mut aged = Instant::now();
    let mut clock = Watch::new();
    let mut rounds = tokio::time::interval(PERIOD);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        while stations.try_join_next().is_some() {}
        match claim(&line, &worker, &room).await {
            Ok(Some((step, permit))) => {
                let (line, stop) = (Arc::clone(&line), stop.clone());
                let (alive, trouble) = (Arc::clone(&alive), Arc::clone(&trouble));
                stations.spawn(async move {
                    let built = work(&line, step, stop, &alive, &trouble).await;
                    drop(permit);
                    // The next step of the run is ready, and there is room.
                    line.nudge.all();
                    if let Some(run) = built {
                        // Beside the next step: nobody waits until the build's sandbox is gone.
                        build::clean(&line, &run).await;
                    }
                });
                continue;
            }
            Ok(None) => {}
            Err(error) => trouble.meet("the engine cannot claim", &error),
        }
        tokio::select! {
            _ = stop.changed() => break,
            () = line.nudge.for_engine() => {}
            _ = rounds.tick() => {
                if let Err(error) = line.store.expire_claims(Timestamp::steady(), &alive.all()).await {
                    trouble.meet("the engine cannot expire claims", &error);
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
        Err(error) => tracing::warn!(%error, "the engine cannot count how long runs have waited"),
    }
}

/// Steps that a station of this engine works on: their leases do not run out because the store takes no beat.
#[derive(Default)]
struct Alive(Mutex<HashSet<StepId>>);

/// One of them, until dropped: also by a station that panics.
struct AtWork<'a>(&'a Alive, StepId);

impl Alive {
    fn enter(&self, step: StepId) -> AtWork<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(step);
        AtWork(self, step)
    }

    fn all(&self) -> Vec<StepId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// When it was last told that the store refuses to work: full, locked, gone.
#[derive(Default)]
struct Trouble(Mutex<Option<Instant>>);

impl Trouble {
    fn meet(&self, what: &str, error: &StoreError) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TELL) {
            *told = Some(Instant::now());
            tracing::error!(error = model::sentence::of(error), what, "the store refuses to work");
        }
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

/// One step from claim to report. Gives the run when it was built and that is written down: no other attempt will ask
/// for its sandbox.
async fn work(
    line: &Line,
    step: ClaimedStep,
    mut stop: watch::Receiver<bool>,
    alive: &Alive,
    trouble: &Trouble,
) -> Option<Run> {
    let _at_work = alive.enter(step.claim.step);
    let run = match line.store.run(step.run).await {
        Ok(run) => run,
        Err(error) => {
            tracing::error!(%error, "a claimed step has no run");
            return None;
        }
    };
    tracing::info!(run = run.number, step = %step.kind, tool = %run.tool, "step begins");
    // From the switch on there is no way back.
    let committed = || step.kind == StepKind::Deploy && line.deploying.is_committed(run.tool);
    let limit = deadline::of(&line.settings, step.kind);
    let mut too_late = std::pin::pin!(tokio::time::sleep(limit));
    let mut station = std::pin::pin!(station(line, &run, step.kind));
    let outcome = loop {
        tokio::select! {
            outcome = &mut station => break outcome.unwrap_or_else(StationError::outcome),
            beat = beats(line, &step, trouble) => match beat {
                Beat::Lost => return None,
                Beat::Cancel(_) if committed() => {}
                Beat::Go | Beat::Cancel(_) => {
                    clean(line, &run, step.kind).await;
                    break Outcome::Cancelled;
                }
            },
            () = &mut too_late => {
                if committed() {
                    // Done again by another attempt, which finds the switch made.
                    break StationError::Inconsistent("a deploy did not end after its switch".to_owned()).outcome();
                }
                clean(line, &run, step.kind).await;
                break deadline::outlived(step.kind, limit).outcome();
            }
            () = stopped(&mut stop) => {
                // What it started lives on; the next serve finds it by its name.
                if let Err(error) = line.store.hand_back(&step.claim).await {
                    tracing::warn!(%error, "a claim could not be handed back");
                }
                return None;
            }
        }
    };
    let taken = tokio::select! {
        taken = report(line, &step, &outcome, trouble) => taken,
        () = stopped(&mut stop) => return None,
    };
    tracing::info!(run = run.number, step = %step.kind, "step ends");
    let built = step.kind == StepKind::Build
        && matches!(&outcome, Outcome::Done { outputs, .. } if !build::is_reused(outputs));
    (taken && built).then(|| run.clone())
}

/// Says how a step ended, however long the store takes nothing: an outcome is not lost because the disk was full.
/// False: it is not wanted, because the claim was lost.
async fn report(line: &Line, step: &ClaimedStep, outcome: &Outcome, trouble: &Trouble) -> bool {
    loop {
        match line.store.finish_step(&step.claim, outcome).await {
            Ok(_) => return true,
            Err(error) if error.may_pass() => trouble.meet("an outcome is not taken yet", &error),
            Err(error) => {
                tracing::warn!(%error, "an outcome was not taken");
                return false;
            }
        }
        tokio::time::sleep(BEAT).await;
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means the end as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Beats until there is a reason to stop.
async fn beats(line: &Line, step: &ClaimedStep, trouble: &Trouble) -> Beat {
    loop {
        tokio::time::sleep(BEAT).await;
        match line.store.beat(&step.claim, Timestamp::steady(), LEASE).await {
            Ok(Beat::Go) => {}
            Ok(other) => return other,
            Err(error) => trouble.meet("a beat was not taken", &error),
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
            // Together: a push waits for both.
            let (_, plan) = tokio::try_join!(branch::check(line, run), plan::plan(line, run))?;
            let no_tests = test::nothing_to_do(&plan)?.map(|outputs| (StepKind::Test, outputs));
            return Ok(Outcome::Done { outputs: plan, idle: no_tests.into_iter().collect() });
        }
        StepKind::Test => test::test(line, run, &tool, of(StepKind::Plan)?).await?,
        StepKind::Build => {
            let tested = outputs.get(&StepKind::Test);
            let outputs = build::build(line, run, &tool, of(StepKind::Plan)?, tested).await?;
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
            let (release, again) = match run.rollback_to {
                Some(release) => (release, true),
                None => (release::number_of(of(StepKind::Release)?)?, build::is_reused(of(StepKind::Build)?)),
            };
            deploy::deploy(line, run, &tool, release, again).await?
        }
    };
    Ok(Outcome::done(outputs))
}

/// Ends what a cancelled step started.
async fn clean(line: &Line, run: &Run, kind: StepKind) {
    match kind {
        StepKind::Plan => {}
        StepKind::Test => test::clean(line, run).await,
        StepKind::Build => build::clean(line, run).await,
        StepKind::Release => release::clean(line, run).await,
        StepKind::Deploy => deploy::clean(line, run).await,
    }
}
