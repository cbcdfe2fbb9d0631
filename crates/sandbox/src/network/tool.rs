//! The network of running tools: a veth pair with a /30 of the instance's share of the pool, behind nftables rules.
//!
//! A tool reaches the public internet and the resolvers, never the host, special-purpose networks (private ranges,
//! cloud metadata, …) or another tool; the router reaches the tool. The interface *is* the lease of its address and
//! carries the sandbox's id as its alias, so the kernel knows the truth and nothing is kept in files.

use super::{
    NetworkError,
    namespace::inside,
    netlink::{Link, Routing},
    rules,
};
use crate::request::SandboxId;
use egress::address::Network;
use model::Instance;
use std::{
    fmt::Write as _,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
};

/// Every instance has a /18 of the pool: 4,096 tools with a /30 each.
const PART_PREFIX: u8 = 18;
const BLOCK_BYTES: u32 = 4;
const BLOCK_PREFIX: u8 = 30;
const BLOCKS: u32 = 1 << (BLOCK_PREFIX - PART_PREFIX);
/// The tool's end.
const INTERFACE_INSIDE: &str = "eth0";

/// The tools' network of one instance.
#[derive(Clone, Debug)]
pub struct ToolNetwork {
    instance: Instance,
    /// First address of the instance's share of the pool.
    first: Ipv4Addr,
    resolvers: Vec<Ipv4Addr>,
}

impl ToolNetwork {
    /// `pool` as `address/prefix`, for example 10.128.0.0/10, which 256 instances share. `resolvers` are the only
    /// addresses in special networks that tools may ask, on port 53 alone; see [`system_resolvers`].
    pub fn new(instance: Instance, pool: &str, resolvers: Vec<Ipv4Addr>) -> Result<Self, NetworkError> {
        let bad = || NetworkError::Pool(pool.to_owned());
        let network: Network = pool.parse().map_err(|_| bad())?;
        let IpAddr::V4(address) = network.address() else { return Err(bad()) };
        if !(8..=16).contains(&network.prefix()) {
            return Err(bad());
        }
        let parts = 1 << (PART_PREFIX - network.prefix());
        if instance.0 >= parts {
            return Err(bad());
        }
        let mask = u32::MAX << (32 - u32::from(network.prefix()));
        let first = Ipv4Addr::from_bits((address.to_bits() & mask) + instance.0 * BLOCKS * BLOCK_BYTES);
        Ok(Self { instance, first, resolvers })
    }

    /// Loads the rules and lets the kernel forward packets. Call it when the helper starts and before each
    /// [`Self::attach`]: rules that somebody flushed come back with the next tool.
    ///
    /// `net.ipv4.ip_forward` is set for the whole machine and stays set.
    pub fn prepare(&self) -> Result<(), NetworkError> {
        rules::load(self.instance, &self.rules())?;
        let path = Path::new("/proc/sys/net/ipv4/ip_forward");
        if fs::read_to_string(path).is_ok_and(|value| value.trim() == "1") {
            return Ok(());
        }
        write_setting(path, "1")
    }

    /// Gives the network namespace of the process behind `process` (a pidfd) its interface, address and route. Gives
    /// the tool's address. What an earlier sandbox of the same id left is replaced.
    pub fn attach(&self, id: &SandboxId, process: BorrowedFd<'_>) -> Result<Ipv4Addr, NetworkError> {
        self.remove(id)?;
        let routing = Routing::open()?;
        let namespace = inside(process, || {
            disable_ipv6("all")?;
            disable_ipv6("default")?;
            let file = fs::File::open("/proc/thread-self/ns/net").map_err(NetworkError::Enter)?;
            Ok(OwnedFd::from(file))
        })?;
        let block = self.make_pair(&routing, id, &namespace)?;
        self.set_up(&routing, block, process).inspect_err(|_| {
            // What is half-made must not keep the address.
            let _ = self.remove(id);
        })
    }

    /// The address of a tool that is attached.
    pub fn address(&self, id: &SandboxId) -> Result<Option<Ipv4Addr>, NetworkError> {
        let ours = links(self.instance, &Routing::open()?)?;
        Ok(ours
            .into_iter()
            .find(|(_, link)| link.alias == id.as_str())
            .map(|(block, _)| self.inside_address(block)))
    }

    /// Takes a tool's interface away; nothing happens when it has none.
    pub fn remove(&self, id: &SandboxId) -> Result<(), NetworkError> {
        let routing = Routing::open()?;
        for (_, link) in
            links(self.instance, &routing)?.into_iter().filter(|(_, link)| link.alias == id.as_str())
        {
            routing.remove(link.index)?;
        }
        Ok(())
    }

    /// The text of a tool's /etc/resolv.conf.
    pub fn resolv_conf(&self) -> String {
        let mut text = String::new();
        for address in &self.resolvers {
            let _ = writeln!(text, "nameserver {address}");
        }
        text
    }

    fn rules(&self) -> String {
        rules::text(self.instance, &format!("{}/{PART_PREFIX}", self.first), &self.resolvers)
    }

