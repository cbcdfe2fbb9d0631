//! The few requests to the kernel's routing tables that sandboxes need (rtnetlink(7)), without the `ip` program.

use super::NetworkError;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use std::{io, net::Ipv4Addr, os::fd::OwnedFd};

// linux/netlink.h, linux/rtnetlink.h
const FLAG_REQUEST: u16 = 0x1;
const FLAG_ACKNOWLEDGE: u16 = 0x4;
const FLAG_DUMP: u16 = 0x300;
const FLAG_CREATE_NEW: u16 = 0x400 | 0x200;
const KIND_ERROR: u16 = 2;
const KIND_DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const HEADER_BYTES: usize = 16;
const LINK_BODY_BYTES: usize = 16;

// linux/if_link.h, linux/veth.h
const LINK_NAME: u16 = 3;
const LINK_INFO: u16 = 18;
const LINK_ALIAS: u16 = 20;
const LINK_NAMESPACE: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;
const FLAG_UP: u32 = 1;

// linux/if_addr.h, linux/rtnetlink.h
const ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ROUTE_OUT: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;
const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u8 = 255;
const PROTOCOL_STATIC: u8 = 4;
const SCOPE_WORLD: u8 = 0;
const SCOPE_HOST: u8 = 254;
const TYPE_UNICAST: u8 = 1;
const TYPE_LOCAL: u8 = 2;

const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;

/// One interface of the namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// `ip link`'s alias; empty when none is set.
    pub(super) alias: String,
}

/// A socket to the routing tables of the network namespace of the thread that opened it.
pub(super) struct Routing(OwnedFd);

