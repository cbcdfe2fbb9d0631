//! Images, what builds remember, releases.

use super::town::{Town, diff_id, digest, new_release};
use crate::{BuildMemory, Conflict, Image, ImageLayer, ReleaseState, StoreError};
use model::{RunId, Timestamp, ToolId};
use serde_json::json;

pub async fn an_image_reads_back_as_it_was_stored(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    let (base, app) = (town.layer(2).await, town.layer(1).await);
    // The order of layers is the image's, not the order in which they were stored.
    let layers = [&base, &app].map(|layer| ImageLayer {
        diff_id: layer.diff_id,
        blob: layer.blob,
        size_bytes: layer.blob_bytes,
    });
    let created_at = Timestamp::now();
    let image = Image {
        digest: digest(9),
        tool: tool.id,
        run,
        config: digest(8),
        layers: layers.to_vec(),
        created_at,
    };
    town.store.put_image(&image).await.unwrap();
    town.store.put_image(&image).await.unwrap();
    assert_eq!(town.store.image(tool.id, &digest(9)).await.unwrap(), image);
    assert_eq!(image.size_bytes(), 20);
    let neighbour = town.tool("neighbour").await;
    let stranger = town.store.image(neighbour.id, &digest(9)).await;
    assert!(matches!(stranger, Err(StoreError::NotFound("image"))));
}

pub async fn an_image_needs_its_layers(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    let good = town.image(tool.id, run, 1).await;
    let unknown = ImageLayer { diff_id: diff_id(7), blob: digest(7), size_bytes: 1 };
    let image = Image { digest: digest(2), layers: vec![good.layers[0].clone(), unknown], ..good.clone() };
    let refused = town.store.put_image(&image).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::LayerMissing(id))) if id == diff_id(7)));
    assert!(matches!(town.store.image(tool.id, &digest(2)).await, Err(StoreError::NotFound("image"))));
    let going = town.layer(8).await;
    town.store.retire_layers(10).await.unwrap();
    let going = ImageLayer { diff_id: going.diff_id, blob: going.blob, size_bytes: 1 };
    let image = Image { digest: digest(2), layers: vec![going], ..good.clone() };
    let refused = town.store.put_image(&image).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::LayerMissing(id))) if id == diff_id(8)));
    let nobody = Image { tool: ToolId::new(), ..good.clone() };
    assert!(matches!(town.store.put_image(&nobody).await, Err(StoreError::NotFound("tool"))));
    let nowhere = Image { digest: digest(3), run: RunId::new(), ..good };
    assert!(matches!(town.store.put_image(&nowhere).await, Err(StoreError::NotFound("run"))));
}

pub async fn the_next_build_starts_from_its_own_branch_else_from_the_newest(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    let build = async |byte: u8| BuildMemory {
        image: town.image(tool.id, run, byte).await.digest,
        metadata: json!({ "buildpacks": [byte] }),
    };
    assert_eq!(town.store.last_build(tool.id, "refs/heads/main").await.unwrap(), None);
    let (main, feature) = (build(1).await, build(2).await);
    let cache = town.layer(3).await.diff_id;
    town.store.remember_build(tool.id, "refs/heads/main", &main, &[cache]).await.unwrap();
    town.store.remember_build(tool.id, "refs/heads/feature", &feature, &[]).await.unwrap();
    assert_eq!(town.store.last_build(tool.id, "refs/heads/main").await.unwrap(), Some(main));
    assert_eq!(town.store.last_build(tool.id, "refs/heads/new").await.unwrap(), Some(feature));
    let next = build(4).await;
    town.store.remember_build(tool.id, "refs/heads/main", &next, &[]).await.unwrap();
    assert_eq!(town.store.last_build(tool.id, "refs/heads/main").await.unwrap(), Some(next.clone()));
    // What only the build before needed is nobody's now.
    let retired = town.store.retire_layers(10).await.unwrap();
    assert_eq!(retired.iter().map(|layer| layer.diff_id).collect::<Vec<_>>(), [cache]);

    let lost = BuildMemory { image: digest(99), ..next };
    let refused = town.store.remember_build(tool.id, "refs/heads/main", &lost, &[]).await;
    assert!(matches!(refused, Err(StoreError::NotFound("image"))));
}

pub async fn one_release_per_run_numbered_from_one(town: &Town) {
    let tool = town.tool("wordcount").await;
    let first = town.release(&tool, 1).await;
    assert_eq!((first.number, first.state), (1, ReleaseState::Made));
    assert_eq!(first.commit, town.run(first.run).await.commit);
    let image = first.processes.values().next().unwrap().image;
    let again = town.store.create_release(&new_release(tool.id, first.run, image)).await.unwrap();
    assert_eq!(again, first);
    let second = town.release(&tool, 2).await;
    assert_eq!(second.number, 2);
    assert_eq!(town.store.release(tool.id, 2).await.unwrap(), second);
    assert_eq!(town.store.releases_of(tool.id, 10, None).await.unwrap(), [second, first.clone()]);
    assert_eq!(town.store.releases_of(tool.id, 10, Some(2)).await.unwrap(), [first]);
    assert!(matches!(town.store.release(tool.id, 3).await, Err(StoreError::NotFound("release"))));
}

pub async fn a_release_needs_its_images(town: &Town) {
    let tool = town.tool("wordcount").await;
    let run = town.push(&tool, "main", 1).await.run;
    let missing = town.store.create_release(&new_release(tool.id, run, digest(1))).await;
    assert!(matches!(missing, Err(StoreError::NotFound("image"))));
    let nowhere = town.store.create_release(&new_release(tool.id, RunId::new(), digest(1))).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound("run"))));
    assert_eq!(town.release(&tool, 2).await.number, 1, "a refused release spends no number");
}
