//! Unpacking into a directory: nothing outside it is made, changed or removed, whatever the tar says, and the limits
//! hold.

use layers::{UnpackLimits, fuzzing};
use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
};

const LIMITS: UnpackLimits = UnpackLimits { max_entries: 64, max_bytes: 64 * 1024 };

pub(crate) fn run(bytes: &[u8]) {
    let Some((choice, bytes)) = crate::choose(bytes, 4) else { return };
    let mut bytes = bytes.to_vec();
    if choice < 2 {
        crate::tar::fix_checksums(&mut bytes);
    }
    let place = tempfile::tempdir_in(memory()).unwrap();
    let (root, outside) = (place.path().join("tree"), place.path().join("outside"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "untouched").unwrap();
    // A way out that a tar could try by name.
    symlink(&outside, place.path().join("link")).unwrap();
    let before = seen(&outside);
    let owner = (choice % 2 == 1).then_some(0);
    let result = fuzzing::unpack(&bytes, File::open(&root).unwrap().into(), owner, LIMITS);

    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3, "something was made beside the tree");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read(outside.join("file")).unwrap(), b"untouched");
    assert_eq!(seen(&outside), before, "the directory outside was changed");
    if let Ok(unpacked) = result {
        assert!(unpacked.entries <= LIMITS.max_entries && unpacked.bytes <= LIMITS.max_bytes);
        let (mut inodes, mut content) = (std::collections::BTreeSet::new(), 0);
        walk(&root, &mut inodes, &mut content);
        assert_eq!((unpacked.inodes, unpacked.bytes), (inodes.len() as u64, content));
    }
}

/// Where trees are made: in memory where there is such a place.
fn memory() -> &'static Path {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { shm } else { Path::new("/tmp") }
}

/// Everything about a directory and its file that an escape would change.
fn seen(directory: &Path) -> Vec<(u32, u32, u32, u64, i64, i64)> {
    [directory.to_owned(), directory.join("file")]
        .iter()
        .map(|path| fs::symlink_metadata(path).unwrap())
        .map(|meta| (meta.mode(), meta.uid(), meta.gid(), meta.nlink(), meta.mtime(), meta.mtime_nsec()))
        .collect()
}

/// Counts the inodes of a tree and the bytes of its regular files.
fn walk(path: &Path, inodes: &mut std::collections::BTreeSet<u64>, bytes: &mut u64) {
    let meta = fs::symlink_metadata(path).unwrap();
    let new = inodes.insert(meta.ino());
    if meta.is_file() && new {
        *bytes += meta.len();
    }
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), inodes, bytes);
        }
    }
}
