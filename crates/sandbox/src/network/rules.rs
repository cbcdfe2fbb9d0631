//! The nftables rules of one instance's tools: one table, replaced as a whole, that fits every tool by the prefix of
//! its interface.

use super::NetworkError;
use egress::address::SPECIAL_IPV4;
use model::Instance;
use std::{
    fmt::Write as _,
    io::Write as _,
    net::Ipv4Addr,
    process::{Command, Stdio},
};

/// Connections of one tool to the outside that the kernel keeps in mind. All tools share its table of connections; one
/// alone must not fill it.
const MOST_CONNECTIONS: u32 = 2048;

/// Name of an instance's table.
pub(super) fn table(instance: Instance) -> String {
    format!("windlass-{}", instance.tag())
}

/// Prefix of the host's end of every tool's pair. The dash keeps `wl1-` apart from `wl17-`.
pub(super) fn interface_prefix(instance: Instance) -> String {
    format!("{}-", instance.tag())
}

/// The table as a file for `nft -f`, which takes it all or not at all.
///
/// `part` is the instance's share of the pool as `address/prefix`. An address in it that no tool has leads nowhere
/// (`from_host`): else the health check or a request of a tool that has just ended would go out by the machine's
/// default route, and a stranger's answer would pass for the tool's.
pub(super) fn text(instance: Instance, part: &str, resolvers: &[Ipv4Addr]) -> String {
    let (table, tools) = (table(instance), format!("\"{}*\"", interface_prefix(instance)));
    let special: Vec<String> = SPECIAL_IPV4.iter().map(ToString::to_string).collect();
    let special = special.join(", ");
    let mut questions = String::new();
    for resolver in resolvers {
        for protocol in ["udp", "tcp"] {
            let _ = writeln!(questions, "    ip daddr {resolver} {protocol} dport 53 accept");
        }
    }
    format!(
        "add table inet {table}
delete table inet {table}
table inet {table} {{
  set connections {{
    type ipv4_addr; size 8192; flags dynamic;
  }}
  chain arrival {{
    type filter hook prerouting priority raw; policy accept;
    iifname {tools} meta nfproto ipv6 drop
    iifname {tools} fib saddr . iif oif missing drop
  }}
  chain to_host {{
    type filter hook input priority filter; policy accept;
    iifname != {tools} accept
    ct state established accept
{questions}    drop
  }}
  chain through_host {{
    type filter hook forward priority filter; policy accept;
    oifname {tools} ct state established,related accept
    oifname {tools} drop
    iifname != {tools} accept
    ct state established,related accept
    ct state new add @connections {{ ip saddr ct count over {MOST_CONNECTIONS} }} drop
{questions}    ip daddr {{ {special} }} drop
  }}
  chain from_host {{
    type filter hook output priority filter; policy accept;
    ip daddr {part} oifname != {tools} fib daddr type != local meta l4proto tcp reject with tcp reset
    ip daddr {part} oifname != {tools} fib daddr type != local reject
  }}
  chain outward {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {part} oifname != {tools} masquerade
  }}
}}
"
    )
}

/// Hands a file to `nft`, in the network namespace of this thread.
pub(super) fn load(instance: Instance, text: &str) -> Result<(), NetworkError> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(NetworkError::NftMissing)?;
    if let Some(mut input) = nft.stdin.take() {
        // A program that ends early says why on its standard error.
        let _ = input.write_all(text.as_bytes());
    }
    let ended = nft.wait_with_output().map_err(NetworkError::NftMissing)?;
    if ended.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&ended.stderr).lines().take(5).collect::<Vec<_>>().join("; ");
    Err(NetworkError::Nft { table: table(instance), text })
}

/// Removes the table; nothing happens when there is none.
pub(super) fn remove(instance: Instance) -> Result<(), NetworkError> {
    let table = table(instance);
    load(instance, &format!("add table inet {table}\ndelete table inet {table}\n"))
}
