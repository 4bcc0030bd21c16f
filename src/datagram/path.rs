//! Where a packet came from.

use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for the address of any peer: that of IPv6 is the longest.
pub(super) const PEER: libc::socklen_t = 28;
/// The length of one of IPv4.
const PEER_V4: libc::socklen_t = 16;
/// Room for one control message with the address that was asked: `CMSG_SPACE(in6_pktinfo)`.
pub(super) const CONTROL: usize = 40;

/// What a control message begins with; its data stands right behind.
const HEADER: usize = size_of::<libc::cmsghdr>();
#[expect(clippy::cast_possible_truncation, reason = "2 and 10")]
const FAMILY_V4: libc::sa_family_t = libc::AF_INET as libc::sa_family_t;
#[expect(clippy::cast_possible_truncation, reason = "2 and 10")]
const FAMILY_V6: libc::sa_family_t = libc::AF_INET6 as libc::sa_family_t;

const _: () = assert!(size_of::<libc::sockaddr_in6>() == PEER as usize);
const _: () = assert!(size_of::<libc::sockaddr_in>() == PEER_V4 as usize && PEER_V4 <= PEER);
const _: () = assert!(HEADER + size_of::<libc::in6_pktinfo>() <= CONTROL);
const _: () = assert!(align_of::<libc::in6_pktinfo>() <= align_of::<libc::cmsghdr>());
const _: () =
    assert!(std::mem::offset_of!(libc::sockaddr_in, sin_port) == std::mem::offset_of!(libc::sockaddr_in6, sin6_port));
const _: () = assert!(std::mem::offset_of!(ReturnPath, control).is_multiple_of(align_of::<libc::cmsghdr>()));

/// What a packet was sent to, where its socket is bound to all addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub address: IpAddr,
    /// The link that it came in by, and its reply leaves by; 0 where routing decides.
    pub link: u32,
}

/// Where a packet came from and the address it was sent to: where its reply goes and leaves from.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct ReturnPath {
    /// Of either family.
    pub(super) peer: libc::sockaddr_in6,
    pub(super) peer_length: libc::socklen_t,
    /// 0 on a socket that is bound to one address, where what follows is never touched.
    pub(super) control_length: usize,
    pub(super) control: [u8; CONTROL],
}

impl ReturnPath {
    /// The client's address; unspecified for a family that no DNS client has.
    pub(super) fn client(&self) -> IpAddr {
        // The family stands in the same place in both.
        match i32::from(self.peer.sin6_family) {
            libc::AF_INET => {
                // SAFETY: sockaddr_in6 is large and aligned enough for sockaddr_in, and the kernel
                // wrote one.
                let peer = unsafe { &*(&raw const self.peer).cast::<libc::sockaddr_in>() };
                Ipv4Addr::from(u32::from_be(peer.sin_addr.s_addr)).into()
            }
            libc::AF_INET6 => Ipv6Addr::from(self.peer.sin6_addr.s6_addr).into(),
            _ => Ipv4Addr::UNSPECIFIED.into(),
        }
    }

