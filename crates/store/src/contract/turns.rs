//! Who waits for whom, and for how long.

use super::town::{LEASE, PLATFORM, Town, done};
use crate::{Beat, Claiming, NewPush, Recorded, Tool};
use futures_util::future::join_all;
use model::{
    Problem, Timestamp, ToolId,
    run::{Cause, Lane, OnNewPush, Outcome, RunState, StepKind, StepState},
};
use serde_json::json;
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn queued(town: &Town, tool: &Tool, branch: &str, commit: u8) -> Recorded {
    let push = NewPush { on_new_push: OnNewPush::Queue, ..town.new_push(tool, branch, commit).await };
    town.store.record_push(&push).await.unwrap()
}

fn red() -> Outcome {
    let problem = Problem::new("plan-nothing", 422, "there is nothing to build", "the tree is empty");
    Outcome::failed(Cause::Tool, problem)
}

pub async fn a_queued_push_begins_when_the_run_before_it_has_ended(town: &Town) {
    let tool = town.tool("wordcount").await;
    let first = queued(town, &tool, "feature", 1).await;
    let second = queued(town, &tool, "feature", 2).await;
    let third = queued(town, &tool, "feature", 3).await;
    let elsewhere = queued(town, &tool, "other", 4).await;
    assert_eq!((first.waits_for, second.waits_for, third.waits_for), (None, Some(1), Some(2)));
    assert_eq!(elsewhere.waits_for, None, "another branch");
    assert!(second.superseded.is_empty());
    assert_eq!(town.states(second.run).await, "queued: blocked blocked blocked");
    assert_eq!(town.run(second.run).await.waits_for, Some(1));

    town.walk(first.run, StepKind::Plan).await;
    town.walk(first.run, StepKind::Build).await;
    assert_eq!(town.run(first.run).await.state, RunState::Passed);
    assert_eq!(town.states(second.run).await, "queued: ready blocked blocked");
    assert_eq!(town.states(third.run).await, "queued: blocked blocked blocked");
    let runs = [town.run(first.run).await, town.run(second.run).await];
    assert_eq!(runs.map(|run| run.waits_for), [None, None]);
    town.walk(second.run, StepKind::Plan).await;
    let building = town.claim().await;
    assert_eq!(building.run, second.run);
    town.store.finish_step(&building.claim, &red()).await.unwrap();
    assert_eq!(town.states(third.run).await, "queued: ready blocked blocked", "a red run ends as well");
}

pub async fn a_run_that_waits_may_be_cancelled_and_those_behind_it_go_on_waiting(town: &Town) {
    let tool = town.tool("wordcount").await;
    let first = queued(town, &tool, "main", 1).await;
    let second = queued(town, &tool, "main", 2).await;
    let third = queued(town, &tool, "main", 3).await;
    town.store.cancel_run(second.run, &PLATFORM).await.unwrap();
    assert_eq!(town.run(second.run).await.state, RunState::Cancelled);
    assert_eq!(town.run(third.run).await.waits_for, Some(first.number), "the first has not ended");

    // A push that supersedes asks all of them to end, and waits for none.
    let last = town.push(&tool, "main", 4).await;
    assert_eq!((last.superseded, last.waits_for), (vec![1, 3], None));
    assert_eq!(town.run(third.run).await.superseded_by, Some(4));
    assert_eq!(town.claim().await.run, last.run);
}

pub async fn pushes_of_one_moment_are_ordered_by_their_recording(town: &Town) {
    let tool = town.tool("wordcount").await;
    let mut pushes = Vec::new();
    for commit in 1..=20 {
        pushes.push(town.new_push(&tool, "main", commit).await);
    }
    let recorded = join_all(pushes.iter().map(|push| town.store.record_push(push))).await;
    let recorded: Vec<Recorded> = recorded.into_iter().map(Result::unwrap).collect();
    let numbers: BTreeSet<u64> = recorded.iter().map(|recorded| recorded.number).collect();
    assert_eq!(numbers, (1..=20).collect());
    let open = town.store.open_runs().await.unwrap();
    assert_eq!(open.iter().map(|run| run.number).collect::<Vec<_>>(), [20], "the one recorded last wins");
    for older in recorded.iter().filter(|recorded| recorded.number < 20) {
        let run = town.run(older.run).await;
        assert_eq!(run.state, RunState::Superseded);
        assert_eq!(run.superseded_by, Some(run.number + 1));
    }
}

pub async fn two_hundred_tools_take_turns_however_much_each_has_pushed(town: &Town) {
    const TOOLS: usize = 200;
    const RUNS: usize = 5;
    let mut all = Vec::new();
    for number in 0..TOOLS {
        let tool = town.tool(&format!("tool-{number}")).await;
        // All at once: without shares, the first tool's five would go first.
        for branch in 0..RUNS {
            town.push(&tool, &format!("branch-{branch}"), 1).await;
        }
        all.push(tool);
    }
    let four = Claiming { per_tool: 2, per_machine: 4, ..town.claiming() };
    let mut begun: HashMap<ToolId, usize> = HashMap::new();
    let mut under_way = Vec::new();
    for turn in 0..TOOLS * RUNS {
        if turn == 3 * TOOLS / 2 {
            // In the middle of the second round somebody comes who has waited for nothing yet.
            let late = town.tool("late").await;
            town.push(&late, "main", 1).await;
            let step = town.store.claim_step(&four).await.unwrap().unwrap();
            assert_eq!(step.tool, late.id, "it is long before it is served");
            town.store.finish_step(&step.claim, &red()).await.unwrap();
        }
        let step = town.store.claim_step(&four).await.unwrap().unwrap();
        let count = begun.entry(step.tool).or_default();
        assert_eq!(*count, turn / TOOLS, "turn {turn} goes to a tool that had {count} before");
        *count += 1;
        under_way.push(step.claim);
        if under_way.len() == 4 {
            town.store.finish_step(&under_way.remove(0), &red()).await.unwrap();
        }
    }
    assert!(all.iter().all(|tool| begun[&tool.id] == RUNS));
    assert!(town.store.claim_step(&four).await.unwrap().is_none());
}

