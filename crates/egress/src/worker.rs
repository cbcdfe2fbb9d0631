//! The process that serves one build's listeners: without rights, without files, ended with the build.

use crate::{
    dns,
    handover::{Handover, HandoverError},
    lookup::Lookup,
    relay::{Relay, RelayLimits},
    report::Report,
};
use hickory_resolver::net::NetError;
use landlock::{ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetError};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};
use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};

/// Why the worker could not serve.
#[derive(Debug, Error)]
pub enum WorkerError {
    #[error("the build's listeners were not handed over")]
    Handover(#[from] HandoverError),
    #[error("the worker's runtime or sockets failed")]
    Io(#[from] io::Error),
    #[error("the resolver settings of this machine cannot be read; look at /etc/resolv.conf")]
    Resolver(#[from] NetError),
    #[error("the worker could not give up its access to files")]
    Confine(#[from] RulesetError),
}

/// `windlass worker egress`: takes a [`Handover`] from its standard input and serves it until the build has ended.
/// The log gets its last rows before this returns.
pub fn main() -> Result<(), WorkerError> {
    let handover = Handover::receive(io::stdin().as_fd())?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(handover))
}

async fn serve(handover: Handover) -> Result<(), WorkerError> {
    let Handover { policy, log, process, resolver_udp, resolver_tcp, relays } = handover;
    let networks = policy.networks().map_err(|error| HandoverError::Policy(error.into()))?;
    let lookup = Lookup::new(&policy, networks)?;
    confine()?;

    let mut log = logs::Writer::from_fd(log, u64::MAX);
    let report = Arc::new(Report::new(Box::new(move |row| {
        if let Err(error) = log.platform(row) {
            tracing::warn!(%error, row, "a row of the build's log could not be written");
        }
    })));
    let policy = Arc::new(policy);
    let relay = Arc::new(Relay::new(Arc::clone(&policy), lookup, Arc::clone(&report), RelayLimits::BUILD));
    resolver_udp.set_nonblocking(true)?;
    let resolver_udp = UdpSocket::from_std(resolver_udp)?;
    tokio::spawn(dns::serve_udp(resolver_udp, Arc::clone(&policy), Arc::clone(&report)));
    tokio::spawn(dns::serve_tcp(listener(resolver_tcp)?, policy, Arc::clone(&report)));
    for socket in relays {
        tokio::spawn(Arc::clone(&relay).serve(listener(socket)?));
    }

    tokio::task::spawn_blocking(move || wait_for_end(&process)).await.map_err(io::Error::other)??;
    report.finish();
    Ok(())
}

fn listener(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// A pidfd becomes readable when its process has ended (`pidfd_open(2)`).
fn wait_for_end(process: &OwnedFd) -> io::Result<()> {
    loop {
        match poll(&mut [PollFd::new(process, PollFlags::IN)], None) {
            Err(Errno::INTR) => {}
            other => return Ok(other.map(drop)?),
        }
    }
}

/// From here on a flaw in a parser reaches no file and starts no program.
fn confine() -> Result<(), RulesetError> {
    // On a kernel without landlock this does nothing: the worker's own id and no_new_privs remain.
    Ruleset::default().handle_access(AccessFs::from_all(ABI::V3))?.create()?.restrict_self().map(drop)
}
