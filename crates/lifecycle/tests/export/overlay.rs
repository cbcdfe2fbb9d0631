//! The same on the kernel's own overlay, whose upper directory says what a build touched.

use crate::world::{World, new_names};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::{ffi::CString, fs, path::PathBuf};
use windlass_lifecycle::{export::Report, restore};

/// A build over mounted layers; unmounted when dropped.
struct Build {
    world: World,
    first: Report,
}

impl Drop for Build {
    fn drop(&mut self) {
        let _ = unmount(self.world.view("/"), UnmountFlags::DETACH);
    }
}

impl Build {
    /// The second build of a tool, before anything ran in it.
    fn second() -> Self {
        let mut world = World::new();
        let first = world.export().unwrap();
        world.request.previous = Some(first.next.clone());
        let (base, work) = (world.home().join("base"), world.home().join("work"));
        fs::rename(world.view("/"), &base).unwrap();
        for layer in
            ["example_python/python", "example_pip/packages", "example_pip/wheels", "example_pip/tools"]
        {
            fs::remove_dir_all(base.join("layers").join(layer)).unwrap();
        }
        fs::remove_dir_all(world.upper("/")).unwrap();
        for directory in [world.view("/"), world.upper("/"), work.clone()] {
            fs::create_dir(directory).unwrap();
        }
        let trees = restore::mounted_layers(&first.next).into_iter();
        let lowers: Vec<String> = std::iter::once(base)
            .chain(trees.map(|diff_id| world.paths.layer(&diff_id).join("tree")))
            .map(|path: PathBuf| path.display().to_string())
            .collect();
        let options = format!(
            "redirect_dir=on,metacopy=off,index=off,lowerdir={},upperdir={},workdir={}",
            lowers.join(":"),
            world.upper("/").display(),
            work.display()
        );
        let options = CString::new(options).unwrap();
        mount("overlay", world.view("/"), "overlay", MountFlags::empty(), options.as_c_str()).unwrap();
        Self { world, first }
    }

    fn new_names(&self) -> Vec<String> {
        let report = self.world.export().unwrap();
        let same = report.layers.iter().all(|row| row.reused);
        assert_eq!(report.digest == self.first.digest, same);
        new_names(&report).into_iter().map(str::to_owned).collect()
    }
}

#[test]
fn nothing_written_is_nothing_new() {
    let build = Build::second();
    assert!(build.world.view("/layers/example_pip/packages/flask.py").is_file());
    assert!(build.new_names().is_empty());
    // What every build does: it describes its layers again.
    for path in ["example_pip/packages.toml", "example_python/python.toml", "config/metadata.toml"] {
        let path = build.world.view(&format!("/layers/{path}"));
        fs::write(&path, fs::read(&path).unwrap()).unwrap();
    }
    assert!(build.new_names().is_empty());
}

#[test]
fn a_file_written_removed_or_moved_makes_its_layer_new() {
    let build = Build::second();
    fs::write(build.world.view("/layers/example_pip/packages/six.py"), "new").unwrap();
    assert_eq!(build.new_names(), ["example/pip:packages"]);

    let build = Build::second();
    fs::remove_file(build.world.view("/layers/example_pip/packages/flask.py")).unwrap();
    assert_eq!(build.new_names(), ["example/pip:packages"]);

    let build = Build::second();
    let path = |name: &str| build.world.view(&format!("/layers/example_python/python/bin/{name}"));
    fs::rename(path("python"), path("python3")).unwrap();
    assert_eq!(build.new_names(), ["example/python:python"]);
}

#[test]
fn a_layer_made_from_another_by_renaming_is_not_mistaken_for_it() {
    let build = Build::second();
    let path = |name: &str| build.world.view(&format!("/layers/example_pip/{name}"));
    fs::rename(path("packages"), path("old")).unwrap();
    fs::rename(path("wheels"), path("packages")).unwrap();
    fs::rename(path("old"), path("wheels")).unwrap();
    assert_eq!(build.new_names(), ["example/pip:packages", "example/pip:wheels"]);
}

#[test]
fn a_buildpack_directory_made_anew_is_read_again() {
    let build = Build::second();
    let directory = build.world.view("/layers/example_pip");
    let read = |name: &str| fs::read(directory.join(name)).unwrap();
    let kept: Vec<_> = ["packages.toml", "wheels.toml"].map(|name| (name, read(name))).into();
    fs::remove_dir_all(&directory).unwrap();
    for layer in ["packages", "wheels"] {
        fs::create_dir_all(directory.join(layer)).unwrap();
    }
    for (name, content) in kept {
        fs::write(directory.join(name), content).unwrap();
    }
    fs::write(directory.join("packages/flask.py"), "import nothing\n").unwrap();
    fs::write(directory.join("wheels/flask.whl"), "PK, newer").unwrap();
    assert_eq!(build.new_names(), ["example/pip:wheels"]);
}
