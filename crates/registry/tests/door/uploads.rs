//! Blobs on their way in: every way the specification has, breaks, restarts, races, and what does not fit.

use crate::world::{World, answer, digest, request};
use axum::body::{Body, Bytes};
use model::{Actor, Timestamp};
use registry::Clocks;
use std::{io, time::Duration};

const HOUR: Duration = Duration::from_hours(1);

/// Clocks that went on for so long.
fn after(time: Duration) -> Clocks {
    Clocks { steady: Timestamp::steady().plus(time), wall: Timestamp::now().plus(time) }
}

/// Begins an upload and gives its address.
async fn begin(world: &World) -> String {
    let begun =
        world.send("shop", "POST /v2/shop/import/a/blobs/uploads/", &[("content-length", "0")], "").await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    begun.header("location").to_owned()
}

#[tokio::test]
async fn a_blob_comes_whole_in_chunks_streamed_or_from_next_door() {
    let world = World::new().await;
    assert_eq!(world.push_blob("shop", "shop/import/a", b"whole").await.status, 201);

    let at = begin(&world).await;
    let chunk = |range: &'static str, bytes: &'static str| {
        let length = bytes.len().to_string();
        let line = format!("PATCH {at}");
        let world = &world;
        async move {
            world.send("shop", &line, &[("content-range", range), ("content-length", &length)], bytes).await
        }
    };
    assert_eq!(chunk("0-4", "first").await.header("range"), "0-4");
    let again = chunk("0-4", "first").await;
    assert_eq!(
        (again.status, again.header("range")),
        (416, "0-4"),
        "a chunk that was taken is not taken twice"
    );
    assert_eq!(chunk("9-12", "gap.").await.status, 416);
    assert_eq!(chunk("5-9", "four").await.code(), "SIZE_INVALID");
    let told = world.send("shop", &format!("GET {at}"), &[], "").await;
    assert_eq!((told.status, told.header("range"), told.header("location")), (204, "0-4", at.as_str()));
    let last = world
        .send(
            "shop",
            &format!("PUT {at}?digest={}", digest(b"first,last")),
            &[("content-range", "5-9"), ("content-length", "5")],
            ",last",
        )
        .await;
    assert_eq!((last.status, last.header("docker-content-digest")), (201, digest(b"first,last").as_str()));
    let got = world.send("reader", &format!("GET {}", last.header("location")), &[], "").await;
    assert_eq!(got.body, "first,last");

    // As docker sends it: no length, no range.
    let at = begin(&world).await;
    let frames =
        futures_util::stream::iter([Ok::<_, io::Error>(Bytes::from("stre")), Ok(Bytes::from("amed"))]);
    assert_eq!(world.send("shop", &format!("PATCH {at}"), &[], Body::from_stream(frames)).await.status, 202);
    let put = format!("PUT {at}?digest={}", digest(b"streamed"));
    assert_eq!(world.send("shop", &put, &[("content-length", "0")], "").await.status, 201);

    for (from, status) in
        [("shop/import/a", 201), ("other/import/a", 202), ("../a", 202), ("shop/import/none", 202)]
    {
        let line = format!("POST /v2/shop/import/b/blobs/uploads/?mount={}&from={from}", digest(b"whole"));
        assert_eq!(world.send("shop", &line, &[("content-length", "0")], "").await.status, status, "{from}");
    }
    let head = format!("HEAD /v2/shop/import/b/blobs/{}", digest(b"whole"));
    assert_eq!(world.send("shop", &head, &[], "").await.header("content-length"), "5");
    // Nothing is nothing, in every way.
    assert_eq!(world.push_blob("shop", "shop/import/a", b"").await.status, 201);
    let empty = world.send("shop", &format!("GET /v2/shop/import/a/blobs/{}", digest(b"")), &[], "").await;
    assert_eq!((empty.status, empty.header("content-length")), (200, "0"));
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_it_ended_also_after_a_restart() {
    let world = World::new().await;
    let at = begin(&world).await;
    let frames = [Ok(Bytes::from("half ")), Err(io::Error::other("the client is gone"))];
    let broken = Body::from_stream(futures_util::stream::iter(frames));
    assert_eq!(world.send("shop", &format!("PATCH {at}"), &[], broken).await.status, 400);

    let routes = || world.restarted().routes();
    let told = answer(routes(), request("shop", &format!("GET {at}"), &[], "")).await;
    assert_eq!((told.status, told.header("range")), (204, "0-4"), "what came is there");
    let rest = request(
        "shop",
        &format!("PATCH {at}"),
        &[("content-range", "5-9"), ("content-length", "5")],
        "whole",
    );
    assert_eq!(answer(routes(), rest).await.status, 202);
    let put = request("shop", &format!("PUT {at}?digest={}", digest(b"half whole")), &[], "");
    assert_eq!(answer(routes(), put).await.status, 201);
    assert_eq!(world.push_blob("shop", "shop/import/a", b"half whole").await.status, 201);
    assert_eq!(std::fs::read_dir(world.paths.uploads()).unwrap().count(), 0, "no file of an upload is left");
}

#[tokio::test]
async fn what_is_not_what_it_says_is_dropped_and_two_at_once_do_not_mix() {
    let world = World::new().await;
    let at = begin(&world).await;
    let wrong = world.send("shop", &format!("PUT {at}?digest={}", digest(b"other")), &[], "bytes").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "DIGEST_INVALID"));
    assert_eq!(world.send("shop", &format!("GET {at}"), &[], "").await.code(), "BLOB_UPLOAD_UNKNOWN");

    let at = begin(&world).await;
    let (line, headers) = (format!("PATCH {at}"), [("content-range", "0-3"), ("content-length", "4")]);
    let (one, two) = tokio::join!(
        world.send("shop", &line, &headers, "aaaa"),
        world.send("shop", &line, &headers, "bbbb")
    );
    let statuses = [one.status, two.status];
    assert!(statuses.contains(&202) && (statuses.contains(&416) || statuses.contains(&409)), "{statuses:?}");
    let kept = if one.status == 202 { b"aaaa" } else { b"bbbb" };
    let put = format!("PUT {at}?digest={}", digest(kept));
    assert_eq!(world.send("shop", &put, &[], "").await.status, 201);

    let at = begin(&world).await;
    assert_eq!(world.send("shop", &format!("DELETE {at}"), &[], "").await.status, 204);
    assert_eq!(world.send("shop", &format!("DELETE {at}"), &[], "").await.status, 404);
    assert_eq!(std::fs::read_dir(world.paths.uploads()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_does_not_fit_is_denied_with_a_sentence_and_nothing_stays_reserved() {
    let world = World::new().await;
    let shop = world.store.tool_by_name(&"shop".parse().unwrap()).await.unwrap().id;
    world.store.set_quota(shop, Some(20 << 20), &Actor::Platform).await.unwrap();
    let large = vec![7_u8; 21 << 20];
    let whole = world.push_blob("shop", "shop/import/a", &large).await;
    assert_eq!((whole.status, whole.code().as_str()), (403, "DENIED"));
    assert!(whole.text().contains("0 bytes of 20.0 MiB, and this needs 21.0 MiB more"), "{}", whole.text());

    // Of unknown length: it is counted while it comes.
    let at = begin(&world).await;
    let parts: Vec<_> =
        large.chunks(1 << 20).map(|part| Ok::<_, io::Error>(Bytes::copy_from_slice(part))).collect();
    let streamed = Body::from_stream(futures_util::stream::iter(parts));
    let streamed = world.send("shop", &format!("PATCH {at}"), &[], streamed).await;
    assert_eq!((streamed.status, streamed.code().as_str()), (403, "DENIED"));
    assert_eq!(world.send("shop", &format!("DELETE {at}"), &[], "").await.status, 204);
    assert_eq!(world.store.usage(shop).await.unwrap().used_bytes(), 0);
    assert_eq!(std::fs::read_dir(world.paths.uploads()).unwrap().count(), 0);

    // Pushes that race for the last bytes.
    let blobs: Vec<Vec<u8>> = (0..16_u8).map(|byte| vec![byte; 3 << 20]).collect();
    let pushes = blobs.iter().map(|blob| world.push_blob("shop", "shop/import/a", blob));
    let statuses: Vec<u16> =
        futures_util::future::join_all(pushes).await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 6, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 201 | 403)), "{statuses:?}");
    let usage = world.store.usage(shop).await.unwrap();
    assert_eq!(usage.used_bytes(), 18 << 20);
    assert_eq!(usage.used_bytes(), world.store.count_anew(shop).await.unwrap());
}

