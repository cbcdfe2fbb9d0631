//! What the build before had is not made again.

use crate::world::{World, new_names, remove};
use std::fs;

#[test]
fn nothing_changed_gives_the_same_image() {
    let mut world = World::new();
    let first = world.export().unwrap();
    assert_eq!(new_names(&first).len(), 7);
    world.next_build(&first);
    let second = world.export().unwrap();
    assert_eq!(second.digest, first.digest);
    assert_eq!(new_names(&second), Vec::<&str>::new());
    assert_eq!(second.new_bytes, 0);
    assert_eq!(second.total_bytes, first.total_bytes);
    assert_eq!(second.next, first.next);
}

#[test]
fn a_changed_file_of_the_source_changes_the_app_layer_alone() {
    let mut world = World::new();
    let first = world.export().unwrap();
    world.next_build(&first);
    world.write("/workspace/app.py", "print('goodbye')\n");
    let second = world.export().unwrap();
    assert_ne!(second.digest, first.digest);
    assert_eq!(new_names(&second), ["app"]);
    assert_eq!(second.new_bytes, second.layers[2].blob_bytes);
}

#[test]
fn a_layer_made_anew_with_the_same_bytes_is_the_same_layer() {
    let mut world = World::new();
    let first = world.export().unwrap();
    world.next_build(&first);
    world.write("/layers/example_pip/packages/flask.py", "import nothing\n");
    let second = world.export().unwrap();
    assert_eq!(second.digest, first.digest);
}

#[test]
fn a_layer_without_contents_is_that_of_the_image_before() {
    let mut world = World::new();
    world.layer("example_pip/docs", "launch = true", Some("1"));
    world.write("/layers/example_pip/docs/index", "read me");
    let first = world.export().unwrap();
    world.next_build(&first);
    remove_view(&world, "/layers/example_pip/docs");
    let second = world.export().unwrap();
    assert_eq!(second.digest, first.digest);

    world.request.previous = None;
    let error = world.export().unwrap_err();
    assert!(error.contains("`example/pip:docs` has no contents"), "{error}");
}

#[test]
fn a_cached_layer_must_have_contents() {
    let world = World::new();
    remove(&world, "/layers/example_pip/wheels");
    let error = world.export().unwrap_err();
    assert!(error.contains("`example/pip:wheels` is marked `cache = true`"), "{error}");
    assert!(error.contains("/layers/example_pip/wheels"), "{error}");
}

#[test]
fn metadata_alone_changes_the_label_and_no_layer() {
    let mut world = World::new();
    let first = world.export().unwrap();
    world.next_build(&first);
    let text = "[types]\nlaunch = true\nbuild = true\ncache = true\n[metadata]\nversion = \"3.13.6\"\n";
    world.write("/layers/example_python/python.toml", text);
    let second = world.export().unwrap();
    assert_eq!(new_names(&second), Vec::<&str>::new());
    assert_ne!(second.digest, first.digest);
    assert_eq!(second.next.image.layer("example/python", "python").unwrap().data["version"], "3.13.6");
}

/// A mounted layer whose tree was collected meanwhile is published again from what the build saw.
#[test]
fn a_layer_that_left_the_store_is_published_again() {
    let mut world = World::new();
    let first = world.export().unwrap();
    world.next_build(&first);
    let path = world.paths.layer(&first.layers[0].diff_id);
    fs::remove_dir_all(&path).unwrap();
    let second = world.export().unwrap();
    assert_eq!(second.digest, first.digest);
    assert!(path.join("tree").is_dir());
}

fn remove_view(world: &World, path: &str) {
    fs::remove_dir_all(world.view(path)).unwrap();
}
