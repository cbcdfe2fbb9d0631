//! The platform's own look-up of an allowed name: cached for half a minute, joined when many ask at once, and
//! reduced to addresses that may be connected to.

use crate::{Policy, address::Network, policy::may_connect, report::Refusal};
use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};
use tokio::{sync::Mutex, time::timeout};

const KEEP: Duration = Duration::from_secs(30);
const KEEP_FAILURE: Duration = Duration::from_secs(3);
/// Clients wait minutes on a silent proxy; hello, look-up and connection together stay near ten seconds.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks up the hosts of one policy.
pub(crate) struct Lookup {
    resolver: TokioResolver,
    networks: Vec<Network>,
    /// One entry per rule of the policy. Whoever asks first holds the lock while it resolves; the others find the answer.
    entries: Vec<Mutex<Option<Entry>>>,
}

#[derive(Clone)]
struct Entry {
    until: Instant,
    answer: Result<Vec<IpAddr>, Refusal>,
}

impl Lookup {
    /// Reads the machine's resolver settings unless the policy names a resolver.
    pub(crate) fn new(policy: &Policy, networks: Vec<Network>) -> Result<Self, NetError> {
        let mut builder = match policy.resolver {
            Some(address) => {
                let servers = vec![NameServerConfig::udp_and_tcp(address)];
                let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
                builder.options_mut().use_hosts_file = ResolveHosts::Never;
                builder
            }
            None => TokioResolver::builder_tokio()?,
        };
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let entries = policy.hosts.iter().map(|_| Mutex::new(None)).collect();
        Ok(Self { resolver: builder.build()?, networks, entries })
    }

    /// The addresses of the policy's rule number `position`, IPv4 first, that may be connected to.
    pub(crate) async fn addresses(&self, position: usize, host: &str) -> Result<Vec<IpAddr>, Refusal> {
        let Some(entry) = self.entries.get(position) else {
            return Err(Refusal::Host(host.to_owned()));
        };
        let mut entry = entry.lock().await;
        if let Some(known) = entry.as_ref().filter(|known| Instant::now() < known.until) {
            return known.answer.clone();
        }
        let answer = self.resolve(host).await;
        let keep = if answer.is_ok() { KEEP } else { KEEP_FAILURE };
        *entry = Some(Entry { until: Instant::now() + keep, answer: answer.clone() });
        answer
    }

    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Refusal> {
        let unreachable = |why: &str| Refusal::Unreachable(host.to_owned(), why.to_owned());
        // The trailing dot keeps the machine's search domains out.
        let found = match timeout(LOOKUP_TIMEOUT, self.resolver.lookup_ip(format!("{host}."))).await {
            Err(_) => return Err(unreachable("the platform's resolver did not answer within 5 s")),
            Ok(Err(error)) if error.is_no_records_found() => {
                return Err(unreachable("its name does not exist"));
            }
            Ok(Err(error)) => {
                tracing::warn!(host, %error, "the look-up of an allowed host failed");
                return Err(unreachable("the platform's resolver could not resolve it"));
            }
            Ok(Ok(found)) => found,
        };
        let (good, special): (Vec<IpAddr>, Vec<IpAddr>) =
            found.iter().partition(|address| may_connect(*address, &self.networks));
        match special.first() {
            Some(address) if good.is_empty() => Err(Refusal::Address(host.to_owned(), address.to_string())),
            _ if good.is_empty() => Err(unreachable("its name has no address")),
            _ => Ok(good),
        }
    }
}
