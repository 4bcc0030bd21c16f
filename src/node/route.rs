//! Devices and their addresses, as the kernel has them.

use std::io;
use std::net::IpAddr;

use nix::sys::socket::SockProtocol;

use super::netlink::{Attributes, Reply, Request, Socket, attribute, number, text};

/// The family of IPv4, and of IPv6, in a message about addresses.
const FAMILIES: [u8; 2] = [2, 10];
/// `RT_SCOPE_LINK`.
const LINK_SCOPE: u8 = 253;
/// Multicast groups: changes of devices and of addresses.
const NEWS: i32 = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// The driver's word, where it has one: a `dummy`, a `veth`.
    pub(super) kind: Option<String>,
    pub(super) alias: Option<String>,
    pub(super) is_loopback: bool,
    pub(super) is_up: bool,
}

/// An address of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) device: u32,
    pub(super) ip: IpAddr,
    pub(super) length: u8,
    /// An address of IPv6 that the kernel gives every device.
    pub(super) is_of_every_device: bool,
}

/// Something that has changed, or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    Link(Link),
    Address(Address),
}

/// Asks and orders.
#[derive(Debug)]
pub(super) struct Route(Socket);

impl Route {
    pub(super) fn open() -> io::Result<Self> {
        Socket::open(SockProtocol::NetlinkRoute, 0).map(Self)
    }

    pub(super) fn named(&mut self, name: &str) -> io::Result<Option<Link>> {
        self.link(0, Attributes::default().text(libc::IFLA_IFNAME, name))
    }

    pub(super) fn numbered(&mut self, index: u32) -> io::Result<Option<Link>> {
        self.link(index, Attributes::default())
    }

