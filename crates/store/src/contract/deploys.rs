//! Environments and the replicas that run in them.

use super::town::{PLATFORM, Town};
use crate::{Conflict, ReleaseState, Replica, ReplicaState, StoreError};
use model::{
    EnvironmentName, ProcessType, ReplicaId, RunId, Timestamp,
    run::{OnNewPush, RunState, StepKind},
};

pub async fn an_environment_moves_only_from_what_was_expected(town: &Town) {
    let tool = town.tool("wordcount").await;
    let production = EnvironmentName::production();
    let mut runs = Vec::new();
    for byte in 1..=3 {
        runs.push(town.release(&tool, byte).await.run);
    }
    assert_eq!(town.store.environment(tool.id, &production).await.unwrap(), None);
    town.store.set_current(tool.id, &production, 1, None, runs[0]).await.unwrap();
    town.store.set_current(tool.id, &production, 1, None, runs[0]).await.unwrap();
    town.store.set_current(tool.id, &production, 2, Some(1), runs[1]).await.unwrap();
    let stale = town.store.set_current(tool.id, &production, 3, Some(1), runs[2]).await;
    let moved = Conflict::CurrentReleaseMoved { expected: Some(1), found: Some(2) };
    assert_eq!(moved.to_string(), "the environment runs v2, not v1 as expected");
    assert!(matches!(stale, Err(StoreError::Conflict(conflict)) if conflict == moved));
    let unknown = town.store.set_current(tool.id, &production, 4, Some(2), runs[2]).await;
    assert!(matches!(unknown, Err(StoreError::NotFound("release"))));

    assert_eq!(town.store.environment(tool.id, &production).await.unwrap().unwrap().current, 2);
    assert_eq!(town.store.environments().await.unwrap().len(), 1);
    let nobody = town.store.set_current(tool.id, &production, 3, Some(2), RunId::new()).await;
    assert!(matches!(nobody, Err(StoreError::NotFound("run"))));
    let history = town.store.deployments(tool.id, &production, 10).await.unwrap();
    let history: Vec<_> = history.iter().map(|row| (row.release, row.run, row.rollback)).collect();
    assert_eq!(history, [(2, 2, false), (1, 1, false)]);
    let states = town.store.releases_of(tool.id, 10, None).await.unwrap();
    let states: Vec<_> = states.iter().map(|release| release.state).collect();
    assert_eq!(states, [ReleaseState::Made, ReleaseState::Deployed, ReleaseState::Deployed]);

    town.store.delete_tool(tool.id, &PLATFORM).await.unwrap();
    assert!(town.store.environments().await.unwrap().is_empty());
    let gone = town.store.set_current(tool.id, &production, 3, Some(2), runs[2]).await;
    assert!(matches!(gone, Err(StoreError::NotFound("tool"))));
}

pub async fn a_rollback_is_a_run_that_only_deploys_and_the_newer_wish_wins(town: &Town) {
    let tool = town.tool("wordcount").await;
    let production = EnvironmentName::production();
    let old = town.release(&tool, 1).await;
    let new = town.release(&tool, 2).await;
    town.store.set_current(tool.id, &production, 1, None, old.run).await.unwrap();
    town.store.set_current(tool.id, &production, 2, Some(1), new.run).await.unwrap();
    let by = town.run(old.run).await.by;
    let branch = town.push(&tool, "idea", 8).await;
    let pushed = town.push(&tool, "main", 9).await;

    // It takes over from what would be deployed, whatever its branch, and from nothing else.
    let back = town.store.record_rollback(tool.id, 1, by).await.unwrap();
    assert_eq!(back.superseded, [pushed.number]);
    assert_eq!(town.states(back.run).await, "queued: ready");
    let run = town.run(back.run).await;
    assert_eq!((run.rollback_to, run.production, run.by), (Some(1), true, by));
    assert_eq!((run.commit, run.push), (old.commit, town.run(old.run).await.push));
    assert_eq!(town.run(branch.run).await.state, RunState::Queued);

    // A later rollback, a retry and a push take over from it.
    let again = town.store.record_rollback(tool.id, 1, by).await.unwrap();
    assert_eq!(again.superseded, [back.number]);
    let retried = town.store.rerun(back.run, by, OnNewPush::Queue).await.unwrap();
    assert_eq!((retried.superseded, town.run(retried.run).await.rollback_to), (vec![again.number], Some(1)));
    let step = town.store.steps_of(retried.run).await.unwrap();
    assert_eq!(step.iter().map(|step| step.kind).collect::<Vec<_>>(), [StepKind::Deploy]);
    town.store.set_current(tool.id, &production, 1, Some(2), retried.run).await.unwrap();
    let history = town.store.deployments(tool.id, &production, 1).await.unwrap();
    assert_eq!((history[0].release, history[0].run, history[0].by), (1, retried.number, by));
    assert!(history[0].rollback);
    assert_eq!(town.push(&tool, "main", 10).await.superseded, [retried.number]);

    let unknown = town.store.record_rollback(tool.id, 3, by).await;
    assert!(matches!(unknown, Err(StoreError::NotFound("release"))));
}

