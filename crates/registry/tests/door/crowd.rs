//! Many at once, and things that go while somebody has them.

use crate::{
    images::{descriptor, manifest},
    world::{World, digest, request},
};
use futures_util::{StreamExt as _, future::join_all, stream};
use model::{Actor, Timestamp};
use registry::Clocks;
use serde_json::json;
use std::time::Duration;
use tower::ServiceExt as _;

#[tokio::test]
async fn a_pull_that_is_under_way_outlives_its_blob() {
    let world = World::new().await;
    let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(|n| n.wrapping_mul(0x85eb_ca6b).to_le_bytes()).collect();
    assert_eq!(world.push_blob("shop", "shop/import/a", &bytes).await.status, 201);
    let line = format!("/v2/shop/import/a/blobs/{}", digest(&bytes));
    let pull = request("reader", &format!("GET {line}"), &[], "");
    let mut body = world.door.clone().routes().oneshot(pull).await.unwrap().into_body().into_data_stream();
    let mut got = body.next().await.unwrap().unwrap().to_vec();
    assert!(got.len() < bytes.len());

    assert_eq!(world.send("shop", &format!("DELETE {line}"), &[], "").await.status, 202);
    let later = Duration::from_hours(1);
    let clocks = Clocks { steady: Timestamp::steady().plus(later), wall: Timestamp::now().plus(later) };
    world.door.round(clocks, Duration::ZERO).await.unwrap();
    let hex = &digest(&bytes)[7..];
    assert!(!world.paths.blobs().join(&hex[..2]).join(hex).exists(), "its file is gone");
    assert_eq!(world.send("reader", &format!("GET {line}"), &[], "").await.status, 404);
    while let Some(more) = body.next().await {
        got.extend_from_slice(&more.unwrap());
    }
    assert_eq!(got, bytes, "who has begun gets all of it");
}

#[tokio::test]
async fn a_thousand_uploads_at_once_are_counted_right() {
    let world = World::new().await;
    let shop = world.store.tool_by_name(&"shop".parse().unwrap()).await.unwrap().id;
    let begin = "POST /v2/shop/import/a/blobs/uploads/";
    let begun = join_all((0..1000).map(|_| world.send("shop", begin, &[("content-length", "0")], ""))).await;
    let (good, refused): (Vec<_>, Vec<_>) = begun.iter().partition(|answer| answer.status == 202);
    assert_eq!(good.len(), 64, "so many a tool may have");
    for answer in refused {
        assert_eq!((answer.status, answer.code().as_str()), (429, "TOOMANYREQUESTS"));
        assert!(answer.text().contains("too many unfinished uploads"), "{}", answer.text());
        assert_eq!(answer.header("retry-after"), "60");
    }
    assert_eq!(std::fs::read_dir(world.paths.uploads()).unwrap().count(), 64);
    for answer in good {
        let cancel = format!("DELETE {}", answer.header("location"));
        assert_eq!(world.send("shop", &cancel, &[], "").await.status, 204);
    }

    // Whole blobs of a kilobyte, where 600 fit: a hundred of them the same ones again.
    world.store.set_quota(shop, Some(600 << 10), &Actor::Platform).await.unwrap();
    let blobs: Vec<Vec<u8>> =
        (0..1000_u32).map(|n| (n % 900).to_be_bytes().iter().copied().cycle().take(1024).collect()).collect();
    let pushes = blobs.iter().map(|blob| world.push_blob("shop", "shop/import/a", blob));
    let answers: Vec<_> = stream::iter(pushes).buffer_unordered(1000).collect().await;
    assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 403)));
    let used = world.store.usage(shop).await.unwrap().used_bytes();
    assert_eq!((used, world.store.count_anew(shop).await.unwrap()), (600 << 10, 600 << 10));
    let mut kept = 0;
    for blob in &blobs[..900] {
        let head = format!("HEAD /v2/shop/import/a/blobs/{}", digest(blob));
        kept += usize::from(world.send("shop", &head, &[], "").await.status == 200);
    }
    assert_eq!(kept, 600, "what was told to be kept is there");
    assert_eq!(std::fs::read_dir(world.paths.uploads()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_hundred_indexes_in_each_other_come_and_go_one_by_one() {
    let world = World::new().await;
    world.push_blob("shop", "shop/import/a", b"{}").await;
    let mut documents = vec![manifest(b"{}", &[])];
    assert_eq!(world.put_manifest("0", &documents[0]).await.status, 201);
    let kind = "application/vnd.oci.image.index.v1+json";
    for depth in 1..=100 {
        let below = descriptor(documents.last().unwrap().as_bytes());
        let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": [below] }).to_string();
        let put = format!("PUT /v2/shop/import/a/manifests/{depth}");
        let answer = world.send("shop", &put, &[("content-type", kind)], index.clone()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        documents.push(index);
    }
    let delete = |document: &str| {
        let line = format!("DELETE /v2/shop/import/a/manifests/{}", digest(document.as_bytes()));
        let world = &world;
        async move { world.send("shop", &line, &[], "").await }
    };
    // From below nothing goes; from above each goes, and takes nothing else with it.
    assert_eq!(delete(&documents[0]).await.code(), "DENIED");
    assert_eq!(delete(&documents[99]).await.code(), "DENIED");
    for document in documents.iter().rev() {
        let named = format!("GET /v2/shop/import/a/manifests/{}", digest(document.as_bytes()));
        assert_eq!(world.send("shop", &named, &[], "").await.text(), *document);
        assert_eq!(delete(document).await.status, 202);
    }
    let shop = world.store.tool_by_name(&"shop".parse().unwrap()).await.unwrap().id;
    assert_eq!(world.store.usage(shop).await.unwrap().used_bytes(), 0);
}
