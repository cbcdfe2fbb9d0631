//! The network of builds: a namespace in which every address is local, with our listeners as the only ones, served
//! from outside by one worker process per build.

use super::{NetworkError, namespace::inside, netlink::Routing};
use ::egress::{Handover, Policy};
use model::Instance;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
};

/// The listeners of one build. Whoever holds them keeps the build's network namespace alive.
#[derive(Debug)]
pub struct Listeners {
    /// 127.0.0.1:53.
    resolver_udp: UdpSocket,
    resolver_tcp: TcpListener,
    /// 0.0.0.0 on each of the policy's ports.
    relays: Vec<TcpListener>,
}

/// Makes every address local in the network namespace of the process behind `process` (a pidfd), and the listeners in
/// it. Call it after the container is created and before it starts: then nothing else can hold the ports, and later
/// nothing else may (they are below 1024, and no process inside has the capability).
pub fn listen(process: BorrowedFd<'_>, policy: &Policy) -> Result<Listeners, NetworkError> {
    policy.check()?;
    inside(process, || {
        let routing = Routing::open()?;
        let loopback = routing.index("lo")?;
        routing.up(loopback)?;
        routing.make_everything_local(loopback)?;
        let resolver = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
        let tcp = |address: SocketAddr| {
            TcpListener::bind(address).map_err(|source| NetworkError::Listen { address, source })
        };
        let everywhere = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Ok(Listeners {
            resolver_udp: UdpSocket::bind(resolver)
                .map_err(|source| NetworkError::Listen { address: resolver, source })?,
            resolver_tcp: tcp(resolver)?,
            relays: policy.ports().into_iter().map(|port| tcp(everywhere(port))).collect::<Result<_, _>>()?,
        })
    })
}

/// Starts `windlass worker egress` for one build and hands it everything it serves. The worker ends by itself, a
/// moment after the process behind `process` has: wait for it, so that its last rows are in the log.
///
/// It runs as the instance's egress id in the network namespace of this thread, outlives the helper, and holds
/// nothing but what it is handed here. `log` is the build's log stream, opened for append.
pub fn start_worker(
    program: &Path,
    instance: Instance,
    listeners: Listeners,
    policy: &Policy,
    process: BorrowedFd<'_>,
    log: BorrowedFd<'_>,
) -> Result<Child, NetworkError> {
    let worker = NetworkError::Worker;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|error| worker(error.into()))?;
    let Listeners { resolver_udp, resolver_tcp, relays } = listeners;
    let copy = |descriptor: BorrowedFd<'_>| descriptor.try_clone_to_owned().map_err(worker);
    let handover = Handover {
        policy: policy.clone(),
        log: copy(log)?,
        process: copy(process)?,
        resolver_udp,
        resolver_tcp,
        relays,
    };
    handover.send(ours.as_fd()).map_err(|error| worker(io::Error::other(error)))?;
    let egress_id = instance.egress_id();
    Command::new(program)
        .args(["worker", "egress"])
        .env_clear()
        .uid(egress_id)
        .gid(egress_id)
        // Ctrl-C in the terminal of `windlass up` is not for it.
        .process_group(0)
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .map_err(worker)
}
