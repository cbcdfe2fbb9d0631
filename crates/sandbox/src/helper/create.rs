//! Making one sandbox: checked, written down, mounted, created by the runtime, connected, and waiting to start.

use super::keep::{self, Kept};
use super::place::{self, Place, Record};
use super::refusal::Refusal;
use super::{State, bundle, check, disk, spawn, way_out};
use crate::mounts::{Plan, ROOT};
use crate::network::egress as build_network;
use crate::request::{Answer, Network, SandboxSpec};
use crate::shim::{self, CONFIG_FD, LOG_FD, READY_FD, Ready};
use model::instance::RangeIndex;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};
use std::fs;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;

/// How long the shim and the runtime may take until the first process waits to start.
const CREATE_SECONDS: i64 = 60;
/// Resolver of a build: our listener on its own loopback.
const BUILD_RESOLVER: &str = "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n";

/// [`Request::Create`](crate::request::Request::Create).
pub(crate) fn create(state: &Arc<State>, spec: &SandboxSpec, log: &OwnedFd) -> Result<Answer, Refusal> {
    check::check(spec)?;
    if let Network::Egress(policy) = &spec.network {
        policy.check().map_err(|error| Refusal::new("sandbox-refused", model::sentence::of(&error)))?;
    }
    let _busy = state.occupy(&spec.id);
    if let Some(kept) = state.find(&spec.id) {
        if kept.spec == *spec {
            return Ok(Answer::Created { address: kept.address });
        }
        return Err(Refusal::new(
            "sandbox-exists",
            format!(
                "a sandbox `{}` exists and is another one: remove it first or choose another id",
                spec.id
            ),
        ));
    }
    let place = Place::new(&state.config.paths, &spec.id);
    // What an interrupted attempt left.
    state.clear(&spec.id, &place)?;
    make(state, spec, &place, log.as_fd()).inspect_err(|_| {
        if let Err(error) = state.clear(&spec.id, &place) {
            tracing::error!(sandbox = %spec.id, %error, "a failed sandbox is not wholly gone");
        }
    })
}

fn make(
    state: &Arc<State>,
    spec: &SandboxSpec,
    place: &Place,
    log: BorrowedFd<'_>,
) -> Result<Answer, Refusal> {
    let paths = &state.config.paths;
    let instance = state.config.instance;
    let store_id = instance.first_id(RangeIndex::STORE);
    let tool_id = instance.first_id(spec.range);
    let layers = place::layer_paths(&paths.data, store_id, &spec.layers)?;
    place
        .make()
        .map_err(|error| Refusal::platform(format_args!("cannot make {}", place.run.display()), &error))?;
    disk::make(state, spec, place, tool_id)?;
    let cgroup = state.cgroup(&spec.id);
    write_bundle(state, spec, place, &cgroup, tool_id)
        .map_err(|error| Refusal::platform(format_args!("cannot write the bundle of {}", spec.id), &error))?;
    let plan = Plan {
        at: place.mount_point(),
        data: paths.data.clone(),
        layers,
        upper: place.upper(spec.kind),
        store_id,
        tool_id,
    };
    let config = shim::Config {
        id: spec.id.clone(),
        runtime: state.config.runtime.clone(),
        runtime_root: state.runtime_root(),
        container: state.container(&spec.id),
        directory: place.run.clone(),
        mounts: plan,
        cgroup: cgroup.clone(),
        own_cgroup: state.layout.shim_path(instance, &spec.id),
        limits: spec.limits,
        drop_to: instance.shim_id(),
    };
    // Loading the rules takes as long as a good part of making the container: side by side.
    let (started, rules) = thread::scope(|scope| {
        let rules = thread::Builder::new().spawn_scoped(scope, || load_rules(state, spec));
        let started = start_shim(state, &config, log);
        let lost = || Err(cannot_connect(spec, &io::Error::other("the thread that loads its rules died")));
        let rules = match rules {
            Ok(rules) => rules.join().unwrap_or_else(|_| lost()),
            Err(error) => Err(cannot_connect(spec, &error)),
        };
        (started, rules)
    });
    let (mut shim, ready) = started
        .map_err(|error| Refusal::platform(format_args!("cannot start the shim of {}", spec.id), &error))?;
    let connected = match ready {
        Ready::Created { pid } => rules.and_then(|()| connect(state, spec, pid, log)),
        // The tool's own fault is told by the exit status, as any other end of it.
        Ready::Ended => Ok((None, None)),
        Ready::Failed { text } => Err(Refusal::new("platform", text)),
    };
    let recorded = connected.and_then(|(address, egress)| {
        let egress_pid = egress.as_ref().and_then(|worker| i32::try_from(worker.id()).ok());
        let record = Record { spec: spec.clone(), address, egress: egress_pid };
        place.write_record(&record).map_err(|error| {
            Refusal::platform(format_args!("cannot write down the sandbox {}", spec.id), &error)
        })?;
        Ok((address, egress, egress_pid))
    });
    let (address, egress, egress_pid) = recorded.inspect_err(|_| spawn::end(&mut shim))?;
    let kept = Arc::new(Kept::new(spec.clone(), address, place.clone(), cgroup));
    let children = [Some(shim), egress].into_iter().flatten().collect();
    keep::keep(state, &kept, children).map_err(|error| {
        Refusal::platform(format_args!("cannot wait for the sandbox {}", spec.id), &error)
    })?;
    if let Some(worker) = egress_pid {
        watch_way_out(state, &kept, worker);
    }
    state.add(kept);
    Ok(Answer::Created { address })
}

