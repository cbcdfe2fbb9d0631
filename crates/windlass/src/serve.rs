//! The platform without rights: API, git door, engine, reconciler. Config → build → run: everything is made first,
//! then everything is started, then it waits for the end.

mod base_images;
mod git_platform;
mod push_options;
mod push_text;
mod sign_ins;

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
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use model::{Limits, limits::MIB};
use router::Control;
use runtime::{Machine, Runtime};
use sandbox::client::Helper;
use std::{os::unix::fs::PermissionsExt, sync::Arc, time::Duration};
use store::Store;
use store_sqlite::Sqlite;
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
    task::JoinSet,
};

/// How long the process waits for its threads at its end.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Runs until SIGTERM. The process has the platform's id already and gives up what else it could do.
pub(crate) fn run(settings: &Settings) -> Result<()> {
    rustix::thread::set_no_new_privs(true).context("cannot give up new privileges")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(settings));
    // What still reads a file on a thread of its own must not hold up the end.
    runtime.shutdown_timeout(LEAVE_WITHIN);
    ended
}

async fn serve(settings: &Settings) -> Result<()> {
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
        routes: Routes::new(Control::new(&paths.router_sockets())),
        paths: paths.clone(),
        settings: line_settings(settings)?,
        base,
        nudge: Arc::clone(&nudge),
        deploying: Deploying::default(),
        keeping: Keeping::default(),
    });

    let git_platform = Arc::new(GitPlatform {
        app: Arc::clone(&app),
        repositories: repositories.clone(),
        max_pack_bytes: settings.git.max_pack_mebibytes * MIB,
        max_repository_bytes: settings.git.max_repository_mebibytes * MIB,
    });
    let gate = Arc::new(Gate::new(git_platform.clone()));
    let places = Places { hooks: crate::up::hooks::directory(&paths), socket: paths.hook_socket() };
    let limits = push_limits(settings);
    let door = Door { platform: git_platform, gate: Arc::clone(&gate), repositories, places, limits };
    let registry = registry_door(&app, settings).await?;
    let routes = web::router(app).merge(door.routes()).merge(registry.clone().routes());
    let routes = sign_ins::limit(routes);

    let (stop, stopped) = watch::channel(false);
    // The first end when they are told to, the others never.
    let (mut stations, mut doors) = (Tasks::new(), Tasks::new());
    let (for_engine, for_chores) = (Arc::clone(&line), Arc::clone(&line));
    let (engine_stop, chores_stop) = (stopped.clone(), stopped.clone());
    stations.spawn(async move {
        flow::engine::drive(for_engine, engine_stop).await.context("the engine ended")?;
        Ok("the engine")
    });
    stations.spawn(async move {
        let repositories = flow::repositories::keep(Arc::clone(&for_chores), chores_stop.clone());
        tokio::join!(repositories, flow::chores::keep(for_chores, chores_stop));
        Ok("the chores")
    });
    let (for_layers, layers_stop) = (Arc::clone(&line), stopped.clone());
    stations.spawn(async move {
        flow::layers::keep(for_layers, layers_stop).await;
        Ok("the layer store's keeper")
    });
    let registry_stop = stopped.clone();
    stations.spawn(async move {
        registry.keep(registry_stop).await;
        Ok("the registry's chores")
    });
    stations.spawn(async move {
        flow::replicas::keep(line, stopped).await;
        Ok("the reconciler")
    });
    doors.spawn(async move {
        loop {
            app_nudge.notified().await;
            nudge.all();
        }
    });
    let hook_socket = paths.hook_socket();
    doors.spawn(async move {
        gate.serve(&hook_socket).await.context("git hooks cannot reach the platform")?;
        Ok("the socket for git hooks")
    });
    doors.spawn(async move {
        listen(paths.serve_socket(), routes).await.context("the API ended")?;
        Ok("the API")
    });
    tracing::info!(url = settings.public_url(), "serving");

    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        // The starter then starts all of it again: half a platform would look alive and do nothing.
        Some(ended) = stations.join_next() => bail!("{} ended by itself", ended??),
        Some(ended) = doors.join_next() => bail!("{} ended by itself", ended??),
    }
    let _ = stop.send(true);
    while let Some(ended) = stations.join_next().await {
        ended??;
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

/// Answers HTTP for the router. Its group (the platform's) may connect, nobody else.
async fn listen(socket: std::path::PathBuf, routes: axum::Router) -> Result<()> {
    if socket.exists() {
        std::fs::remove_file(&socket)?;
    }
    let listener =
        UnixListener::bind(&socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o660))?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(routes.clone());
        tokio::spawn(async move {
            let connection = Builder::new(TokioExecutor::new());
            let served = connection.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }
}

/// Whether the operator's settings make a platform; the message names the key.
pub(crate) fn check(settings: &Settings) -> Result<()> {
    line_settings(settings).map(drop)
}

fn line_settings(settings: &Settings) -> Result<flow::Settings> {
    settings.runs.check()?;
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
        wait: Duration::from_hours(u64::from(settings.runs.wait_hours)),
        storage: storage_settings(settings)?,
        repositories: flow::repositories::RepositorySettings {
            every: Duration::from_secs(settings.git.maintenance_seconds.max(1)),
            repack_above_objects: settings.git.repack_above_objects,
            keep_red: Duration::from_hours(24 * settings.git.keep_red_pushes_days.min(100_000)),
            max_bytes: settings.git.max_repository_mebibytes * MIB,
        },
    })
}

fn push_limits(settings: &Settings) -> git::settings::Limits {
    git::settings::Limits {
        max_objects: settings.git.max_objects,
        upload_time: Duration::from_secs(settings.git.max_upload_seconds),
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
