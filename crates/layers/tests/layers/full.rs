//! A disk that is full while a layer is published: nothing of it stays, and the store goes on when there is room.

use model::Paths;
use std::{fs, path::Path, process::Command};
use windlass_layers::{LayerWriter, Owner, PublishError, Published, Store, WriteError};

/// A small file system of its own, gone with the value.
struct Disk(tempfile::TempDir);

impl Disk {
    /// A real ext4 on a loop device: `mount` makes and frees it.
    fn new(mebibytes: u64, files: u64) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        let image = disk.0.path().join("image");
        fs::File::create(&image).unwrap().set_len(mebibytes * 1024 * 1024).unwrap();
        run("mke2fs", &["-q", "-F", "-t", "ext4", "-m", "0", "-N", &files.to_string()], &[&image]);
        fs::create_dir(disk.at()).unwrap();
        run("mount", &["-o", "loop"], &[&image, &disk.at()]);
        disk
    }

    fn at(&self) -> std::path::PathBuf {
        self.0.path().join("disk")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a store may still hold a descriptor.
        let _ = Command::new("umount").arg("--lazy").arg(self.at()).status();
    }
}

fn run(program: &str, arguments: &[&str], paths: &[&Path]) {
    let output = Command::new(program).args(arguments).args(paths).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

fn publish(store: &Store, files: usize, bytes: usize) -> Result<Published, PublishError> {
    store.publish(|layer: &mut LayerWriter<'_>| -> Result<(), WriteError> {
        // Bytes that no compressor makes smaller.
        let mut state = 88_172_645_463_325_252_u64;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        for number in 0..files {
            let content: Vec<u8> = (0..bytes / 8).flat_map(|_| noise()).collect();
            layer.file(format!("/app/{number}"), 0o644, Owner::ROOT, &content)?;
        }
        Ok(())
    })
}

fn sentence(error: &dyn std::error::Error) -> String {
    model::sentence::of(error)
}

fn nothing_is_left(paths: &Paths) {
    assert_eq!(fs::read_dir(paths.layers().join(".new")).unwrap().count(), 0, "unfinished layers");
    let named = fs::read_dir(paths.layers()).unwrap().flatten();
    let named = named.filter(|entry| entry.file_name().to_string_lossy().starts_with("sha256-"));
    assert_eq!(named.count(), 0, "half-published layers");
    let unfinished = fs::read_dir(paths.blobs()).unwrap().flatten();
    let unfinished = unfinished.filter(|entry| entry.file_name().to_string_lossy().starts_with(".new-"));
    assert_eq!(unfinished.count(), 0, "unfinished blobs");
}

#[test]
fn a_layer_that_does_not_fit_leaves_nothing() {
    let disk = Disk::new(8, 256);
    let paths = Paths::new(disk.at().join("data"), disk.at());
    let store = Store::open(&paths).unwrap();
    let error = publish(&store, 4, 4 * 1024 * 1024).unwrap_err();
    assert!(sentence(&error).contains("No space left"), "{}", sentence(&error));
    nothing_is_left(&paths);
    let small = publish(&store, 2, 100 * 1024).unwrap();
    assert!(store.has(&small.diff_id), "there is room again");
}

#[test]
fn a_layer_with_more_files_than_the_disk_has_room_for_leaves_nothing() {
    let disk = Disk::new(8, 64);
    let paths = Paths::new(disk.at().join("data"), disk.at());
    let store = Store::open(&paths).unwrap();
    let error = publish(&store, 500, 16).unwrap_err();
    assert!(sentence(&error).contains("No space left"), "{}", sentence(&error));
    nothing_is_left(&paths);
    assert!(publish(&store, 5, 16).is_ok());
}
