//! From creation to removal.

use crate::world::World;
use std::time::Duration;
use windlass_sandbox::client::HelperError;
use windlass_sandbox::request::{LayerRef, State};

#[tokio::test]
async fn a_build_runs_to_its_end_and_leaves_its_exit_status_and_its_output() {
    let world = World::new().await;
    let (ended, text) = world.run(&World::build(&["say", "it works"])).await;
    assert_eq!((ended.status, ended.killed_by), (0, None), "{text}");
    assert!(text.contains("it works"), "{text}");
    let (ended, text) = world.run(&World::build(&["exit", "7"])).await;
    assert_eq!((ended.status, ended.killed_by), (7, None), "{text}");
    assert!(ended.wall_microseconds > 0);
}

#[tokio::test]
async fn nothing_runs_before_start_and_the_list_tells_each_state() {
    let world = World::new().await;
    let spec = World::service(&["say", "started"]);
    let id = spec.id.clone();
    world.helper.create(&spec, world.log(&id)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.text(&id), "");
    let state = async || world.helper.list().await.unwrap().iter().map(|row| row.state).collect::<Vec<_>>();
    assert_eq!(state().await, [State::Created]);
    world.helper.start(&id).await.unwrap();
    world.helper.wait(&id).await.unwrap();
    assert_eq!(state().await, [State::Ended]);
    assert!(world.text(&id).contains("started"));
    world.helper.remove(&id).await.unwrap();
    assert_eq!(state().await, []);
}

#[tokio::test]
async fn the_same_request_twice_is_one_sandbox_and_another_one_under_its_name_is_refused() {
    let world = World::new().await;
    let mut spec = World::build(&["sleep", "600"]);
    world.start(&spec).await;
    world.helper.create(&spec, world.log(&spec.id)).await.unwrap();
    assert_eq!(world.helper.list().await.unwrap().len(), 1);
    spec.argv.push("other".to_owned());
    let refused = world.helper.create(&spec, world.log(&spec.id)).await.unwrap_err();
    assert!(matches!(&refused, HelperError::Refused { id, .. } if id == "sandbox-exists"), "{refused}");
    let refused = world.helper.remove(&spec.id).await.unwrap_err();
    assert!(refused.to_string().contains("has not ended: kill it first"), "{refused}");
    world.helper.kill(&spec.id, Duration::ZERO).await.unwrap();
    world.helper.remove(&spec.id).await.unwrap();
    world.assert_nothing_left(&spec.id).await;
}

#[tokio::test]
async fn removing_is_final_complete_and_may_be_repeated() {
    let world = World::new().await;
    for spec in
        [World::build(&["write", "/workspace/file", "x"]), World::service(&["write", "/tmp/file", "x"])]
    {
        let (ended, text) = world.run(&spec).await;
        assert_eq!(ended.status, 0, "{text}");
        assert!(text.contains("ok"), "{text}");
        world.helper.remove(&spec.id).await.unwrap();
        world.assert_nothing_left(&spec.id).await;
        world.helper.remove(&spec.id).await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_with_a_reason_and_leaves_nothing() {
    let world = World::new().await;
    let mut spec = World::build(&["say", "never"]);
    let missing = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    spec.layers.push(LayerRef::Published(missing));
    let refused = world.helper.create(&spec, world.log(&spec.id)).await.unwrap_err();
    assert!(matches!(&refused, HelperError::Refused { id, .. } if id == "layer-missing"), "{refused}");
    assert!(refused.to_string().contains("unpack it again"), "{refused}");
    world.assert_nothing_left(&spec.id).await;
}

#[tokio::test]
async fn a_program_that_is_not_in_the_image_is_the_tools_fault_and_told_in_its_log() {
    let world = World::new().await;
    let mut spec = World::build(&[]);
    spec.argv = vec!["/no/such/program".to_owned()];
    let (ended, text) = world.run(&spec).await;
    assert_eq!((ended.status, ended.killed_by), (127, None), "{text}");
    assert!(text.contains("/no/such/program"), "{text}");
}

#[tokio::test]
async fn a_layer_from_outside_the_store_is_never_mounted() {
    let world = World::new().await;
    let stolen = format!("sha256:{}", "5".repeat(64)).parse().unwrap();
    world.publish(&stolen, |_| {});
    std::fs::remove_dir(world.tree(&stolen)).unwrap();
    std::os::unix::fs::symlink("/", world.tree(&stolen)).unwrap();
    let mut spec = World::build(&["list", "/"]);
    spec.layers.insert(0, LayerRef::Published(stolen));
    let refused = world.helper.create(&spec, world.log(&spec.id)).await.unwrap_err();
    assert!(matches!(&refused, HelperError::Refused { id, .. } if id == "layer-missing"), "{refused}");
}

#[tokio::test]
async fn many_sandboxes_made_at_once_do_not_take_each_others_disks_or_ids() {
    let world = World::new().await;
    let specs: Vec<_> =
        (0..12).map(|number| World::service(&["say", &format!("number {number}.")])).collect();
    let runs = specs.iter().map(|spec| world.run(spec));
    for (number, (ended, text)) in futures_util::future::join_all(runs).await.iter().enumerate() {
        assert_eq!(ended.status, 0, "{text}");
        assert_eq!(text.trim(), format!("number {number}.\nended with status 0"));
    }
    for spec in specs {
        world.helper.remove(&spec.id).await.unwrap();
        world.assert_nothing_left(&spec.id).await;
    }
}

#[tokio::test]
async fn a_sandbox_that_never_started_can_be_killed_and_removed() {
    let world = World::new().await;
    let spec = World::service(&["say", "never"]);
    world.helper.create(&spec, world.log(&spec.id)).await.unwrap();
    world.helper.kill(&spec.id, Duration::from_millis(50)).await.unwrap();
    assert!(!world.text(&spec.id).contains("never"), "{}", world.text(&spec.id));
    world.helper.remove(&spec.id).await.unwrap();
    world.assert_nothing_left(&spec.id).await;
}
