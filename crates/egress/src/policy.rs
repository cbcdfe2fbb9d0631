//! What one build may reach.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The allow-list of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub hosts: Vec<HostRule>,
    /// Special-purpose networks in which answers are accepted all the same (operator's `egress.allow_networks`),
    /// as `address/prefix`.
    pub allow_networks: Vec<String>,
    /// The resolver that is asked; the machine's own when `None`.
    pub resolver: Option<IpAddr>,
}

/// One exact host name, on 443 and 80 unless ports are named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostRule {
    /// Lower-case, no trailing dot.
    pub host: String,
    #[serde(default)]
    pub ports: Vec<u16>,
}