#[tokio::test]
async fn clearing_up_never_takes_what_is_being_pushed() {
    let world = World::new().await;
    let config = b"{}".as_slice();
    for round in 0..50_u32 {
        let layer = round.to_be_bytes();
        for blob in [config, &layer] {
            assert_eq!(world.push_blob("shop", "shop/import/a", blob).await.status, 201);
            // As if hours had passed for files, but not for leases.
            world.door.round(after(Duration::ZERO), Duration::ZERO).await.unwrap();
        }
        let manifest = crate::images::manifest(config, &[&layer]);
        let line = format!("PUT /v2/shop/import/a/manifests/t{}", round % 3);
        let put =
            world.send("shop", &line, &[("content-type", oci::media_type::MANIFEST)], manifest.clone()).await;
        assert_eq!(put.status, 201, "{}", put.text());
        if round % 2 == 0 {
            let line = format!("DELETE /v2/shop/import/a/manifests/{}", digest(manifest.as_bytes()));
            assert_eq!(world.send("shop", &line, &[], "").await.status, 202);
        }
    }
    world.door.round(after(HOUR * 2), Duration::ZERO).await.unwrap();
    world.door.round(after(HOUR * 2), Duration::ZERO).await.unwrap();
    let files: usize = std::fs::read_dir(world.paths.blobs())
        .unwrap()
        .map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count())
        .sum();
    assert_eq!(files, 26, "25 layers and the configuration that they share");
}

