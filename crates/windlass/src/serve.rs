//! The platform without rights: API, git door, engine, reconciler. Config → build → run: everything is made first,
//! then everything is started, then it waits for the end.

mod base_images;
mod git_platform;
mod listen;
mod push_options;
mod push_text;
mod sign_ins;
mod stations;
mod unread;

use crate::settings::Settings;
use anyhow::{Context, Result, bail};
use app::{Addresses, App, storage::StorageLimits};
use flow::{
    Line, Nudge,
    layers::{Keeping, StorageSettings},
    replicas::Deploying,
    routes::Routes,
};
use git::{Door, Gate, Repositories, settings::Places};
use git_platform::GitPlatform;
use model::{Limits, limits::MIB};
use router::Control;
use runtime::{Machine, Runtime};
use sandbox::client::Helper;
use std::{os::unix::net, path::Path, sync::Arc, time::Duration};
use store::Store;
use store_sqlite::Sqlite;
use tokio::{
    net::UnixListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long the process waits for its threads at its end.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// How long it takes at most to tell them that it ends.
const END_WITHIN: Duration = Duration::from_secs(3);
/// Between two looks at the pushes that it waits for.
const LOOK: Duration = Duration::from_millis(50);

/// Runs until SIGQUIT, when another serve takes over, or SIGTERM. `ready` is called once requests are answered. The
/// process has the platform's id already and gives up what else it could do.
pub(crate) fn run(settings: &Settings, listener: net::UnixListener, ready: fn()) -> Result<()> {
    rustix::thread::set_no_new_privs(true).context("cannot give up new privileges")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(settings, listener, ready));
    // What still reads a file on a thread of its own must not hold up the end.
    runtime.shutdown_timeout(LEAVE_WITHIN);
    ended
}

async fn serve(settings: &Settings, listener: net::UnixListener, ready: fn()) -> Result<()> {
    // The router shares serve's group and writes its rows into the tools' logs; nobody else may look.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o007));
    let paths = settings.paths();
    let store: Arc<dyn Store> =
        Arc::new(Sqlite::open(&paths.database()).await.context("cannot open the store")?);
    let helper = Helper::new(paths.helper_socket());
    let runtime: Arc<dyn Runtime> = Arc::new(Machine::new(helper.clone()));
    let repositories = Repositories::new(helper, paths.clone());
    let base = base_images::ensure(&paths, runtime.as_ref(), store.as_ref()).await?;
    let nudge = Arc::new(Nudge::default());
    let app_nudge = Arc::new(Notify::new());
    let addresses = Addresses { domain: settings.server.domain.clone(), port: settings.server.listen.port() };
    let commits = Arc::new(git_platform::Code(repositories.clone()));
    let app = App::new(Arc::clone(&store), commits, paths.clone(), addresses, Arc::clone(&app_nudge));
    let (reserve_bytes, max_bytes) = (settings.reserve_bytes()?, settings.storage.max_bytes());
    let limits = StorageLimits { reserve_bytes, max_bytes };
    let app = Arc::new(app.with_on_new_push(settings.runs.on_new_push).with_storage_limits(limits));
    app.ensure_operator().await.context("cannot make the operator's token")?;
    let line = Arc::new(Line {
        store,
        runtime,
        repositories: repositories.clone(),
        routes: Routes::new(Control::new(&paths.router_sockets()), paths.route_table()),
        paths: paths.clone(),
        settings: line_settings(settings)?,
        base,
        nudge: Arc::clone(&nudge),
        deploying: Deploying::default(),
        keeping: Keeping::default(),
    });

    let (ending, to_end) = watch::channel(false);
    let git_platform = Arc::new(GitPlatform {
        app: Arc::clone(&app),
        repositories: repositories.clone(),
        max_pack_bytes: settings.git.max_pack_mebibytes * MIB,
        max_repository_bytes: settings.git.max_repository_mebibytes * MIB,
        ending: to_end,
        nudge: Arc::clone(&nudge),
    });
    let gate = Arc::new(Gate::new(git_platform.clone()));
    let hook_socket = paths.hook_socket(std::process::id());
    if let Some(directory) = hook_socket.parent() {
        clear_hook_sockets(directory).context("cannot clear old sockets for git hooks")?;
    }
    let places = Places { hooks: crate::up::hooks::directory(&paths), socket: hook_socket.clone() };
    let limits = push_limits(settings);
    let door = Door { platform: git_platform, gate: Arc::clone(&gate), repositories, places, limits };
    let registry = registry_door(&app, settings).await?;
    let routes = web::router(app).merge(door.routes()).merge(registry.clone().routes());
    let routes = unread::read_on(sign_ins::limit(routes));

    let (stop, stopped) = watch::channel(false);
    let (leave, left) = watch::channel(false);
    let mut doors = Tasks::new();
    let mut stations = tokio::spawn(stations::work(line, registry, stopped));
    doors.spawn(async move {
        loop {
            app_nudge.notified().await;
            nudge.all();
        }
    });
    let for_hooks = Arc::clone(&gate);
    doors.spawn(async move {
        for_hooks.serve(&hook_socket).await.context("git hooks cannot reach the platform")?;
        Ok("the socket for git hooks")
    });
    listener.set_nonblocking(true)?;
    let mut api = tokio::spawn(listen::listen(UnixListener::from_std(listener)?, routes, left));
    tracing::info!(url = settings.public_url(), "serving");

    let mut signals = Signals::new()?;
    ready();
    let leaving = tokio::select! {
        leaving = signals.recv() => leaving,
        // The starter then starts all of it again: half a platform would look alive and do nothing.
        Some(ended) = doors.join_next() => bail!("{} ended by itself", ended??),
        ended = &mut stations => return ended?,
        ended = &mut api => return ended?,
    };
    // The next serve takes what comes from now on, and the runs as soon as they are handed back.
    let _ = leave.send(true);
    let _ = stop.send(true);
    stations.await??;
    let finished = async {
        let _ = (&mut api).await;
        // A push outlives its client's connection.
        while gate.pushes() > 0 {
            sleep(LOOK).await;
        }
    };
    tokio::pin!(finished);
    if leaving {
        tokio::select! {
            () = &mut finished => return Ok(()),
            () = signals.end() => {}
            () = sleep(settings.server.finish()) => {}
        }
    }
    // Pushes end with a text that says how to follow their runs.
    let _ = ending.send(true);
    let _ = timeout(END_WITHIN, finished).await;
    let _ = std::fs::remove_file(paths.hook_socket(std::process::id()));
    Ok(())
}