pub async fn a_failed_release_spends_its_number(town: &Town) {
    let tool = town.tool("wordcount").await;
    let production = EnvironmentName::production();
    town.release(&tool, 1).await;
    town.store.release_failed(tool.id, 1).await.unwrap();
    assert_eq!(town.store.release(tool.id, 1).await.unwrap().state, ReleaseState::Failed);
    let second = town.release(&tool, 2).await;
    assert_eq!(second.number, 2);
    town.store.set_current(tool.id, &production, 2, None, second.run).await.unwrap();
    town.store.release_failed(tool.id, 2).await.unwrap();
    assert_eq!(town.store.release(tool.id, 2).await.unwrap().state, ReleaseState::Deployed);
    assert!(matches!(town.store.release_failed(tool.id, 3).await, Err(StoreError::NotFound("release"))));
}

pub async fn replicas_are_found_again(town: &Town) {
    let tool = town.tool("wordcount").await;
    town.release(&tool, 1).await;
    let replica = Replica {
        id: ReplicaId::new(),
        tool: tool.id,
        environment: EnvironmentName::production(),
        release: 1,
        process: ProcessType::web(),
        sandbox: "web-1".into(),
        address: None,
        state: ReplicaState::Starting,
        restarts: 3,
        created_at: Timestamp::now(),
    };
    town.store.add_replica(&replica).await.unwrap();
    town.store.update_replica(replica.id, ReplicaState::Healthy, Some("10.0.0.2:8000")).await.unwrap();
    let healthy =
        Replica { state: ReplicaState::Healthy, address: Some("10.0.0.2:8000".into()), ..replica.clone() };
    assert_eq!(town.store.replicas().await.unwrap(), std::slice::from_ref(&healthy));
    // With a release that changes nothing it goes on as a copy of that one.
    let production = EnvironmentName::production();
    let first = town.store.release(tool.id, 1).await.unwrap();
    town.store.set_current(tool.id, &production, 1, None, first.run).await.unwrap();
    let second = town.release(&tool, 2).await;
    let other = ReplicaId::new();
    let nobody = town.store.keep_running(tool.id, &production, 2, 1, second.run, other).await;
    assert!(matches!(nobody, Err(StoreError::NotFound("replica"))));
    assert_eq!(town.store.environment(tool.id, &production).await.unwrap().unwrap().current, 1);
    for _ in 0..2 {
        town.store.keep_running(tool.id, &production, 2, 1, second.run, replica.id).await.unwrap();
    }
    assert_eq!(town.store.environment(tool.id, &production).await.unwrap().unwrap().current, 2);
    let healthy = Replica { release: 2, ..healthy };
    assert_eq!(town.store.replicas().await.unwrap(), std::slice::from_ref(&healthy));

    town.store.delete_tool(tool.id, &PLATFORM).await.unwrap();
    assert_eq!(town.store.replicas().await.unwrap(), [healthy], "somebody must still end it");
    town.store.remove_replica(replica.id).await.unwrap();
    town.store.remove_replica(replica.id).await.unwrap();
    assert!(town.store.replicas().await.unwrap().is_empty());
    let gone = town.store.update_replica(replica.id, ReplicaState::Ended, None).await;
    assert!(matches!(gone, Err(StoreError::NotFound("replica"))));
    let unknown = Replica { release: 3, ..replica };
    assert!(matches!(town.store.add_replica(&unknown).await, Err(StoreError::NotFound("release"))));
}
