//! Pushes, claims, beats, ends.

use super::town::{LEASE, PLATFORM, Town, done};
use crate::{Beat, Claiming, Conflict, NewPush, StoreError};
use model::{
    Problem, RunId, Timestamp,
    run::{
        CancelReason, Cause, Change, MAX_ATTEMPTS, OnNewPush, Outcome, RunState, StepKind, StepState,
        retry_delay,
    },
};
use serde_json::json;
use std::time::Duration;

fn failed(cause: Cause) -> Outcome {
    let problem =
        Problem::new("build-broken", 422, "the build failed", "pip: no matching distribution").hint("fix it");
    Outcome::failed(cause, problem)
}

pub async fn a_push_is_recorded_once_however_often_it_is_told(town: &Town) {
    let tool = town.tool("wordcount").await;
    let push = town.new_push(&tool, "main", 1).await;
    let recorded = town.store.record_push(&push).await.unwrap();
    assert_eq!((recorded.number, recorded.superseded.len()), (1, 0));
    assert_eq!(town.store.record_push(&push).await.unwrap(), recorded);
    assert_eq!(town.store.runs_of(tool.id, 10, None).await.unwrap().len(), 1);
    let of_push = town.store.runs_of_push(push.id).await.unwrap();
    assert_eq!(of_push.iter().map(|run| run.id).collect::<Vec<_>>(), [recorded.run]);
    assert!(town.store.runs_of_push(model::PushId::new()).await.unwrap().is_empty());
    assert_eq!(town.states(recorded.run).await, "queued: ready blocked blocked blocked blocked");
    let other = NewPush { commit: "f".repeat(40), ..push.clone() };
    assert!(matches!(town.store.record_push(&other).await, Err(StoreError::Conflict(Conflict::PushDiffers))));

    let run = town.run(recorded.run).await;
    assert_eq!((run.push, run.tool, run.by, run.number), (push.id, tool.id, push.by, 1));
    assert_eq!((&run.ref_name, &run.commit, run.production), (&push.ref_name, &push.commit, true));
    assert_eq!((run.old, run.started_at, run.ended_at, run.cancel), (None, None, None, None));
    assert_eq!(town.push(&tool, "feature", 2).await.number, 2);
}

pub async fn a_push_walks_the_line_and_its_outputs_stay(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    for kind in [StepKind::Plan, StepKind::Build, StepKind::Release] {
        town.walk(run, kind).await;
    }
    assert_eq!(town.states(run).await, "running: done done done done ready");
    assert_eq!(town.store.open_runs().await.unwrap().iter().map(|run| run.id).collect::<Vec<_>>(), [run]);
    let last = town.claim().await;
    let changes = town.store.finish_step(&last.claim, &done(json!({ "version": 1 }))).await.unwrap();
    assert!(changes.contains(&Change::Run(RunState::Live)));
    assert_eq!(town.states(run).await, "live: done done done done done");
    assert!(town.store.claim_step(&town.claiming()).await.unwrap().is_none());
    assert!(town.store.open_runs().await.unwrap().is_empty());

    let outputs = town.store.outputs(run).await.unwrap();
    assert_eq!(outputs[&StepKind::Build], json!({ "kind": "build" }));
    assert_eq!(outputs[&StepKind::Deploy], json!({ "version": 1 }));
    let step = town.store.step(last.claim.step).await.unwrap();
    assert_eq!(step.outputs, Some(json!({ "version": 1 })));
    assert!(step.started_at.is_some() && step.ended_at.is_some());
    let run = town.run(run).await;
    assert!(run.started_at.is_some() && run.ended_at.is_some());
}

pub async fn a_red_step_skips_the_rest_and_says_why(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    town.walk(run, StepKind::Plan).await;
    let build = town.claim().await;
    let cause = Cause::Limit { which: "memory".into(), limit: 512, peak: 512 };
    let outcome = failed(cause.clone());
    town.store.finish_step(&build.claim, &outcome).await.unwrap();
    assert_eq!(town.states(run).await, "failed: done done failed skipped skipped");
    let StepState::Failed { cause: told, problem } = town.step(run, StepKind::Build).await.state else {
        panic!()
    };
    assert_eq!(told, cause);
    assert_eq!(problem.hint.as_deref(), Some("fix it"));
    assert!(matches!(town.store.finish_step(&build.claim, &outcome).await, Err(StoreError::Lost)));
    assert!(matches!(town.store.run(RunId::new()).await, Err(StoreError::NotFound("run"))));
}

