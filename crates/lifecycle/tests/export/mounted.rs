//! Layers that were mounted and not written to: taken from the build before unread, and never for another one.

use crate::world::{World, new_names};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
};
use windlass_lifecycle::{
    export::{self, Report, View},
    restore,
};

/// Overlays; unmounted when dropped.
struct Mounts {
    home: tempfile::TempDir,
    mounted: Vec<PathBuf>,
}

impl Mounts {
    /// Lowest layer first; the kernel wants the highest first.
    fn overlay(&mut self, at: &str, lowers: &[PathBuf], more: &str) -> PathBuf {
        let stack: Vec<&str> = lowers.iter().rev().map(|path| path.to_str().unwrap()).collect();
        let options = format!("metacopy=off,index=off,lowerdir={},{more}", stack.join(":"));
        let at = self.directory(at);
        let options = CString::new(options).unwrap();
        mount("overlay", &at, "overlay", MountFlags::empty(), options.as_c_str()).unwrap();
        self.mounted.push(at.clone());
        at
    }

    fn directory(&self, name: &str) -> PathBuf {
        let path = self.home.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for at in &self.mounted {
            let _ = unmount(at, UnmountFlags::DETACH);
        }
    }
}

/// Builds again over the layers of `first`: `work` is done in the merged tree, the export sees it as the platform's
/// worker does, through a second overlay that is read-only.
fn build_again(world: &World, first: &Report, work: impl FnOnce(&Path)) -> Report {
    let mut mounts = Mounts { home: tempfile::tempdir().unwrap(), mounted: Vec::new() };
    let trees = restore::mounted_layers(&first.next).into_iter();
    let mut layers: Vec<PathBuf> = trees.map(|id| world.paths.layer(&id).join("tree")).collect();
    let scratch = mounts.directory("scratch");
    let files = ["cnb/lifecycle/launcher", "workspace/app.py", "layers/config/metadata.toml"];
    let described =
        ["example_python/python", "example_python/packages", "example_pip/packages", "example_pip/wheels"];
    let described = described.map(|layer| format!("layers/{layer}.toml"));
    for path in files.into_iter().chain(described.iter().map(String::as_str)) {
        if let Ok(content) = fs::read(world.view(path)) {
            fs::create_dir_all(scratch.join(path).parent().unwrap()).unwrap();
            fs::write(scratch.join(path), content).unwrap();
        }
    }
    layers.push(scratch);
    let (upper, inner) = (mounts.directory("upper"), mounts.directory("work"));
    let options = format!("upperdir={},workdir={},redirect_dir=on", upper.display(), inner.display());
    work(&mounts.overlay("build", &layers, &options));
    unmount(mounts.mounted.remove(0), UnmountFlags::empty()).unwrap();
    layers.push(upper.clone());
    let merged = mounts.overlay("view", &layers, "redirect_dir=follow");
    let view = View::open(&merged, Some(&upper)).unwrap();
    export::run(&world.request, &view, &world.store).unwrap()
}

/// The tree in the store is damaged here; that nobody notices shows that it was not read.
#[test]
fn a_layer_that_the_build_did_not_write_to_is_not_read() {
    let mut world = World::new();
    let first = world.export().unwrap();
    world.request.previous = Some(first.next.clone());
    let python = "layers/example_python/python/bin/python";
    fs::write(world.tree(&first.layers[0]).join(python), "other bytes").unwrap();
    let second = build_again(&world, &first, |build| {
        assert_eq!(fs::read(build.join(python)).unwrap(), b"other bytes");
    });
    assert_eq!(new_names(&second), ["example/pip:tools"; 0]);
}

/// Two buildpacks' directories change places. Nothing of the layers in them stands in the upper then: what they are,
/// only the merged tree tells.
#[test]
fn layers_below_directories_that_changed_places_are_not_taken_for_each_other() {
    let mut world = World::new();
    world.layer("example_python/packages", "launch = true\ncache = true", None);
    world.write("/layers/example_python/packages/other.py", "from the other buildpack\n");
    let first = world.export().unwrap();
    world.request.previous = Some(first.next.clone());
    let second = build_again(&world, &first, |build| {
        let layers = build.join("layers");
        fs::rename(layers.join("example_pip"), layers.join("aside")).unwrap();
        fs::rename(layers.join("example_python"), layers.join("example_pip")).unwrap();
        fs::rename(layers.join("aside"), layers.join("example_python")).unwrap();
    });
    let packages = second.layers.iter().find(|row| row.name == "example/pip:packages").unwrap();
    assert!(!packages.reused);
    let there = world.tree(packages).join("layers/example_pip/packages");
    assert!(there.join("other.py").is_file() && !there.join("flask.py").exists());
}
