//! What one build may reach.

use crate::{
    address::{BadNetwork, Network, is_public},
    name,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::IpAddr};
use thiserror::Error;

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

/// An allow-list that breaks the grammar.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PolicyError {
    #[error(
        "`{0}` cannot be allowed: write an exact host name in lower case with at least one dot, without `*`, \
         scheme, port or address"
    )]
    Host(String),
    #[error("port {port} of {host} cannot be allowed: 0 is no port and 53 is the build's own resolver")]
    Port { host: String, port: u16 },
    #[error("too many {what}: at most {most}")]
    TooMany { what: &'static str, most: usize },
    #[error("a network in allow_networks is refused")]
    Network(#[from] BadNetwork),
}

/// Ports of a rule that names none.
const DEFAULT_PORTS: [u16; 2] = [80, 443];
const MOST_HOSTS: usize = 200;
const MOST_NETWORKS: usize = 50;
const MOST_PORTS: usize = 16;

/// Named groups of hosts for `egress.groups`: the public registries of one language each. An operator's own list
/// replaces a group of the same name.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("python", &["pypi.org", "files.pythonhosted.org"]),
    ("npm", &["registry.npmjs.org", "registry.yarnpkg.com"]),
    ("cargo", &["index.crates.io", "static.crates.io"]),
    ("go", &["proxy.golang.org", "sum.golang.org"]),
    ("maven", &["repo.maven.apache.org", "repo1.maven.org"]),
    ("debian", &["deb.debian.org", "security.debian.org"]),
];

/// The rules of one of [`GROUPS`].
pub fn group(name: &str) -> Option<Vec<HostRule>> {
    let (_, hosts) = GROUPS.iter().find(|(group, _)| *group == name)?;
    Some(hosts.iter().map(|host| HostRule::host(host)).collect())
}

impl HostRule {
    /// A host on its default ports.
    pub fn host(host: &str) -> Self {
        Self { host: host.to_owned(), ports: Vec::new() }
    }

    fn allows_port(&self, port: u16) -> bool {
        if self.ports.is_empty() { DEFAULT_PORTS.contains(&port) } else { self.ports.contains(&port) }
    }
}

impl Policy {
    /// Whether every part keeps to the grammar. The helper refuses a sandbox otherwise.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.hosts.len() > MOST_HOSTS {
            return Err(PolicyError::TooMany { what: "hosts", most: MOST_HOSTS });
        }
        if self.allow_networks.len() > MOST_NETWORKS {
            return Err(PolicyError::TooMany { what: "networks", most: MOST_NETWORKS });
        }
        for rule in &self.hosts {
            if name::host(rule.host.as_bytes()).as_deref() != Some(rule.host.as_str()) {
                return Err(PolicyError::Host(rule.host.chars().take(80).collect()));
            }
            if let Some(&port) = rule.ports.iter().find(|port| matches!(port, 0 | 53)) {
                return Err(PolicyError::Port { host: rule.host.clone(), port });
            }
        }
        if self.ports().len() > MOST_PORTS {
            return Err(PolicyError::TooMany { what: "different ports", most: MOST_PORTS });
        }
        self.networks()?;
        Ok(())
    }

    /// The ports that need a listener inside the build: 80 and 443, so that a refusal can be named, and those that
    /// rules name.
    pub fn ports(&self) -> BTreeSet<u16> {
        self.hosts.iter().flat_map(|rule| &rule.ports).copied().chain(DEFAULT_PORTS).collect()
    }

    /// The number of the rule for `host`, whatever its ports.
    pub fn position(&self, host: &str) -> Option<usize> {
        self.hosts.iter().position(|rule| rule.host == host)
    }

    /// Whether `host` may be reached on `port`. Both are of the grammar already.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        self.hosts.iter().any(|rule| rule.host == host && rule.allows_port(port))
    }

    pub(crate) fn networks(&self) -> Result<Vec<Network>, BadNetwork> {
        self.allow_networks.iter().map(|text| text.parse()).collect()
    }
}

/// Whether a resolved address may be connected to.
pub(crate) fn may_connect(address: IpAddr, allowed: &[Network]) -> bool {
    is_public(address) || allowed.iter().any(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(hosts: &[&str]) -> Policy {
        Policy { hosts: hosts.iter().map(|host| HostRule::host(host)).collect(), ..Policy::default() }
    }

    #[test]
    fn every_named_group_keeps_to_the_grammar() {
        for (name, _) in GROUPS {
            let hosts = group(name).unwrap();
            Policy { hosts, ..Policy::default() }.check().unwrap();
        }
        assert_eq!(group("fortran"), None);
    }

    #[test]
    fn only_exact_host_names_can_be_allowed() {
        policy(&["pypi.org", "files.pythonhosted.org"]).check().unwrap();
        for bad in [
            "*.org",
            "PyPI.org",
            "pypi.org.",
            "localhost",
            "10.0.0.1",
            "https://pypi.org",
            "pypi.org:443",
            "",
        ] {
            assert_eq!(policy(&[bad]).check(), Err(PolicyError::Host(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn a_rule_with_ports_allows_those_and_no_others() {
        let mut policy = policy(&["pypi.org"]);
        policy.hosts.push(HostRule { host: "git.example.org".to_owned(), ports: vec![8443] });
        policy.check().unwrap();
        assert!(
            policy.allows("pypi.org", 443)
                && policy.allows("pypi.org", 80)
                && !policy.allows("pypi.org", 8443)
        );
        assert!(policy.allows("git.example.org", 8443) && !policy.allows("git.example.org", 443));
        assert!(!policy.allows("evil-pypi.org", 443) && !policy.allows("pypi.org.evil.example", 443));
        assert_eq!(policy.ports().into_iter().collect::<Vec<_>>(), [80, 443, 8443]);
    }

    #[test]
    fn the_resolvers_port_and_broken_networks_are_refused() {
        let mut policy = policy(&["pypi.org"]);
        policy.hosts[0].ports = vec![53];
        assert_eq!(policy.check(), Err(PolicyError::Port { host: "pypi.org".to_owned(), port: 53 }));
        policy.hosts[0].ports.clear();
        policy.allow_networks = vec!["192.0.2.0/240".to_owned()];
        assert!(matches!(policy.check(), Err(PolicyError::Network(_))));
        policy.allow_networks = vec!["192.0.2.0/24".to_owned()];
        policy.check().unwrap();
    }

    #[test]
    fn an_allowed_network_opens_itself_and_nothing_else() {
        let allowed = ["192.0.2.0/24".parse().unwrap()];
        assert!(may_connect("192.0.2.9".parse().unwrap(), &allowed));
        assert!(!may_connect("10.0.0.1".parse().unwrap(), &allowed));
        assert!(may_connect("1.1.1.1".parse().unwrap(), &[]));
    }
}
