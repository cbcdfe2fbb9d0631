//! The git program's settings for one push or fetch, passed through its environment so that they outrank the
//! repository's own file and reach every child and the hook (docs/git.md says why each is there).

use std::{path::Path, time::Duration};

/// Where the hooks and the platform's socket lie; the same for every repository.
#[derive(Clone, Debug)]
pub struct Places {
    /// A read-only directory of ours with `pre-receive` and `proc-receive`.
    pub hooks: std::path::PathBuf,
    /// [`crate::Gate`]'s socket.
    pub socket: std::path::PathBuf,
}

/// What one push may take, besides what its tool's quota leaves.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Objects in one pack: each costs memory and time whatever its size.
    pub max_objects: u32,
    /// For the upload alone; the run after it has its own deadlines.
    pub upload_time: Duration,
    /// A client that takes nothing of an answer for this long is given up; the run that it follows goes on.
    pub patience: Duration,
}

/// Names of the variables that a hook reads.
pub const SOCKET_VARIABLE: &str = "WINDLASS_HOOK_SOCKET";
/// The one-time secret of a push: what ties a hook's connection to a client's grant.
pub const PUSH_VARIABLE: &str = "WINDLASS_PUSH";

/// Settings of every git process on a repository.
pub fn common(repository: &Path) -> Vec<(String, String)> {
    let repository = repository.display().to_string();
    pairs(&[
        ("safe.directory", &repository),
        // Fails unless a file exists there, so no hook runs where none was asked for.
        ("core.hooksPath", "/dev/null"),
        ("transfer.hideRefs", "refs/windlass"),
        ("gc.auto", "0"),
        ("receive.autogc", "false"),
        ("pack.threads", "1"),
        ("uploadpack.allowFilter", "false"),
        ("core.bigFileThreshold", "16m"),
        ("core.fsync", "committed,loose-object,reference"),
        ("core.fsyncMethod", "batch"),
    ])
}

/// Settings of `receive-pack`, on top of [`common`].
pub fn receive(places: &Places, max_input_bytes: u64) -> Vec<(String, String)> {
    let hooks = places.hooks.display().to_string();
    let max = max_input_bytes.max(1).to_string();
    let mut all = pairs(&[
        ("core.hooksPath", &hooks),
        // Every ref goes through proc-receive; a narrower pattern would let git write the others unseen.
        ("receive.procReceiveRefs", "refs"),
        ("receive.advertisePushOptions", "true"),
        ("receive.advertiseAtomic", "false"),
        ("receive.keepAlive", "1"),
        ("receive.shallowUpdate", "false"),
        ("receive.fsckObjects", "true"),
        ("receive.maxInputSize", &max),
        // Every pack is kept as it came. Unpacked, its objects take what they are whole, and a few kilobytes that
        // repeat one object become gigabytes on disk.
        ("receive.unpackLimit", "1"),
    ]);
    // Old honest histories carry these.
    for harmless in ["zeroPaddedFilemode", "missingEmail", "badTimezone", "missingSpaceBeforeDate"] {
        all.push((format!("receive.fsck.{harmless}"), "warn".to_owned()));
    }
    all.push(("receive.fsck.badFilemode".to_owned(), "ignore".to_owned()));
    all
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
