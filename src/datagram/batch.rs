//! Packets that were taken in together, and the replies to them.
//!
//! Every pointer handed to the kernel leads into one [`Room`] that this module allocates once, never
//! moves, and frees last.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::io;
use std::mem::zeroed;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{addr_of_mut, null_mut};

use super::path::{CONTROL, PEER, ReturnPath};
use super::{BATCH, BATCH_COUNT, PACKET};
use crate::dns::response::MAX_UDP_PAYLOAD;

const REPLY: usize = MAX_UDP_PAYLOAD as usize;

/// Everything that the packets of a batch and their replies need. What belongs to all packets stands
/// together, and replies one behind the other, as short as they are: a batch of questions for
/// addresses then lies in two or three pages, beside the heads of its packets.
#[repr(C)]
struct Room {
    paths: [ReturnPath; BATCH],
    vectors: [libc::iovec; BATCH],
    replies: [u8; BATCH * REPLY],
    packets: [[u8; PACKET]; BATCH],
}

/// Room for a batch, on the heap.
pub struct Batch {
    /// Allocated once; freed in `drop`. All access goes through this pointer, so that those in
    /// `headers` stay valid.
    room: *mut Room,
    headers: Box<[libc::mmsghdr]>,
    /// Packets whose reply is to be sent, in order.
    queued: Vec<usize>,
    /// Octets of their replies.
    written: usize,
    /// Vectors and headers that were used since they were last made ready to receive.
    used: usize,
}

impl Batch {
    #[expect(clippy::new_without_default, reason = "it takes a third of a megabyte")]
    pub fn new() -> Self {
        let layout = Layout::new::<Room>();
        // SAFETY: a Room is larger than nothing.
        let room: *mut Room = unsafe { alloc_zeroed(layout) }.cast();
        if room.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: all-zero octets are a valid mmsghdr, as they are a valid Room: integers, arrays of
        // them, and null pointers.
        let headers = (0..BATCH).map(|_| unsafe { zeroed::<libc::mmsghdr>() }).collect();
        Self { room, headers, queued: Vec::with_capacity(BATCH), written: 0, used: BATCH }
    }

