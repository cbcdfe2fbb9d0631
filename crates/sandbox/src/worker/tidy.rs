//! What killed git processes leave in a repository: locks, which block a ref for ever, and half-received pushes, which
//! take space. The caller is confined to that repository.

use crate::request::Tidied;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// A ref's lock is held for milliseconds, and for the time of a full disk's seconds.
const LOCK_AGE: Duration = Duration::from_secs(60);
/// A pack that is being written is written to all the time.
const PACK_AGE: Duration = Duration::from_secs(3600);
/// Longer than any push or collection takes.
const WORK_AGE: Duration = Duration::from_secs(24 * 3600);
/// Deepest directory of refs that is looked into: names are at most 200 bytes.
const MAX_DEPTH: usize = 128;

/// Removes what is old enough, and counts what is not yet.
///
/// # Errors
/// When a directory cannot be read or a file cannot be removed.
pub fn tidy(repository: &Path) -> io::Result<Tidied> {
    let mut tidied = Tidied::default();
    for lock in ["HEAD.lock", "packed-refs.lock", "config.lock", "shallow.lock"] {
        remove(&repository.join(lock), LOCK_AGE, &mut tidied)?;
    }
    remove(&repository.join("gc.pid"), WORK_AGE, &mut tidied)?;
    locks(&repository.join("refs"), 0, &mut tidied)?;
    let objects = repository.join("objects");
    for path in entries(&objects)? {
        if begins(&path, "tmp_objdir-") {
            remove(&path, WORK_AGE, &mut tidied)?;
        }
    }
    for path in entries(&objects.join("pack"))? {
        if begins(&path, "tmp_") || begins(&path, ".tmp-") {
            remove(&path, PACK_AGE, &mut tidied)?;
        } else if path.extension().is_some_and(|extension| extension == "keep") {
            // Keeps a pack as it is while its push goes on; a hidden ref holds its objects.
            remove(&path, WORK_AGE, &mut tidied)?;
        }
    }
    Ok(tidied)
}

fn locks(directory: &Path, depth: usize, tidied: &mut Tidied) -> io::Result<()> {
    for path in entries(directory)? {
        let Some(metadata) = present(fs::symlink_metadata(&path))? else { continue };
        if metadata.is_dir() && depth < MAX_DEPTH {
            locks(&path, depth + 1, tidied)?;
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            remove(&path, LOCK_AGE, tidied)?;
        }
    }
    Ok(())
}

/// A time that lies ahead of the clock counts as now.
fn remove(path: &Path, age: Duration, tidied: &mut Tidied) -> io::Result<()> {
    let Some(metadata) = present(fs::symlink_metadata(path))? else { return Ok(()) };
    if SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default() < age {
        tidied.waiting += 1;
        return Ok(());
    }
    let removed = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    tidied.removed += u32::from(present(removed)?.is_some());
    Ok(())
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(entries) = present(fs::read_dir(directory))? else { return Ok(Vec::new()) };
    entries.map(|entry| entry.map(|entry| entry.path())).collect()
}

fn begins(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
}

/// git may remove a file between two looks.
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(path: &Path, age: Duration) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn old_locks_and_broken_uploads_go_and_whatever_may_be_in_use_stays() {
        let place = tempfile::tempdir().unwrap();
        let (minute, day) = (LOCK_AGE * 2, WORK_AGE * 2);
        let (old, young) = (
            [
                ("refs/heads/a/b.lock", minute),
                ("packed-refs.lock", minute),
                ("gc.pid", day),
                ("objects/pack/tmp_pack_y", PACK_AGE * 2),
                ("objects/pack/pack-1.keep", day),
            ],
            [
                ("refs/heads/main", day),
                ("refs/heads/c.lock", Duration::ZERO),
                ("objects/pack/tmp_pack_x", minute),
                ("objects/pack/pack-2.keep", minute),
            ],
        );
        for (name, age) in old.iter().chain(&young) {
            made(&place.path().join(name), *age);
        }
        let incoming = place.path().join("objects/tmp_objdir-incoming-x");
        made(&incoming.join("pack/p"), day);
        fs::File::open(&incoming).unwrap().set_modified(SystemTime::now() - day).unwrap();
        let tidied = tidy(place.path()).unwrap();
        assert_eq!(tidied, Tidied { removed: 6, waiting: 3 });
        for (name, _) in old {
            assert!(!place.path().join(name).exists(), "{name}");
        }
        for (name, _) in young {
            assert!(place.path().join(name).exists(), "{name}");
        }
        assert!(!incoming.exists());
        assert_eq!(tidy(&place.path().join("none")).unwrap(), Tidied::default());
    }
}
