//! The state table, told as stories and held to its laws with random graphs and events.

use super::*;
use crate::{Fault, Problem};
use proptest::{collection::vec, prelude::*, sample::subsequence};
use serde_json::json;

const DONE: Outcome = Outcome::done(serde_json::Value::Null);

fn problem() -> Problem {
    Problem::new("build-broken", 422, "the build failed", "pip: no matching distribution")
}

fn lost(kind: StepKind) -> Event {
    Event::LeaseLost(kind, Fault::caused_by("a step", "nobody heard of it"))
}

fn failed(cause: Cause) -> Outcome {
    Outcome::failed(cause, problem())
}

fn queued(nodes: Vec<Node>) -> RunView {
    let steps = nodes.into_iter().map(|Node { kind, after }| {
        let state = if after.is_empty() { StepState::Ready } else { StepState::Blocked };
        StepView { kind, after, state, faults: 0 }
    });
    RunView { state: RunState::Queued, cancel: None, waits: false, steps: steps.collect() }
}

/// One that was pushed while an earlier run of its branch had not ended.
fn waiting(nodes: Vec<Node>) -> RunView {
    let mut run = RunView { waits: true, ..queued(nodes) };
    for step in &mut run.steps {
        step.state = StepState::Blocked;
    }
    run
}

/// What a store does with changes.
fn apply(run: &mut RunView, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Step { kind, state, faults } => {
                let step = run.steps.iter_mut().find(|step| step.kind == kind).unwrap();
                step.state = state;
                step.faults = faults;
            }
            Change::Run(state) => run.state = state,
            Change::CancelAsked(reason) => run.cancel = Some(reason),
            Change::Freed => run.waits = false,
        }
    }
}

fn happen(run: &mut RunView, event: Event) {
    let changes = next(run, event).unwrap();
    apply(run, changes);
}

fn words(run: &RunView) -> String {
    let steps: Vec<_> = run.steps.iter().map(|step| step.state.as_str()).collect();
    format!("{}: {}", run.state, steps.join(" "))
}

#[test]
fn a_push_to_the_production_branch_walks_the_line_and_ends_live() {
    let mut run = queued(graph(true));
    assert_eq!(words(&run), "queued: ready blocked blocked blocked blocked");
    for kind in StepKind::ALL {
        happen(&mut run, Event::Claimed(kind));
        assert_eq!(run.state, RunState::Running);
        happen(&mut run, Event::Ended(kind, DONE));
    }
    assert_eq!(words(&run), "live: done done done done done");
}

#[test]
fn a_push_to_another_branch_ends_with_its_build() {
    let mut run = queued(graph(false));
    for kind in [StepKind::Plan, StepKind::Test, StepKind::Build] {
        happen(&mut run, Event::Claimed(kind));
        happen(&mut run, Event::Ended(kind, DONE));
    }
    assert_eq!(words(&run), "passed: done done done");
}

#[test]
fn a_step_with_nothing_to_do_is_done_with_the_one_before() {
    let passing = || Outcome::Done {
        outputs: json!("planned"),
        idle: [(StepKind::Test, json!("no tests")), (StepKind::Deploy, json!("not its turn"))].into(),
    };
    let mut run = queued(graph(true));
    happen(&mut run, Event::Claimed(StepKind::Plan));
    happen(&mut run, Event::Ended(StepKind::Plan, passing()));
    assert_eq!(words(&run), "running: done done ready blocked blocked");
    // A run from before there were tests, and one that shall end.
    let mut old = queued(vec![
        Node { kind: StepKind::Plan, after: vec![] },
        Node { kind: StepKind::Build, after: vec![StepKind::Plan] },
    ]);
    happen(&mut old, Event::Claimed(StepKind::Plan));
    happen(&mut old, Event::Ended(StepKind::Plan, passing()));
    assert_eq!(words(&old), "running: done ready");
    let mut ending = queued(graph(false));
    happen(&mut ending, Event::Claimed(StepKind::Plan));
    happen(&mut ending, Event::CancelAsked(CancelReason::Person));
    happen(&mut ending, Event::Ended(StepKind::Plan, passing()));
    assert_eq!(words(&ending), "cancelled: done cancelled cancelled");
}