    fn link(&mut self, index: u32, attributes: Attributes) -> io::Result<Option<Link>> {
        match self.0.ask(&of_link(libc::RTM_GETLINK, index, 0, 0, attributes)) {
            Ok(reply) => Ok(link(&reply.payload)),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn addresses(&mut self) -> io::Result<Vec<Address>> {
        let all = Request { kind: libc::RTM_GETADDR, flags: 0, fixed: vec![0; 8], attributes: Attributes::default() };
        Ok(self.0.list(&all)?.iter().filter_map(|reply| address(&reply.payload)).collect())
    }

    /// Whether what is sent to an address stays on this node.
    pub(super) fn is_local(&mut self, ip: IpAddr) -> io::Result<bool> {
        let octets = octets(ip);
        let length = u8::try_from(8 * octets.len()).unwrap_or_default();
        let mut fixed = vec![family(ip), length];
        fixed.resize(12, 0);
        let attributes = Attributes::default().octets(libc::RTA_DST, &octets);
        match self.0.ask(&Request { kind: libc::RTM_GETROUTE, flags: 0, fixed, attributes }) {
            Ok(reply) => Ok(reply.payload.get(7) == Some(&libc::RTN_LOCAL)),
            // No way there, yet.
            Err(error) if error.raw_os_error() == Some(libc::ENETUNREACH) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn add_dummy(&mut self, name: &str) -> io::Result<()> {
        let kind = Attributes::default().text(libc::IFLA_INFO_KIND, "dummy");
        let attributes = Attributes::default().text(libc::IFLA_IFNAME, name).nested(libc::IFLA_LINKINFO, &kind);
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        self.0.order(&of_link(libc::RTM_NEWLINK, 0, flags, 0, attributes))
    }

    pub(super) fn mark(&mut self, index: u32, alias: &str) -> io::Result<()> {
        let attributes = Attributes::default().octets(libc::IFLA_IFALIAS, alias.as_bytes());
        self.0.order(&of_link(libc::RTM_NEWLINK, index, 0, 0, attributes))
    }

    pub(super) fn set_up(&mut self, index: u32) -> io::Result<()> {
        self.0.order(&of_link(libc::RTM_NEWLINK, index, 0, libc::IFF_UP, Attributes::default()))
    }

    pub(super) fn remove(&mut self, index: u32) -> io::Result<()> {
        self.0.order(&of_link(libc::RTM_DELLINK, index, 0, 0, Attributes::default()))
    }

    /// Fine when it is there already.
    pub(super) fn add_address(&mut self, device: u32, ip: IpAddr) -> io::Result<()> {
        let added = self.0.order(&of_address(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, device, ip));
        unless(added, libc::EEXIST)
    }

    /// Fine when it is not there.
    pub(super) fn remove_address(&mut self, device: u32, ip: IpAddr) -> io::Result<()> {
        unless(self.0.order(&of_address(libc::RTM_DELADDR, 0, device, ip)), libc::EADDRNOTAVAIL)
    }
}

/// A socket that hears of every change.
pub(super) fn listen() -> io::Result<Socket> {
    Socket::open(SockProtocol::NetlinkRoute, NEWS)
}

/// What a message is about.
pub(super) fn news(reply: &Reply) -> Option<News> {
    match reply.kind {
        libc::RTM_NEWLINK | libc::RTM_DELLINK => link(&reply.payload).map(News::Link),
        libc::RTM_NEWADDR | libc::RTM_DELADDR => address(&reply.payload).map(News::Address),
        _ => None,
    }
}

fn unless(result: io::Result<()>, code: i32) -> io::Result<()> {
    result.or_else(|error| if error.raw_os_error() == Some(code) { Ok(()) } else { Err(error) })
}

/// A request with a `struct ifinfomsg` that changes these of the device's flags.
fn of_link(kind: u16, index: u32, flags: i32, up: i32, attributes: Attributes) -> Request {
    let words = [0, index, up.cast_unsigned(), up.cast_unsigned()];
    Request { kind, flags, fixed: words.into_iter().flat_map(u32::to_ne_bytes).collect(), attributes }
}

/// A request with a `struct ifaddrmsg`.
fn of_address(kind: u16, flags: i32, device: u32, ip: IpAddr) -> Request {
    let octets = octets(ip);
    // Nobody else is on the device who could have the same address, and asking takes a second.
    let (length, no_detection) = if ip.is_ipv6() { (128, 2) } else { (32, 0) };
    let mut fixed = vec![family(ip), length, no_detection, 0];
    fixed.extend(device.to_ne_bytes());
    let attributes = Attributes::default().octets(libc::IFA_LOCAL, &octets).octets(libc::IFA_ADDRESS, &octets);
    Request { kind, flags, fixed, attributes }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn family(ip: IpAddr) -> u8 {
    FAMILIES[usize::from(ip.is_ipv6())]
}

/// Reads a `struct ifinfomsg` and what follows.
fn link(payload: &[u8]) -> Option<Link> {
    let (index, flags) = (number(payload, 4)?, number(payload, 8)?.cast_signed());
    let rest = payload.get(16..)?;
    let kind = attribute(rest, libc::IFLA_LINKINFO).and_then(|info| attribute(info, libc::IFLA_INFO_KIND));
    Some(Link {
        index,
        name: text(attribute(rest, libc::IFLA_IFNAME)?),
        kind: kind.map(text),
        alias: attribute(rest, libc::IFLA_IFALIAS).map(text),
        is_loopback: flags & libc::IFF_LOOPBACK != 0,
        is_up: flags & libc::IFF_UP != 0,
    })
}

/// Reads a `struct ifaddrmsg` and what follows.
fn address(payload: &[u8]) -> Option<Address> {
    let (family, length, scope) = (*payload.first()?, *payload.get(1)?, *payload.get(3)?);
    let rest = payload.get(8..)?;
    // Where the two differ, the other one is that of the peer.
    let octets = attribute(rest, libc::IFA_LOCAL).or_else(|| attribute(rest, libc::IFA_ADDRESS))?;
    let ip = match FAMILIES.iter().position(|known| *known == family)? {
        0 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
    };
    let is_of_every_device = ip.is_ipv6() && scope == LINK_SCOPE;
    Some(Address { device: number(payload, 4)?, ip, length, is_of_every_device })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_loopback_device_is_there_and_no_other_of_a_name_that_nobody_gives() {
        let mut route = Route::open().unwrap();
        let lo = route.named("lo").unwrap().unwrap();
        assert!(lo.is_loopback && lo.kind.is_none());
        assert_eq!(route.numbered(lo.index).unwrap(), Some(lo.clone()));
        assert!(route.is_local(Ipv4Addr::LOCALHOST.into()).unwrap());
        assert!(!route.is_local("192.0.2.1".parse().unwrap()).unwrap());
        assert_eq!(route.named("no-such-device").unwrap(), None);
        let addresses = route.addresses().unwrap();
        let has = |address: &Address| (address.device, address.ip) == (lo.index, IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert!(addresses.iter().any(has), "{addresses:?}");
    }
}
