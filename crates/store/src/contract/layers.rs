//! Who needs which layer.

use super::town::{PLATFORM, Town, diff_id};
use crate::{BuildMemory, Conflict, StoreError};
use model::DiffId;
use serde_json::json;

async fn retired(town: &Town) -> Vec<DiffId> {
    let mut ids: Vec<_> =
        town.store.retire_layers(10).await.unwrap().iter().map(|layer| layer.diff_id).collect();
    ids.sort();
    ids
}

pub async fn a_layer_in_use_is_not_retired(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    town.image(tool.id, run, 1).await;
    let (held, free) = (town.layer(2).await, town.layer(3).await);
    town.store.hold_layers("sandbox:a", &[held.diff_id]).await.unwrap();
    town.store.hold_layers("sandbox:b", &[held.diff_id, diff_id(1)]).await.unwrap();
    assert_eq!(town.store.layer_holders().await.unwrap(), ["sandbox:a", "sandbox:b"]);
    assert_eq!(town.store.layer(&free.diff_id).await.unwrap(), free);
    assert_eq!(retired(town).await, [free.diff_id]);
    town.store.release_layers("sandbox:a").await.unwrap();
    assert_eq!(retired(town).await, [free.diff_id], "told again until it is forgotten");
    town.store.forget_layers(&[free.diff_id]).await.unwrap();
    town.store.release_layers("sandbox:b").await.unwrap();
    assert_eq!(retired(town).await, [held.diff_id]);
}

pub async fn a_retired_layer_cannot_be_held_until_it_is_stored_again(town: &Town) {
    let layer = town.layer(1).await;
    let other = town.layer(2).await;
    town.store.hold_layers("base:run", &[other.diff_id]).await.unwrap();
    assert_eq!(retired(town).await, [layer.diff_id]);
    let refused = town.store.hold_layers("sandbox:a", &[other.diff_id, layer.diff_id]).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::LayerMissing(id))) if id == layer.diff_id));
    assert_eq!(town.store.layer_holders().await.unwrap(), ["base:run"], "all or none");
    assert!(matches!(town.store.layer(&layer.diff_id).await, Err(StoreError::NotFound("layer"))));

    town.layer(1).await;
    town.store.forget_layers(&[layer.diff_id]).await.unwrap();
    assert_eq!(
        town.store.layer(&layer.diff_id).await.unwrap(),
        layer,
        "stored again before it was forgotten"
    );
    town.store.hold_layers("sandbox:a", &[layer.diff_id]).await.unwrap();
}

pub async fn a_cleared_tool_lets_go_of_its_layers(town: &Town) {
    let tool = town.tool("wordcount").await;
    let neighbour = town.tool("neighbour").await;
    let run = town.push(&tool, "main", 1).await.run;
    let next_run = town.push(&neighbour, "main", 1).await.run;
    let image = town.image(tool.id, run, 1).await.digest;
    town.image(tool.id, run, 2).await;
    town.image(neighbour.id, next_run, 2).await;
    let cache = town.layer(3).await.diff_id;
    let build = BuildMemory { image, metadata: json!({}) };
    town.store.remember_build(tool.id, "refs/heads/main", &build, &[cache]).await.unwrap();
    town.store.delete_tool(tool.id, &PLATFORM).await.unwrap();
    assert!(retired(town).await.is_empty(), "its sandboxes may still run");
    town.store.tool_cleared(tool.id).await.unwrap();
    assert_eq!(retired(town).await, [diff_id(1), cache], "what the neighbour shares stays");
    assert!(matches!(town.store.tool_cleared(neighbour.id).await, Err(StoreError::NotFound("deleted tool"))));
}
