//! What the router knows: which host name leads where. Written by serve, kept on disk, never changed by the router.

use model::ToolId;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The whole truth, replaced as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Counted up by serve; a table with a lower number than the present one is refused.
    pub generation: u64,
    /// Host names, without port, that lead to the platform itself.
    pub platform_hosts: Vec<String>,
    pub routes: Vec<Route>,
}

/// One host name of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Lower-case, without port: `wordcount.localhost`.
    pub host: String,
    /// The tool's name, for pages.
    pub tool: String,
    /// The tool's id, for its log of requests.
    pub tool_id: ToolId,
    pub state: State,
    pub backends: Vec<Backend>,
}

/// What a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// An answer of one of the backends.
    Serving,
    /// A page that says it is coming, with `Retry-After`.
    Starting,
    /// A page: somebody stopped it.
    Stopped,
    /// A page: it does not stay up.
    Failed,
    /// A page: nothing was deployed here yet.
    Empty,
}

/// One running copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Number of its release, for the log.
    pub release: u64,
    pub address: SocketAddr,
}
