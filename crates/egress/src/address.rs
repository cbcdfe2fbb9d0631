//! Which addresses belong to the public internet. Own tables from the IANA special-purpose registries
//! (RFC 6890 and its updates): the standard library's idea of "global" lets NAT64 of a private address through.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};
use thiserror::Error;

/// A network as `address/prefix`. Host bits are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Text that is no network.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a network: write it as `203.0.113.0/24` or `2001:db8::/32`")]
pub struct BadNetwork(String);

/// IPv4 networks that are not the public internet: 0/8 and private, shared, loopback, link-local (with the metadata
/// addresses of clouds), protocol assignments, documentation, 6to4 relays, benchmarks, multicast, reserved.
pub const SPECIAL_IPV4: &[Network] = &[
    ipv4([0, 0, 0, 0], 8),
    ipv4([10, 0, 0, 0], 8),
    ipv4([100, 64, 0, 0], 10),
    ipv4([127, 0, 0, 0], 8),
    ipv4([169, 254, 0, 0], 16),
    ipv4([172, 16, 0, 0], 12),
    ipv4([192, 0, 0, 0], 24),
    ipv4([192, 0, 2, 0], 24),
    ipv4([192, 88, 99, 0], 24),
    ipv4([192, 168, 0, 0], 16),
    ipv4([198, 18, 0, 0], 15),
    ipv4([198, 51, 100, 0], 24),
    ipv4([203, 0, 113, 0], 24),
    ipv4([224, 0, 0, 0], 3),
];

/// IPv6: only `2000::/3` is handed out to the public at all; inside it these are special: Teredo, benchmarks, ORCHID,
/// documentation, 6to4, and the rest of the protocol assignments.
const SPECIAL_IPV6: &[Network] =
    &[ipv6([0x2001, 0], 23), ipv6([0x2001, 0xdb8], 32), ipv6([0x2002, 0], 16), ipv6([0x3fff, 0], 20)];
const PUBLIC_IPV6: Network = ipv6([0x2000, 0], 3);

/// True for addresses of the public internet. IPv4 written as IPv6 (`::ffff:10.0.0.1`, NAT64, 6to4) is never public.
pub fn is_public(address: IpAddr) -> bool {
    let special = match address {
        IpAddr::V4(_) => SPECIAL_IPV4,
        IpAddr::V6(_) if PUBLIC_IPV6.contains(address) => SPECIAL_IPV6,
        IpAddr::V6(_) => return false,
    };
    !special.iter().any(|network| network.contains(address))
}

const fn ipv4(octets: [u8; 4], prefix: u8) -> Network {
    let [a, b, c, d] = octets;
    Network { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
}

const fn ipv6(first: [u16; 2], prefix: u8) -> Network {
    Network { address: IpAddr::V6(Ipv6Addr::new(first[0], first[1], 0, 0, 0, 0, 0, 0)), prefix }
}

impl Network {
    /// The first address, as written.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Bits that all its addresses share.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `address` is one of its own. Never across the two families.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, theirs, width) = match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (u128::from(ours.to_bits()), u128::from(theirs.to_bits()), 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (ours.to_bits(), theirs.to_bits(), 128),
            _ => return false,
        };
        let differing = (ours ^ theirs).checked_shr(width - u32::from(self.prefix)).unwrap_or(0);
        differing == 0
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let read = || {
            let (address, prefix) = text.split_once('/')?;
            let address: IpAddr = address.parse().ok()?;
            let prefix: u8 = prefix.parse().ok()?;
            (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some(Self { address, prefix })
        };
        read().ok_or_else(|| BadNetwork(text.chars().take(60).collect()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn private_link_local_and_tunnelled_addresses_are_never_public() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.0.1",
            "192.0.2.7",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.251",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00::2",
            "fe80::1",
            "ff02::1",
            "100::1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }

    #[test]
    fn ordinary_addresses_at_the_edges_of_the_tables_are_public() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700::1",
            "2a00::1",
        ] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn a_network_contains_exactly_its_own_addresses() {
        let network: Network = "203.0.113.64/26".parse().unwrap();
        assert!(network.contains("203.0.113.127".parse().unwrap()));
        assert!(!network.contains("203.0.113.128".parse().unwrap()));
        assert!(!network.contains("::ffff:203.0.113.65".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!("2001:db8::1/128".parse::<Network>().unwrap().contains("2001:db8::1".parse().unwrap()));
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/129", "example/8", "10.0.0.0/8 "] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
