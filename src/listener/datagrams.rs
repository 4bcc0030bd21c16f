//! Batches of UDP packets: one system call takes many in, one sends many out.
//!
//! One of the two rooms with `unsafe`: `recvmmsg` and `sendmmsg` take arrays of pointers. Every
//! pointer handed to the kernel leads into slots that this module allocates once, never moves, and
//! frees last.
#![expect(unsafe_code, reason = "recvmmsg and sendmmsg have no safe form that fits")]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{addr_of_mut, null_mut};

use crate::dns::response::MAX_UDP_PAYLOAD;

/// Packets taken in at once.
pub(super) const BATCH: usize = 64;
/// The same, as the kernel counts.
const BATCH_COUNT: libc::c_uint = 64;
/// Room for the address of any peer.
const PEER: libc::socklen_t = 128;
/// Room for a query; a longer one is cut, and so malformed.
const PACKET: usize = 4096;
const REPLY: usize = MAX_UDP_PAYLOAD as usize;
/// Room for one control message with the address that was asked: `CMSG_SPACE(in6_pktinfo)` is 40.
const CONTROL: usize = 64;

const _: () = assert!(size_of::<libc::sockaddr_storage>() == PEER as usize && BATCH == BATCH_COUNT as usize);

/// Everything that one packet and its reply need.
#[repr(C)]
struct Slot {
    packet: [u8; PACKET],
    reply: [u8; REPLY],
    path: ReturnPath,
    vector: libc::iovec,
}

/// Where a packet came from and the address it was sent to: where its reply goes and leaves from.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(super) struct ReturnPath {
    control: [u8; CONTROL],
    control_length: usize,
    peer: libc::sockaddr_storage,
    peer_length: libc::socklen_t,
}

