//! Whatever changes the store is killed after each of its steps, in a process of its own: what has a name is whole,
//! the next start clears the rest, what tools run on stays, and the same work done again ends as if nothing had been.

use crate::{LayerWriter, Owner, Published, Store, UnpackLimits, WriteError, scrub::Outcome};
use model::Paths;
use rustix::process::{Signal, getpid, kill_process};
use std::{
    collections::BTreeSet,
    env,
    fs::{self, File, OpenOptions},
    io::Write,
    os::{fd::AsRawFd, unix::process::ExitStatusExt},
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Set in the process that works: what it does, where, with which layer, after how many steps it is killed, and where it
/// writes their names.
const WORK: &str = "WINDLASS_TEST_WORK";
const HOME: &str = "WINDLASS_TEST_HOME";
const LAYER: &str = "WINDLASS_TEST_LAYER";
const KILL_AFTER: &str = "WINDLASS_TEST_KILL_AFTER";
const STEPS: &str = "WINDLASS_TEST_STEPS";

/// All that is killed.
const WORKS: [&str; 8] = [
    "publish",
    "publish what is there",
    "unpack",
    "write a blob",
    "collect",
    "mend a directory",
    "mend a blob",
    "refuse a layer",
];

static PASSED: AtomicUsize = AtomicUsize::new(0);

/// Kills this process when that was the step to be killed after.
pub(crate) fn passed(step: &str) {
    let Ok(after) = env::var(KILL_AFTER) else { return };
    let number = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
    let mut steps = OpenOptions::new().append(true).create(true).open(env::var(STEPS).unwrap()).unwrap();
    writeln!(steps, "{step}").unwrap();
    if after.parse() == Ok(number) {
        kill_process(getpid(), Signal::KILL).unwrap();
        // Until it arrives.
        std::thread::sleep(Duration::from_secs(3600));
    }
}

struct Shelf {
    home: tempfile::TempDir,
    paths: Paths,
    store: Store,
}

impl Shelf {
    /// A store as a work finds it.
    fn before(work: &str, layer: &Published) -> Self {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::new(home.path().join("data"), home.path());
        let shelf = Self { home, store: Store::open(&paths).unwrap(), paths };
        // A neighbour, to which nothing may happen.
        publish(&shelf.store, b"neighbour");
        if !matches!(work, "publish" | "unpack" | "write a blob") {
            publish(&shelf.store, b"app");
        }
        let (tree, blob) =
            (shelf.paths.layer(&layer.diff_id).join("tree"), shelf.paths.blob(&layer.blob_digest));
        if matches!(work, "mend a directory" | "refuse a layer") {
            fs::write(tree.join("workspace/app.py"), b"altered").unwrap();
        }
        if matches!(work, "mend a blob" | "refuse a layer") {
            let mut bytes = fs::read(&blob).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&blob, bytes).unwrap();
        }
        shelf
    }

    /// Does a work in a process of its own, killed after so many steps; gives their names, and whether it was killed.
    fn work_and_kill(&self, work: &str, layer: &Published, after: usize) -> (Vec<String>, bool) {
        let steps = self.home.path().join("steps");
        let ended = Command::new(env::current_exe().unwrap())
            .args(["--exact", "kills::worker", "--quiet"])
            .envs([(WORK, work), (HOME, self.home.path().to_str().unwrap())])
            .env(LAYER, serde_json::to_string(layer).unwrap())
            .envs([(KILL_AFTER, &*after.to_string()), (STEPS, steps.to_str().unwrap())])
            .output()
            .unwrap();
        let killed = ended.status.signal() == Some(9);
        assert!(killed || ended.status.success(), "{work}: {ended:?}");
        let names = fs::read_to_string(&steps).unwrap_or_default();
        (names.lines().map(str::to_owned).collect(), killed)
    }

    /// What every start does.
    fn sweep(&self) {
        self.store.sweep_unfinished(Duration::ZERO).unwrap();
        self.store.empty_trash().unwrap();
        let layers = self.paths.layers();
        assert_eq!(lying(&layers.join(".new"), "") + lying(&layers.join(".trash"), ""), 0);
        assert_eq!(lying(&self.paths.blobs(), ".new-"), 0);
    }

    #[track_caller]
    fn is_whole(&self, layer: &Published) {
        let checked = self.store.mend_layer(&layer.diff_id, &layer.blob_digest, 0).unwrap();
        assert_eq!((checked.outcome, checked.found), (Outcome::Whole, Vec::new()));
    }
}

