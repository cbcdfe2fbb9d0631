//! `windlass up`: starts helper, router and serve under ids of their own, starts again what ends, replaces parts and
//! its own program when it is asked to, and owns the listening sockets, so that a restarted part misses no connection.

mod child;
pub(crate) mod control;
pub(crate) mod hand_over;
pub(crate) mod hooks;
mod places;
mod process;
mod socket;

use crate::{lease::Lease, settings::Settings};
use anyhow::{Context, Result, bail, ensure};
pub(crate) use child::Role;
use child::{Child, Start};
use control::{Asker, Requests, Upgrade};
use hand_over::{Part, Running, Taken};
use model::{Instance, Paths};
use sandbox::{cgroup::Layout, client::Helper, request::SandboxId, shim};
use socket::Socket;
use std::{
    io::{self, IsTerminal, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::UnixListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{Mutex, mpsc},
    task::JoinSet,
};

/// How long a tool's processes get to end in good order when the platform stops.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long ending all tools may take before what is left of them is killed.
const END_WITHIN: Duration = Duration::from_secs(40);
/// How long shims may live on after their sandboxes' processes.
const SHIMS_WITHIN: Duration = Duration::from_secs(15);

/// Runs the platform until Ctrl-C, SIGTERM or the end of its terminal, then ends its tools and keeps their data. A
/// program that took the place of another one goes on with what that had.
pub(crate) fn run(file: &Path) -> Result<()> {
    // Under a stricter one of the administrator's the parts could not read what is made for them.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // One thread: it is the parts' parent, and stays when another program takes the place of this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // First of all: until somebody listens, a signal ends the process.
    let signals = runtime.block_on(async { Signals::new() })?;
    let taken = hand_over::receive()?;
    let settings = Settings::read(file)?;
    // The parts run elsewhere: they need the whole path. What they would refuse is refused before anything starts.
    let file = file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?;
    crate::serve::check(&settings)?;
    if !rustix::process::geteuid().is_root() {
        bail!("the platform is started by root; its parts then give that up: sudo windlass up");
    }
    // Sockets and directories get the modes that stand in the code, whatever the starter's shell says.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let paths = settings.paths();
    let (lease, program, taken) = if let Some((lease, program, taken)) = taken {
        (lease, program, Some(taken))
    } else {
        let (lease, program) = first(&paths)?;
        (lease, program, None)
    };
    let instance = lease.instance;
    prepare(&paths, instance, &program)?;
    let (public, starter, taken) = match taken {
        Some(Taken { public, starter, parts, asker, took }) => (public, starter, Some((parts, asker, took))),
        None => (listen(&settings)?, listen_for_root(&paths)?, None),
    };
    let start = Arc::new(Start { program, file, instance, finish: settings.server.finish() });
    let running = Arc::new(Running { lease, starter, settings, start });
    let ended = runtime.block_on(supervise(&running, public, taken, signals));
    let removed = remove_instance(instance, &paths.run);
    if let (Err(_), Err(error)) = (&ended, &removed) {
        say(&format!("{error:#}"));
    }
    ended.and(removed)
}

/// What a platform takes that no other one hands over to, and where its program lies: named now, since after an
/// upgrade the kernel calls it "(deleted)".
fn first(paths: &Paths) -> Result<(Lease, PathBuf)> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    std::fs::create_dir_all(&paths.data).with_context(|| format!("cannot make {}", paths.data.display()))?;
    Ok((Lease::take(&paths.data)?, program))
}

fn listen(settings: &Settings) -> Result<TcpListener> {
    TcpListener::bind(settings.server.listen).with_context(|| {
        format!("cannot listen on {} (windlass.toml: server.listen)", settings.server.listen)
    })
}