#[test]
fn a_failure_of_the_tools_code_is_not_tried_again_and_skips_the_rest() {
    let mut run = queued(graph(true));
    happen(&mut run, Event::Claimed(StepKind::Plan));
    happen(&mut run, Event::Ended(StepKind::Plan, failed(Cause::Tool)));
    assert_eq!(words(&run), "failed: failed skipped skipped skipped skipped");
}

#[test]
fn a_fault_of_the_platform_is_tried_three_times_and_then_told_as_such() {
    let mut run = queued(graph(false));
    for faults in 1..=MAX_ATTEMPTS {
        assert_eq!(run.steps[0].state, StepState::Ready);
        happen(&mut run, Event::Claimed(StepKind::Plan));
        if faults == 2 {
            happen(&mut run, lost(StepKind::Plan));
        } else {
            happen(&mut run, Event::Ended(StepKind::Plan, failed(Cause::Platform)));
        }
    }
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.steps[0].state, StepState::Failed { cause: Cause::Platform, problem: problem() });
}

#[test]
fn a_step_that_nobody_heard_of_is_told_with_the_id_of_its_last_fault() {
    let mut run = queued(graph(false));
    let mut last = None;
    for _ in 1..=MAX_ATTEMPTS {
        happen(&mut run, Event::Claimed(StepKind::Plan));
        let fault = Fault::caused_by("a step", "nobody heard of it");
        last = Some(fault.clone());
        happen(&mut run, Event::LeaseLost(StepKind::Plan, fault));
    }
    let StepState::Failed { cause: Cause::Platform, problem } = &run.steps[0].state else {
        panic!("{run:?}")
    };
    assert!(problem.id == "run-lost" && problem.detail.contains(&last.unwrap().sentence()), "{problem}");
}

#[test]
fn a_step_that_is_handed_back_counts_no_fault() {
    let mut run = queued(graph(false));
    for _ in 0..10 {
        happen(&mut run, Event::Claimed(StepKind::Plan));
        happen(&mut run, Event::HandedBack(StepKind::Plan));
    }
    assert_eq!(words(&run), "running: ready blocked blocked");
    assert_eq!(run.steps[0].faults, 0);
}

#[test]
fn a_waiting_run_that_is_cancelled_ends_at_once() {
    let mut run = queued(graph(true));
    happen(&mut run, Event::CancelAsked(CancelReason::Superseded));
    assert_eq!(words(&run), "superseded: cancelled cancelled cancelled cancelled cancelled");
}

#[test]
fn a_running_step_is_waited_for_when_its_run_is_cancelled() {
    let mut run = queued(graph(true));
    happen(&mut run, Event::Claimed(StepKind::Plan));
    happen(&mut run, Event::CancelAsked(CancelReason::Person));
    assert_eq!(words(&run), "running: running cancelled cancelled cancelled cancelled");
    happen(&mut run, Event::Ended(StepKind::Plan, Outcome::Cancelled));
    assert_eq!(words(&run), "cancelled: cancelled cancelled cancelled cancelled cancelled");
}

#[test]
fn a_last_fault_of_a_step_that_shall_stop_anyway_is_no_failure() {
    let mut run = queued(graph(false));
    for faults in 1..=MAX_ATTEMPTS {
        happen(&mut run, Event::Claimed(StepKind::Plan));
        if faults == MAX_ATTEMPTS {
            happen(&mut run, Event::CancelAsked(CancelReason::Person));
        }
        happen(&mut run, lost(StepKind::Plan));
    }
    assert_eq!(words(&run), "cancelled: cancelled cancelled cancelled");
}

#[test]
fn a_wish_to_cancel_that_comes_after_the_switch_does_not_hide_that_the_release_is_live() {
    let mut run = queued(graph(true));
    for kind in StepKind::ALL {
        happen(&mut run, Event::Claimed(kind));
        if kind == StepKind::Deploy {
            happen(&mut run, Event::CancelAsked(CancelReason::Person));
        }
        happen(&mut run, Event::Ended(kind, DONE));
    }
    assert_eq!(run.state, RunState::Live);
}

