//! A real shim around a real container, as the helper would start it, in a directory that goes with the test.
#![allow(clippy::unwrap_used, reason = "support of tests: they fail by panicking")]

use model::{Instance, Limits, instance::RangeIndex, limits::MIB};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use windlass_sandbox::cgroup::Group;
use windlass_sandbox::mounts::{Plan, Upper};
use windlass_sandbox::request::{Ended, KilledBy, State};
use windlass_sandbox::shim::state::{self, Ask, Reply};
use windlass_sandbox::shim::{CONFIG_FD, Config, LOG_FD, READY_FD, Ready};

/// An instance that no platform on this machine gets.
const INSTANCE: Instance = Instance(model::instance::MAX_INSTANCES - 1);
const RUNTIME: &str = "/usr/sbin/runc";
static COUNT: AtomicU32 = AtomicU32::new(0);

pub(crate) const LIMITS: Limits =
    Limits { memory_bytes: 64 * MIB, pids: 64, wall_seconds: Some(120), ..Limits::TASK };

pub(crate) struct Kept {
    place: tempfile::TempDir,
    pub(crate) shim: Child,
    pub(crate) ready: Ready,
    config: Config,
    group: Group,
}

impl Kept {
    /// A container of the probe with these words, created and not started.
    pub(crate) fn create(limits: Limits, argv: &[&str]) -> Self {
        Self::create_with(limits, argv, &windlass_sandbox::seccomp::profile())
    }

    /// The same under another system call profile.
    pub(crate) fn create_with(limits: Limits, argv: &[&str], seccomp: &serde_json::Value) -> Self {
        let place = tempfile::tempdir().unwrap();
        // The container's root, an ordinary user of the host, must reach its root directory.
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let config = config(place.path(), limits);
        make_layer(&place.path().join("layer"));
        let upper = place.path().join("upper");
        fs::create_dir_all(upper.join("upper")).unwrap();
        fs::create_dir(upper.join("work")).unwrap();
        chown(upper.join("upper"), Some(config.mounts.tool_id), Some(config.mounts.tool_id)).unwrap();
        fs::create_dir(&config.mounts.at).unwrap();
        fs::create_dir(config.directory.join("bundle")).unwrap();
        let text = bundle(&config, argv, seccomp).to_string();
        fs::write(config.directory.join("bundle/config.json"), text).unwrap();
        let group = Group::new(&config.cgroup);
        let (shim, ready) = start(&config, &place.path().join("log"));
        Self { place, shim, ready, config, group }
    }

    /// The same, started.
    pub(crate) fn run(limits: Limits, argv: &[&str]) -> Self {
        let kept = Self::create(limits, argv);
        assert!(matches!(kept.ready, Ready::Created { .. }), "{:?}", kept.ready);
        assert_eq!(kept.ask(Ask::Start), Reply::State { state: State::Running });
        kept
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.config.directory
    }

    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    pub(crate) fn shim_id(&self) -> u32 {
        self.config.drop_to
    }

    pub(crate) fn ask(&self, ask: Ask) -> Reply {
        state::ask(self.directory(), ask).unwrap()
    }

    pub(crate) fn kill(&self, grace_milliseconds: u64) {
        self.ask(Ask::Kill { grace_milliseconds, because: KilledBy::Request });
    }

    /// Waits as the helper does.
    pub(crate) fn ended(&self) -> Ended {
        state::wait_gone(self.directory()).unwrap();
        state::ended(self.directory()).unwrap().expect("the shim told how it ended")
    }

    /// The log so far: who spoke, and the text.
    pub(crate) fn rows(&self) -> Vec<(logs::Stream, String)> {
        let mut reader = logs::Reader::open(&self.place.path().join("log"), 0).unwrap();
        std::iter::from_fn(|| reader.next_row().unwrap())
            .map(|entry| (entry.row.stream, String::from_utf8(entry.row.bytes).unwrap()))
            .collect()
    }

    pub(crate) fn texts(&self, stream: logs::Stream) -> Vec<String> {
        self.rows().into_iter().filter(|(from, _)| *from == stream).map(|(_, text)| text).collect()
    }

