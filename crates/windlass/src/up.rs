//! `windlass up`: starts helper, router and serve under ids of their own, starts again what ends, replaces parts when
//! it is asked to, and owns the listening sockets, so that a restarted part misses no connection.

mod child;
pub(crate) mod control;
pub(crate) mod hooks;
mod places;
mod socket;

use crate::{lease::Lease, settings::Settings};
use anyhow::{Context, Result, bail, ensure};
pub(crate) use child::Role;
use child::{Child, Start};
use control::Requests;
use model::{Instance, Paths};
use sandbox::{cgroup::Layout, client::Helper, request::SandboxId, shim};
use socket::Socket;
use std::{
    io::{self, IsTerminal, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
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
    let (serve_id, starter) = (lease.instance.serve_id(), paths.starter_socket());
    let starter = socket::listen(&starter, 0, 0o600)
        .with_context(|| format!("cannot listen on {}", starter.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let start = Rc::new(Start { program, file: file.clone(), instance: lease.instance });
    let part = |role, socket| {
        let (asks, asked) = mpsc::channel(1);
        (asks, Child::new(role, &start, socket, asked))
    };
    let (ask_helper, helper) = part(Role::Helper, Socket::own(paths.helper_socket(), serve_id, 0o600));
    let (ask_router, router) = part(Role::Router, Socket::Public(public));
    // Of the platform's group: the router connects to it.
    let (ask_serve, serve) = part(Role::Serve, Socket::own(paths.serve_socket(), serve_id, 0o660));
    let requests = Requests { helper: ask_helper, router: ask_router, serve: ask_serve };
    let ended = runtime.block_on(supervise(Parts { helper, router, serve }, starter, requests, &paths));
    let removed = remove_instance(lease.instance, &paths.run);
    if let (Err(_), Err(error)) = (&ended, &removed) {
        say(&format!("{error:#}"));
    }
    ended.and(removed)
}

/// Ends what is left of an instance whose parts have ended, and removes what it has on the host: processes, network
/// rules, control groups. Mounts and loop devices go with the shims, which are waited for.
pub(crate) fn remove_instance(instance: Instance, run: &Path) -> Result<()> {
    let layout = Layout::here();
    let until = Instant::now() + SHIMS_WITHIN;
    loop {
        // Again each time: a shim may have been about to start its container.
        for group in layout.all(instance).context("cannot see what runs")? {
            group.kill_all().context("cannot end the tools' processes")?;
        }
        let living = living_shims(&run.join("sandboxes")).context("cannot see which shims live")?;
        if living == 0 {
            break;
        }
        ensure!(Instant::now() < until, "{living} shims do not end; `ps -C windlass` names them");
        std::thread::sleep(Duration::from_millis(20));
    }
    sandbox::network::tool::remove_instance(instance).context("cannot remove the tools' network rules")?;
    layout.remove_all(instance).context("cannot remove the control groups")
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

/// What `up` starts.
struct Parts {
    helper: Child,
    router: Child,
    serve: Child,
}

/// Keeps the parts running until a signal comes or one cannot be kept; ends them in order either way.
async fn supervise(mut parts: Parts, starter: UnixListener, requests: Requests, paths: &Paths) -> Result<()> {
    let ended = keep(&mut parts, starter, requests).await;
    say(&format!("stopping; data stays in {}", paths.data.display()));
    parts.serve.stop().await;
    if tokio::time::timeout(END_WITHIN, end_sandboxes(&Helper::new(paths.helper_socket()))).await.is_err() {
        say(&format!("not everything ended in {} seconds; the rest is killed", END_WITHIN.as_secs()));
    }
    parts.router.stop().await;
    parts.helper.stop().await;
    ended
}

async fn keep(parts: &mut Parts, starter: UnixListener, requests: Requests) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    starter.set_nonblocking(true)?;
    let starter = tokio::net::UnixListener::from_std(starter)?;
    tokio::select! {
        // In this order: the helper is the first to start.
        biased;
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        ended = hang_ups(&requests) => ended,
        Err(error) = control::serve(starter, requests.clone()) => Err(error),
        Err(error) = parts.helper.keep() => Err(error),
        Err(error) = parts.router.keep() => Err(error),
        Err(error) = parts.serve.keep() => Err(error),
    }
}

/// SIGHUP: the end of the terminal that the platform was started from, which ends it; elsewhere the usual word to a
/// service, here to replace all parts by what lies at the program's path.
async fn hang_ups(requests: &Requests) -> Result<()> {
    let on_terminal = io::stdin().is_terminal();
    let mut hang_up = signal(SignalKind::hangup())?;
    while hang_up.recv().await.is_some() && !on_terminal {
        for role in Role::ALL {
            match requests.replace(role).await {
                Ok(took) => say(&format!("{} restarted in {:.1} s", role.name(), took.as_secs_f64())),
                Err(error) => {
                    say(&format!("{} was not restarted: {error:#}", role.name()));
                    break;
                }
            }
        }
    }
    Ok(())
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
