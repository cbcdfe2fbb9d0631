//! What was altered on disk is found, named, and repaired or refused.

use crate::tars::Tar;
use model::{Digest, Paths};
use rustix::fs::XattrFlags;
use std::{
    fs::{self, File, Permissions},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
};
use tar::EntryType;
use windlass_layers::{Answer, Checked, LayerWriter, Order, Outcome, Owner, Published, Store, WriteError};

struct Shelf {
    store: Store,
    paths: Paths,
    _home: tempfile::TempDir,
}

impl Shelf {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::new(home.path().join("data"), home.path());
        Self { store: Store::open(&paths).unwrap(), paths, _home: home }
    }

    /// A layer as the exporter writes them.
    fn written(&self) -> Published {
        let app = |layer: &mut LayerWriter<'_>| -> Result<(), WriteError> {
            let owner = Owner { user_id: 1000, group_id: 1000 };
            layer.directory("/workspace", 0o755, owner)?;
            layer.file("/workspace/app.py", 0o644, owner, &b"print('hello')\n".repeat(1000))?;
            layer.directory("/workspace/bin", 0o750, owner)?;
            layer.file("/workspace/bin/tool", 0o4755, Owner::ROOT, b"#!/bin/sh\n")?;
            layer.symlink("/workspace/latest", "bin/tool", owner)
        };
        self.store.publish(app).unwrap()
    }

    /// A layer of a stranger, with everything that a tar can say.
    fn strange(&self) -> Published {
        let tar = Tar::default()
            .file("z/last", b"not in the order of names")
            .file("a/file", b"content")
            .link("a/second", EntryType::Link, "a/file")
            .link("a/link", EntryType::Symlink, "../z/last")
            .file("a/.wh.gone", b"")
            .pax(&[("SCHILY.xattr.user.colour", b"blue")])
            .file("a/labelled", b"with a label");
        self.store.unpack_layer(tar.end().as_slice(), windlass_layers::UnpackLimits::LAYER).unwrap()
    }

    fn mend(&self, layer: &Published) -> Checked {
        let order = Order::Mend { diff_id: layer.diff_id, blob: layer.blob_digest, bytes_per_second: 0 };
        match self.store.maintain(&order).unwrap() {
            Answer::Checked { mut checked } => checked.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn tree(&self, layer: &Published) -> PathBuf {
        self.paths.layer(&layer.diff_id).join("tree")
    }

    #[track_caller]
    fn is_whole(&self, layer: &Published) {
        let checked = self.mend(layer);
        assert_eq!((checked.outcome, checked.found.as_slice()), (Outcome::Whole, [].as_slice()));
        assert!(checked.read_bytes > 0);
    }
}

#[test]
fn what_was_published_is_whole() {
    let shelf = Shelf::new();
    let (written, strange) = (shelf.written(), shelf.strange());
    shelf.is_whole(&written);
    shelf.is_whole(&strange);
}

#[test]
fn a_directory_that_was_altered_is_named_and_made_anew_and_the_old_one_stays_for_those_on_it() {
    type Alteration = (&'static str, fn(&Path));
    let alterations: [Alteration; 9] = [
        ("`a/file` has other content", |tree| fs::write(tree.join("a/file"), b"CONTENT").unwrap()),
        ("`a/file` has 3 bytes, not 7", |tree| fs::write(tree.join("a/file"), b"cut").unwrap()),
        ("`z/last` is missing", |tree| fs::remove_file(tree.join("z/last")).unwrap()),
        ("`z/more` should not be there", |tree| fs::write(tree.join("z/more"), b"").unwrap()),
        ("`a` has mode 700, not 755", |tree| {
            fs::set_permissions(tree.join("a"), Permissions::from_mode(0o700)).unwrap();
        }),
        ("`a/file` belongs to 7:7", |tree| chown(tree.join("a/file"), Some(7), Some(7)).unwrap()),
        ("`a/link` points elsewhere", |tree| {
            fs::remove_file(tree.join("a/link")).unwrap();
            symlink("/etc/shadow", tree.join("a/link")).unwrap();
        }),
        ("`a/labelled` has other attributes", |tree| {
            let file = File::open(tree.join("a/labelled")).unwrap();
            rustix::fs::fsetxattr(&file, "user.colour", b"red", XattrFlags::empty()).unwrap();
        }),
        ("`a/gone` is missing", |tree| fs::remove_file(tree.join("a/gone")).unwrap()),
    ];
    let shelf = Shelf::new();
    let layer = shelf.strange();
    for (what, alter) in &alterations {
        let old = File::open(shelf.tree(&layer)).unwrap();
        alter(&shelf.tree(&layer));
        let checked = shelf.mend(&layer);
        assert_eq!(checked.outcome, Outcome::Repaired, "{what}");
        assert!(checked.found.iter().any(|found| found.contains(what)), "{what}: {:?}", checked.found);
        shelf.is_whole(&layer);
        // Whoever runs on the old directory still has it, until it is removed by name.
        let replaced = shelf.store.replaced().unwrap();
        assert_eq!((replaced.len(), replaced[0].1), (1, layer.diff_id));
        assert!(fs::metadata(format!("/proc/self/fd/{}/a", std::os::fd::AsRawFd::as_raw_fd(&old))).is_ok());
        shelf.store.maintain(&Order::Empty { replaced: vec![replaced[0].0.clone()] }).unwrap();
        assert!(shelf.store.replaced().unwrap().is_empty());
    }
    // A hard link that became a file of its own.
    fs::remove_file(shelf.tree(&layer).join("a/second")).unwrap();
    fs::copy(shelf.tree(&layer).join("a/file"), shelf.tree(&layer).join("a/second")).unwrap();
    assert_eq!(shelf.mend(&layer).outcome, Outcome::Repaired);
    // Not even a directory.
    fs::remove_dir_all(shelf.paths.layer(&layer.diff_id)).unwrap();
    assert_eq!(shelf.mend(&layer).found, ["its directory is missing"]);
    shelf.is_whole(&layer);
    fs::write(shelf.paths.layer(&layer.diff_id).join("meta.json"), b"{}").unwrap();
    assert!(shelf.mend(&layer).found[0].contains("meta.json is damaged"));
    shelf.is_whole(&layer);
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_blob_that_was_altered_is_made_anew_from_its_directory() {
    let shelf = Shelf::new();
    let layer = shelf.written();
    let path = shelf.paths.blob(&layer.blob_digest);
    let before = fs::read(&path).unwrap();
    let damages: [fn(&Path); 3] = [
        flip,
        |path| File::options().write(true).open(path).unwrap().set_len(40).unwrap(),
        |path| fs::remove_file(path).unwrap(),
    ];
    for damage in damages {
        damage(&path);
        let checked = shelf.mend(&layer);
        assert_eq!(checked.outcome, Outcome::Repaired, "{:?}", checked.found);
        assert!(checked.found[0].contains(&layer.blob_digest.to_string()));
        assert_eq!(fs::read(&path).unwrap(), before, "byte for byte");
        shelf.is_whole(&layer);
    }
}

#[test]
fn a_base_images_blob_is_made_anew_from_its_tar() {
    let shelf = Shelf::new();
    let tar = Tar::default().file("z", b"first").file("a", b"second").end();
    fs::create_dir_all(shelf.paths.data.join("base")).unwrap();
    fs::write(shelf.paths.data.join("base/run.tar"), &tar).unwrap();
    let layer = shelf.store.unpack_layer(tar.as_slice(), windlass_layers::UnpackLimits::LAYER).unwrap();
    flip(&shelf.paths.blob(&layer.blob_digest));
    fs::write(shelf.tree(&layer).join("a"), b"damaged too").unwrap();
    assert_eq!(shelf.mend(&layer).outcome, Outcome::Repaired);
    shelf.is_whole(&layer);
}

#[test]
fn what_cannot_be_made_good_loses_its_name_and_may_be_published_again() {
    let shelf = Shelf::new();
    let layer = shelf.written();
    flip(&shelf.paths.blob(&layer.blob_digest));
    fs::write(shelf.tree(&layer).join("workspace/app.py"), b"altered").unwrap();
    let checked = shelf.mend(&layer);
    assert_eq!(checked.outcome, Outcome::Refused, "{:?}", checked.found);
    assert!(!shelf.store.has(&layer.diff_id));
    assert!(!shelf.paths.blob(&layer.blob_digest).exists());
    let kept = shelf.paths.data.join("blobs/quarantine").join(layer.blob_digest.hex());
    assert!(kept.exists(), "for the operator to look at");
    assert_eq!(shelf.written(), layer, "a build makes it anew");
    shelf.is_whole(&layer);
}

#[test]
fn another_blob_that_was_altered_is_refused() {
    let shelf = Shelf::new();
    let (good, bad) =
        (shelf.store.write_blob(b"a manifest").unwrap(), shelf.store.write_blob(b"another").unwrap());
    File::options().append(true).open(shelf.paths.blob(&bad)).unwrap().write_all(b"!").unwrap();
    let gone: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let order = Order::CheckBlobs { blobs: vec![good, bad, gone], bytes_per_second: 0 };
    let Answer::Checked { checked } = shelf.store.maintain(&order).unwrap() else { panic!() };
    let outcomes: Vec<Outcome> = checked.iter().map(|checked| checked.outcome).collect();
    assert_eq!(outcomes, [Outcome::Whole, Outcome::Refused, Outcome::Whole]);
    assert!(shelf.paths.blob(&good).exists() && !shelf.paths.blob(&bad).exists());
}

#[test]
fn reading_keeps_its_pace() {
    let shelf = Shelf::new();
    let blob = shelf.store.write_blob(&vec![7; 300_000]).unwrap();
    let began = std::time::Instant::now();
    shelf.store.check_blob(&blob, 1_000_000).unwrap();
    assert!(began.elapsed() >= std::time::Duration::from_millis(290), "{:?}", began.elapsed());
}