fn listen_for_root(paths: &Paths) -> Result<std::os::unix::net::UnixListener> {
    let socket = paths.starter_socket();
    let listener = socket::listen(&socket, 0, 0o600)
        .with_context(|| format!("cannot listen on {}", socket.display()))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Makes the directories and the git hooks of a platform, and mends what is there.
pub(crate) fn prepare(paths: &Paths, instance: Instance, program: &Path) -> Result<()> {
    places::prepare(paths, instance)?;
    hooks::install(paths, program)
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

impl Parts {
    /// The parts, how they are asked for, and where requests for `up` itself come in.
    fn new(running: &Running, public: TcpListener) -> (Self, Requests, mpsc::Receiver<Upgrade>) {
        let (paths, serve_id) = (running.settings.paths(), running.lease.instance.serve_id());
        let part = |role, socket| {
            let (asks, asked) = mpsc::channel(1);
            (asks, Child::new(role, &running.start, socket, asked))
        };
        let (ask_helper, helper) = part(Role::Helper, Socket::own(paths.helper_socket(), serve_id, 0o600));
        let (ask_router, router) = part(Role::Router, Socket::Public(public));
        // Of the platform's group: the router connects to it.
        let (ask_serve, serve) = part(Role::Serve, Socket::own(paths.serve_socket(), serve_id, 0o660));
        let (ask_up, upgrades) = mpsc::channel(1);
        let replacing = Arc::new(Mutex::new(()));
        let requests =
            Requests { helper: ask_helper, router: ask_router, serve: ask_serve, up: ask_up, replacing };
        (Self { helper, router, serve }, requests, upgrades)
    }

    fn take_over(&mut self, taken: [Part; 3]) {
        let [helper, router, serve] = taken;
        self.helper.take_over(helper);
        self.router.take_over(router);
        self.serve.take_over(serve);
    }

    fn hand_over(&self) -> Result<[Part; 3]> {
        Ok([self.helper.hand_over()?, self.router.hand_over()?, self.serve.hand_over()?])
    }
}

/// Keeps the parts running until a signal comes or one cannot be kept; ends them in order either way.
async fn supervise(
    running: &Arc<Running>,
    public: TcpListener,
    taken: Option<([Part; 3], Asker, Duration)>,
    mut signals: Signals,
) -> Result<()> {
    let (mut parts, requests, mut upgrades) = Parts::new(running, public);
    let mut replace_parts = false;
    if let Some((taken, asker, took)) = taken {
        parts.take_over(taken);
        replace_parts = matches!(asker, Asker::Signal);
        asker.tell(Ok(took));
    }
    let ended = loop {
        let kept = keep(&mut parts, running, &requests, &mut upgrades, &mut signals, replace_parts).await;
        match kept {
            Ok(Some(Upgrade { asker, began, .. })) => {
                let handed_over = parts.hand_over();
                let error = handed_over
                    .map_or_else(|error| error, |parts| hand_over::execute(running, &parts, &asker, began));
                asker.tell(Err(error));
                replace_parts = false;
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let paths = running.settings.paths();
    say(&format!("stopping; data stays in {}", paths.data.display()));
    parts.serve.stop().await;
    if tokio::time::timeout(END_WITHIN, end_sandboxes(&Helper::new(paths.helper_socket()))).await.is_err() {
        say(&format!("not everything ended in {} seconds; the rest is killed", END_WITHIN.as_secs()));
    }
    parts.router.stop().await;
    parts.helper.stop().await;
    ended
}

/// What the starter hears.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let [terminate, interrupt, hang_up] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Self { terminate: terminate?, interrupt: interrupt?, hang_up: hang_up? })
    }
}

/// Returns when the platform is to stop, or to go on as another program. Parts that run then run on.
async fn keep(
    parts: &mut Parts,
    running: &Arc<Running>,
    requests: &Requests,
    upgrades: &mut mpsc::Receiver<Upgrade>,
    signals: &mut Signals,
    replace_parts: bool,
) -> Result<Option<Upgrade>> {
    let starter = UnixListener::from_std(running.starter.try_clone()?)?;
    tokio::select! {
        // In this order: the helper is the first to start.
        biased;
        _ = signals.terminate.recv() => Ok(None),
        _ = signals.interrupt.recv() => Ok(None),
        Some(upgrade) = upgrades.recv() => Ok(Some(upgrade)),
        () = hang_ups(&mut signals.hang_up, requests, running, replace_parts) => Ok(None),
        Err(error) = control::serve(starter, requests.clone(), Arc::clone(running)) => Err(error),
        Err(error) = parts.helper.keep() => Err(error),
        Err(error) = parts.router.keep() => Err(error),
        Err(error) = parts.serve.keep() => Err(error),
    }
}

/// SIGHUP: the end of the terminal that the platform was started from, which ends it; elsewhere the usual word to a
/// service, here to replace `up`, and by the new one all parts, by what lies at the program's path.
async fn hang_ups(hang_up: &mut Signal, requests: &Requests, running: &Running, replace_parts: bool) {
    if replace_parts {
        replace_all(requests).await;
    }
    let on_terminal = io::stdin().is_terminal();
    while hang_up.recv().await.is_some() && !on_terminal {
        if let Err((asker, error)) = requests.upgrade(running, Asker::Signal).await {
            asker.tell(Err(error));
        }
    }
}

async fn replace_all(requests: &Requests) {
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
