//! A helper of the test's own, in a process of its own, with one base layer that holds the probe.

use model::instance::RangeIndex;
use model::{DiffId, Instance, Limits, Paths, limits::MIB};
use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use windlass_sandbox::cgroup::Layout;
use windlass_sandbox::client::Helper;
use windlass_sandbox::request::{Ended, Kind, LayerRef, Network, SandboxId, SandboxSpec};

pub(crate) const PROBE: &str = env!("CARGO_BIN_EXE_sandbox-probe");

/// Everything goes when it is dropped.
pub(crate) struct World {
    pub(crate) instance: Instance,
    pub(crate) paths: Paths,
    pub(crate) helper: Helper,
    process: Option<Child>,
    directory: TempDir,
    reserve: u64,
    git_file_bytes: u64,
    _lease: UnixListener,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_reserve(0).await
    }

    /// A helper whose git processes write no larger file than this.
    pub(crate) async fn with_git_file_bytes(git_file_bytes: u64) -> Self {
        Self::with(0, git_file_bytes).await
    }

    /// A helper that keeps so many bytes free.
    pub(crate) async fn with_reserve(reserve: u64) -> Self {
        Self::with(reserve, 1 << 30).await
    }

    async fn with(reserve: u64, git_file_bytes: u64) -> Self {
        let (instance, lease) = lease();
        let directory = place();
        let paths = Paths::new(directory.path().join("data"), directory.path().join("run"));
        let helper = Helper::new(paths.helper_socket());
        let mut world = Self {
            instance,
            paths,
            helper,
            process: None,
            directory,
            reserve,
            git_file_bytes,
            _lease: lease,
        };
        fs::create_dir(world.program().parent().unwrap()).unwrap();
        // By a program of its own: no other test's child inherits the copy while it is open for writing.
        output("/usr/bin/cp", &[PROBE, world.program().to_str().unwrap()]);
        world.start_helper().await;
        world.publish(&base(), |tree| {
            fs::copy(PROBE, tree.join("probe")).unwrap();
            for directory in ["etc", "tmp", "workspace"] {
                fs::create_dir(tree.join(directory)).unwrap();
            }
            fs::write(tree.join("etc/kept"), "from the layer").unwrap();
        });
        fs::set_permissions(world.tree(&base()).join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        let user = world.instance.first_id(RangeIndex::STORE) + 1000;
        chown(world.tree(&base()).join("workspace"), Some(user), Some(user)).unwrap();
        world
    }

    /// The platform's program, where every user may run it: a checkout may be root's alone.
    pub(crate) fn program(&self) -> PathBuf {
        self.directory.path().join("bin/probe")
    }

    pub(crate) async fn start_helper(&mut self) {
        let child = Command::new(self.program())
            .args(["helper", &self.instance.0.to_string()])
            .args([&self.paths.data, &self.paths.run])
            .env("FREE_RESERVE_BYTES", self.reserve.to_string())
            .env("GIT_FILE_BYTES", self.git_file_bytes.to_string())
            .spawn()
            .unwrap();
        self.process = Some(child);
        for _ in 0..6000 {
            if self.helper.list().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the helper does not answer");
    }

    /// kill -9.
    pub(crate) fn kill_helper(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// A connection from the network in which the helper and its tools are.
    pub(crate) fn connect_from_host(&self, address: &str) -> String {
        let helper = self.process.as_ref().unwrap().id().to_string();
        output("/usr/bin/nsenter", &["-t", &helper, "-n", "--", PROBE, "connect", address])
    }

    pub(crate) fn tree(&self, layer: &DiffId) -> PathBuf {
        self.paths.layer(layer).join("tree")
    }

    /// Puts a layer into the store as the unpack worker leaves it.
    pub(crate) fn publish(&self, layer: &DiffId, fill: impl FnOnce(&Path)) {
        let tree = self.tree(layer);
        fs::create_dir_all(&tree).unwrap();
        fill(&tree);
        let store = self.instance.first_id(RangeIndex::STORE);
        own(&self.paths.layer(layer), store);
        fs::write(self.paths.layer(layer).join("meta.json"), "{}").unwrap();
    }

    /// A build without network that runs the probe.
    pub(crate) fn build(words: &[&str]) -> SandboxSpec {
        Self::spec(Kind::Build, Limits { wall_seconds: Some(60), ..Limits::BUILD }, words)
    }

    /// A service without network that runs the probe.
    pub(crate) fn service(words: &[&str]) -> SandboxSpec {
        Self::spec(Kind::Service, Limits { writable_bytes: 64 * MIB, ..Limits::SERVICE }, words)
    }

    fn spec(kind: Kind, limits: Limits, words: &[&str]) -> SandboxSpec {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        SandboxSpec {
            id: format!("test-{number}").parse().unwrap(),
            kind,
            range: RangeIndex(16 + number % 200),
            layers: vec![LayerRef::Published(base())],
            argv: ["/probe"].iter().chain(words).map(|word| (*word).to_owned()).collect(),
            env: vec![("GREETING".to_owned(), "hello".to_owned())],
            cwd: "/workspace".to_owned(),
            user_id: 1000,
            group_id: 1000,
            limits,
            network: Network::None,
            ca_bundle: false,
        }
    }

    fn log_path(&self, id: &SandboxId) -> PathBuf {
        self.directory.path().join(format!("{id}.log"))
    }

    pub(crate) fn log(&self, id: &SandboxId) -> OwnedFd {
        OpenOptions::new().create(true).append(true).open(self.log_path(id)).unwrap().into()
    }

    /// Every row of the sandbox's log so far, one a line.
    pub(crate) fn text(&self, id: &SandboxId) -> String {
        let mut reader = logs::Reader::open(&self.log_path(id), 0).unwrap();
        let mut text = String::new();
        while let Some(entry) = reader.next_row().unwrap() {
            text.push_str(&String::from_utf8_lossy(&entry.row.bytes));
            text.push('\n');
        }
        text
    }

    pub(crate) async fn start(&self, spec: &SandboxSpec) {
        self.helper.create(spec, self.log(&spec.id)).await.unwrap();
        self.helper.start(&spec.id).await.unwrap();
    }

    /// Runs to the end and gives that and the log.
    pub(crate) async fn run(&self, spec: &SandboxSpec) -> (Ended, String) {
        self.start(spec).await;
        let ended = self.helper.wait(&spec.id).await.unwrap();
        (ended, self.text(&spec.id))
    }

    /// Waits until the log holds these words.
    pub(crate) async fn until_said(&self, id: &SandboxId, words: &str) {
        let began = Instant::now();
        while !self.text(id).contains(words) {
            assert!(began.elapsed() < Duration::from_secs(60), "never said {words:?}: {}", self.text(id));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything of this instance that the machine still holds: processes' groups, loop devices, mounts.
    pub(crate) fn left_overs(&self, id: &SandboxId) -> Vec<String> {
        let mut left = Vec::new();
        for path in [self.paths.sandbox_runs(), self.paths.sandboxes(), self.paths.run.join("runtime")] {
            for entry in fs::read_dir(&path).unwrap().flatten() {
                if entry.file_name().to_string_lossy().contains(id.as_str()) {
                    left.push(entry.path().display().to_string());
                }
            }
        }
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let group = hierarchy.path().join(self.instance.tag()).join(id.as_str());
            if group.exists() {
                left.push(group.display().to_string());
            }
        }
        let scopes = Path::new("/sys/fs/cgroup/windlass.slice/windlass-tools.slice");
        let scope = scopes.join(format!("{}-{id}.scope", self.instance.tag()));
        left.extend(scope.exists().then(|| scope.display().to_string()));
        let own = self.directory.path().display().to_string();
        let devices = fs::read_dir("/sys/block").unwrap().flatten();
        for device in devices {
            let file = fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
            if file.contains(&own) && file.contains(&format!("/{id}/")) {
                left.push(format!("{} {file}", device.path().display()));
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains(&own)).map(str::to_owned));
        left
    }

    /// The pid of the process that holds the sandbox's shim lock.
    pub(crate) fn shim_pid(&self, id: &SandboxId) -> rustix::process::Pid {
        let own = self.paths.sandbox_runs().join(id.as_str());
        let shim = format!("{}\0shim\0", self.program().display());
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
            if command != shim.as_bytes() {
                continue;
            }
            let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
            for descriptor in descriptors {
                if fs::read_link(descriptor.path()).is_ok_and(|target| target.starts_with(&own)) {
                    let pid = process.file_name().to_string_lossy().parse().unwrap();
                    return rustix::process::Pid::from_raw(pid).unwrap();
                }
            }
        }
        panic!("no shim of {id}");
    }

    /// Waits until nothing is left of a sandbox (loop devices go a moment after their mount).
    pub(crate) async fn assert_nothing_left(&self, id: &SandboxId) {
        let began = Instant::now();
        loop {
            let left = self.left_overs(id);
            if left.is_empty() {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{left:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        // What a failed test left running; the groups name this instance alone.
        let layout = Layout::here();
        for group in layout.all(self.instance).into_iter().flatten() {
            let _ = group.kill_all();
        }
        let _ = layout.remove_all(self.instance);
        // A runtime that the killed helper had started makes its directory again if it is still missing.
        let own = self.directory.path().display().to_string();
        for _ in 0..100 {
            if !is_named_by_a_process(&own) && fs::remove_dir_all(&own).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether a running command names this path.
fn is_named_by_a_process(path: &str) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut commands = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    commands.any(|command| String::from_utf8_lossy(&command).contains(path))
}

/// The layer with the probe.
pub(crate) fn base() -> DiffId {
    format!("sha256:{}", "ba5e".repeat(16)).parse().unwrap()
}

/// Gives a whole tree to one owner.
pub(crate) fn own(path: &Path, id: u32) {
    std::os::unix::fs::lchown(path, Some(id), Some(id)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap().flatten() {
            own(&entry.path(), id);
        }
    }
}

/// A directory that goes with the test and that every id may pass through.
pub(crate) fn place() -> TempDir {
    let place = tempfile::Builder::new().prefix("windlass-sandbox-place-").tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711)).unwrap();
    place
}

/// An instance number that no other test uses at this moment: whoever holds its name in the kernel. Platforms take
/// the low numbers, the tests of the shim alone the last one.
fn lease() -> (Instance, UnixListener) {
    use model::instance::MAX_INSTANCES;
    for _ in 0..1000 {
        for number in MAX_INSTANCES / 2..MAX_INSTANCES - 1 {
            let name = SocketAddr::from_abstract_name(format!("windlass-test-instance-{number}")).unwrap();
            if let Ok(listener) = UnixListener::bind_addr(&name) {
                return (Instance(number), listener);
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("every test instance is in use");
}

/// Nothing to read and nowhere to write.
pub(crate) fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

/// Runs a worker with this input; gives status, output and error output.
pub(crate) async fn work(
    world: &World,
    worker: windlass_sandbox::request::Worker,
    input: &str,
) -> (i32, String, String) {
    let place = world.directory.path();
    fs::write(place.join("in"), input).unwrap();
    let open = |name: &str| OwnedFd::from(File::create(place.join(name)).unwrap());
    let stdin = OwnedFd::from(File::open(place.join("in")).unwrap());
    let running = world.helper.worker(worker, stdin, open("out"), open("err")).await.unwrap();
    let status = running.status().await.unwrap();
    let read = |name: &str| fs::read_to_string(place.join(name)).unwrap();
    (status, read("out"), read("err"))
}

/// Output of an ordinary program.
pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
