//! Layers written here: the bytes of the reference lifecycle, and a directory equal to what its blob unpacks to.

use model::Paths;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};
use windlass_layers::{LayerWriter, Owner, PublishError, Store, Tree, UnpackLimits, WriteError, diff_id_of};

const BUILDER: Owner = Owner { user_id: 1000, group_id: 1000 };

/// Path, mode, owner, time, link target and content of everything in a tree.
fn listing(root: &Path) -> BTreeMap<PathBuf, (u32, u32, u32, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if meta.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else if meta.is_file() {
            fs::read(&path).unwrap()
        } else {
            continue; // The socket that no layer holds.
        };
        let row = (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), content);
        found.insert(path.strip_prefix(root).unwrap().to_owned(), row);
    }
    found
}

fn store(home: &Path) -> (Store, Paths) {
    let paths = Paths::new(home.join("data"), home);
    (Store::open(&paths).unwrap(), paths)
}

/// The same entries written with Go's archive/tar gave this digest; the reference lifecycle uses that package.
/// Among them: names of 100, 101 and 181 bytes, a prefix of 155 and of 156, letters beyond ASCII, bytes that are no
/// UTF-8, long link targets, a large user id.
#[test]
fn headers_have_the_bytes_of_gos_tar_package() {
    let long = "d".repeat(90);
    let owner = |id| Owner { user_id: id, group_id: id };
    let bad = Path::new(std::ffi::OsStr::from_bytes(b"/layers/bad\xff\xfe"));
    // A pipe can only come from a tree.
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("layers")).unwrap();
    let pipe = home.path().join("layers/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    fs::set_permissions(&pipe, fs::Permissions::from_mode(0o600)).unwrap();
    let view = Tree::open(home.path()).unwrap();
    let entries = |layer: &mut LayerWriter<'_>| -> Result<(), WriteError> {
        layer.file("/layers/plain", 0o644, owner(1000), b"hello")?;
        layer.file("/layers/setuid", 0o4755, owner(1000), &[b'x'; 512])?;
        layer.symlink("/layers/link", "../etc/passwd", owner(1000))?;
        layer.tree(&view, "/layers/pipe", owner(1000))?;
        layer.file(format!("/{}", "n".repeat(99)), 0o644, Owner::ROOT, b"")?;
        layer.file(format!("/{}", "n".repeat(100)), 0o644, Owner::ROOT, b"one too long")?;
        layer.file(format!("/{long}/{long}"), 0o644, Owner::ROOT, b"split")?;
        layer.directory(format!("/{long}/{long}/{long}"), 0o700, Owner::ROOT)?;
        layer.file(format!("/{}/b", "a".repeat(154)), 0o644, Owner::ROOT, b"prefix of 155")?;
        layer.file(format!("/{}/b", "a".repeat(155)), 0o644, Owner::ROOT, b"prefix of 156")?;
        layer.file("/layers/ümläut/naïve", 0o644, owner(1000), b"letters")?;
        layer.file(bad, 0o644, owner(1000), b"no UTF-8")?;
        layer.symlink("/layers/longlink", "t".repeat(101), owner(1000))?;
        layer.symlink(format!("/{long}/{long}-longlink"), "é".repeat(60), owner(1000))?;
        layer.file("/layers/owner", 0o644, owner(2_097_152), b"large id")?;
        layer.file(format!("/{}/{}", "p".repeat(98), "q".repeat(120)), 0o644, Owner::ROOT, &[b'z'; 1025])
    };
    let digest = diff_id_of(entries).unwrap();
    assert_eq!(digest.to_string(), "sha256:12dcffbba756f57c125690341f639ed0b8994ab1283e3c28d14e4d3d30aa0e5c");
}

/// The reference lifecycle's own acceptance test asserts this diffID for this layer.
#[test]
fn a_layer_of_the_reference_lifecycles_test_has_the_diff_id_that_it_asserts() {
    let home = tempfile::tempdir().unwrap();
    let layer = home.path().join("layers/corrupted_buildpack/corrupted-layer");
    fs::create_dir_all(&layer).unwrap();
    fs::write(layer.join("data"), "digest-not-match-data\n").unwrap();
    for path in [home.path().join("layers"), home.path().join("layers/corrupted_buildpack")] {
        std::os::unix::fs::chown(&path, Some(1234), Some(1000)).unwrap();
    }
    let view = Tree::open(home.path()).unwrap();
    let owner = Owner { user_id: 1234, group_id: 1000 };
    let digest =
        diff_id_of(|writer| writer.tree(&view, "/layers/corrupted_buildpack/corrupted-layer", owner))
            .unwrap();
    assert_eq!(digest.to_string(), "sha256:258dfa0cc987efebc17559694866ebc91139e7c0e574f60d1d4092f53d7dff59");
}