impl Routing {
    pub(super) fn open() -> Result<Self, NetworkError> {
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).map(Self).map_err(
            |error| NetworkError::Kernel { what: "open a netlink socket".to_owned(), source: error.into() },
        )
    }

    /// Makes a veth pair: `name` here with `alias`, `peer` in the namespace behind `peer_namespace`.
    /// `AlreadyExists` when the name is taken.
    pub(super) fn make_veth(
        &self,
        name: &str,
        alias: &str,
        peer: &str,
        peer_namespace: &OwnedFd,
    ) -> Result<(), NetworkError> {
        let mut message = Message::new(NEW_LINK, FLAG_ACKNOWLEDGE | FLAG_CREATE_NEW);
        message.link_body(0, 0, 0);
        message.text(LINK_NAME, name);
        message.nest(LINK_INFO, |info| {
            info.text(INFO_KIND, "veth");
            info.nest(INFO_DATA, |data| {
                data.nest(VETH_PEER, |end| {
                    end.link_body(0, 0, 0);
                    end.text(LINK_NAME, peer);
                    end.number(LINK_NAMESPACE, number_of(peer_namespace));
                });
            });
        });
        self.change(message, || format!("make the interface {name}"))?;
        // The kernel takes an alias only for an interface that exists.
        let mut message = Message::new(NEW_LINK, FLAG_ACKNOWLEDGE);
        message.link_body(self.index(name)?, 0, 0);
        message.attribute(LINK_ALIAS, alias.as_bytes());
        self.change(message, || format!("name the owner of the interface {name}"))
    }

    /// Takes an interface up.
    pub(super) fn up(&self, index: u32) -> Result<(), NetworkError> {
        let mut message = Message::new(NEW_LINK, FLAG_ACKNOWLEDGE);
        message.link_body(index, FLAG_UP, FLAG_UP);
        self.change(message, || format!("take interface {index} up"))
    }

    /// Gives an interface an IPv4 address.
    pub(super) fn add_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> Result<(), NetworkError> {
        let mut message = Message::new(NEW_ADDRESS, FLAG_ACKNOWLEDGE | FLAG_CREATE_NEW);
        message.bytes.extend([FAMILY_IPV4, prefix, 0, SCOPE_WORLD]);
        message.bytes.extend(index.to_ne_bytes());
        message.attribute(ADDRESS_LOCAL, &address.octets());
        message.attribute(ADDRESS, &address.octets());
        self.change(message, || format!("give interface {index} the address {address}/{prefix}"))
    }

    /// Sends everything that has no nearer route to `gateway`.
    pub(super) fn add_default_route(&self, gateway: Ipv4Addr) -> Result<(), NetworkError> {
        let mut message = Message::new(NEW_ROUTE, FLAG_ACKNOWLEDGE | FLAG_CREATE_NEW);
        message.route_body(FAMILY_IPV4, TABLE_MAIN, SCOPE_WORLD, TYPE_UNICAST);
        message.attribute(ROUTE_GATEWAY, &gateway.octets());
        self.change(message, || format!("route by {gateway}"))
    }

    /// Makes every IPv4 and IPv6 address one of this namespace's own: `local 0.0.0.0/0 dev <index>` and `local ::/0`.
    pub(super) fn make_everything_local(&self, index: u32) -> Result<(), NetworkError> {
        for family in [FAMILY_IPV4, FAMILY_IPV6] {
            let mut message = Message::new(NEW_ROUTE, FLAG_ACKNOWLEDGE | FLAG_CREATE_NEW);
            message.route_body(family, TABLE_LOCAL, SCOPE_HOST, TYPE_LOCAL);
            message.number(ROUTE_OUT, index);
            let made = self.change(message, || "make every address local".to_owned());
            match made {
                // A kernel without IPv6 has no IPv6 address to make local.
                Err(NetworkError::Kernel { source, .. })
                    if family == FAMILY_IPV6 && source.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// All interfaces of the namespace.
    pub(super) fn links(&self) -> Result<Vec<Link>, NetworkError> {
        let mut message = Message::new(GET_LINK, FLAG_DUMP);
        message.link_body(0, 0, 0);
        let bodies = self
            .ask(message)
            .map_err(|source| NetworkError::Kernel { what: "list the interfaces".to_owned(), source })?;
        Ok(bodies.iter().filter_map(|body| read_link(body)).collect())
    }

    /// The index of the interface called `name`.
    pub(super) fn index(&self, name: &str) -> Result<u32, NetworkError> {
        self.links()?.into_iter().find(|link| link.name == name).map(|link| link.index).ok_or_else(|| {
            let source = io::Error::from(io::ErrorKind::NotFound);
            NetworkError::Kernel { what: format!("find the interface {name}"), source }
        })
    }

    /// Removes an interface; both ends of a pair. True when it was there.
    pub(super) fn remove(&self, index: u32) -> Result<bool, NetworkError> {
        let mut message = Message::new(DELETE_LINK, FLAG_ACKNOWLEDGE);
        message.link_body(index, 0, 0);
        match self.change(message, || format!("remove interface {index}")) {
            Ok(()) => Ok(true),
            Err(NetworkError::Kernel { source, .. }) if source.raw_os_error() == Some(libc::ENODEV) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn change(&self, message: Message, what: impl FnOnce() -> String) -> Result<(), NetworkError> {
        self.ask(message).map(drop).map_err(|source| NetworkError::Kernel { what: what(), source })
    }

    /// Sends one request and reads until it is acknowledged or the dump is done. Gives the bodies of a dump.
    fn ask(&self, message: Message) -> io::Result<Vec<Vec<u8>>> {
        send(&self.0, &message.finish(), SendFlags::empty())?;
        let mut bodies = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (length, _) = recv(&self.0, &mut buffer[..], RecvFlags::empty())?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((kind, body, after)) = split_message(rest) {
                match kind {
                    KIND_ERROR | KIND_DONE => return result_of(body).map(|()| bodies),
                    _ => bodies.push(body.to_vec()),
                }
                rest = after;
            }
        }
    }
}

/// The number that netlink and the child's descriptor table know an open descriptor by.
fn number_of(descriptor: &OwnedFd) -> u32 {
    use std::os::fd::AsRawFd;
    descriptor.as_raw_fd().unsigned_abs()
}

/// The outcome in an error message or at the end of a dump: zero, or a negative errno.
fn result_of(body: &[u8]) -> io::Result<()> {
    match body.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes)) {
        None | Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
    }
}

/// Kind and body of the first message in `bytes`, and what follows it.
fn split_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk::<4>()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk::<2>()?);
    let body = bytes.get(HEADER_BYTES..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn read_link(body: &[u8]) -> Option<Link> {
    let index = u32::from_ne_bytes(*body.get(4..)?.first_chunk::<4>()?);
    let mut link = Link { index, name: String::new(), alias: String::new() };
    let mut rest = body.get(LINK_BODY_BYTES..)?;
    while let Some(head) = rest.first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]);
        let value = rest.get(4..length)?;
        let text = || String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into_owned();
        match kind {
            LINK_NAME => link.name = text(),
            LINK_ALIAS => link.alias = text(),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(link)
}

/// A request under construction: header, fixed body, attributes.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(FLAG_REQUEST | flags).to_ne_bytes());
        Self { bytes }
    }

    /// `struct ifinfomsg`.
    fn link_body(&mut self, index: u32, flags: u32, change: u32) {
        self.bytes.extend([0; 4]);
        self.bytes.extend(index.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(change.to_ne_bytes());
    }

    /// `struct rtmsg` for a route to everything.
    fn route_body(&mut self, family: u8, table: u8, scope: u8, kind: u8) {
        self.bytes.extend([family, 0, 0, 0, table, PROTOCOL_STATIC, scope, kind, 0, 0, 0, 0]);
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nest(kind, |inner| inner.bytes.extend(value));
    }

    fn text(&mut self, kind: u16, value: &str) {
        self.nest(kind, |inner| {
            inner.bytes.extend(value.as_bytes());
            inner.bytes.push(0);
        });
    }

    fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// An attribute whose value `fill` writes. Values are short: names, addresses and each other.
    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0, 0]);
        self.bytes.extend(kind.to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}