/// A build that cannot be watched is built all the same.
pub(crate) fn watch_way_out(state: &State, kept: &Arc<Kept>, worker: i32) {
    if let Err(error) = way_out::watch(kept, worker, state.config.instance.egress_id()) {
        tracing::error!(sandbox = %kept.spec.id, %error, "the egress worker of a build is not watched");
    }
}

fn write_bundle(
    state: &State,
    spec: &SandboxSpec,
    place: &Place,
    cgroup: &str,
    tool_id: u32,
) -> io::Result<()> {
    let resolvers = match &spec.network {
        Network::None => String::new(),
        Network::Egress(_) => BUILD_RESOLVER.to_owned(),
        Network::Tool => state.network.resolv_conf(),
    };
    let etc = place.etc();
    place::write_whole(&etc.join("resolv.conf"), resolvers.as_bytes())?;
    place::write_whole(&etc.join("hosts"), bundle::hosts(spec).as_bytes())?;
    place::write_whole(&etc.join("hostname"), format!("{}\n", spec.id).as_bytes())?;
    let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let around = bundle::Surroundings {
        root: &place.mount_point().join(ROOT),
        first_id: tool_id,
        cgroup,
        etc: &etc,
        ca_bundle: state.config.ca_bundle.as_deref(),
        open_files: open_files.unwrap_or(u64::MAX),
    };
    let config = serde_json::to_vec(&bundle::config(spec, &around))?;
    fs::write(place.bundle().join("config.json"), config)
}

/// Starts the shim and waits for its word.
fn start_shim(state: &State, config: &shim::Config, log: BorrowedFd<'_>) -> io::Result<(Child, Ready)> {
    let (ready, tell_ready) = io::pipe()?;
    let mut command = state.layout.command(&state.config.program, state.config.instance, &config.id);
    spawn::prepare(&mut command);
    // Its own standard streams lead nowhere; what it has to say goes to the log and to the ready pipe.
    command.arg("shim").stdout(Stdio::null());
    let document = serde_json::to_vec(config)?;
    let descriptors = [(LOG_FD, log), (READY_FD, tell_ready.as_fd())];
    let mut shim = spawn::start(command, CONFIG_FD, &document, &descriptors)?;
    drop(tell_ready);
    match read_ready(ready) {
        Ok(ready) => Ok((shim, ready)),
        Err(error) => {
            spawn::end(&mut shim);
            Err(error)
        }
    }
}

fn read_ready(mut pipe: io::PipeReader) -> io::Result<Ready> {
    let limit = Timespec { tv_sec: CREATE_SECONDS, tv_nsec: 0 };
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let mut waiting = [PollFd::new(&pipe, PollFlags::IN)];
        let woken = rustix::io::retry_on_intr(|| rustix::event::poll(&mut waiting, Some(&limit)))?;
        if woken == 0 {
            return Err(io::Error::other(format!(
                "the runtime made no container in {CREATE_SECONDS} seconds"
            )));
        }
        match pipe.read(&mut chunk)? {
            0 => break,
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
    if bytes.is_empty() {
        return Err(io::Error::other("the shim ended without a word; see the platform's own log"));
    }
    Ok(serde_json::from_slice(&bytes)?)
}

/// The rules that a tool's network stands under; without them it gets none.
fn load_rules(state: &State, spec: &SandboxSpec) -> Result<(), Refusal> {
    if spec.network != Network::Tool {
        return Ok(());
    }
    state.network.prepare().map_err(|error| cannot_connect(spec, &error))
}

fn cannot_connect(spec: &SandboxSpec, error: &dyn std::error::Error) -> Refusal {
    Refusal::platform(format_args!("cannot connect the sandbox {}", spec.id), error)
}

/// Gives the waiting container its network. Its first process has run nothing of the tool's yet.
fn connect(
    state: &State,
    spec: &SandboxSpec,
    pid: i32,
    log: BorrowedFd<'_>,
) -> Result<(Option<Ipv4Addr>, Option<Child>), Refusal> {
    let failed = |error: &dyn std::error::Error| cannot_connect(spec, error);
    let process = || {
        let pid = Pid::from_raw(pid).ok_or_else(|| failed(&io::Error::other("no process id")))?;
        rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|error| failed(&error))
    };
    match &spec.network {
        Network::None => Ok((None, None)),
        Network::Egress(policy) => {
            let process = process()?;
            let listeners = build_network::listen(process.as_fd(), policy).map_err(|error| failed(&error))?;
            let (program, instance) = (&state.config.program, state.config.instance);
            let worker =
                build_network::start_worker(program, instance, listeners, policy, process.as_fd(), log)
                    .map_err(|error| failed(&error))?;
            Ok((None, Some(worker)))
        }
        Network::Tool => {
            let address =
                state.network.attach(&spec.id, process()?.as_fd()).map_err(|error| failed(&error))?;
            Ok((Some(address), None))
        }
    }
}
