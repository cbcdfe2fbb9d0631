//! Environments and the replicas that run in them.

use super::town::{PLATFORM, Town};
use crate::{Conflict, ReleaseState, Replica, ReplicaState, StoreError};
use model::{EnvironmentName, ProcessType, ReplicaId, Timestamp};

pub async fn an_environment_moves_only_from_what_was_expected(town: &Town) {
    let tool = town.tool("wordcount").await;
    let production = EnvironmentName::production();
    for byte in 1..=3 {
        town.release(&tool, byte).await;
    }
    assert_eq!(town.store.environment(tool.id, &production).await.unwrap(), None);
    town.store.set_current(tool.id, &production, 1, None).await.unwrap();
    town.store.set_current(tool.id, &production, 1, None).await.unwrap();
    town.store.set_current(tool.id, &production, 2, Some(1)).await.unwrap();
    let stale = town.store.set_current(tool.id, &production, 3, Some(1)).await;
    let moved = Conflict::CurrentReleaseMoved { expected: Some(1), found: Some(2) };
    assert_eq!(moved.to_string(), "the environment runs v2, not v1 as expected");
    assert!(matches!(stale, Err(StoreError::Conflict(conflict)) if conflict == moved));
    let unknown = town.store.set_current(tool.id, &production, 4, Some(2)).await;
    assert!(matches!(unknown, Err(StoreError::NotFound("release"))));

    assert_eq!(town.store.environment(tool.id, &production).await.unwrap().unwrap().current, 2);
    assert_eq!(town.store.environments().await.unwrap().len(), 1);
    let history = town.store.deployments(tool.id, &production, 10).await.unwrap();
    assert_eq!(history.iter().map(|deployment| deployment.release).collect::<Vec<_>>(), [2, 1]);
    let states = town.store.releases_of(tool.id, 10, None).await.unwrap();
    let states: Vec<_> = states.iter().map(|release| release.state).collect();
    assert_eq!(states, [ReleaseState::Made, ReleaseState::Deployed, ReleaseState::Deployed]);

    town.store.delete_tool(tool.id, &PLATFORM).await.unwrap();
    assert!(town.store.environments().await.unwrap().is_empty());
    let gone = town.store.set_current(tool.id, &production, 3, Some(2)).await;
    assert!(matches!(gone, Err(StoreError::NotFound("tool"))));
}

pub async fn a_failed_release_spends_its_number(town: &Town) {
    let tool = town.tool("wordcount").await;
    let production = EnvironmentName::production();
    town.release(&tool, 1).await;
    town.store.release_failed(tool.id, 1).await.unwrap();
    assert_eq!(town.store.release(tool.id, 1).await.unwrap().state, ReleaseState::Failed);
    assert_eq!(town.release(&tool, 2).await.number, 2);
    town.store.set_current(tool.id, &production, 2, None).await.unwrap();
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
        created_at: Timestamp::now(),
    };
    town.store.add_replica(&replica).await.unwrap();
    town.store.update_replica(replica.id, ReplicaState::Healthy, Some("10.0.0.2:8000")).await.unwrap();
    let healthy =
        Replica { state: ReplicaState::Healthy, address: Some("10.0.0.2:8000".into()), ..replica.clone() };
    assert_eq!(town.store.replicas().await.unwrap(), std::slice::from_ref(&healthy));
    town.store.delete_tool(tool.id, &PLATFORM).await.unwrap();
    assert_eq!(town.store.replicas().await.unwrap(), [healthy], "somebody must still end it");
    town.store.remove_replica(replica.id).await.unwrap();
    town.store.remove_replica(replica.id).await.unwrap();
    assert!(town.store.replicas().await.unwrap().is_empty());
    let gone = town.store.update_replica(replica.id, ReplicaState::Ended, None).await;
    assert!(matches!(gone, Err(StoreError::NotFound("replica"))));
    let unknown = Replica { release: 2, ..replica };
    assert!(matches!(town.store.add_replica(&unknown).await, Err(StoreError::NotFound("release"))));
}
