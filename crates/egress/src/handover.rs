//! How the helper hands a build's listeners to its egress worker: one message with descriptors on a Unix socket.
//!
//! So the worker inherits nothing but that socket, as its standard input, and no other child of the helper ever
//! holds a listener (an open one would keep the build's namespace alive).

use crate::{Policy, PolicyError};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::{TcpListener, UdpSocket},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};
use thiserror::Error;

/// Largest policy as JSON, in bytes.
const MAX_POLICY_BYTES: usize = 64 * 1024;
/// Descriptors before the relays' listeners: log, process, DNS over UDP, DNS over TCP.
const FIXED_DESCRIPTORS: usize = 4;
const MAX_DESCRIPTORS: usize = 32;

/// Everything that a worker needs.
#[derive(Debug)]
pub struct Handover {
    pub policy: Policy,
    /// The build's log stream, opened for append.
    pub log: OwnedFd,
    /// A pidfd of the build's first process: the worker ends when that ends.
    pub process: OwnedFd,
    /// 127.0.0.1:53 inside the build.
    pub resolver_udp: UdpSocket,
    pub resolver_tcp: TcpListener,
    /// 0.0.0.0 on each of the policy's ports.
    pub relays: Vec<TcpListener>,
}

/// A hand-over that failed.
#[derive(Debug, Error)]
pub enum HandoverError {
    #[error("the socket to the egress worker failed")]
    Socket(#[from] io::Error),
    #[error("the message to the egress worker is not whole")]
    Incomplete,
    #[error("the policy in the message to the egress worker is no policy")]
    Json(#[from] serde_json::Error),
    #[error("the policy in the message to the egress worker breaks the grammar")]
    Policy(#[from] PolicyError),
}

impl Handover {
    /// Sends it over a connected Unix socket that keeps message borders (`SOCK_SEQPACKET`).
    pub fn send(&self, socket: BorrowedFd<'_>) -> Result<(), HandoverError> {
        let policy = serde_json::to_vec(&self.policy)?;
        let fixed =
            [self.log.as_fd(), self.process.as_fd(), self.resolver_udp.as_fd(), self.resolver_tcp.as_fd()];
        let descriptors: Vec<BorrowedFd<'_>> =
            fixed.into_iter().chain(self.relays.iter().map(AsFd::as_fd)).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if policy.len() > MAX_POLICY_BYTES || !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(HandoverError::Incomplete);
        }
        sendmsg(socket, &[IoSlice::new(&policy)], &mut control, SendFlags::NOSIGNAL)
            .map_err(io::Error::from)?;
        Ok(())
    }

    /// Receives what [`Handover::send`] sent.
    pub fn receive(socket: BorrowedFd<'_>) -> Result<Self, HandoverError> {
        let mut policy = vec![0; MAX_POLICY_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(socket, &mut [IoSliceMut::new(&mut policy)], &mut control, RecvFlags::CMSG_CLOEXEC)
                .map_err(io::Error::from)?;
        let mut descriptors: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(rights) => Some(rights),
                _ => None,
            })
            .flatten()
            .collect();
        if descriptors.len() <= FIXED_DESCRIPTORS {
            return Err(HandoverError::Incomplete);
        }
        let policy: Policy = serde_json::from_slice(policy.get(..received.bytes).unwrap_or_default())?;
        policy.check()?;
        let relays = descriptors.split_off(FIXED_DESCRIPTORS).into_iter().map(TcpListener::from).collect();
        let mut next = descriptors.into_iter();
        let mut take = || next.next().ok_or(HandoverError::Incomplete);
        Ok(Self {
            policy,
            log: take()?,
            process: take()?,
            resolver_udp: take()?.into(),
            resolver_tcp: take()?.into(),
            relays,
        })
    }
}
