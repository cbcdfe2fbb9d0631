//! Every limit, reached.

use crate::world::World;
use model::limits::MIB;
use std::time::{Duration, Instant};
use windlass_sandbox::client::HelperError;
use windlass_sandbox::request::KilledBy;

#[tokio::test]
async fn a_memory_hog_is_killed_and_told_so() {
    let world = World::new().await;
    let mut spec = World::service(&["allocate", "200"]);
    spec.limits.memory_bytes = 32 * MIB;
    let (ended, text) = world.run(&spec).await;
    assert_eq!((ended.status, ended.killed_by), (137, Some(KilledBy::Memory)), "{text}");
    assert!(ended.memory_kills >= 1 && ended.memory_peak_bytes <= 33 * MIB, "{ended:?}");
    assert!(text.contains("32 MiB"), "{text}");
    spec = World::service(&["allocate", "8"]);
    spec.limits.memory_bytes = 32 * MIB;
    let (ended, text) = world.run(&spec).await;
    assert_eq!((ended.status, ended.memory_kills), (0, 0), "{text}");
}

#[tokio::test]
async fn a_worker_that_was_killed_for_memory_is_told_although_the_tool_lives_on() {
    let world = World::new().await;
    let mut spec = World::service(&["allocate-in-child", "200"]);
    spec.limits.memory_bytes = 48 * MIB;
    let (ended, text) = world.run(&spec).await;
    assert_eq!((ended.status, ended.killed_by), (0, None), "{text}");
    assert!(ended.memory_kills >= 1, "{ended:?}");
    assert!(text.contains("48 MiB"), "{text}");
}

#[tokio::test]
async fn a_fork_bomb_stops_at_its_limit_and_is_gone_with_its_sandbox() {
    let world = World::new().await;
    let mut spec = World::service(&["fork-bomb"]);
    spec.limits.pids = 20;
    let (ended, text) = world.run(&spec).await;
    assert_eq!(ended.status, 0, "{text}");
    assert!(text.contains("refused after"), "{text}");
    world.helper.remove(&spec.id).await.unwrap();
    world.assert_nothing_left(&spec.id).await;
}

#[tokio::test]
async fn a_full_disk_is_its_owners_alone() {
    let world = World::new().await;
    let mut filler = World::service(&["fill", "/tmp/big", "64"]);
    filler.limits.writable_bytes = 16 * MIB;
    let (_, text) = world.run(&filler).await;
    assert!(text.contains("No space left on device"), "{text}");
    let (_, text) = world.run(&World::service(&["write", "/tmp/small", "x"])).await;
    assert_eq!(text.trim(), "ok\nended with status 0");
}

#[tokio::test]
async fn a_build_that_outgrows_its_tree_is_ended_for_it() {
    let world = World::new().await;
    let mut spec = World::build(&["each", "fill-many /workspace 200", "sleep 600"]);
    spec.limits.writable_bytes = 64 * MIB;
    let (ended, text) = world.run(&spec).await;
    assert_eq!((ended.status, ended.killed_by), (137, Some(KilledBy::Disk)), "{text}");
    assert!(text.contains("64 MiB"), "{text}");
}

#[tokio::test]
async fn a_build_that_takes_the_disks_inodes_is_ended_for_it() {
    let world = World::new().await;
    let acts = ["each", "sleep 1", "fill-empty /workspace 5000", "sleep 20", "say unharmed"];
    let mut spec = World::build(&acts);
    spec.limits.writable_bytes = 16 * MIB;
    let (ended, text) = world.run(&spec).await;
    assert!(text.contains("made 5000"), "{text}");
    assert_eq!((ended.status, ended.killed_by), (137, Some(KilledBy::Disk)), "{text}");
}

#[tokio::test]
async fn one_file_of_a_build_cannot_outrun_the_watch() {
    let world = World::new().await;
    let mut spec = World::build(&["fill", "/workspace/big", "64"]);
    spec.limits.writable_bytes = 8 * MIB;
    let (ended, text) = world.run(&spec).await;
    assert!(text.contains("File too large") || ended.status == 128 + 25, "{ended:?} {text}");
}

#[tokio::test]
async fn no_build_starts_when_the_reserve_of_free_space_would_be_touched() {
    let world = World::with_reserve(u64::MAX / 2).await;
    let spec = World::build(&["say", "never"]);
    let refused = world.helper.create(&spec, world.log(&spec.id)).await.unwrap_err();
    assert!(matches!(&refused, HelperError::Refused { id, .. } if id == "disk-full"), "{refused}");
    world.assert_nothing_left(&spec.id).await;
}

#[tokio::test]
async fn the_wall_clock_ends_the_whole_tree() {
    let world = World::new().await;
    let mut spec = World::build(&["sleep", "600"]);
    spec.limits.wall_seconds = Some(1);
    let began = Instant::now();
    let (ended, text) = world.run(&spec).await;
    assert_eq!(ended.killed_by, Some(KilledBy::Wall), "{ended:?} {text}");
    // Its program would sleep for ten minutes.
    assert!(began.elapsed() < Duration::from_secs(300));
    world.helper.remove(&spec.id).await.unwrap();
    world.assert_nothing_left(&spec.id).await;
}

#[tokio::test]
async fn a_kill_ends_every_process_also_those_that_the_first_one_left() {
    let world = World::new().await;
    let spec = World::service(&["leave-child-and-sleep"]);
    world.start(&spec).await;
    world.until_said(&spec.id, "left true").await;
    let usage = world.helper.usage(&spec.id).await.unwrap();
    assert!(usage.pids >= 2 && usage.memory_bytes > 0, "{usage:?}");
    let ended = world.helper.kill(&spec.id, Duration::from_millis(100)).await.unwrap();
    assert_eq!(ended.killed_by, Some(KilledBy::Request), "{ended:?}");
    world.helper.remove(&spec.id).await.unwrap();
    world.assert_nothing_left(&spec.id).await;
}