pub async fn a_step_that_is_passed_over_has_outputs_and_a_red_one_may_have_some(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    town.walk(run, StepKind::Plan).await;
    assert_eq!(town.states(run).await, "running: done done ready blocked blocked");
    let passed_over = town.step(run, StepKind::Test).await;
    assert_eq!((passed_over.outputs, passed_over.started_at), (Some(json!({ "kind": "test" })), None));
    let build = town.claim().await;
    let problem = Problem::new("build-broken", 422, "it broke", "in line 3");
    let outputs = Some(json!({ "failing": [3] }));
    let outcome = Outcome::Failed { cause: Cause::Tool, problem, outputs: outputs.clone() };
    town.store.finish_step(&build.claim, &outcome).await.unwrap();
    assert_eq!(town.step(run, StepKind::Build).await.outputs, outputs);
    let given = town.store.outputs(run).await.unwrap();
    assert_eq!(
        given.into_keys().collect::<Vec<_>>(),
        [StepKind::Plan, StepKind::Test],
        "later steps read good ones"
    );
}

pub async fn a_platform_fault_waits_a_little_and_is_tried_three_times(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    for faults in 1..=MAX_ATTEMPTS {
        let step = town.claim().await;
        assert_eq!(step.claim.fence, faults);
        town.store.finish_step(&step.claim, &failed(Cause::Platform)).await.unwrap();
        let at_once = Claiming { now: Timestamp::now(), ..town.claiming() };
        assert!(town.store.claim_step(&at_once).await.unwrap().is_none(), "no pause after fault {faults}");
    }
    assert!(retry_delay(1) > Duration::ZERO);
    assert_eq!(town.states(run).await, "failed: failed skipped skipped skipped skipped");
    assert_eq!(town.step(run, StepKind::Plan).await.faults, MAX_ATTEMPTS);
}

pub async fn a_claim_that_ran_out_can_write_nothing(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    let first = town.claim().await;
    assert!(town.store.expire_claims(first.until, &[]).await.unwrap().is_empty(), "taken before its time");
    let late = first.until.plus(Duration::from_secs(1));
    let alive = [first.claim.step];
    assert!(town.store.expire_claims(late, &alive).await.unwrap().is_empty(), "taken from the living");
    assert_eq!(town.store.expire_claims(late, &[]).await.unwrap(), [first.claim.step]);
    let second = town.claim().await;
    assert_eq!(second.claim.step, first.claim.step);

    assert_eq!(town.store.beat(&first.claim, late, LEASE).await.unwrap(), Beat::Lost);
    let outcome = done(json!("from the dead"));
    assert!(matches!(town.store.finish_step(&first.claim, &outcome).await, Err(StoreError::Lost)));
    assert!(matches!(town.store.hand_back(&first.claim).await, Err(StoreError::Lost)));
    assert_eq!(town.states(run).await, "running: running blocked blocked blocked blocked");
    town.store.finish_step(&second.claim, &done(json!("alive"))).await.unwrap();
    assert_eq!(town.store.outputs(run).await.unwrap()[&StepKind::Plan], json!("alive"));
    assert_eq!(town.step(run, StepKind::Plan).await.faults, 1);
}

pub async fn a_beat_keeps_a_claim_alive(town: &Town) {
    let tool = town.tool("wordcount").await;
    town.push(&tool, "main", 1).await;
    let step = town.claim().await;
    assert_eq!(town.store.beat(&step.claim, step.until, LEASE).await.unwrap(), Beat::Go);
    let late = step.until.plus(Duration::from_secs(1));
    assert!(town.store.expire_claims(late, &[]).await.unwrap().is_empty());
    assert_eq!(town.store.expire_claims(late.plus(LEASE), &[]).await.unwrap(), [step.claim.step]);
}

pub async fn a_claim_that_is_handed_back_is_there_at_once_for_the_next(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    // Its one fault, and the pause after it, lie behind.
    let step = town.claim().await;
    town.store.finish_step(&step.claim, &failed(Cause::Platform)).await.unwrap();
    let step = town.claim().await;
    town.store.hand_back(&step.claim).await.unwrap();
    for _ in 0..=MAX_ATTEMPTS {
        let now = Timestamp::now();
        let step = town.store.claim_step(&Claiming { now, ..town.claiming() }).await.unwrap().unwrap();
        town.store.hand_back(&step.claim).await.unwrap();
        assert_eq!(town.store.beat(&step.claim, now, LEASE).await.unwrap(), Beat::Lost);
    }
    assert_eq!(town.step(run, StepKind::Plan).await.faults, 1);
}