pub async fn a_run_that_has_begun_goes_before_one_that_has_not(town: &Town) {
    let (early, late) = (town.tool("early").await, town.tool("late").await);
    let waiting = town.push(&early, "one", 1).await.run;
    let begun = town.push(&late, "one", 1).await.run;
    let first = town.claim().await;
    assert_eq!(first.run, waiting);
    town.walk(begun, StepKind::Plan).await;
    town.store.hand_back(&first.claim).await.unwrap();
    town.walk(begun, StepKind::Build).await;
}

pub async fn what_people_want_goes_before_what_the_platform_wants(town: &Town) {
    let (busy, calm) = (town.tool("busy").await, town.tool("calm").await);
    let rebuild = NewPush { lane: Lane::Platform, ..town.new_push(&calm, "main", 1).await };
    let rebuild = town.store.record_push(&rebuild).await.unwrap().run;
    let mut order = Vec::new();
    for branch in ["one", "two"] {
        order.push(town.push(&busy, branch, 1).await.run);
    }
    order.push(rebuild);
    for run in order {
        assert_eq!(town.claim().await.run, run);
    }
}

pub async fn a_run_that_waits_too_long_fails_and_says_so(town: &Town) {
    let tool = town.tool("wordcount").await;
    let first = queued(town, &tool, "main", 1).await;
    let second = queued(town, &tool, "main", 2).await;
    let half = DAY / 2;
    assert!(town.store.age_runs(half, DAY).await.unwrap().is_empty());
    // Claimed after half a day: what runs does not wait, whatever it waited before.
    let running = town.claim().await;
    assert_eq!(town.store.age_runs(half, DAY).await.unwrap(), [second.run]);
    assert_eq!(town.states(second.run).await, "failed: failed skipped skipped skipped skipped");
    let StepState::Failed { cause, problem } = town.step(second.run, StepKind::Plan).await.state else {
        panic!()
    };
    assert_eq!((cause, problem.id.as_str()), (Cause::Timeout { seconds: DAY.as_secs() }, "run-waited"));
    town.store.finish_step(&running.claim, &done(json!(null))).await.unwrap();
    assert_eq!(town.store.age_runs(half, DAY).await.unwrap(), [first.run], "all its waiting counts");
    assert_eq!(town.states(first.run).await, "failed: done failed skipped skipped skipped");
    assert!(town.store.claim_step(&town.claiming()).await.unwrap().is_none());
}

pub async fn a_new_engine_takes_over_whatever_the_clock_shows(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    // The old engine's clock is a day ahead of the new one's.
    let ahead = Claiming { now: Timestamp::steady().plus(DAY), ..town.claiming() };
    let dead = town.store.claim_step(&ahead).await.unwrap().unwrap();
    let today = Claiming { now: Timestamp::steady(), ..town.claiming() };
    assert!(town.store.expire_claims(today.now.plus(LEASE), &[]).await.unwrap().is_empty());
    assert_eq!(town.store.take_over().await.unwrap(), [dead.claim.step]);
    assert_eq!(town.store.beat(&dead.claim, ahead.now, LEASE).await.unwrap(), Beat::Lost);
    let alive = town.store.claim_step(&today).await.unwrap().unwrap();
    assert_eq!(alive.run, run, "the pause after a fault is not waited for either");
    // Its own claims hold as long as it beats, by the clock that it counts with.
    let later = today.now.plus(LEASE);
    assert_eq!(town.store.beat(&alive.claim, later, LEASE).await.unwrap(), Beat::Go);
    assert!(town.store.expire_claims(later.plus(LEASE / 2), &[]).await.unwrap().is_empty());
    assert!(town.store.take_over().await.unwrap() == [alive.claim.step]);
    assert!(town.store.take_over().await.unwrap().is_empty());
}

pub async fn a_tool_says_what_its_new_pushes_do(town: &Town) {
    let tool = town.tool("wordcount").await;
    assert_eq!(tool.on_new_push, None);
    for on_new_push in [Some(OnNewPush::Queue), Some(OnNewPush::Supersede), None] {
        town.store.set_on_new_push(tool.id, on_new_push, &PLATFORM).await.unwrap();
        assert_eq!(town.store.tool(tool.id).await.unwrap().on_new_push, on_new_push);
    }
    let rows = town.store.audit(Some(tool.id), 3).await.unwrap();
    assert_eq!(rows[2].target, "on new push queue");
    assert!(town.store.set_on_new_push(ToolId::new(), None, &PLATFORM).await.is_err());
}