/// What lies in one of the store's areas.
fn lying(area: &Path, prefix: &str) -> usize {
    let entries = fs::read_dir(area).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).count()
}

fn write_app(layer: &mut LayerWriter<'_>, content: &[u8]) -> Result<(), WriteError> {
    let owner = Owner { user_id: 1000, group_id: 1000 };
    layer.directory("/workspace", 0o755, owner)?;
    layer.file("/workspace/app.py", 0o644, owner, &content.repeat(1000))?;
    layer.symlink("/workspace/latest", "app.py", owner)
}

fn publish(store: &Store, content: &'static [u8]) -> Published {
    store.publish(|layer: &mut LayerWriter<'_>| write_app(layer, content)).unwrap()
}

/// The layer that is worked on, wherever it is published.
fn layer() -> Published {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::new(home.path().join("data"), home.path());
    publish(&Store::open(&paths).unwrap(), b"app")
}

fn work(store: &Store, what: &str, layer: &Published) {
    match what {
        "publish" | "publish what is there" => drop(publish(store, b"app")),
        "unpack" => {
            let mut tar = Vec::new();
            crate::writer::write_layer(&mut tar, |layer| write_app(layer, b"app")).unwrap();
            store.unpack_layer(tar.as_slice(), UnpackLimits::LAYER).unwrap();
        }
        "write a blob" => drop(store.write_blob(b"a manifest").unwrap()),
        "collect" => {
            store.trash(&layer.diff_id).unwrap();
            store.empty_trash().unwrap();
        }
        _ => drop(store.mend_layer(&layer.diff_id, &layer.blob_digest, 0).unwrap()),
    }
}

/// The process that is killed; without what the sweep sets it does nothing.
#[test]
fn worker() {
    let (Ok(what), Ok(home)) = (env::var(WORK), env::var(HOME)) else { return };
    let home = Path::new(&home);
    let layer = serde_json::from_str(&env::var(LAYER).unwrap()).unwrap();
    work(&Store::open(&Paths::new(home.join("data"), home)).unwrap(), &what, &layer);
}

#[test]
fn a_kill_after_any_step_leaves_what_is_named_whole_and_the_rest_to_be_swept() {
    let mut seen = BTreeSet::new();
    let layer = layer();
    let neighbour = publish(&Shelf::before("publish", &layer).store, b"neighbour");
    for what in WORKS {
        let (steps, killed) = Shelf::before(what, &layer).work_and_kill(what, &layer, usize::MAX);
        assert!(!killed && !steps.is_empty(), "{what} has no steps");
        for after in 1..=steps.len() {
            let at = format!("{what}, killed after step {after} of {steps:?}");
            let shelf = Shelf::before(what, &layer);
            let tree = File::open(shelf.paths.layer(&layer.diff_id).join("tree"));
            let (taken, killed) = shelf.work_and_kill(what, &layer, after);
            assert!(killed && taken == steps[..after], "{at}: {taken:?}");
            // Whoever opens the store now sees whole layers, by the names that they have.
            let named = shelf.store.list().unwrap();
            assert_eq!(named.len(), lying(&shelf.paths.layers(), "sha256-"), "{at}");
            shelf.is_whole(&neighbour);
            if what.starts_with("publish") || matches!(what, "unpack" | "collect") {
                for layer in &named {
                    shelf.is_whole(layer);
                }
            }
            shelf.sweep();
            if let (Ok(tree), "mend a directory" | "refuse a layer") = (&tree, what) {
                let running = fs::read(format!("/proc/self/fd/{}/workspace/app.py", tree.as_raw_fd()));
                assert_eq!(
                    running.ok().as_deref(),
                    Some(b"altered".as_slice()),
                    "{at}: taken from under a tool"
                );
            }
            // And again, to its end.
            work(&shelf.store, what, &layer);
            let blob = shelf.store.read_blob(&layer.blob_digest, 1 << 20);
            match what {
                "write a blob" => {
                    let digest = oci::digest_of(b"a manifest");
                    assert_eq!(shelf.store.read_blob(&digest, 100).unwrap(), b"a manifest", "{at}");
                }
                "collect" => assert!(!shelf.store.has(&layer.diff_id), "{at}"),
                "refuse a layer" => assert!(!shelf.store.has(&layer.diff_id) && blob.is_err(), "{at}"),
                _ => {
                    assert!(shelf.store.has(&layer.diff_id) && blob.is_ok(), "{at}");
                    shelf.is_whole(&layer);
                }
            }
            shelf.sweep();
        }
        seen.extend(steps);
    }
    assert_eq!(seen.len(), 13, "{seen:#?}");
}
