//! Where a packet came from.

use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Room for the address of any peer: that of IPv6 is the longest.
pub(super) const PEER: libc::socklen_t = 28;
/// Room for one control message with the address that was asked: `CMSG_SPACE(in6_pktinfo)`.
pub(super) const CONTROL: usize = 40;

const _: () = assert!(size_of::<libc::sockaddr_in6>() == PEER as usize);
const _: () = assert!(size_of::<libc::sockaddr_in>() <= PEER as usize);
const _: () = assert!(std::mem::offset_of!(ReturnPath, control).is_multiple_of(align_of::<libc::cmsghdr>()));

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

    /// The kernel names the link that a packet came in by. Sent back, that would force the reply
    /// out by the same link; routing decides instead, but for link-local addresses, which mean
    /// nothing without their link.
    pub(super) fn leave_by_any_link(&mut self) {
        let header_length = size_of::<libc::cmsghdr>();
        if self.control_length < header_length + size_of::<libc::in_pktinfo>() {
            self.control_length = 0;
            return;
        }
        // SAFETY: the buffer is aligned like a header (asserted above) and holds a header that the kernel wrote.
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
