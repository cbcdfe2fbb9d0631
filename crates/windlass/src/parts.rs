//! The platform's parts: `windlass <part> <windlass.toml> <instance>` as `windlass up` starts them, without the instance
//! as systemd does ([`units`]). Their listening socket is their standard input.

use crate::{
    lease::{self, Lease},
    serve,
    settings::Settings,
    units, up,
};
use anyhow::{Context, Result, bail};
use model::Instance;
use std::{
    env,
    net::{IpAddr, Ipv4Addr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};

/// The instance whose ids the users of the package have (deploy/sysusers.conf).
const UNIT_INSTANCE: Instance = Instance(0);

/// Runs a part when the arguments name one.
pub(crate) fn run(part: &str, mut arguments: impl Iterator<Item = String>) -> Option<ExitCode> {
    if !matches!(part, "helper" | "router" | "serve") {
        return None;
    }
    let file = arguments.next().map(PathBuf::from);
    let instance = arguments.next().and_then(|number| number.parse().ok()).map(Instance);
    let Some(file) = file.filter(|_| instance.is_some() || units::under_systemd()) else {
        eprintln!("windlass {part}: parts are started by `windlass up` or by systemd");
        return Some(ExitCode::from(2));
    };
    match start(part, &file, instance) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("windlass {part}: {error:#}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn start(part: &str, file: &Path, instance: Option<Instance>) -> Result<()> {
    if instance.is_some() {
        // A killed starter takes its parts along: the next one starts its own.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
            .context("cannot end with the starter")?;
    }
    let settings = Settings::read(file)?;
    let filter =
        tracing_subscriber::EnvFilter::try_new(&settings.log.level).context("windlass.toml: log.level")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        // They would be told on the very terminal that is gone, which panics.
        .log_internal_errors(false)
        .init();
    match part {
        "helper" => match instance {
            Some(instance) => helper(&settings, instance),
            None => unit_helper(&settings),
        },
        "router" => router(&settings),
        "serve" => serve::run(&settings, UnixListener::from(socket()?), up::control::say_ready),
        _ => bail!("there is no such part"),
    }
}

/// The socket that the starter gave as standard input.
fn socket() -> Result<OwnedFd> {
    // None of the programs that a part starts may answer in its place.
    rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3).context("the starter gave no socket")
}

/// The helper as a unit does first what `windlass up` does elsewhere, and holds the instance.
fn unit_helper(settings: &Settings) -> Result<()> {
    crate::serve::check(settings)?;
    let paths = settings.paths();
    std::fs::create_dir_all(&paths.data).with_context(|| format!("cannot make {}", paths.data.display()))?;
    let lease = Lease::take(&paths.data)?;
    if lease.instance != UNIT_INSTANCE {
        bail!(
            "{} has number {} of this machine's platforms, and the package's users have the ids of number {}: \
             {} names the platform that has it; remove that one first",
            paths.data.display(),
            lease.instance.0,
            UNIT_INSTANCE.0,
            lease::register_entry(UNIT_INSTANCE).display()
        );
    }
    let program = env::current_exe().context("cannot tell where this program lies")?;
    up::prepare(&paths, lease.instance, &program)?;
    helper(settings, lease.instance)
}

fn helper(settings: &Settings, instance: Instance) -> Result<()> {
    let paths = settings.paths();
    let config = sandbox::helper::Config {
        instance,
        program: env::current_exe().context("cannot tell where this program lies")?,
        runtime: settings.sandbox.runtime.clone(),
        git: PathBuf::from("/usr/bin/git"),
        hooks: up::hooks::directory(&paths),
        ca_bundle: settings.egress.ca_bundle.clone(),
        network_pool: settings.network.pool.clone(),
        resolvers: resolvers(settings)?,
        git_file_bytes: settings.git.max_file_bytes(),
        free_reserve_bytes: settings.reserve_bytes()?,
        paths,
    };
    let listener = UnixListener::from(socket()?);
    let starter =
        sandbox::helper::Starter { listener, leave: told_to_leave()?, ready: up::control::say_ready };
    Ok(sandbox::helper::serve(config, Some(starter))?)
}

/// Becomes readable at SIGQUIT. The helper itself is all blocking threads, which signals do not wake.
fn told_to_leave() -> Result<OwnedFd> {
    // Closed in every program that the helper starts: one that held it, too, would keep the word from the helper.
    let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let (leave, told) = pipe.context("cannot hear signals")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut quit = runtime.block_on(async { signal(SignalKind::quit()) }).context("cannot hear signals")?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(quit.recv());
        // Readable from here on, since nobody writes any more.
        drop(told);
    })?;
    Ok(leave)
}

fn router(settings: &Settings) -> Result<()> {
    rustix::thread::set_no_new_privs(true).context("cannot give up new privileges")?;
    // Serve shares the router's group and cuts the logs that the router writes; nobody else may look.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o007));
    let paths = settings.paths();
    let (domain, finish) = (settings.server.domain.clone(), settings.server.finish());
    let config = router::Config { domain, paths, finish };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(router::serve(config, TcpListener::from(socket()?), up::control::say_ready))?)
}

/// What running tools may ask for names: the operator's resolver, else the machine's own.
fn resolvers(settings: &Settings) -> Result<Vec<Ipv4Addr>> {
    match settings.egress.resolver {
        Some(IpAddr::V4(resolver)) => Ok(vec![resolver]),
        Some(IpAddr::V6(resolver)) => {
            bail!(
                "windlass.toml: egress.resolver is {resolver}, but running tools speak IPv4 only; name an IPv4 one"
            )
        }
        None => sandbox::network::tool::system_resolvers().context("cannot read the machine's resolvers"),
    }
}