/// Slots for a batch, on the heap.
pub(super) struct Batch {
    /// Allocated as a boxed slice of [`BATCH`] slots; freed in `drop`. All access goes through
    /// this pointer, so that those in `headers` stay valid.
    slots: *mut Slot,
    headers: Box<[libc::mmsghdr]>,
    /// Slots whose reply is to be sent, in order.
    queued: Vec<usize>,
    /// Slots and headers that were used since they were last made ready to receive.
    used: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        // SAFETY: all-zero octets are a valid Slot: integers, arrays of them, and null pointers.
        let slots: Box<[Slot]> = (0..BATCH).map(|_| unsafe { zeroed::<Slot>() }).collect();
        // SAFETY: all-zero octets are a valid mmsghdr.
        let headers = (0..BATCH).map(|_| unsafe { zeroed::<libc::mmsghdr>() }).collect();
        Self { slots: Box::into_raw(slots).cast(), headers, queued: Vec::with_capacity(BATCH), used: BATCH }
    }

    /// Takes in what has arrived, up to [`BATCH`] packets, without waiting.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.queued.clear();
        for index in 0..std::mem::take(&mut self.used) {
            let slot = self.slot(index);
            // SAFETY: `slot` is one of our slots; only raw pointers to its fields are made.
            unsafe {
                (*slot).vector = libc::iovec { iov_base: addr_of_mut!((*slot).packet).cast(), iov_len: PACKET };
                point(&mut self.headers[index].msg_hdr, slot);
                self.headers[index].msg_hdr.msg_namelen = PEER;
                self.headers[index].msg_hdr.msg_controllen = CONTROL;
            }
        }
        // SAFETY: each header points at an iovec, a name and a control buffer within its slot,
        // with their true lengths; the slots live as long as `self`.
        let received = unsafe {
            let flags = libc::MSG_DONTWAIT;
            libc::recvmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), BATCH_COUNT, flags, null_mut())
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        self.used = received;
        for index in 0..received {
            let header = self.headers[index].msg_hdr;
            let path = self.path_mut(index);
            path.peer_length = header.msg_namelen;
            path.control_length = header.msg_controllen;
            path.leave_by_any_link();
        }
        Ok(received)
    }

    /// A received packet and the room for its reply. `index` must be below what the last
    /// [`Batch::receive`] returned.
    pub(super) fn packet(&mut self, index: usize) -> (&[u8], &mut [u8]) {
        let length = (self.headers[index].msg_len as usize).min(PACKET);
        let slot = self.slot(index);
        // SAFETY: packet and reply are two fields of one of our slots, borrowed with `self`.
        unsafe { (&(&(*slot).packet)[..length], &mut (*slot).reply) }
    }

    /// The address that a received packet came from.
    pub(super) fn client(&self, index: usize) -> IpAddr {
        self.path(index).client()
    }

    /// The way back, for a reply that comes later.
    pub(super) fn path(&self, index: usize) -> &ReturnPath {
        // SAFETY: a field of one of our slots, borrowed with `self`.
        unsafe { &(*self.slot(index)).path }
    }

    /// Marks the first `length` octets of a slot's reply for sending.
    pub(super) fn queue(&mut self, index: usize, length: usize) {
        let slot = self.slot(index);
        // SAFETY: `slot` is one of our slots, and the length is held to that of its reply.
        unsafe {
            (*slot).vector = libc::iovec { iov_base: addr_of_mut!((*slot).reply).cast(), iov_len: length.min(REPLY) };
        }
        self.queued.push(index);
    }

    /// Sends what is queued, as far as the socket takes it. `given_up` grows by the replies that
    /// the kernel will not have at all.
    ///
    /// # Errors
    /// `WouldBlock` when the socket is full: call again, the rest is still queued.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>, given_up: &mut u64) -> io::Result<()> {
        while !self.queued.is_empty() {
            for (place, &index) in self.queued.iter().enumerate() {
                let slot = self.slot(index);
                // SAFETY: `slot` is one of our slots; its iovec was set by `queue`.
                unsafe {
                    point(&mut self.headers[place].msg_hdr, slot);
                    let header = &mut self.headers[place].msg_hdr;
                    header.msg_namelen = (*slot).path.peer_length;
                    header.msg_controllen = (*slot).path.control_length;
                }
            }
            // At most BATCH, so that nothing is lost.
            let count = libc::c_uint::try_from(self.queued.len()).unwrap_or(BATCH_COUNT);
            // SAFETY: the first `count` headers were just pointed at our slots.
            let sent =
                unsafe { libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
            match usize::try_from(sent) {
                Ok(sent) => drop(self.queued.drain(..sent)),
                Err(_) => {
                    let error = io::Error::last_os_error();
                    match error.kind() {
                        io::ErrorKind::WouldBlock => return Err(error),
                        io::ErrorKind::Interrupted => {}
                        // The error is that of the first reply; those behind it have a chance.
                        _ => {
                            self.queued.remove(0);
                            *given_up += 1;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn slot(&self, index: usize) -> *mut Slot {
        assert!(index < BATCH, "slot {index} of {BATCH}");
        // SAFETY: the index is within the allocation.
        unsafe { self.slots.add(index) }
    }

    fn path_mut(&mut self, index: usize) -> &mut ReturnPath {
        // SAFETY: a field of one of our slots, borrowed with `self`.
        unsafe { &mut (*self.slot(index)).path }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: `slots` came from a boxed slice of this length and is not used again.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(self.slots, BATCH)) });
    }
}

/// Points a header at the parts of a slot; the lengths of name and control are the caller's.
///
/// # Safety
/// `slot` must be valid for as long as the header is used.
unsafe fn point(header: &mut libc::msghdr, slot: *mut Slot) {
    // SAFETY: the caller's; only addresses of fields are taken.
    unsafe {
        header.msg_name = addr_of_mut!((*slot).path.peer).cast();
        header.msg_control = addr_of_mut!((*slot).path.control).cast();
        header.msg_iov = addr_of_mut!((*slot).vector);
    }
    header.msg_iovlen = 1;
    header.msg_flags = 0;
}

impl ReturnPath {
    /// The client's address; unspecified for a family that no DNS client has.
    fn client(&self) -> IpAddr {
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
    fn leave_by_any_link(&mut self) {
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

    /// Sends one reply along this path.
    pub(super) fn send(&self, socket: BorrowedFd<'_>, reply: &[u8]) -> io::Result<()> {
        let mut vector = libc::iovec { iov_base: reply.as_ptr().cast_mut().cast(), iov_len: reply.len() };
        // SAFETY: all-zero octets are a valid msghdr.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_name = (&raw const self.peer).cast_mut().cast();
        header.msg_namelen = self.peer_length;
        header.msg_control = self.control.as_ptr().cast_mut().cast();
        header.msg_controllen = self.control_length;
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        // SAFETY: the header points at live memory with true lengths, which sendmsg only reads.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::super::bind::{Sockets, open};
    use super::*;

    fn client(to: std::net::SocketAddr) -> UdpSocket {
        let any = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let client = UdpSocket::bind(any).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.connect(to).unwrap();
        client
    }

    fn server(listen: &str) -> UdpSocket {
        match open(listen.parse().unwrap(), 1).unwrap().remove(0) {
            Sockets::Dns { udp, .. } => udp,
            Sockets::Tls { .. } => panic!("no TLS was asked for"),
        }
    }

    /// Packets go out from clients, come back as echoes through one batch.
    fn echo(listen: &str, ask_at: &str, clients: usize) {
        let server = server(listen);
        let port = server.local_addr().unwrap().port();
        let to = std::net::SocketAddr::new(ask_at.parse().unwrap(), port);
        let clients: Vec<UdpSocket> = (0..clients).map(|_| client(to)).collect();
        for (number, client) in clients.iter().enumerate() {
            client.send(format!("packet {number}").as_bytes()).unwrap();
        }
        let mut batch = Batch::new();
        let mut seen = 0;
        while seen < clients.len() {
            let received = batch.receive(server.as_fd()).unwrap();
            assert!(received > 0);
            for index in 0..received {
                assert_eq!(batch.client(index), client_address(to));
                let (packet, reply) = batch.packet(index);
                let length = packet.len();
                reply[..length].copy_from_slice(packet);
                if index % 2 == 0 {
                    batch.queue(index, length);
                } else {
                    let text = batch.packet(index).0.to_vec();
                    batch.path(index).send(server.as_fd(), &text).unwrap();
                }
            }
            let mut given_up = 0;
            batch.send(server.as_fd(), &mut given_up).unwrap();
            assert_eq!(given_up, 0);
            seen += received;
        }
        for (number, client) in clients.iter().enumerate() {
            let mut buffer = [0; 100];
            // The client is connected: only a reply from the address it asked arrives.
            let length = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], format!("packet {number}").as_bytes());
        }
        let empty = batch.receive(server.as_fd()).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    }

    fn client_address(to: std::net::SocketAddr) -> IpAddr {
        if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
    }

    #[test]
    fn replies_reach_the_clients_that_asked() {
        echo("127.0.0.1:0", "127.0.0.1", 150);
        echo("[::1]:0", "::1", 3);
    }

    #[test]
    fn on_a_wildcard_address_the_reply_leaves_from_the_address_that_was_asked() {
        echo("0.0.0.0:0", "127.0.0.77", 5);
        echo("[::]:0", "::1", 5);
    }

    #[test]
    fn short_messages_leave_no_mark_on_later_ones() {
        let server = server("0.0.0.0:0");
        let port = server.local_addr().unwrap().port();
        let mut batch = Batch::new();
        for last in [5u8, 9, 200] {
            let to = std::net::SocketAddr::new(IpAddr::from([127, 0, 0, last]), port);
            let client = client(to);
            client.send(&vec![last; usize::from(last)]).unwrap();
            assert_eq!(batch.receive(server.as_fd()).unwrap(), 1);
            assert_eq!(batch.packet(0).0.len(), usize::from(last));
            batch.queue(0, 4);
            let mut given_up = 0;
            batch.send(server.as_fd(), &mut given_up).unwrap();
            assert_eq!(given_up, 0);
            assert_eq!(client.recv(&mut [0; 10]).unwrap(), 4);
        }
    }
}