    /// Takes in what has arrived, up to [`BATCH`] packets, without waiting.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.queued.clear();
        self.written = 0;
        for index in 0..std::mem::take(&mut self.used) {
            // SAFETY: the index is below BATCH; only raw pointers into the room are made.
            unsafe {
                let packet = addr_of_mut!((*self.room).packets[index]).cast();
                (*self.room).vectors[index] = libc::iovec { iov_base: packet, iov_len: PACKET };
            }
            let header = self.point(index, index);
            header.msg_namelen = PEER;
            header.msg_controllen = CONTROL;
        }
        // SAFETY: each header points at an iovec, a name and a control buffer within the room,
        // with their true lengths; the room lives as long as `self`.
        let received = unsafe {
            let flags = libc::MSG_DONTWAIT;
            libc::recvmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), BATCH_COUNT, flags, null_mut())
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        self.used = received;
        for index in 0..received {
            let header = self.headers[index].msg_hdr;
            // SAFETY: a field of the room, borrowed with `self`.
            let path = unsafe { &mut (*self.room).paths[index] };
            path.peer_length = header.msg_namelen;
            path.control_length = header.msg_controllen;
            path.leave_by_any_link();
        }
        Ok(received)
    }

    /// A received packet and the room for its reply, until the next one is queued. `index` must be
    /// below what the last [`Batch::receive`] returned.
    pub fn packet(&mut self, index: usize) -> (&[u8], &mut [u8]) {
        let length = (self.headers[index].msg_len as usize).min(PACKET);
        // SAFETY: packets and replies are two fields of the room, borrowed with `self`.
        unsafe {
            (&(&(*self.room).packets)[index][..length], &mut (&mut (*self.room).replies)[self.written..][..REPLY])
        }
    }

    /// The address that a received packet came from.
    pub fn client(&self, index: usize) -> IpAddr {
        self.path(index).client()
    }

    /// The way back, for a reply that comes later.
    pub fn path(&self, index: usize) -> &ReturnPath {
        // SAFETY: a field of the room, borrowed with `self`.
        unsafe { &(*self.room).paths[index] }
    }

    /// Marks the first `length` octets of the room for the reply to a packet for sending. Each packet
    /// has one reply at most.
    pub fn queue(&mut self, index: usize, length: usize) {
        let length = length.min(REPLY);
        // SAFETY: replies that were written lie before this one, each of REPLY octets at most.
        unsafe {
            let reply = addr_of_mut!((*self.room).replies).cast::<u8>().add(self.written).cast();
            (*self.room).vectors[index] = libc::iovec { iov_base: reply, iov_len: length };
        }
        // A packet that was queued twice would be sent twice, but never from beyond the room.
        self.written = (self.written + length).min((BATCH - 1) * REPLY);
        self.queued.push(index);
    }

    /// Sends what is queued, as far as the socket takes it. `given_up` grows by the replies that
    /// the kernel will not have at all.
    ///
    /// # Errors
    /// `WouldBlock` when the socket is full: call again, the rest is still queued.
    pub fn send(&mut self, socket: BorrowedFd<'_>, given_up: &mut u64) -> io::Result<()> {
        while !self.queued.is_empty() {
            for place in 0..self.queued.len().min(BATCH) {
                let index = self.queued[place];
                let (name_length, control_length) = (self.path(index).peer_length, self.path(index).control_length);
                let header = self.point(place, index);
                header.msg_namelen = name_length;
                header.msg_controllen = control_length;
            }
            // At most BATCH, so that nothing is lost.
            let count = libc::c_uint::try_from(self.queued.len()).unwrap_or(BATCH_COUNT).min(BATCH_COUNT);
            // SAFETY: the first `count` headers were just pointed into our room.
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

    /// Points the header at `place` at what belongs to packet `index`; the lengths of name and control
    /// are the caller's.
    fn point(&mut self, place: usize, index: usize) -> &mut libc::msghdr {
        let header = &mut self.headers[place].msg_hdr;
        // SAFETY: the room lives as long as `self`, and indexing holds to its arrays; only addresses
        // are taken.
        unsafe {
            header.msg_name = addr_of_mut!((*self.room).paths[index].peer).cast();
            header.msg_control = addr_of_mut!((*self.room).paths[index].control).cast();
            header.msg_iov = addr_of_mut!((*self.room).vectors[index]);
        }
        header.msg_iovlen = 1;
        header.msg_flags = 0;
        header
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: `room` was allocated with the layout of a Room and is not used again.
        drop(unsafe { Box::from_raw(self.room) });
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_full_batch_has_room_for_the_longest_replies() {
        let (server, client) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        client.connect(server.local_addr().unwrap()).unwrap();
        let mut batch = Batch::new();
        for turn in 0..2 {
            for number in 0..BATCH {
                client.send(&[u8::try_from(number).unwrap(), turn]).unwrap();
            }
            assert_eq!(batch.receive(server.as_fd()).unwrap(), BATCH);
            for index in 0..BATCH {
                let (packet, reply) = batch.packet(index);
                let (number, length) = (packet[0], if turn == 0 { REPLY } else { 1 + index });
                assert_eq!(packet, [u8::try_from(index).unwrap(), turn]);
                assert_eq!(reply.len(), REPLY);
                reply[..length].fill(number);
                // Every third has none, and leaves its room to the next.
                if index % 3 > 0 {
                    batch.queue(index, length);
                }
            }
            batch.send(server.as_fd(), &mut 0).unwrap();
            for index in (0..BATCH).filter(|index| index % 3 > 0) {
                let (mut reply, length) = ([0; REPLY + 1], if turn == 0 { REPLY } else { 1 + index });
                assert_eq!(client.recv(&mut reply).unwrap(), length);
                assert!(reply[..length].iter().all(|&octet| usize::from(octet) == index), "reply {index}");
            }
        }
    }
}