#[test]
fn a_run_that_waits_for_another_begins_when_it_is_freed() {
    let mut run = waiting(graph(false));
    assert!(next(&run, Event::Claimed(StepKind::Plan)).is_err());
    happen(&mut run, Event::Freed);
    assert_eq!(words(&run), "queued: ready blocked blocked");
    assert_eq!(next(&run, Event::Freed), Err(Illegal::NotWaiting));
    let mut ended = waiting(graph(false));
    happen(&mut ended, Event::CancelAsked(CancelReason::Person));
    assert_eq!(words(&ended), "cancelled: cancelled cancelled cancelled");
}

#[test]
fn a_run_that_waits_too_long_fails_and_says_so_but_not_while_it_runs() {
    let day = Event::WaitedTooLong { seconds: 24 * 3600 };
    for mut run in [queued(graph(true)), waiting(graph(true))] {
        happen(&mut run, day.clone());
        assert_eq!(words(&run), "failed: failed skipped skipped skipped skipped");
        let StepState::Failed { cause, problem } = &run.steps[0].state else { panic!() };
        assert_eq!(*cause, Cause::Timeout { seconds: 86_400 });
        assert!(problem.detail.contains("24 hours"), "{problem}");
    }
    let mut run = queued(graph(true));
    happen(&mut run, Event::Claimed(StepKind::Plan));
    assert!(next(&run, day.clone()).is_err());
    happen(&mut run, Event::Ended(StepKind::Plan, DONE));
    happen(&mut run, day);
    assert_eq!(words(&run), "failed: done failed skipped skipped skipped");
}

#[test]
fn two_tests_side_by_side_both_end_before_the_run_does() {
    let nodes = vec![
        Node { kind: StepKind::Plan, after: vec![] },
        Node { kind: StepKind::Build, after: vec![] },
        Node { kind: StepKind::Release, after: vec![StepKind::Plan, StepKind::Build] },
    ];
    let mut run = queued(nodes);
    happen(&mut run, Event::Claimed(StepKind::Plan));
    happen(&mut run, Event::Claimed(StepKind::Build));
    happen(&mut run, Event::Ended(StepKind::Plan, failed(Cause::Tool)));
    assert_eq!(words(&run), "running: failed running skipped");
    happen(&mut run, Event::Ended(StepKind::Build, DONE));
    assert_eq!(words(&run), "failed: failed done skipped");
}

#[test]
fn events_that_do_not_fit_say_why() {
    let mut run = queued(graph(false));
    assert_eq!(
        next(&run, Event::Claimed(StepKind::Build)).unwrap_err().to_string(),
        "the build step is blocked, not ready"
    );
    assert_eq!(next(&run, Event::Claimed(StepKind::Deploy)), Err(Illegal::NoSuchStep(StepKind::Deploy)));
    happen(&mut run, Event::CancelAsked(CancelReason::Person));
    assert_eq!(next(&run, Event::Claimed(StepKind::Plan)), Err(Illegal::RunEnded(RunState::Cancelled)));
}

#[test]
fn states_are_written_as_they_are_read() {
    let state = StepState::Failed {
        cause: Cause::Limit { which: "memory".into(), limit: 1, peak: 2 },
        problem: problem(),
    };
    let text = serde_json::to_value(&state).unwrap();
    assert_eq!(text["state"], "failed");
    assert_eq!(text["cause"], json!({"kind": "limit", "which": "memory", "limit": 1, "peak": 2}));
    assert_eq!(serde_json::from_value::<StepState>(text).unwrap(), state);
    for state in RunState::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
}