#[test]
fn a_layer_of_a_thousand_files_is_what_its_blob_unpacks_to() {
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("view/workspace");
    for index in 0..1000_u32 {
        let directory =
            source.join(format!("directory-{}", index % 17)).join("x".repeat((index % 90) as usize + 1));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("file {index}")), vec![b'a'; (index * 7 % 3000) as usize]).unwrap();
    }
    fs::hard_link(source.join("directory-0/x/file 0"), source.join("hard")).unwrap();
    symlink("/etc/passwd", source.join("soft")).unwrap();
    fs::set_permissions(source.join("hard"), fs::Permissions::from_mode(0o4711)).unwrap();
    let _socket = UnixListener::bind(source.join("socket")).unwrap();

    let (store, paths) = store(home.path());
    let view = Tree::open(&home.path().join("view")).unwrap();
    let fill = |layer: &mut LayerWriter<'_>| layer.tree(&view, "/workspace", BUILDER);
    let published = store.publish(fill).unwrap();
    assert_eq!(published.diff_id, diff_id_of(fill).unwrap());
    let tree = listing(&paths.layer(&published.diff_id).join("tree"));
    assert_eq!(tree.len() as u64, published.inodes);

    // Everything is there with its content, owned by the builder, at the one time; the root is one more.
    let before = listing(&source);
    assert_eq!(tree.len(), before.len() + 1);
    for (path, (mode, _, _, _, content)) in before {
        // Joining an empty path would end the name with a slash.
        let name =
            if path.as_os_str().is_empty() { "workspace".into() } else { Path::new("workspace").join(&path) };
        let row = &tree[&name];
        assert_eq!(row, &(mode, 1000, 1000, 315_532_801, content), "{}", path.display());
    }

    // Its blob alone, in another store, gives the same.
    let other = tempfile::tempdir().unwrap();
    let (other_store, other_paths) = self::store(other.path());
    let blob = fs::File::open(paths.blob(&published.blob_digest)).unwrap();
    let again = other_store.unpack_layer(blob, UnpackLimits::LAYER).unwrap();
    assert_eq!(again, published);
    assert_eq!(listing(&other_paths.layer(&again.diff_id).join("tree")), tree);
}

#[test]
fn a_link_in_the_view_is_written_and_never_followed() {
    let home = tempfile::tempdir().unwrap();
    let view_root = home.path().join("view");
    fs::create_dir_all(view_root.join("layers/pack")).unwrap();
    symlink("/etc", view_root.join("layers/pack/layer")).unwrap();
    symlink(home.path(), view_root.join("layers/out")).unwrap();
    let view = Tree::open(&view_root).unwrap();
    assert!(view.read_file("/layers/pack/layer/passwd", 1 << 20).is_err());
    assert!(view.read_file("/layers/../../secret", 10).is_err());
    let error = diff_id_of(|layer| layer.tree(&view, "/layers/out/view", BUILDER)).unwrap_err();
    assert!(matches!(error, WriteError::Tree(_)), "{error:?}");
    let (store, paths) = store(home.path());
    let published = store.publish(|layer| layer.tree(&view, "/layers/pack/layer", BUILDER)).unwrap();
    let link = paths.layer(&published.diff_id).join("tree/layers/pack/layer");
    assert_eq!(fs::read_link(link).unwrap(), Path::new("/etc"));
}

#[test]
fn a_layer_that_cannot_be_written_to_its_end_is_not_published() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("view/a")).unwrap();
    let view = Tree::open(&home.path().join("view")).unwrap();
    let (store, paths) = store(home.path());
    let result = store.publish(|layer| {
        layer.tree(&view, "/a", BUILDER)?;
        layer.tree(&view, "/missing", BUILDER)
    });
    assert!(matches!(result, Err(PublishError::Write(WriteError::Missing { .. }))), "{result:?}");
    // The unpacker's reason is told, not that nobody read any more.
    let large = vec![0; 4 * 1024 * 1024];
    let result = store.publish(|layer| {
        layer.file("/ok", 0o644, Owner { user_id: 70_000, group_id: 0 }, b"")?;
        layer.file("/large", 0o644, Owner::ROOT, &large)
    });
    assert!(matches!(result, Err(PublishError::Unpack(_))), "{result:?}");
    assert!(store.list().unwrap().is_empty());
    assert_eq!(fs::read_dir(paths.layers().join(".new")).unwrap().count(), 0);
}

#[test]
fn a_pipe_or_a_large_file_in_the_view_does_not_hold_the_reader() {
    let home = tempfile::tempdir().unwrap();
    let pipe = home.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    fs::write(home.path().join("large"), [0; 11]).unwrap();
    let view = Tree::open(home.path()).unwrap();
    assert!(view.read_file("pipe", 10).unwrap_err().to_string().contains("not a regular file"));
    assert!(view.read_file("large", 10).unwrap_err().to_string().contains("larger than 10 bytes"));
    assert_eq!(view.read_file("large", 11).unwrap().map(|bytes| bytes.len()), Some(11));
    assert_eq!(view.read_file("absent/file", 10).unwrap(), None);
    assert_eq!(view.list("/").unwrap(), ["large", "pipe"]);
}