    /// The same from its description, by whatever process that was made; `None` when its parts are of
    /// different families.
    pub fn to(peer: SocketAddr, asked: Option<Asked>) -> Option<Self> {
        // SAFETY: all-zero octets are a valid ReturnPath: integers and arrays of them.
        let mut path: Self = unsafe { zeroed() };
        match peer {
            SocketAddr::V4(peer) => {
                // SAFETY: sockaddr_in6 is large and aligned enough for sockaddr_in (asserted above), and all
                // octets of it are set already.
                let room = unsafe { &mut *(&raw mut path.peer).cast::<libc::sockaddr_in>() };
                room.sin_family = FAMILY_V4;
                room.sin_port = peer.port().to_be();
                room.sin_addr.s_addr = u32::from(*peer.ip()).to_be();
                path.peer_length = PEER_V4;
            }
            SocketAddr::V6(peer) => {
                path.peer.sin6_family = FAMILY_V6;
                path.peer.sin6_port = peer.port().to_be();
                path.peer.sin6_addr.s6_addr = peer.ip().octets();
                path.peer.sin6_scope_id = peer.scope_id();
                path.peer_length = PEER;
            }
        }
        let Some(asked) = asked else { return Some(path) };
        let (level, kind, length) = match (peer, asked.address) {
            (SocketAddr::V4(_), IpAddr::V4(address)) => {
                // SAFETY: behind the header there is room for the longer in6_pktinfo, aligned like the header.
                let info = unsafe { &mut *path.control[HEADER..].as_mut_ptr().cast::<libc::in_pktinfo>() };
                info.ipi_spec_dst.s_addr = u32::from(address).to_be();
                (libc::IPPROTO_IP, libc::IP_PKTINFO, size_of::<libc::in_pktinfo>())
            }
            (SocketAddr::V6(_), IpAddr::V6(address)) => {
                // SAFETY: as above.
                let info = unsafe { &mut *path.control[HEADER..].as_mut_ptr().cast::<libc::in6_pktinfo>() };
                info.ipi6_addr.s6_addr = address.octets();
                info.ipi6_ifindex = asked.link;
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, size_of::<libc::in6_pktinfo>())
            }
            _ => return None,
        };
        // SAFETY: all-zero octets are a valid cmsghdr: integers.
        let mut header: libc::cmsghdr = unsafe { zeroed() };
        (header.cmsg_len, header.cmsg_level, header.cmsg_type) = (HEADER + length, level, kind);
        // SAFETY: the buffer begins with room for a header, aligned like one (asserted above).
        unsafe { path.control.as_mut_ptr().cast::<libc::cmsghdr>().write(header) };
        // As CMSG_SPACE counts: up to where the next header would begin.
        path.control_length = (HEADER + length).next_multiple_of(align_of::<libc::cmsghdr>());
        Some(path)
    }

    /// Who asked; `None` for a family that no DNS client has.
    pub fn peer(&self) -> Option<SocketAddr> {
        match self.client() {
            IpAddr::V4(ip) if i32::from(self.peer.sin6_family) == libc::AF_INET => {
                // The port stands in the same place in both.
                Some(SocketAddrV4::new(ip, u16::from_be(self.peer.sin6_port)).into())
            }
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => {
                Some(SocketAddrV6::new(ip, u16::from_be(self.peer.sin6_port), 0, self.peer.sin6_scope_id).into())
            }
        }
    }

    /// What was asked, if the socket cannot tell.
    pub fn asked(&self) -> Option<Asked> {
        if self.control_length < HEADER + size_of::<libc::in_pktinfo>() {
            return None;
        }
        // SAFETY: the buffer is aligned like a header (asserted above) and holds one.
        let header = unsafe { self.control.as_ptr().cast::<libc::cmsghdr>().read() };
        let data = self.control[HEADER..].as_ptr();
        match (header.cmsg_level, header.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: an in_pktinfo stands here, aligned like its header, and the length was checked.
                let info = unsafe { data.cast::<libc::in_pktinfo>().read() };
                let address = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)).into();
                Some(Asked { address, link: 0 })
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
                if self.control_length >= HEADER + size_of::<libc::in6_pktinfo>() =>
            {
                // SAFETY: an in6_pktinfo stands here, and the length was checked.
                let info = unsafe { data.cast::<libc::in6_pktinfo>().read() };
                Some(Asked { address: Ipv6Addr::from(info.ipi6_addr.s6_addr).into(), link: info.ipi6_ifindex })
            }
            _ => None,
        }
    }

    /// The kernel names the link that a packet came in by. Sent back, that would force the reply
    /// out by the same link; routing decides instead, but for link-local addresses, which mean
    /// nothing without their link.
    pub(super) fn leave_by_any_link(&mut self) {
        if self.control_length < HEADER + size_of::<libc::in_pktinfo>() {
            self.control_length = 0;
            return;
        }
        // SAFETY: the buffer is aligned like a header (asserted above) and holds a header that the kernel wrote.
        let header = unsafe { self.control.as_ptr().cast::<libc::cmsghdr>().read() };
        let data = self.control[HEADER..].as_mut_ptr();
        match (header.cmsg_level, header.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: the kernel wrote an in_pktinfo here, aligned like its header.
                let info = unsafe { &mut *data.cast::<libc::in_pktinfo>() };
                info.ipi_ifindex = 0;
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
                if self.control_length >= HEADER + size_of::<libc::in6_pktinfo>() =>
            {
                // SAFETY: the kernel wrote an in6_pktinfo here, and the length was checked.
                let info = unsafe { &mut *data.cast::<libc::in6_pktinfo>() };
                if !Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local() {
                    info.ipi6_ifindex = 0;
                }
            }
            _ => self.control_length = 0,
        }
    }
}