/// SIGQUIT: another serve takes over; SIGTERM and SIGINT: the platform stops.
struct Signals {
    quit: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let [quit, terminate, interrupt] =
            [SignalKind::quit(), SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        Ok(Self { quit: quit?, terminate: terminate?, interrupt: interrupt? })
    }

    /// True: another takes over.
    async fn recv(&mut self) -> bool {
        tokio::select! {
            _ = self.quit.recv() => true,
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
        }
    }

    async fn end(&mut self) {
        while self.recv().await {}
    }
}

/// Removes the hook sockets of serve processes that were killed.
fn clear_hook_sockets(directory: &Path) -> std::io::Result<()> {
    for entry in directory.read_dir()? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("hook-") && std::os::unix::net::UnixStream::connect(&path).is_err() {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The registry, and the quota that its pushes and every build are held to.
async fn registry_door(app: &Arc<App>, settings: &Settings) -> Result<registry::Door> {
    let per_tool = settings.storage.per_tool_mebibytes.saturating_mul(MIB);
    app.set_default_quota(per_tool).await.context("cannot keep the quota of storage.per_tool_mebibytes")?;
    Ok(registry::Door::new(Arc::clone(app), &settings.paths()))
}

/// What serve does side by side; each gives its name when it ends without an error.
type Tasks = JoinSet<Result<&'static str>>;

/// Whether the operator's settings make a platform; the message names the key.
pub(crate) fn check(settings: &Settings) -> Result<()> {
    settings.check()?;
    line_settings(settings).map(drop)
}

fn line_settings(settings: &Settings) -> Result<flow::Settings> {
    let mut hosts = Vec::new();
    for group in &settings.egress.groups {
        let rules = egress::policy::group(group);
        hosts.extend(
            rules
                .with_context(|| format!("windlass.toml: `{group}` is no group of hosts (egress.groups)"))?,
        );
    }
    hosts.extend(settings.egress.hosts.iter().map(|host| egress::HostRule::host(host)));
    let egress = egress::Policy {
        hosts,
        allow_networks: settings.egress.allow_networks.clone(),
        resolver: settings.egress.resolver,
    };
    egress.check().context("windlass.toml: egress")?;
    let service = Limits { memory_bytes: settings.sandbox.service_memory_mebibytes * MIB, ..Limits::SERVICE };
    Ok(flow::Settings {
        build_limits: Limits { memory_bytes: settings.sandbox.build_memory_mebibytes * MIB, ..Limits::BUILD },
        service_limits: service,
        task_limits: Limits { memory_bytes: service.memory_bytes, ..Limits::TASK },
        egress,
        ca_bundle: settings.egress.ca_bundle.is_some(),
        domain: settings.server.domain.clone(),
        port: settings.server.listen.port(),
        max_source_bytes: settings.git.max_source_mebibytes * MIB,
        drain: Duration::from_secs(settings.releases.drain_seconds),
        parallel: settings.runs.parallel,
        per_tool: settings.runs.per_tool,
        skip_tests: settings.runs.skip_tests,
        wait: Duration::from_hours(u64::from(settings.runs.wait_hours)),
        storage: storage_settings(settings)?,
        repositories: flow::repositories::RepositorySettings {
            every: Duration::from_secs(settings.git.maintenance_seconds.max(1)),
            repack_above_packs: settings.git.repack_above_packs,
            keep_red: Duration::from_hours(24 * settings.git.keep_red_pushes_days.min(100_000)),
            max_bytes: settings.git.max_repository_mebibytes * MIB,
        },
    })
}

fn push_limits(settings: &Settings) -> git::settings::Limits {
    git::settings::Limits {
        max_objects: settings.git.max_objects,
        upload_time: Duration::from_secs(settings.git.max_upload_seconds),
        patience: Duration::from_secs(settings.git.max_stalled_seconds),
    }
}

fn storage_settings(settings: &Settings) -> Result<StorageSettings> {
    let storage = &settings.storage;
    Ok(StorageSettings {
        keep_releases: settings.releases.keep,
        keep_builds: Duration::from_hours(24 * storage.keep_builds_days.min(100_000)),
        collect_every: Duration::from_secs(storage.collect_seconds.max(1)),
        max_bytes: storage.max_bytes(),
        reserve_bytes: settings.reserve_bytes()?,
        scrub_every: Duration::from_hours(24 * storage.scrub_days.clamp(1, 100_000)),
        scrub_bytes_per_second: storage.scrub_mebibytes_per_second.saturating_mul(MIB),
    })
}
