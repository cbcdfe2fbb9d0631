//! A layer's directory shows what a client that pulls the image would see.

use crate::{
    namespace,
    tars::{Tar, gzip},
};
use model::Paths;
use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::PathBuf,
    time::Duration,
};
use tar::EntryType;
use tempfile::TempDir;
use windlass_layers::{Store, UnpackLimits};

struct World {
    store: Store,
    paths: Paths,
    _home: TempDir,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::new(home.path().join("data"), home.path());
        Self { store: Store::open(&paths).unwrap(), paths, _home: home }
    }

    fn tree(&self, tar: &[u8]) -> PathBuf {
        let published = self.store.unpack_layer(tar, UnpackLimits::LAYER).unwrap();
        self.paths.layer(&published.diff_id).join("tree")
    }
}

fn attribute(path: &std::path::Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn owners_modes_times_and_links_are_kept() {
    let world = World::new();
    let tar = Tar::default()
        .entry("./", EntryType::Directory, |h| h.set_mode(0o711), b"")
        .entry(
            "bin/tool",
            EntryType::Regular,
            |h| {
                h.set_mode(0o4755);
                h.set_uid(7);
                h.set_gid(8);
            },
            b"#!",
        )
        .link("bin/same", EntryType::Link, "/bin/tool")
        .link("bin/soft", EntryType::Symlink, "/bin/tool")
        .entry("bin/pipe", EntryType::Fifo, |_| {}, b"")
        .entry("bin", EntryType::Directory, |h| h.set_mode(0o555), b"")
        .pax(&[
            ("mtime", b"-1.25"),
            ("uid", b"1000"),
            ("SCHILY.xattr.user.note", b"a\nb"),
            ("SCHILY.xattr.trusted.x", b"y"),
        ])
        .file("late", b"")
        .end();
    let tree = world.tree(&tar);
    let tool = fs::metadata(tree.join("bin/tool")).unwrap();
    assert_eq!((tool.mode() & 0o7777, tool.uid(), tool.gid(), tool.mtime()), (0o4755, 7, 8, 1000));
    assert_eq!(fs::metadata(tree.join("bin/same")).unwrap().ino(), tool.ino());
    assert_eq!(fs::read_link(tree.join("bin/soft")).unwrap().to_str(), Some("/bin/tool"));
    assert_eq!(fs::symlink_metadata(tree.join("bin/soft")).unwrap().mtime(), 1000);
    assert!(fs::symlink_metadata(tree.join("bin/pipe")).unwrap().file_type().is_fifo());
    let bin = fs::metadata(tree.join("bin")).unwrap();
    assert_eq!((bin.mode() & 0o7777, bin.mtime()), (0o555, 1000));
    assert_eq!(fs::metadata(&tree).unwrap().mode() & 0o7777, 0o711);
    let late = fs::metadata(tree.join("late")).unwrap();
    assert_eq!((late.mtime(), late.mtime_nsec(), late.uid()), (-2, 750_000_000, 1000));
    assert_eq!(attribute(&tree.join("late"), "user.note").as_deref(), Some(b"a\nb".as_slice()));
    assert_eq!(attribute(&tree.join("late"), "trusted.x"), None);
}

#[test]
fn a_file_capability_is_kept() {
    let world = World::new();
    // cap_net_bind_service, effective, in revision 2 of the format (linux/capability.h).
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let tar =
        Tar::default().pax(&[("SCHILY.xattr.security.capability", &capability)]).file("ping", b"x").end();
    let tree = world.tree(&tar);
    assert_eq!(attribute(&tree.join("ping"), "security.capability").as_deref(), Some(capability.as_slice()));
}

#[test]
fn directories_that_no_entry_names_are_the_same_every_time() {
    let world = World::new();
    let tree = world.tree(&Tar::default().file("a/b/c", b"").end());
    for path in ["", "a", "a/b"] {
        let directory = fs::metadata(tree.join(path)).unwrap();
        assert_eq!(
            (directory.mode() & 0o7777, directory.uid(), directory.mtime()),
            (0o755, 0, 315_532_801),
            "{path}"
        );
    }
}

#[test]
fn of_two_entries_with_one_name_the_last_counts() {
    let world = World::new();
    let tar = Tar::default()
        .file("a", b"first")
        .link("b", EntryType::Symlink, "/etc/passwd")
        .directory("c")
        .file("a", b"second!")
        .file("b", b"mine")
        .link("c", EntryType::Symlink, "a")
        .end();
    let published = world.store.unpack_layer(&*tar, UnpackLimits::LAYER).unwrap();
    let tree = world.paths.layer(&published.diff_id).join("tree");
    assert_eq!(fs::read(tree.join("a")).unwrap(), b"second!");
    assert_eq!(fs::read(tree.join("b")).unwrap(), b"mine");
    assert_eq!(fs::read_link(tree.join("c")).unwrap().to_str(), Some("a"));
    assert_eq!((published.tree_bytes, published.inodes), (11, 4));
}

#[test]
fn a_whiteout_takes_the_form_that_overlayfs_knows() {
    let world = World::new();
    let tar = Tar::default()
        .file("etc/.wh.gone", b"")
        .file("etc/kept", b"x")
        .file("etc/.wh.kept", b"")
        .file(".wh..wh.plnk", b"")
        .end();
    let tree = world.tree(&tar);
    let gone = fs::symlink_metadata(tree.join("etc/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert_eq!(fs::read(tree.join("etc/kept")).unwrap(), b"x");
    assert_eq!(fs::read_dir(&tree).unwrap().count(), 1);
}

#[test]
fn hiding_a_whole_directory_works_for_root_and_is_refused_in_a_user_namespace() {
    for hides in [
        Tar::default().file("srv/.wh..wh..opq", b""),
        Tar::default().file(".wh.srv", b"").directory("srv"),
        Tar::default().directory("srv").file(".wh.srv", b""),
    ] {
        let world = World::new();
        match world.store.unpack_layer(&*hides.end(), UnpackLimits::LAYER) {
            Ok(published) => {
                assert!(!namespace::is_inside(), "the kernel lets only root write this attribute");
                let directory = world.paths.layer(&published.diff_id).join("tree/srv");
                let opaque = attribute(&directory, "trusted.overlay.opaque");
                assert_eq!(opaque.as_deref(), Some(b"y".as_slice()));
            }
            Err(error) => {
                assert!(namespace::is_inside(), "{error}");
                assert!(error.to_string().contains("delete the files one by one"), "{error}");
            }
        }
    }
}

#[test]
fn every_test_here_also_passes_as_root_of_a_user_namespace() {
    if !namespace::is_inside() {
        namespace::run_tests_inside("unpacking::");
    }
}

#[test]
fn gnu_names_and_the_comment_of_git_archive_are_understood() {
    let world = World::new();
    let name = format!("{}/{}", "d".repeat(90), "f".repeat(90));
    let tar = Tar::default()
        .entry(
            "pax_global_header",
            EntryType::XGlobalHeader,
            |_| {},
            &crate::tars::record("comment", b"0123abcd"),
        )
        .entry("././@LongLink", EntryType::GNULongName, |_| {}, format!("{name}\0").as_bytes())
        .file("cut", b"long")
        .end();
    let tree = world.tree(&tar);
    assert_eq!(fs::read(tree.join(name)).unwrap(), b"long");
}

#[test]
fn a_gzip_layer_has_the_diff_id_of_its_tar_and_keeps_its_blob() {
    let world = World::new();
    let tar = Tar::default().file("a", &vec![b'a'; 100_000]).end();
    let packed = gzip(&tar);
    let plain = world.store.unpack_layer(&*tar, UnpackLimits::LAYER).unwrap();
    let gzipped = world.store.unpack_layer(&*packed, UnpackLimits::LAYER).unwrap();
    assert_eq!(plain.diff_id, gzipped.diff_id);
    assert_eq!(plain.diff_id.0, oci::digest_of(&tar));
    assert_eq!(gzipped.blob_digest, oci::digest_of(&packed));
    assert_eq!(fs::read(world.paths.blob(&gzipped.blob_digest)).unwrap(), packed);
    let mut unpacked = Vec::new();
    let blob = fs::File::open(world.paths.blob(&plain.blob_digest)).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(blob), &mut unpacked).unwrap();
    assert_eq!(unpacked, tar);
}

#[test]
fn publishing_twice_gives_the_same_and_leaves_one() {
    let world = World::new();
    let tar = Tar::default().file("a", b"x").end();
    let first = world.store.unpack_layer(&*tar, UnpackLimits::LAYER).unwrap();
    let second = world.store.unpack_layer(&*tar, UnpackLimits::LAYER).unwrap();
    assert_eq!(first, second);
    assert_eq!(world.store.list().unwrap(), std::slice::from_ref(&first));
    assert!(world.store.has(&first.diff_id));
    assert_eq!(fs::read_dir(world.paths.layers().join(".new")).unwrap().count(), 0);
    let blob = fs::metadata(world.paths.blob(&first.blob_digest)).unwrap();
    assert_eq!((blob.len(), blob.mode() & 0o777), (first.blob_bytes, 0o644));
}

/// Workers see both directories as mounts of their own, and no rename leaves a mount.
#[test]
fn layers_and_blobs_may_lie_on_different_file_systems() {
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::new(home.path(), home.path());
    std::os::unix::fs::symlink(elsewhere.path(), paths.layers()).unwrap();
    let store = Store::open(&paths).unwrap();
    let published = store.unpack_layer(&*Tar::default().file("a", b"x").end(), UnpackLimits::LAYER).unwrap();
    assert_eq!(store.published(&published.diff_id).unwrap(), Some(published.clone()));
    store.read_blob(&published.blob_digest, 10_000).unwrap();
    store.write_blob(b"document").unwrap();
}

#[test]
fn what_a_killed_worker_left_is_swept_and_nothing_else() {
    let world = World::new();
    let tar = Tar::default().file("a", b"x").end();
    let published = world.store.unpack_layer(&*tar, UnpackLimits::LAYER).unwrap();
    let (tree, blob) =
        (world.paths.layers().join(".new/killed/tree"), world.paths.blobs().join(".new-killed"));
    fs::create_dir_all(&tree).unwrap();
    fs::write(&blob, "half").unwrap();
    world.store.sweep_unfinished(Duration::from_hours(1)).unwrap();
    assert!(tree.exists() && blob.exists(), "they may still be at work");
    world.store.sweep_unfinished(Duration::ZERO).unwrap();
    assert!(!tree.exists() && !blob.exists());
    assert!(world.store.has(&published.diff_id));
    assert!(world.paths.blob(&published.blob_digest).exists());
}

#[test]
fn a_scratch_tree_belongs_to_one_user_and_has_no_dangerous_bits() {
    let world = World::new();
    let tar = Tar::default()
        .directory("workspace")
        .entry("workspace/run", EntryType::Regular, |h| h.set_mode(0o6711), b"#!")
        .entry("workspace/data", EntryType::Regular, |h| h.set_mode(0o600), b"")
        .link("workspace/link", EntryType::Symlink, "/etc/passwd")
        .file("workspace/.wh.name", b"kept as it is")
        .end();
    let limits = UnpackLimits { max_entries: 5, max_bytes: 100 };
    for _ in 0..2 {
        let unpacked = world.store.unpack_scratch(&*tar, "run-1", 1000, limits).unwrap();
        assert_eq!((unpacked.entries, unpacked.bytes), (5, 15));
    }
    let tree = world.paths.data.join("scratch/run-1/tree");
    for (name, mode) in [("", 0o755), ("run", 0o755), ("data", 0o644)] {
        let entry = fs::metadata(tree.join("workspace").join(name)).unwrap();
        assert_eq!((entry.uid(), entry.gid(), entry.mode() & 0o7777), (1000, 1000, mode), "{name}");
    }
    assert_eq!(fs::symlink_metadata(tree.join("workspace/link")).unwrap().uid(), 1000);
    assert_eq!(fs::read(tree.join("workspace/.wh.name")).unwrap(), b"kept as it is");
    assert_eq!(fs::metadata(&tree).unwrap().uid(), 0);
    let over = UnpackLimits { max_entries: 4, max_bytes: 100 };
    assert!(world.store.unpack_scratch(&*tar, "run-2", 1000, over).is_err());
    assert!(!world.paths.data.join("scratch/run-2").exists());
    assert!(world.store.unpack_scratch(&*tar, "../x", 1000, limits).is_err());
}