    /// Makes the pair under the first free number. The search starts at a place that the id chooses: an address that
    /// was just given up is not at once another tool's.
    fn make_pair(&self, routing: &Routing, id: &SandboxId, inside: &OwnedFd) -> Result<u32, NetworkError> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let start = u32::try_from(hasher.finish() % u64::from(BLOCKS)).unwrap_or(0);
        for block in (0..BLOCKS).map(|offset| (start + offset) % BLOCKS) {
            match routing.make_veth(&self.interface(block), id.as_str(), INTERFACE_INSIDE, inside) {
                Err(NetworkError::Kernel { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                }
                other => return other.map(|()| block),
            }
        }
        Err(NetworkError::Full { taken: links(self.instance, routing)?.len() })
    }

    fn set_up(
        &self,
        routing: &Routing,
        block: u32,
        process: BorrowedFd<'_>,
    ) -> Result<Ipv4Addr, NetworkError> {
        let name = self.interface(block);
        let (host, tool) = (self.host_address(block), self.inside_address(block));
        disable_ipv6(&name)?;
        let index = routing.index(&name)?;
        routing.add_address(index, host, BLOCK_PREFIX)?;
        routing.up(index)?;
        inside(process, || {
            let routing = Routing::open()?;
            routing.up(routing.index("lo")?)?;
            let index = routing.index(INTERFACE_INSIDE)?;
            routing.add_address(index, tool, BLOCK_PREFIX)?;
            routing.up(index)?;
            routing.add_default_route(host)
        })?;
        Ok(tool)
    }

    fn interface(&self, block: u32) -> String {
        format!("{}{block:x}", rules::interface_prefix(self.instance))
    }

    fn host_address(&self, block: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() + block * BLOCK_BYTES + 1)
    }

    fn inside_address(&self, block: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() + block * BLOCK_BYTES + 2)
    }
}

/// An instance's interfaces, each with the number of its address block.
fn links(instance: Instance, routing: &Routing) -> Result<Vec<(u32, Link)>, NetworkError> {
    let prefix = rules::interface_prefix(instance);
    let block = |link: &Link| u32::from_str_radix(link.name.strip_prefix(&prefix)?, 16).ok();
    Ok(routing.links()?.into_iter().filter_map(|link| Some((block(&link)?, link))).collect())
}

/// Removes every interface and rule of an instance; nothing happens when there is none.
pub fn remove_instance(instance: Instance) -> Result<(), NetworkError> {
    let routing = Routing::open()?;
    for (_, link) in links(instance, &routing)? {
        routing.remove(link.index)?;
    }
    rules::remove(instance)
}

/// The machine's resolvers that tools can reach: IPv4 and not on loopback. Where only a local stub is configured
/// (systemd-resolved), the servers behind it. Empty when there is none: then the operator has to name one.
pub fn system_resolvers() -> io::Result<Vec<Ipv4Addr>> {
    for path in ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let found = resolvers_in(&text);
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// The `nameserver` lines of a resolv.conf(5), three at most, as resolvers read it.
fn resolvers_in(text: &str) -> Vec<Ipv4Addr> {
    let address = |line: &str| line.trim().strip_prefix("nameserver")?.trim().parse::<Ipv4Addr>().ok();
    text.lines().filter_map(address).filter(|address| !address.is_loopback()).take(3).collect()
}

fn disable_ipv6(interface: &str) -> Result<(), NetworkError> {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    match write_setting(Path::new(&path), "1") {
        // A kernel without IPv6.
        Err(NetworkError::Setting { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn write_setting(path: &Path, value: &str) -> Result<(), NetworkError> {
    // Without O_CREAT: a setting is there or the kernel does not know it.
    let write =
        || io::Write::write_all(&mut fs::OpenOptions::new().write(true).open(path)?, value.as_bytes());
    write().map_err(|source| NetworkError::Setting { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_instances_never_share_an_address() {
        let network = |instance| ToolNetwork::new(Instance(instance), "10.128.0.0/10", Vec::new()).unwrap();
        assert_eq!(network(0).inside_address(BLOCKS - 1), Ipv4Addr::new(10, 128, 63, 254));
        assert_eq!(network(1).host_address(0), Ipv4Addr::new(10, 128, 64, 1));
        assert_eq!(network(189).inside_address(BLOCKS - 1), Ipv4Addr::new(10, 175, 127, 254));
    }

    #[test]
    fn a_pool_that_cannot_be_split_is_refused() {
        for bad in ["", "10.128.0.0", "fd00::/10", "10.0.0.0/24", "10.0.0.0/4"] {
            assert!(ToolNetwork::new(Instance(0), bad, Vec::new()).is_err(), "{bad}");
        }
        assert!(ToolNetwork::new(Instance(4), "10.128.0.0/16", Vec::new()).is_err());
    }

    #[test]
    fn a_local_stub_is_no_resolver_for_tools() {
        let text = "# made by hand\nnameserver 127.0.0.53\n nameserver 10.255.255.53\nnameserver fd00::1\noptions edns0\n";
        assert_eq!(resolvers_in(text), [Ipv4Addr::new(10, 255, 255, 53)]);
    }
}
