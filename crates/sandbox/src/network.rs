//! The network of a sandbox: [`egress`] for builds (nothing but listeners of ours), [`tool`] for running tools
//! (a veth pair under nftables rules).
//!
//! Everything acts on the network namespace of the calling thread as "the host", so that tests bring their own.
//! The kernel is asked by netlink directly; only rules go through the `nft` program.

pub mod egress;
pub mod tool;

pub use tool::remove_instance;

mod namespace;
mod netlink;
mod rules;

use std::{io, net::SocketAddr, path::PathBuf};
use thiserror::Error;

/// What can go wrong when a sandbox's network is made or removed.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// The first process has ended, or the helper lacks `CAP_SYS_ADMIN`.
    #[error("the sandbox's network namespace cannot be entered; its first process may have ended")]
    Enter(#[source] io::Error),
    /// A request to the kernel's routing tables failed.
    #[error("the kernel refused to {what}")]
    Kernel {
        what: String,
        #[source]
        source: io::Error,
    },
    /// A listener could not be made in a namespace where nothing else should listen.
    #[error("no listener on {address} inside the build's network namespace")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// A file below /proc/sys could not be written.
    #[error("{path} cannot be written; the helper needs it to route tools", path = .path.display())]
    Setting {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The `nft` program is missing or did not start.
    #[error("the program `nft` cannot be started; install the Debian package nftables")]
    NftMissing(#[source] io::Error),
    /// `nft` refused the rules; no tool may be attached without them.
    #[error("nft refused the rules of table {table}: {text}")]
    Nft { table: String, text: String },
    /// The pool cannot be split among instances, or this instance has no part of it.
    #[error("the network pool `{0}` is not usable: expected `address/prefix` with a prefix from 8 to 16")]
    Pool(String),
    /// All addresses of this instance are taken.
    #[error(
        "no free address is left for another tool ({taken} are running); stop one or enlarge [network] pool"
    )]
    Full { taken: usize },
    /// The worker of a build's egress could not be started.
    #[error("the egress worker cannot be started")]
    Worker(#[source] io::Error),
    /// The allow-list of a build breaks the grammar.
    #[error("the build's allow-list is refused")]
    Policy(#[from] egress_policy::PolicyError),
}

use ::egress::policy as egress_policy;
