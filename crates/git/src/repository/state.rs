//! How a repository lies on disk, told by directory listings alone: no process, and no byte of an object is read.

use std::{fs, io, path::Path, time::SystemTime};

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
    let mut loose = 0;
    for entry in fs::read_dir(&objects)? {
        let path = entry?.path();
        // Two hex digits; `info` and `pack` are longer.
        if path.file_name().is_some_and(|name| name.len() == 2) {
            loose += fs::read_dir(path).map_or(0, Iterator::count);
        }
    }
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
