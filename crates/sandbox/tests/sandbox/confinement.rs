//! What a process inside is, sees and may do.

use crate::world::World;
use model::instance::RangeIndex;
use std::os::unix::fs::MetadataExt;

#[tokio::test]
async fn a_process_has_its_own_ids_no_capability_no_new_privileges_and_a_filter() {
    let world = World::new().await;
    let (_, text) = world.run(&World::build(&["show", "/proc/self/status"])).await;
    for line in ["Uid:\t1000\t1000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.contains("NoNewPrivs:\t1") && text.contains("Seccomp:\t2"), "{text}");
    let (_, map) = world.run(&World::build(&["show", "/proc/self/uid_map"])).await;
    let words: Vec<&str> = map.split_whitespace().collect();
    assert_eq!((words[0], words[2]), ("0", "65536"), "{map}");
    let first: u32 = words[1].parse().unwrap();
    assert!(first >= world.instance.first_id(RangeIndex(16)), "{map}");
}

#[tokio::test]
async fn files_of_layers_keep_their_owners_inside_and_the_stores_owners_on_disk() {
    let world = World::new().await;
    let (_, text) = world.run(&World::service(&["list", "/"])).await;
    assert!(text.contains("/probe 0:0"), "{text}");
    assert!(text.contains("/workspace 1000:1000"), "{text}");
    let store = world.instance.first_id(RangeIndex::STORE);
    let probe = world.tree(&crate::world::base()).join("probe");
    assert_eq!(std::fs::metadata(probe).unwrap().uid(), store);
}

#[tokio::test]
async fn what_a_build_writes_belongs_to_its_tools_range_and_never_touches_the_layer() {
    let world = World::new().await;
    let spec = World::build(&["write", "/workspace/made", "new"]);
    let (_, text) = world.run(&spec).await;
    assert!(text.contains("ok"), "{text}");
    let upper = world.paths.sandboxes().join(spec.id.as_str()).join("upper/workspace/made");
    assert_eq!(std::fs::metadata(upper).unwrap().uid(), world.instance.first_id(spec.range) + 1000);
    assert!(!world.tree(&crate::world::base()).join("workspace/made").exists());
    let (_, text) = world.run(&World::build(&["write", "/etc/kept", "mine"])).await;
    assert!(text.contains("Permission denied"), "{text}");
}

#[tokio::test]
async fn the_environment_is_what_was_asked_for_and_the_host_is_not_there() {
    let world = World::new().await;
    let (_, text) = world.run(&World::service(&["env"])).await;
    assert!(text.contains("GREETING=hello"), "{text}");
    assert!(!text.contains("CARGO") && !text.contains("WINDLASS"), "{text}");
    let (_, text) = world.run(&World::service(&["show", "/proc/self/mountinfo"])).await;
    assert!(!text.contains(" - sysfs ") && !text.contains(" - cgroup"), "{text}");
    let (_, text) = world.run(&World::service(&["list", "/proc"])).await;
    assert!(text.contains("/proc/1 ") && !text.contains("/proc/2 "), "{text}");
    let (_, text) = world.run(&World::service(&["connect", "127.0.0.1:22"])).await;
    assert!(text.contains("refused"), "{text}");
    let (_, text) = world.run(&World::service(&["connect", "192.0.2.1:80"])).await;
    assert!(text.contains("unreachable"), "{text}");
}

#[tokio::test]
async fn a_build_may_rename_a_directory_that_a_layer_brought() {
    let world = World::new().await;
    let layer = format!("sha256:{}", "7".repeat(64)).parse().unwrap();
    world.publish(&layer, |tree| {
        std::fs::create_dir_all(tree.join("workspace/old")).unwrap();
        std::fs::write(tree.join("workspace/old/file"), "kept").unwrap();
    });
    let user = world.instance.first_id(RangeIndex::STORE) + 1000;
    for path in ["workspace", "workspace/old", "workspace/old/file"] {
        std::os::unix::fs::chown(world.tree(&layer).join(path), Some(user), Some(user)).unwrap();
    }
    let mut spec = World::build(&["rename", "/workspace/old", "/workspace/new"]);
    spec.layers.push(windlass_sandbox::request::LayerRef::Published(layer));
    let (_, text) = world.run(&spec).await;
    assert_eq!(text.trim(), "ok");
}
