//! `windlass up`: starts helper, router and serve under ids of their own, starts again what ends, and owns the
//! listening sockets, so that a restarted part misses no connection.

mod child;
pub(crate) mod hooks;
mod places;

use crate::{lease::Lease, settings::Settings};
use anyhow::{Context, Result, bail};
use child::{Child, Role};
use model::{Instance, Paths};
use sandbox::{client::Helper, request::SandboxId};
use std::{
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixListener,
    },
    path::Path,
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

/// How long a tool's processes get to end in good order when the platform stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Runs the platform until Ctrl-C or SIGTERM, then ends its tools and keeps their data.
pub(crate) fn run(file: &Path) -> Result<()> {
    let settings = Settings::read(file)?;
    if !rustix::process::geteuid().is_root() {
        bail!("the platform is started by root; its parts then give that up: sudo windlass up");
    }
    // Sockets and directories get the modes that stand in the code, whatever the starter's shell says.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let paths = settings.paths();
    std::fs::create_dir_all(&paths.data).with_context(|| format!("cannot make {}", paths.data.display()))?;
    let lease = Lease::take(&paths.data)?;
    places::prepare(&paths, lease.instance)?;
    hooks::install(&paths)?;
    let public = TcpListener::bind(settings.server.listen)
        .with_context(|| format!("cannot listen on {} (windlass.toml: server.listen)", settings.server.listen))?;
    let helper = helper_socket(&paths, lease.instance)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(supervise(file, &paths, lease.instance, public, helper));
    remove_instance(lease.instance)?;
    ended
}

/// Removes what an instance has on the host when nothing of it runs: network rules and its empty cgroup.
pub(crate) fn remove_instance(instance: Instance) -> Result<()> {
    sandbox::network::tool::remove_instance(instance).context("cannot remove the tools' network rules")?;
    sandbox::cgroup::Group::new(&format!("/{}", instance.tag())).remove().context("cannot remove the cgroup")
}

fn helper_socket(paths: &Paths, instance: Instance) -> Result<UnixListener> {
    let path = paths.helper_socket();
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    chown(&path, Some(instance.serve_id()), Some(instance.serve_id()))?;
    Ok(listener)
}

async fn supervise(
    file: &Path,
    paths: &Paths,
    instance: Instance,
    public: TcpListener,
    helper: UnixListener,
) -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut helper = Child::start(Role::Helper, file, instance, helper.into())?;
    let mut router = Child::start(Role::Router, file, instance, public.into())?;
    let mut serve = Child::start(Role::Serve, file, instance, std::fs::File::open("/dev/null")?.into())?;
    loop {
        tokio::select! {
            again = helper.ended() => again?,
            again = router.ended() => again?,
            again = serve.ended() => again?,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    eprintln!("windlass: stopping; data stays in {}", paths.data.display());
    serve.stop().await;
    end_sandboxes(&Helper::new(paths.helper_socket())).await;
    router.stop().await;
    helper.stop().await;
    Ok(())
}

/// Ends and removes everything that runs, side by side.
async fn end_sandboxes(helper: &Helper) {
    let rows = match helper.list().await {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("windlass: cannot see what runs: {error}");
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
            eprintln!("windlass: {id} was not ended: {error}");
        }
    }
}

async fn end(helper: &Helper, id: &SandboxId) -> Result<()> {
    helper.kill(id, STOP_GRACE).await?;
    helper.remove(id).await?;
    Ok(())
}
