//! One application, started in its sandbox and outside: the same files, command, environment and user number.
//!
//! Inside is the sandbox that serve asks for, asked for once more. Outside is a plain copy of the same layers in one
//! directory, entered with chroot: no overlay, no mapped ids, no namespace but for mounts, no limit, no filter. Both are
//! timed in the same way: from the moment the process is no longer the one that waits to become the launcher, to the
//! first answer on its port.

use crate::table::{Table, middle};
use anyhow::{Context, Result, bail, ensure};
use model::Paths;
use rustix::process::{Pid, Signal, kill_process_group};
use sandbox::{
    client::Helper,
    request::{Kind, LayerRef, SandboxSpec},
};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use testkit::World;

/// Between two looks at a process or at its port.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const GIVE_UP: Duration = Duration::from_mins(1);
/// Names of what a process is before it becomes the launcher: the runtime's first process, and those of [`SCRIPT`].
const WAITING: [&str; 6] = ["runc:[2:INIT]", "windlass-bench", "unshare", "sh", "chroot", "env"];

/// Prepares a root directory, waits for a line, and becomes the command in it. Arguments: root, user, command.
const SCRIPT: &str = r#"
root=$1 user=$2; shift 2
/usr/bin/mount -t proc proc "$root/proc" && /usr/bin/mount --rbind /dev "$root/dev" || exit 1
echo ready
read -r go
exec /usr/sbin/chroot --userspec="+$user:+$user" "$root" /usr/bin/env -C /workspace -- "$@"
"#;

/// Shows one directory made of layers and copies it. Arguments: target, lowest layer last, separated by colons.
const COPY: &str = r#"
target=$1 layers=$2
/usr/bin/mkdir -p "$target.view" "$target"
/usr/bin/mount -t overlay overlay -o "ro,lowerdir=$layers" "$target.view" && /usr/bin/cp -a "$target.view/." "$target"
"#;

/// Measures both in turns; the first round of each only warms the page cache.
pub(crate) fn compare(world: &World, table: &mut Table, tool: &str, times: u64) -> Result<()> {
    let paths = paths(world)?;
    let spec = live(&paths, tool)?;
    let root = copy(&paths, &spec, tool)?;
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for round in 0..=times {
        let times = (time_inside(&paths, &spec, tool, round)?, time_outside(&spec, &root)?);
        if round > 0 {
            inside.push(times.0);
            outside.push(times.1);
        }
    }
    fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
    table.heading(format!("{tool}: start of the application, from exec of the launcher to the first answer"));
    table.seconds("in its sandbox", &inside);
    table.seconds("outside", &outside);
    let ratio = middle(&inside) / middle(&outside);
    table.words(format!("medians: {ratio:.2} times as long in the sandbox"));
    Ok(())
}

/// The application's own start, outside of every sandbox and container; the first one only warms the page cache.
pub(crate) fn own(world: &World, tool: &str, times: u64) -> Result<Vec<Duration>> {
    let paths = paths(world)?;
    let spec = live(&paths, tool)?;
    let root = copy(&paths, &spec, tool)?;
    time_outside(&spec, &root)?;
    let starts = (0..times).map(|_| time_outside(&spec, &root)).collect();
    fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
    starts
}

fn paths(world: &World) -> Result<Paths> {
    let run = Path::new("/run").join(world.data.file_name().context("a data directory has a name")?);
    Ok(Paths::new(&world.data, run))
}

/// What serve asked for when it started the tool, as the helper wrote it down.
fn live(paths: &Paths, tool: &str) -> Result<SandboxSpec> {
    for entry in fs::read_dir(paths.sandbox_runs())?.flatten() {
        let Ok(record) = fs::read(entry.path().join("record.json")) else { continue };
        let record: serde_json::Value = serde_json::from_slice(&record)?;
        let spec: SandboxSpec = serde_json::from_value(record["spec"].clone())?;
        if spec.env.iter().any(|(name, value)| name == "WINDLASS_TOOL" && value == tool) {
            return Ok(spec);
        }
    }
    bail!("no sandbox of {tool} is there")
}