#[tokio::test]
async fn a_clock_that_is_set_by_a_day_ends_no_upload_and_removes_no_file() {
    const DAY: Duration = Duration::from_hours(24);
    let grace = HOUR * 3;
    let world = World::new().await;
    let at = begin(&world).await;
    assert_eq!(world.send("shop", &format!("PATCH {at}"), &[], "half ").await.status, 202);
    assert_eq!(world.push_blob("shop", "shop/import/a", b"waits for its manifest").await.status, 201);
    assert_eq!(world.push_blob("shop", "shop/import/a", b"let go of").await.status, 201);
    let loose = format!("DELETE /v2/shop/import/a/blobs/{}", digest(b"let go of"));
    assert_eq!(world.send("shop", &loose, &[], "").await.status, 202);
    let hex = digest(b"let go of")[7..].to_owned();
    let file = world.paths.blobs().join(&hex[..2]).join(&hex);

    let (steady, wall) = (Timestamp::steady(), Timestamp::now());
    let forward = Clocks { steady, wall: wall.plus(DAY) };
    let back = Clocks { steady: steady.plus(DAY), wall: wall.plus(HOUR) };
    world.door.round(forward, grace).await.unwrap();
    assert!(file.exists(), "a build may be making it again");
    let rest = world.send("shop", &format!("PATCH {at}"), &[], "whole").await;
    assert_eq!(rest.status, 202, "{}", rest.text());
    let put = format!("PUT {at}?digest={}", digest(b"half whole"));
    assert_eq!(world.send("shop", &put, &[], "").await.status, 201);
    let manifest = crate::images::manifest(b"half whole", &[b"waits for its manifest"]);
    assert_eq!(world.put_manifest("one", &manifest).await.status, 201);

    // What passes by the steady clock does end them; files wait for both clocks.
    let idle = begin(&world).await;
    world.door.round(back, grace).await.unwrap();
    assert_eq!(world.send("shop", &format!("GET {idle}"), &[], "").await.code(), "BLOB_UPLOAD_UNKNOWN");
    assert!(file.exists());
    world.door.round(after(HOUR * 4), grace).await.unwrap();
    assert!(!file.exists());
}
