//! What sandboxes may write: a disk of their own for what runs long, a watched directory for builds.

use super::keep::Kept;
use super::place::Place;
use super::refusal::Refusal;
use super::{State, spawn, tree};
use crate::request::{KilledBy, Kind, SandboxSpec};
use model::limits::MIB;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often free space is read.
const LOOK: Duration = Duration::from_millis(250);
/// Trees are measured when so much went since the last measurement …
const MEASURE_AFTER_BYTES: u64 = 16 * MIB;
/// … or so much time: others may have freed meanwhile what a build took.
const MEASURE_AFTER: Duration = Duration::from_secs(5);

/// Makes what the sandbox's upper lies on.
pub(crate) fn make(state: &State, spec: &SandboxSpec, place: &Place, tool_id: u32) -> Result<(), Refusal> {
    let failed = |error: &io::Error| {
        Refusal::platform(format_args!("cannot make the writable disk of {}", spec.id), error)
    };
    match spec.kind {
        Kind::Build => {
            room_for_a_build(state)?;
            let upper = place.data.join("upper");
            fs::create_dir(&upper).map_err(|error| failed(&error))?;
            chown(&upper, Some(tool_id), Some(tool_id)).map_err(|error| failed(&error))?;
            fs::create_dir(place.data.join("work")).map_err(|error| failed(&error))
        }
        Kind::Service | Kind::Task => {
            let image = place.data.join("upper.img");
            make_image(&state.blank_images, &image, spec.limits.writable_bytes)
                .map_err(|error| failed(&error))
        }
    }
}

/// Empty file systems by their size, as mke2fs made them: the parts that hold something.
pub(crate) type BlankImages = Mutex<BTreeMap<u64, Arc<Vec<Extent>>>>;

/// Bytes of a sparse file and where they stand.
#[derive(Debug)]
pub(crate) struct Extent {
    offset: u64,
    bytes: Vec<u8>,
}

/// Most bytes of one empty file system that are kept in memory; those of 1 GiB hold some 100 KiB.
const MAX_BLANK_BYTES: u64 = 4 * MIB;
/// Sizes that are kept: those of services and of tasks, and of settings before they were changed.
const MAX_BLANKS: usize = 8;

/// A sparse ext4 file system of that size, without journal: it never outlives a crash. The first one of a size is made
/// by mke2fs, which waits for the disk several times; the others are its copies.
fn make_image(blanks: &BlankImages, image: &Path, bytes: u64) -> io::Result<()> {
    let file = File::options().read(true).write(true).create_new(true).open(image)?;
    file.set_len(bytes)?;
    let known = blanks.lock().unwrap_or_else(PoisonError::into_inner).get(&bytes).cloned();
    if let Some(extents) = known {
        return extents.iter().try_for_each(|extent| file.write_all_at(&extent.bytes, extent.offset));
    }
    format(image)?;
    if file.metadata()?.blocks() * 512 > MAX_BLANK_BYTES {
        return Ok(());
    }
    let extents = Arc::new(extents(&file)?);
    let mut blanks = blanks.lock().unwrap_or_else(PoisonError::into_inner);
    if blanks.len() < MAX_BLANKS {
        blanks.insert(bytes, extents);
    }
    Ok(())
}

/// What stands in a sparse file.
fn extents(file: &File) -> io::Result<Vec<Extent>> {
    let mut found = Vec::new();
    let mut from = 0;
    loop {
        let offset = match seek(file, SeekFrom::Data(from)) {
            Err(Errno::NXIO) => return Ok(found),
            offset => offset?,
        };
        from = seek(file, SeekFrom::Hole(offset))?;
        let mut bytes = vec![0; usize::try_from(from - offset).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, offset)?;
        found.push(Extent { offset, bytes });
    }
}

fn format(image: &Path) -> io::Result<()> {
    let output = spawn::command(Path::new("mke2fs"))
        .args(["-q", "-F", "-t", "ext4", "-m", "0", "-O", "^has_journal,^resize_inode", "-E"])
        .args(["lazy_itable_init=1,nodiscard", "--"])
        .arg(image)
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                io::Error::other("the program mke2fs is missing; install the Debian package e2fsprogs")
            }
            _ => error,
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("mke2fs: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// Bytes that are free for the platform on the file system of the data directory.
fn free_bytes(data: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(data)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Refuses a build when the reserve would be touched.
fn room_for_a_build(state: &State) -> Result<(), Refusal> {
    let data = &state.config.paths.data;
    let free = free_bytes(data).map_err(|error| {
        Refusal::platform(format_args!("cannot ask for space on {}", data.display()), &error)
    })?;
    let reserve = state.config.free_reserve_bytes;
    if free >= reserve {
        return Ok(());
    }
    Err(Refusal::new(
        "disk-full",
        format!(
            "{} MiB are free on {}; builds start again when {} MiB are: remove tools or old releases, or add a disk",
            free / MIB,
            data.display(),
            reserve / MIB
        ),
    ))
}

/// Watches the builds for ever: one that outgrows its limit is ended, and the largest one when the machine's reserve
/// is half gone.
pub(crate) fn watch(state: &Arc<State>) {
    let data: PathBuf = state.config.paths.data.clone();
    let mut measured_free = u64::MAX;
    let mut measured_at = Instant::now();
    loop {
        std::thread::sleep(LOOK);
        let builds = state.running_builds();
        if builds.is_empty() {
            measured_free = u64::MAX;
            continue;
        }
        let Ok(free) = free_bytes(&data) else { continue };
        let fell = measured_free == u64::MAX || measured_free.saturating_sub(free) >= MEASURE_AFTER_BYTES;
        if fell || measured_at.elapsed() >= MEASURE_AFTER {
            measure(&builds, free < state.config.free_reserve_bytes / 2);
            measured_free = free;
            measured_at = Instant::now();
        }
    }
}

fn measure(builds: &[Arc<Kept>], scarce: bool) {
    let mut largest: Option<(u64, &Arc<Kept>)> = None;
    for build in builds {
        match tree::bytes(&build.place.data) {
            Ok(bytes) if bytes > build.spec.limits.writable_bytes => build.ask_to_end(KilledBy::Disk),
            Ok(bytes) if largest.is_none_or(|(most, _)| bytes > most) => largest = Some((bytes, build)),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(sandbox = %build.spec.id, %error, "a build's tree cannot be measured");
            }
        }
    }
    if let (true, Some((_, build))) = (scarce, largest) {
        tracing::error!(sandbox = %build.spec.id, "the disk is almost full: the largest build is ended");
        build.ask_to_end(KilledBy::Platform);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_file_system_is_the_one_that_mke2fs_made() {
        let place = tempfile::tempdir().unwrap();
        let blanks = BlankImages::default();
        let [first, second] = ["first", "second"].map(|name| place.path().join(name));
        make_image(&blanks, &first, 64 * MIB).unwrap();
        make_image(&blanks, &second, 64 * MIB).unwrap();
        assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
        assert!(fs::metadata(&second).unwrap().blocks() * 512 < MAX_BLANK_BYTES, "it is sparse");
        assert!(make_image(&blanks, &second, 64 * MIB).is_err(), "nothing is replaced");
        assert_eq!(blanks.lock().unwrap().len(), 1);
    }
}