/// Any graph over some of the kinds in which edges point back.
fn any_graph() -> impl Strategy<Value = Vec<Node>> {
    (subsequence(StepKind::ALL.to_vec(), 1..=5), vec(any::<u8>(), 5)).prop_map(|(kinds, edges)| {
        let node = |(index, kind): (usize, &StepKind)| Node {
            kind: *kind,
            after: kinds[..index]
                .iter()
                .enumerate()
                .filter(|(bit, _)| edges[index] >> bit & 1 == 1)
                .map(|(_, k)| *k)
                .collect(),
        };
        kinds.iter().enumerate().map(node).collect()
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    let kind = prop::sample::select(StepKind::ALL.to_vec());
    let idle =
        kind.clone().prop_map(|kind| Outcome::Done { outputs: json!(1), idle: [(kind, json!(2))].into() });
    let outcome = prop_oneof![
        4 => Just(DONE),
        2 => idle,
        1 => Just(failed(Cause::Tool)),
        2 => Just(failed(Cause::Platform)),
        1 => Just(Outcome::Cancelled),
    ];
    prop_oneof![
        6 => kind.clone().prop_map(Event::Claimed),
        6 => (kind.clone(), outcome).prop_map(|(kind, outcome)| Event::Ended(kind, outcome)),
        2 => kind.clone().prop_map(lost),
        1 => kind.prop_map(Event::HandedBack),
        2 => Just(Event::Freed),
        1 => Just(Event::WaitedTooLong { seconds: 3600 }),
        1 => prop_oneof![Just(CancelReason::Person), Just(CancelReason::Superseded)].prop_map(Event::CancelAsked),
    ]
}

/// What holds in every state that can be reached.
fn check(run: &RunView) -> Result<(), TestCaseError> {
    let done =
        |kind: &StepKind| run.steps.iter().any(|step| step.kind == *kind && step.state == StepState::Done);
    for step in &run.steps {
        prop_assert!(step.faults <= MAX_ATTEMPTS);
        if matches!(step.state, StepState::Ready | StepState::Running | StepState::Done) {
            prop_assert!(step.after.iter().all(done), "{} went before what it needs", step.kind);
        }
        if step.state == StepState::Ready {
            prop_assert!(run.cancel.is_none(), "a cancelled run has something to claim");
        }
    }
    let all_final = run.steps.iter().all(|step| step.state.is_final());
    prop_assert_eq!(run.state.is_final(), all_final, "a run ends when its last step does");
    let failed = run.steps.iter().any(|step| matches!(step.state, StepState::Failed { .. }));
    let all_done = run.steps.iter().all(|step| step.state == StepState::Done);
    if all_final {
        prop_assert_eq!(run.state.is_good(), all_done);
        prop_assert_eq!(run.state == RunState::Failed, failed);
    } else {
        let moving = run.steps.iter().any(|step| matches!(step.state, StepState::Ready | StepState::Running));
        prop_assert!(!run.waits || !moving, "something began while it waits for another run");
        prop_assert!(moving || run.waits, "nothing can happen, yet the run has not ended");
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_the_laws_hold_and_every_run_ends(
        nodes in any_graph(), waits: bool, events in vec(any_event(), 0..60)
    ) {
        let mut run = if waits { waiting(nodes) } else { queued(nodes) };
        for event in events {
            let before = run.clone();
            match next(&run, event) {
                Ok(changes) => {
                    prop_assert!(!before.state.is_final(), "an ended run changed");
                    apply(&mut run, changes);
                }
                Err(Illegal::RunEnded(state)) => prop_assert!(state.is_final()),
                Err(_) => {}
            }
            check(&run)?;
            for (was, is) in before.steps.iter().zip(&run.steps) {
                prop_assert!(!was.state.is_final() || was == is, "an ended step changed");
                prop_assert!(was.faults <= is.faults);
            }
            prop_assert!(before.cancel.is_none() || before.cancel == run.cancel);
        }
        // Left to the worst of all workers, it ends all the same.
        if run.waits && !run.state.is_final() {
            happen(&mut run, Event::Freed);
        }
        for _ in 0..=(2 * MAX_ATTEMPTS as usize * run.steps.len()) {
            let moving = run.steps.iter().find(|step| matches!(step.state, StepState::Ready | StepState::Running));
            let event = match moving {
                Some(step) if step.state == StepState::Ready => Event::Claimed(step.kind),
                Some(step) => lost(step.kind),
                None => break,
            };
            happen(&mut run, event);
        }
        prop_assert!(run.state.is_final(), "{}", words(&run));
    }
}
