//! How a repository lies on disk, told by directory listings alone: no process, and no byte of an object is read.

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What decides whether a repository wants work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Objects in files of their own.
    pub loose: usize,
    pub packs: usize,
    /// The last full collection, or when the repository was made.
    pub collected_at: SystemTime,
    /// Changes with every push: the last changes of the directories that pushes write to.
    pub changed: Vec<Option<SystemTime>>,
}

/// `None` when there is no repository.
pub(super) fn of(repository: &Path) -> io::Result<Option<State>> {
    let modified =
        |name: &str| fs::metadata(repository.join(name)).and_then(|metadata| metadata.modified()).ok();
    let Some(made) = modified("description").or_else(|| modified("config")) else { return Ok(None) };
    let objects = repository.join("objects");
    let loose = fan_out(&objects)?.iter().map(|path| fs::read_dir(path).map_or(0, Iterator::count)).sum();
    let is_pack = |path: &Path| path.extension().is_some_and(|extension| extension == "pack");
    let packs = fs::read_dir(objects.join("pack")).into_iter().flatten().flatten();
    Ok(Some(State {
        loose,
        packs: packs.filter(|entry| is_pack(&entry.path())).count(),
        collected_at: modified("objects/info/packs").unwrap_or(made),
        changed: ["refs/heads", "refs/tags", "refs/windlass/pushes", "objects/pack", "objects"]
            .map(modified)
            .into(),
    }))
}

/// The directories of loose objects: two hex digits; `info` and `pack` are longer.
fn fan_out(objects: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(objects)? {
        let entry = entry?;
        if entry.file_name().len() == 2 {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Bytes that objects take on disk, in packs and in files of their own. What a push or a collection is still writing, or
/// left half-written when it was ended, does not count: nobody can do anything about it, and it goes by itself.
pub(super) fn size_bytes(repository: &Path) -> io::Result<u64> {
    let objects = repository.join("objects");
    let mut blocks = 0;
    for directory in fan_out(&objects)?.into_iter().chain([objects.join("pack")]) {
        // git removes directories that a repacking has emptied, and files, while they are looked at.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let half_written =
                [&b"tmp_"[..], b".tmp-"].iter().any(|begin| name.as_bytes().starts_with(begin));
            if !half_written {
                blocks += entry.metadata().map_or(0, |metadata| metadata.blocks());
            }
        }
    }
    Ok(blocks * 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_loose_objects_count_and_what_is_still_coming_does_not() {
        let place = tempfile::tempdir().unwrap();
        for (file, bytes) in [
            ("objects/ab/cdef", 100),
            ("objects/pack/pack-1.pack", 100_000),
            ("objects/tmp_objdir-incoming-x/ab/cdef", 1_000_000),
            ("objects/pack/tmp_pack_x", 1_000_000),
            ("objects/pack/.tmp-1-pack-x.pack", 1_000_000),
            ("packed-refs", 1_000_000),
        ] {
            let path = place.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, vec![1; bytes]).unwrap();
        }
        let measured = size_bytes(place.path()).unwrap();
        assert!((100_100..150_000).contains(&measured), "{measured}");
        assert!(size_bytes(&place.path().join("none")).is_err());
    }
}
