//! Where a packet came from.

use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Room for the address of any peer.
pub(super) const PEER: libc::socklen_t = 128;
/// Room for one control message with the address that was asked: `CMSG_SPACE(in6_pktinfo)` is 40.
pub(super) const CONTROL: usize = 64;

const _: () = assert!(size_of::<libc::sockaddr_storage>() == PEER as usize);

/// Where a packet came from and the address it was sent to: where its reply goes and leaves from.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct ReturnPath {
    pub(super) control: [u8; CONTROL],
    pub(super) control_length: usize,
    pub(super) peer: libc::sockaddr_storage,
    pub(super) peer_length: libc::socklen_t,
}

impl ReturnPath {
    /// The client's address; unspecified for a family that no DNS client has.
    pub(super) fn client(&self) -> IpAddr {
        let peer: *const libc::sockaddr_storage = &raw const self.peer;
        match i32::from(self.peer.ss_family) {
            libc::AF_INET => {
                // SAFETY: sockaddr_storage is large and aligned enough for every family, and the
                // kernel wrote one of this family.
                let peer = unsafe { &*peer.cast::<libc::sockaddr_in>() };
                Ipv4Addr::from(u32::from_be(peer.sin_addr.s_addr)).into()
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let peer = unsafe { &*peer.cast::<libc::sockaddr_in6>() };
                Ipv6Addr::from(peer.sin6_addr.s6_addr).into()
            }
            _ => Ipv4Addr::UNSPECIFIED.into(),
        }
    }

    /// The kernel names the link that a packet came in by. Sent back, that would force the reply
    /// out by the same link; routing decides instead, but for link-local addresses, which mean
    /// nothing without their link.
    pub(super) fn leave_by_any_link(&mut self) {
        let header_length = size_of::<libc::cmsghdr>();
        if self.control_length < header_length + size_of::<libc::in_pktinfo>() {
            self.control_length = 0;
            return;
        }
        // SAFETY: the buffer is aligned to 16 octets and holds a header that the kernel wrote.
        let header = unsafe { self.control.as_ptr().cast::<libc::cmsghdr>().read() };
        let data = self.control[header_length..].as_mut_ptr();
        match (header.cmsg_level, header.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: the kernel wrote an in_pktinfo here, aligned like its header.
                let info = unsafe { &mut *data.cast::<libc::in_pktinfo>() };
                info.ipi_ifindex = 0;
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
                if self.control_length >= header_length + size_of::<libc::in6_pktinfo>() =>
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