    /// Waits until the log holds this text.
    pub(crate) fn hears(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.rows().iter().any(|(_, row)| row.contains(text)) {
            assert!(Instant::now() < deadline, "never heard {text:?} in {:?}", self.rows());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.shim.kill();
        let _ = self.shim.wait();
        let _ = self.group.kill_all();
        let mut delete = Command::new(RUNTIME);
        delete.arg("--root").arg(&self.config.runtime_root).args([
            "delete",
            "--force",
            &self.config.container,
        ]);
        let _ = delete.output(); // There is none when it was refused.
        self.group.remove().unwrap();
    }
}

fn config(place: &Path, limits: Limits) -> Config {
    let id = format!("shim-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let directory = place.join("sandbox");
    fs::create_dir(&directory).unwrap();
    Config {
        id: id.parse().unwrap(),
        runtime: RUNTIME.into(),
        runtime_root: place.join("runtime"),
        container: format!("windlass-test-{id}"),
        mounts: Plan {
            at: directory.join("mounts"),
            data: place.to_owned(),
            layers: vec![PathBuf::from("layer")],
            upper: Upper::Directory(place.join("upper")),
            store_id: INSTANCE.first_id(RangeIndex::STORE),
            tool_id: INSTANCE.first_id(RangeIndex(16)),
        },
        directory,
        cgroup: format!("/windlass-test-{id}"),
        own_cgroup: None,
        limits,
        drop_to: INSTANCE.shim_id(),
    }
}

/// The probe and the directories that the runtime mounts on, owned by the store's range.
fn make_layer(layer: &Path) {
    for directory in ["", "proc", "dev", "tmp"] {
        fs::create_dir(layer.join(directory)).unwrap();
    }
    fs::set_permissions(layer.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_sandbox-probe"), layer.join("probe")).unwrap();
    fs::write(layer.join("notes.txt"), "not a program").unwrap();
    let store_id = INSTANCE.first_id(RangeIndex::STORE);
    for path in ["", "proc", "dev", "tmp", "probe", "notes.txt"] {
        chown(layer.join(path), Some(store_id), Some(store_id)).unwrap();
    }
}

fn bundle(config: &Config, argv: &[&str], seccomp: &serde_json::Value) -> serde_json::Value {
    let limits = &config.limits;
    let ids = json!([{ "containerID": 0, "hostID": config.mounts.tool_id, "size": 65536 }]);
    let namespaces =
        ["user", "mount", "pid", "ipc", "uts", "network", "cgroup"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": config.mounts.at.join("root") },
        "process": {
            "user": { "uid": 1000, "gid": 1000 }, "args": argv, "cwd": "/", "env": ["PATH=/"],
            "noNewPrivileges": true
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"] }
        ],
        "linux": {
            "uidMappings": ids, "gidMappings": ids, "namespaces": namespaces, "cgroupsPath": config.cgroup,
            "resources": {
                "memory": { "limit": limits.memory_bytes, "swap": limits.memory_bytes },
                "pids": { "limit": limits.pids }
            },
            "seccomp": seccomp
        }
    })
}

/// Starts `sandbox-probe shim` with the three descriptors and waits for its word.
fn start(config: &Config, log: &Path) -> (Child, Ready) {
    let (config_read, mut config_write) = std::io::pipe().unwrap();
    let (mut ready_read, ready_write) = std::io::pipe().unwrap();
    let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    // Above the agreed numbers, so that placing one does not cover another.
    let above = |descriptor: OwnedFd| rustix::io::fcntl_dupfd_cloexec(&descriptor, 64).unwrap();
    let given = [
        (above(config_read.into()), CONFIG_FD),
        (above(log.into()), LOG_FD),
        (above(ready_write.into()), READY_FD),
    ];
    let numbers: Vec<(i32, i32)> = given.iter().map(|(from, to)| (from.as_raw_fd(), *to)).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox-probe"));
    command.arg("shim");
    // SAFETY: dup2 is async-signal-safe, and nothing else happens between fork and exec.
    #[expect(unsafe_code, reason = "descriptors at fixed numbers need a hook between fork and exec")]
    unsafe {
        command.pre_exec(move || {
            numbers.iter().try_for_each(|(from, to)| match libc::dup2(*from, *to) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            })
        });
    }
    let shim = command.spawn().unwrap();
    drop(given);
    config_write.write_all(&serde_json::to_vec(config).unwrap()).unwrap();
    drop(config_write);
    let mut ready = Vec::new();
    ready_read.read_to_end(&mut ready).unwrap();
    (shim, serde_json::from_slice(&ready).expect("the shim said a word before it died"))
}
