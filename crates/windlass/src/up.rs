//! `windlass up`: starts helper, router and serve under ids of their own, starts again what ends, and owns the
//! listening sockets, so that a restarted part misses no connection.

mod child;
pub(crate) mod hooks;
mod places;

use crate::{lease::Lease, settings::Settings};
use anyhow::{Context, Result, bail, ensure};
use child::{Child, Role};
use model::{Instance, Paths};
use sandbox::{cgroup::Group, client::Helper, request::SandboxId, shim};
use std::{
    io::{self, Write},
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixListener,
    },
    path::Path,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

/// How long a tool's processes get to end in good order when the platform stops.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long ending all tools may take before what is left of them is killed.
const END_WITHIN: Duration = Duration::from_secs(40);
/// How long shims may live on after their sandboxes' processes.
const SHIMS_WITHIN: Duration = Duration::from_secs(15);

/// Runs the platform until Ctrl-C, SIGTERM or the end of its terminal, then ends its tools and keeps their data.
pub(crate) fn run(file: &Path) -> Result<()> {
    let settings = Settings::read(file)?;
    // The parts run elsewhere: they need the whole path. What they would refuse is refused before anything starts.
    let file = &file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?;
    crate::serve::check(&settings)?;
    if !rustix::process::geteuid().is_root() {
        bail!("the platform is started by root; its parts then give that up: sudo windlass up");
    }
    // Sockets and directories get the modes that stand in the code, whatever the starter's shell says.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // Named now: after an upgrade the kernel calls this process's program "(deleted)".
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let paths = settings.paths();
    std::fs::create_dir_all(&paths.data).with_context(|| format!("cannot make {}", paths.data.display()))?;
    let lease = Lease::take(&paths.data)?;
    places::prepare(&paths, lease.instance)?;
    hooks::install(&paths, &program)?;
    let public = TcpListener::bind(settings.server.listen).with_context(|| {
        format!("cannot listen on {} (windlass.toml: server.listen)", settings.server.listen)
    })?;
    let helper = helper_socket(&paths, lease.instance)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let part = |role, socket| Child::new(role, &program, file, lease.instance, socket);
    let parts = Parts {
        helper: part(Role::Helper, helper.into()),
        router: part(Role::Router, public.into()),
        serve: part(Role::Serve, std::fs::File::open("/dev/null")?.into()),
    };
    let ended = runtime.block_on(supervise(parts, &paths));
    let removed = remove_instance(lease.instance, &paths.run);
    if let (Err(_), Err(error)) = (&ended, &removed) {
        say(&format!("{error:#}"));
    }
    ended.and(removed)
}

/// Ends what is left of an instance whose parts have ended, and removes what it has on the host: processes, network
/// rules, control groups. Mounts and loop devices go with the shims, which are waited for.
pub(crate) fn remove_instance(instance: Instance, run: &Path) -> Result<()> {
    let group = Group::new(&format!("/{}", instance.tag()));
    let until = Instant::now() + SHIMS_WITHIN;
    loop {
        // Again each time: a shim may have been about to start its container.
        group.kill_all().context("cannot end the tools' processes")?;
        let living = living_shims(&run.join("sandboxes")).context("cannot see which shims live")?;
        if living == 0 {
            break;
        }
        ensure!(Instant::now() < until, "{living} shims do not end; `ps -C windlass` names them");
        std::thread::sleep(Duration::from_millis(20));
    }
    sandbox::network::tool::remove_instance(instance).context("cannot remove the tools' network rules")?;
    group.remove().context("cannot remove the cgroup")
}

fn living_shims(sandboxes: &Path) -> io::Result<usize> {
    let entries = match std::fs::read_dir(sandboxes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let mut living = 0;
    for entry in entries {
        living += usize::from(shim::state::is_alive(&entry?.path())?);
    }
    Ok(living)
}

/// Tells the operator. The terminal that is told may be gone, which must not end the platform out of order.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "windlass: {text}");
}

fn helper_socket(paths: &Paths, instance: Instance) -> Result<UnixListener> {
    let path = paths.helper_socket();
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let listener =
        UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    chown(&path, Some(instance.serve_id()), Some(instance.serve_id()))?;
    Ok(listener)
}

/// What `up` starts.
struct Parts {
    helper: Child,
    router: Child,
    serve: Child,
}

/// Keeps the parts running until a signal comes or one cannot be kept; ends them in order either way.
async fn supervise(mut parts: Parts, paths: &Paths) -> Result<()> {
    let ended = keep(&mut parts).await;
    say(&format!("stopping; data stays in {}", paths.data.display()));
    parts.serve.stop().await;
    if tokio::time::timeout(END_WITHIN, end_sandboxes(&Helper::new(paths.helper_socket()))).await.is_err() {
        say(&format!("not everything ended in {} seconds; the rest is killed", END_WITHIN.as_secs()));
    }
    parts.router.stop().await;
    parts.helper.stop().await;
    ended
}

async fn keep(parts: &mut Parts) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        // In this order: the helper is the first to start.
        biased;
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
        Err(error) = parts.helper.keep() => Err(error),
        Err(error) = parts.router.keep() => Err(error),
        Err(error) = parts.serve.keep() => Err(error),
    }
}

/// Ends and removes everything that runs, side by side.
async fn end_sandboxes(helper: &Helper) {
    let rows = match helper.list().await {
        Ok(rows) => rows,
        Err(error) => {
            say(&format!("cannot see what runs: {error}"));
            return;
        }
    };
    let mut ends = JoinSet::new();
    for row in rows {
        let helper = helper.clone();
        ends.spawn(async move { (end(&helper, &row.id).await, row.id) });
    }
    while let Some(Ok((ended, id))) = ends.join_next().await {
        if let Err(error) = ended {
            say(&format!("{id} was not ended: {error}"));
        }
    }
}

async fn end(helper: &Helper, id: &SandboxId) -> Result<()> {
    helper.kill(id, STOP_GRACE).await?;
    helper.remove(id).await?;
    Ok(())
}
