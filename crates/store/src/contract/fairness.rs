//! Whose turn it is.

use super::town::{Town, done};
use crate::Claiming;
use futures_util::future::join_all;
use model::run::StepKind;
use serde_json::json;
use std::collections::BTreeSet;

pub async fn the_tool_with_the_fewest_running_steps_goes_first_then_the_oldest(town: &Town) {
    let busy = town.tool("busy").await;
    let calm = town.tool("calm").await;
    let mut runs = Vec::new();
    for branch in ["one", "two", "three"] {
        runs.push(town.push(&busy, branch, 1).await.run);
    }
    runs.push(town.push(&calm, "main", 1).await.run);
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(town.claim().await.run);
    }
    assert_eq!(order, [runs[0], runs[3], runs[1], runs[2]]);
}

pub async fn a_tool_never_runs_more_than_its_share_nor_the_machine_more_than_it_can(town: &Town) {
    for name in ["first", "second", "third"] {
        let tool = town.tool(name).await;
        for branch in ["one", "two", "three"] {
            town.push(&tool, branch, 1).await;
        }
    }
    let narrow = Claiming { per_tool: 1, per_machine: 2, ..town.claiming() };
    let first = town.store.claim_step(&narrow).await.unwrap().unwrap();
    let second = town.store.claim_step(&narrow).await.unwrap().unwrap();
    assert_ne!(first.tool, second.tool);
    assert!(town.store.claim_step(&narrow).await.unwrap().is_none(), "the machine is full");
    town.store.finish_step(&first.claim, &done(json!(null))).await.unwrap();
    let third = town.store.claim_step(&narrow).await.unwrap().unwrap();
    assert_ne!(third.tool, second.tool, "the second tool has its share");
    let one_each = Claiming { per_machine: 100, ..narrow };
    assert!(town.store.claim_step(&one_each).await.unwrap().is_some());
    assert!(town.store.claim_step(&one_each).await.unwrap().is_none(), "every tool has its share");
}

pub async fn a_rollback_waits_for_no_build(town: &Town) {
    let tool = town.tool("wordcount").await;
    let old = town.release(&tool, 1).await;
    let by = town.run(old.run).await.by;
    let narrow = Claiming { per_tool: 1, per_machine: 1, ..town.claiming() };
    let plan = town.store.claim_step(&narrow).await.unwrap().unwrap();
    assert_eq!(plan.kind, StepKind::Plan);
    let neighbour = town.tool("neighbour").await;
    town.push(&neighbour, "main", 2).await;
    assert!(town.store.claim_step(&narrow).await.unwrap().is_none(), "the machine is full");
    let rollback = town.store.record_rollback(tool.id, old.number, by).await.unwrap();
    let deploy = town.store.claim_step(&narrow).await.unwrap().unwrap();
    assert_eq!((deploy.run, deploy.kind), (rollback.run, StepKind::Deploy));
    assert!(town.store.claim_step(&narrow).await.unwrap().is_none(), "it makes no room for others");
}

pub async fn releases_of_one_tool_never_run_side_by_side(town: &Town) {
    let tool = town.tool("wordcount").await;
    let first = town.push(&tool, "main", 1).await.run;
    town.walk(first, StepKind::Plan).await;
    town.walk(first, StepKind::Build).await;
    let releasing = town.claim().await;
    assert_eq!(releasing.kind, StepKind::Release);

    // A newer push goes on while the older winds down, but not past its build.
    let second = town.push(&tool, "main", 2).await.run;
    town.walk(second, StepKind::Plan).await;
    town.walk(second, StepKind::Build).await;
    assert!(town.store.claim_step(&town.claiming()).await.unwrap().is_none());
    town.store.finish_step(&releasing.claim, &done(json!(null))).await.unwrap();
    assert_eq!(town.states(first).await, "superseded: done done done done cancelled");
    town.walk(second, StepKind::Release).await;
}

pub async fn workers_that_race_never_get_the_same_step(town: &Town) {
    for name in ["first", "second", "third", "fourth"] {
        let tool = town.tool(name).await;
        for branch in ["one", "two", "three"] {
            town.push(&tool, branch, 1).await;
        }
    }
    let claiming = town.claiming();
    let worker = async || {
        let mut steps = Vec::new();
        while let Some(step) = town.store.claim_step(&claiming).await.unwrap() {
            steps.push(step.claim.step);
        }
        steps
    };
    let claimed = join_all((0..6).map(|_| worker())).await;
    assert!(claimed.iter().filter(|steps| !steps.is_empty()).count() > 1, "nobody raced");
    let claimed: Vec<_> = claimed.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 12);
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), 12);
}
