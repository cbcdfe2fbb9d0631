//! Processes of the platform killed with -9.

use crate::world::World;
use std::time::Duration;
use windlass_sandbox::request::{KilledBy, State};

#[tokio::test]
async fn a_lost_shim_is_the_platforms_fault_and_nothing_of_its_sandbox_stays() {
    let world = World::new().await;
    for spec in [World::build(&["sleep", "600"]), World::service(&["sleep", "600"])] {
        world.start(&spec).await;
        let shim = world.shim_pid(&spec.id);
        rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
        let ended = world.helper.wait(&spec.id).await.unwrap();
        assert_eq!((ended.status, ended.killed_by), (137, Some(KilledBy::Platform)));
        world.helper.remove(&spec.id).await.unwrap();
        world.assert_nothing_left(&spec.id).await;
    }
}

#[tokio::test]
async fn a_restarted_helper_takes_over_what_runs_and_knows_how_the_rest_ended() {
    let mut world = World::new().await;
    let running = World::service(&["sleep", "600"]);
    let waiting = World::service(&["say", "late"]);
    let ending = World::build(&["exit", "3"]);
    world.start(&running).await;
    world.helper.create(&waiting, world.log(&waiting.id)).await.unwrap();
    world.start(&ending).await;
    world.helper.wait(&ending.id).await.unwrap();
    world.kill_helper();
    world.start_helper().await;
    let rows = world.helper.list().await.unwrap();
    let state = |id| rows.iter().find(|row| &row.id == id).map(|row| row.state);
    assert_eq!(state(&running.id), Some(State::Running));
    assert_eq!(state(&waiting.id), Some(State::Created));
    assert_eq!(state(&ending.id), Some(State::Ended));
    assert_eq!(world.helper.wait(&ending.id).await.unwrap().status, 3);
    world.helper.start(&waiting.id).await.unwrap();
    world.helper.wait(&waiting.id).await.unwrap();
    assert!(world.text(&waiting.id).contains("late"));
    let ended = world.helper.kill(&running.id, Duration::ZERO).await.unwrap();
    assert_eq!(ended.killed_by, Some(KilledBy::Request));
    for spec in [running, waiting, ending] {
        world.helper.remove(&spec.id).await.unwrap();
        world.assert_nothing_left(&spec.id).await;
    }
}

#[tokio::test]
async fn a_shim_that_is_lost_while_the_helper_is_away_is_found_and_told() {
    let mut world = World::new().await;
    let spec = World::service(&["sleep", "600"]);
    world.start(&spec).await;
    let shim = world.shim_pid(&spec.id);
    world.kill_helper();
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
    world.start_helper().await;
    let ended = world.helper.wait(&spec.id).await.unwrap();
    assert_eq!(ended.killed_by, Some(KilledBy::Platform));
    world.helper.remove(&spec.id).await.unwrap();
    world.assert_nothing_left(&spec.id).await;
}

#[tokio::test]
async fn half_made_sandboxes_and_those_of_before_a_reboot_are_gone_after_a_start() {
    let mut world = World::new().await;
    let spec = World::build(&["sleep", "600"]);
    let id = spec.id.clone();
    world.helper.create(&spec, world.log(&id)).await.unwrap();
    world.kill_helper();
    // As if the helper had died before it wrote the record down.
    std::fs::remove_file(world.paths.sandbox_runs().join(id.as_str()).join("record.json")).unwrap();
    std::fs::create_dir_all(world.paths.sandboxes().join("before-reboot/upper/deep")).unwrap();
    world.start_helper().await;
    assert_eq!(world.helper.list().await.unwrap(), []);
    world.assert_nothing_left(&id).await;
    world.assert_nothing_left(&"before-reboot".parse().unwrap()).await;
}

#[tokio::test]
async fn a_helper_killed_at_any_moment_of_a_creation_leaves_all_of_a_sandbox_or_nothing() {
    let mut world = World::new().await;
    for milliseconds in [0, 2, 4, 7, 10, 14, 18, 23, 30, 40] {
        let spec = if milliseconds % 2 == 0 {
            World::service(&["sleep", "600"])
        } else {
            World::build(&["sleep", "600"])
        };
        let id = spec.id.clone();
        let (helper, log) = (world.helper.clone(), world.log(&id));
        let creation = tokio::spawn(async move { helper.create(&spec, log).await });
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        world.kill_helper();
        world.start_helper().await;
        let created = creation.await.unwrap().is_ok();
        let known = world.helper.list().await.unwrap().iter().any(|row| row.id == id);
        assert!(known || !created, "{id} was acknowledged after {milliseconds} ms and is gone");
        if known {
            world.helper.start(&id).await.unwrap();
            world.helper.kill(&id, Duration::ZERO).await.unwrap();
            world.helper.remove(&id).await.unwrap();
        }
        world.assert_nothing_left(&id).await;
    }
}