pub async fn a_cancelled_run_hears_it_at_its_next_beat(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    let step = town.claim().await;
    let changes = town.store.cancel_run(run, &PLATFORM).await.unwrap();
    assert!(changes.contains(&Change::CancelAsked(CancelReason::Person)));
    assert!(town.store.cancel_run(run, &PLATFORM).await.unwrap().is_empty(), "asking twice is asking once");
    assert_eq!(town.states(run).await, "running: running cancelled cancelled cancelled cancelled");
    let beat = town.store.beat(&step.claim, step.until, LEASE).await.unwrap();
    assert_eq!(beat, Beat::Cancel(CancelReason::Person));
    town.store.finish_step(&step.claim, &Outcome::Cancelled).await.unwrap();
    assert_eq!(town.states(run).await, "cancelled: cancelled cancelled cancelled cancelled cancelled");
}

pub async fn a_run_that_has_ended_cannot_be_cancelled(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    town.store.cancel_run(run, &PLATFORM).await.unwrap();
    assert_eq!(town.run(run).await.state, RunState::Cancelled);
    let again = town.store.cancel_run(run, &PLATFORM).await;
    assert!(matches!(again, Err(StoreError::Conflict(Conflict::RunEnded(RunState::Cancelled)))));
    assert!(matches!(town.store.cancel_run(RunId::new(), &PLATFORM).await, Err(StoreError::NotFound("run"))));
}

pub async fn a_newer_push_takes_over_from_older_ones_on_the_same_ref_only(town: &Town) {
    let tool = town.tool("wordcount").await;
    let neighbour = town.tool("neighbour").await;
    let running = town.push(&tool, "main", 1).await;
    let step = town.claim().await;
    let branch = town.push(&tool, "feature", 2).await;
    let elsewhere = town.push(&neighbour, "main", 3).await;
    let second = town.push(&tool, "main", 4).await;
    assert_eq!(second.superseded, [running.number]);
    let third = town.push(&tool, "main", 5).await;
    assert_eq!(third.superseded, [second.number], "the first was asked already");

    assert_eq!(town.run(second.run).await.superseded_by, Some(third.number));
    assert_eq!(town.run(running.run).await.superseded_by, Some(second.number));
    assert_eq!(
        town.states(second.run).await,
        "superseded: cancelled cancelled cancelled cancelled cancelled"
    );
    let beat = town.store.beat(&step.claim, step.until, LEASE).await.unwrap();
    assert_eq!(beat, Beat::Cancel(CancelReason::Superseded));
    town.store.finish_step(&step.claim, &Outcome::Cancelled).await.unwrap();
    assert_eq!(town.run(running.run).await.state, RunState::Superseded);
    for untouched in [branch, elsewhere, third] {
        assert_eq!(town.run(untouched.run).await.state, RunState::Queued);
    }
}

pub async fn the_same_commit_can_run_again(town: &Town) {
    let tool = town.tool("wordcount").await;
    let push = town.new_push(&tool, "main", 1).await;
    let first = town.store.record_push(&push).await.unwrap();
    let supersede = OnNewPush::Supersede;
    let open = town.store.rerun(first.run, push.by, supersede).await;
    assert!(matches!(open, Err(StoreError::Conflict(Conflict::RunOpen(RunState::Queued)))));
    town.store.cancel_run(first.run, &PLATFORM).await.unwrap();
    let again = town.store.rerun(first.run, push.by, supersede).await.unwrap();
    assert_eq!((again.number, again.superseded.len()), (2, 0));
    let run = town.run(again.run).await;
    assert_eq!((run.push, run.commit), (push.id, push.commit.clone()));
    assert_eq!(town.store.record_push(&push).await.unwrap().run, first.run, "the push stays its first run's");
    assert!(matches!(
        town.store.rerun(RunId::new(), push.by, supersede).await,
        Err(StoreError::NotFound("run"))
    ));
}

pub async fn runs_are_listed_newest_first_in_pages(town: &Town) {
    let tool = town.tool("wordcount").await;
    for commit in 1..=5 {
        town.push(&tool, "main", commit).await;
    }
    let numbers = async |limit, before| -> Vec<u64> {
        town.store.runs_of(tool.id, limit, before).await.unwrap().iter().map(|run| run.number).collect()
    };
    assert_eq!(numbers(2, None).await, [5, 4]);
    assert_eq!(numbers(10, Some(4)).await, [3, 2, 1]);
    assert_eq!(town.store.run_by_number(tool.id, 3).await.unwrap().number, 3);
    assert!(matches!(town.store.run_by_number(tool.id, 6).await, Err(StoreError::NotFound("run"))));
    assert!(matches!(town.store.run_by_number(tool.id, u64::MAX).await, Err(StoreError::NotFound("run"))));
}