fn time_inside(paths: &Paths, live: &SandboxSpec, tool: &str, round: u64) -> Result<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let helper = Helper::new(paths.helper_socket());
    let mut spec = live.clone();
    spec.id = format!("bench-{tool}-{round}").parse()?;
    // A copy that no row of the store knows would be removed as a service; as a task it is let be.
    spec.kind = Kind::Task;
    spec.limits.wall_seconds = Some(GIVE_UP.as_secs());
    let log = fs::File::create(paths.data.join("bench.log"))?;
    let created = runtime.block_on(helper.create(&spec, log.into()))?;
    let measured = (|| {
        let address = created.address.context("a sandbox without an address")?;
        let pid = fs::read_to_string(paths.sandbox_runs().join(spec.id.as_str()).join("container.pid"))?;
        let pid: i32 = pid.trim().parse()?;
        let watcher = thread::spawn(move || time(pid, SocketAddr::from((address, 8000))));
        runtime.block_on(helper.start(&spec.id))?;
        watcher.join().map_err(|_| anyhow::anyhow!("the watcher of a start panicked"))?
    })();
    runtime.block_on(helper.kill(&spec.id, Duration::ZERO))?;
    runtime.block_on(helper.remove(&spec.id))?;
    measured.context("the application did not start in its sandbox")
}

fn time_outside(spec: &SandboxSpec, root: &Path) -> Result<Duration> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let user = fs::metadata(root.join("workspace"))?.uid();
    let mut child = Command::new("/usr/bin/unshare")
        .args(["--mount", "--", "/bin/sh", "-c", SCRIPT, "sh"])
        .arg(root)
        .arg(user.to_string())
        .args(&spec.argv)
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .env("PORT", port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let measured = go(&mut child, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("no process group")?;
    // It may have ended already; then `measured` says why.
    let _ = kill_process_group(group, Signal::KILL);
    child.wait()?;
    measured.context("the application did not start outside")
}

/// Lets a prepared child become the command, and times it.
fn go(child: &mut Child, address: SocketAddr) -> Result<Duration> {
    let (mut stdin, stdout) = child.stdin.take().zip(child.stdout.take()).context("a child without pipes")?;
    let mut line = String::new();
    let mut stdout = BufReader::new(stdout);
    stdout.read_line(&mut line)?;
    ensure!(line == "ready\n", "its root directory could not be prepared");
    let pid = i32::try_from(child.id())?;
    let watcher = thread::spawn(move || time(pid, address));
    stdin.write_all(b"go\n")?;
    watcher.join().map_err(|_| anyhow::anyhow!("the watcher of a start panicked"))?
}

/// From the moment the process is the launcher to the first answer at `address`.
fn time(pid: i32, address: SocketAddr) -> Result<Duration> {
    let until = Instant::now() + GIVE_UP;
    let name = PathBuf::from(format!("/proc/{pid}/comm"));
    loop {
        let name = fs::read_to_string(&name).context("it ended before it was the launcher")?;
        if !WAITING.contains(&name.trim_end()) {
            break;
        }
        ensure!(Instant::now() < until, "it is still `{}`", name.trim_end());
        thread::sleep(LOOK_EVERY);
    }
    let began = Instant::now();
    while !answers(address) {
        ensure!(Instant::now() < until, "nothing answers on {address}");
        thread::sleep(LOOK_EVERY);
    }
    Ok(began.elapsed())
}

fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut first = [0; 12];
        stream.read_exact(&mut first)?;
        Ok(&first == b"HTTP/1.1 200" || &first == b"HTTP/1.0 200")
    };
    ask().unwrap_or(false)
}

/// The files of a sandbox's layers in one plain directory.
fn copy(paths: &Paths, spec: &SandboxSpec, tool: &str) -> Result<PathBuf> {
    let mut layers = Vec::new();
    for layer in spec.layers.iter().rev() {
        let LayerRef::Published(diff_id) = layer else { bail!("a running tool has published layers only") };
        layers.push(paths.layer(diff_id).join("tree").display().to_string());
    }
    let target = paths.data.join(format!("bench-{tool}"));
    let status = Command::new("/usr/bin/unshare")
        .args(["--mount", "--", "/bin/sh", "-c", COPY, "sh"])
        .arg(&target)
        .arg(layers.join(":"))
        .status()?;
    ensure!(status.success(), "the layers of {tool} could not be copied into {}", target.display());
    Ok(target)
}
