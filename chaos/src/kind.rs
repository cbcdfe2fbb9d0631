//! What is killed.

use std::fmt;

/// One kind of process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Helper,
    Router,
    Serve,
    /// A build's way out.
    Egress,
    /// A build's or a running copy's.
    Shim,
    /// The OCI runtime while it makes, starts or deletes a container.
    Runtime,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Helper, Self::Router, Self::Serve, Self::Egress, Self::Shim, Self::Runtime];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Helper => "helper",
            Self::Router => "router",
            Self::Serve => "serve",
            Self::Egress => "egress",
            Self::Shim => "shim",
            Self::Runtime => "runtime",
        })
    }
}
