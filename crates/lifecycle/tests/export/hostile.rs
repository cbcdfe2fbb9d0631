//! A build is a stranger: what it leaves is refused with a sentence, or exported as what it is, never followed.

use crate::world::{METADATA, World, remove, rows};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
};
use windlass_lifecycle::export::LayerKind;

fn refused(world: &World, expected: &[&str]) {
    let error = world.export().unwrap_err();
    assert!(expected.iter().all(|text| error.contains(text)), "{error}");
}

#[test]
fn a_link_in_the_place_of_a_directory_is_not_followed() {
    for (path, target) in [
        ("/layers/example_pip/packages", "/etc"),
        ("/layers/example_pip", "example_python"),
        ("/workspace", "/etc"),
        ("/layers/config", "/etc"),
    ] {
        let world = World::new();
        remove(&world, path);
        symlink(target, world.view(path)).unwrap();
        refused(&world, &[path, "symbolic link"]);
    }
}

#[test]
fn a_link_or_a_pipe_in_the_place_of_a_description_is_not_read() {
    let world = World::new();
    let path = world.view("/layers/example_pip/packages.toml");
    fs::remove_file(&path).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    refused(&world, &["/layers/example_pip/packages.toml", "symbolic link"]);

    fs::remove_file(&path).unwrap();
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    refused(&world, &["/layers/example_pip/packages.toml", "not a regular file"]);
}

#[test]
fn links_of_the_app_stay_links() {
    let world = World::new();
    symlink("/etc/shadow", world.view("/workspace/secrets")).unwrap();
    let report = world.export().unwrap();
    let link = world.tree(rows(&report, LayerKind::App)[0]).join("workspace/secrets");
    assert_eq!(fs::read_link(link).unwrap().to_str(), Some("/etc/shadow"));
}

#[test]
fn devices_are_refused() {
    let world = World::new();
    let path = world.view("/workspace/disk");
    mknodat(CWD, &path, FileType::CharacterDevice, Mode::RUSR, makedev(1, 3)).unwrap();
    refused(&world, &["/workspace/disk", "device"]);
}

#[test]
fn a_file_of_holes_is_refused_before_it_is_read() {
    let world = World::new();
    fs::File::create(world.view("/workspace/holes")).unwrap().set_len(1 << 42).unwrap();
    refused(&world, &["/workspace", "too much for one layer"]);
}

#[test]
fn descriptions_may_not_be_huge_or_no_text() {
    let world = World::new();
    let path = "/layers/example_pip/packages.toml";
    world.write(path, &"#".repeat(2 * 1024 * 1024));
    refused(&world, &[path, "larger than"]);
    fs::write(world.view(path), b"\xff\xfe").unwrap();
    refused(&world, &[path, "not UTF-8"]);
    world.write(path, "launch = true\n");
    refused(&world, &[path, "[types]"]);
}

#[test]
fn names_that_are_no_text_are_refused() {
    let world = World::new();
    let name = OsStr::from_bytes(b"bad\xff.toml");
    fs::write(world.view("/layers/example_pip").join(name), "").unwrap();
    refused(&world, &["/layers/example_pip/bad", "not a layer's name"]);
}

#[test]
fn metadata_may_not_name_places_elsewhere() {
    let world = World::new();
    for (from, to, expected) in [
        ("id = \"example/pip\"", "id = \"../../etc\"", "not a buildpack id"),
        ("version = \"2.1.0\"", "version = \"../..\"", "not a version"),
        ("type = \"web\"", "type = \"../web\"", "not a process type"),
        ("type = \"worker\"", "type = \"web\"", "there twice"),
    ] {
        world.write("/layers/config/metadata.toml", &METADATA.replace(from, to));
        refused(&world, &[expected]);
    }
}

#[test]
fn a_build_cannot_forge_what_a_rebuild_goes_by() {
    let world = World::new();
    let forged = "[[labels]]\nkey = \"io.buildpacks.lifecycle.metadata\"\nvalue = \"{}\"\n[[labels]]";
    world.write("/layers/config/metadata.toml", &METADATA.replace("[[labels]]", forged));
    let report = world.export().unwrap();
    let config = world.store.image(&report.digest).unwrap().config;
    assert!(config.label("io.buildpacks.lifecycle.metadata").unwrap().contains("example/pip"));
}

#[test]
fn too_many_layers_are_refused() {
    let world = World::new();
    for number in 0..101 {
        world.layer(&format!("example_pip/l{number}"), "launch = true", None);
    }
    refused(&world, &["the layers of all buildpacks", "at most 100"]);
}
