//! What happens to blobs on disk: flipped bits, a disk that is full.

use crate::{
    images::manifest,
    world::{World, digest, request},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tower::ServiceExt as _;

fn file(world: &World, bytes: &[u8]) -> PathBuf {
    let hex = digest(bytes)[7..].to_owned();
    world.paths.blobs().join(&hex[..2]).join(&hex)
}

/// One bit in the middle. The length stays, and so does the file.
fn flip(path: &Path) {
    // The kernel dates by its clock's ticks.
    std::thread::sleep(Duration::from_millis(50));
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_flipped_bit_is_never_served_whole_and_a_push_puts_it_right() {
    let world = World::new().await;
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
    assert_eq!(world.push_blob("shop", "shop/import/a", &bytes).await.status, 201);
    let line = format!("GET /v2/shop/import/a/blobs/{}", digest(&bytes));
    let get = || world.send("reader", &line, &[], "");
    assert_eq!(get().await.body, bytes);

    // Touched after it was seen whole, and met by a process that has seen nothing: both notice.
    for restarted in [false, true] {
        flip(&file(&world, &bytes));
        let door = if restarted { world.restarted() } else { world.door.clone() };
        let routes = || door.clone().routes();
        let answer = routes().oneshot(request("reader", &line, &[], "")).await.unwrap();
        assert_eq!(answer.status(), 200, "its head was sent before its last byte was read");
        axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect_err("the connection is cut");
        let scrub = world.store.last_scrub().await.unwrap().expect("everything is looked at");
        assert_eq!(scrub.ended_at, None);
        world.store.end_scrub(scrub.number).await.unwrap();
        // From now on it is not there, for whoever pulls and for whoever asks before pushing.
        for method in ["GET", "HEAD"] {
            let asked = request("reader", &line.replace("GET", method), &[], "");
            assert_eq!(routes().oneshot(asked).await.unwrap().status(), 404);
        }
        let post = format!("POST /v2/shop/import/a/blobs/uploads/?digest={}", digest(&bytes));
        let length = bytes.len().to_string();
        let push = request("shop", &post, &[("content-length", &length)], bytes.clone());
        assert_eq!(routes().oneshot(push).await.unwrap().status(), 201);
        let healed = routes().oneshot(request("reader", &line, &[], "")).await.unwrap();
        assert_eq!(axum::body::to_bytes(healed.into_body(), usize::MAX).await.unwrap(), bytes);
    }
    // A process that has not seen it replaces it as well: nobody knows whether it is whole.
    flip(&file(&world, &bytes));
    let post = format!("POST /v2/shop/import/a/blobs/uploads/?digest={}", digest(&bytes));
    let length = bytes.len().to_string();
    let push = request("shop", &post, &[("content-length", &length)], bytes.clone());
    assert_eq!(world.restarted().routes().oneshot(push).await.unwrap().status(), 201);
    assert_eq!(get().await.body, bytes);
}

/// A file system of a few megabytes below the blobs; ends with the value.
struct Small(PathBuf);

impl Small {
    fn under(world: &World) -> Self {
        let place = world.paths.blobs().parent().unwrap().to_owned();
        mount(&["-t", "tmpfs", "-o", "size=6m", "tmpfs"], &place);
        for directory in [world.paths.blobs(), world.paths.uploads()] {
            fs::create_dir_all(directory).unwrap();
        }
        Self(place)
    }

    fn set(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")], &self.0);
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], place: &Path) {
    assert!(Command::new("mount").args(arguments).arg(place).status().unwrap().success());
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_half_is_kept() {
    let world = World::new().await;
    let small = Small::under(&world);
    let shop = world.store.tool_by_name(&"shop".parse().unwrap()).await.unwrap().id;
    let (large, tiny) = (vec![7_u8; 7 << 20], b"tiny".as_slice());
    let nothing = async |what: &str| {
        assert_eq!(world.store.usage(shop).await.unwrap().used_bytes(), 0, "{what}");
        assert_eq!(world.store.count_anew(shop).await.unwrap(), 0, "{what}");
        assert_eq!(fs::read_dir(world.paths.uploads()).unwrap().count(), 0, "{what}");
    };
    let told = |answer: &crate::world::Answer| {
        assert_eq!((answer.status, answer.code().as_str()), (403, "DENIED"), "{}", answer.text());
        assert!(answer.text().contains("the platform's disk is full, which is not your doing"));
    };

    told(&world.push_blob("shop", "shop/import/a", &large).await);
    nothing("one request").await;

    let begun = world.send("shop", "POST /v2/shop/import/a/blobs/uploads/", &[], "").await;
    let at = begun.header("location").to_owned();
    assert_eq!(world.send("shop", &format!("PATCH {at}"), &[], "first").await.status, 202);
    told(&world.send("shop", &format!("PATCH {at}"), &[], large.clone()).await);
    assert_eq!(world.send("shop", &format!("GET {at}"), &[], "").await.code(), "BLOB_UPLOAD_UNKNOWN");
    nothing("a chunk").await;

    // No inode is left: the upload is there, and its directory among the blobs cannot be made; then not even its file.
    for (inodes, what) in [(4, "the last step"), (3, "the first step")] {
        small.set(&format!("nr_inodes={inodes}"));
        told(&world.push_blob("shop", "shop/import/new", tiny).await);
        nothing(what).await;
        let begun = world.send("shop", "POST /v2/shop/import/a/blobs/uploads/", &[], "").await;
        if inodes == 3 {
            told(&begun);
        } else {
            let put = format!("PUT {}?digest={}", begun.header("location"), digest(tiny));
            told(&world.send("shop", &put, &[], tiny).await);
        }
        nothing(what).await;
    }

    small.set("size=64m,nr_inodes=0");
    assert_eq!(world.push_blob("shop", "shop/import/a", &large).await.status, 201);
    assert_eq!(world.push_blob("shop", "shop/import/a", tiny).await.status, 201);
    assert_eq!(world.put_manifest("one", &manifest(tiny, &[&large])).await.status, 201);
    let used = world.store.usage(shop).await.unwrap().used_bytes();
    assert_eq!(used, world.store.count_anew(shop).await.unwrap());
    let line = format!("GET /v2/shop/import/a/blobs/{}", digest(&large));
    assert_eq!(world.send("shop", &line, &[], "").await.body, large);
}
