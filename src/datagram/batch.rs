//! Packets that were taken in together, and the replies to them.
//!
//! Every pointer handed to the kernel leads into slots that this module allocates once, never moves,
//! and frees last.

use std::io;
use std::mem::zeroed;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{addr_of_mut, null_mut};

use super::path::{CONTROL, PEER, ReturnPath};
use super::{BATCH, BATCH_COUNT, PACKET};
use crate::dns::response::MAX_UDP_PAYLOAD;

const REPLY: usize = MAX_UDP_PAYLOAD as usize;

/// Everything that one packet and its reply need.
#[repr(C)]
struct Slot {
    packet: [u8; PACKET],
    reply: [u8; REPLY],
    path: ReturnPath,
    vector: libc::iovec,
}

/// Slots for a batch, on the heap.
pub struct Batch {
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
    #[expect(clippy::new_without_default, reason = "it takes a third of a megabyte")]
    pub fn new() -> Self {
        // SAFETY: all-zero octets are a valid Slot: integers, arrays of them, and null pointers.
        let slots: Box<[Slot]> = (0..BATCH).map(|_| unsafe { zeroed::<Slot>() }).collect();
        // SAFETY: all-zero octets are a valid mmsghdr.
        let headers = (0..BATCH).map(|_| unsafe { zeroed::<libc::mmsghdr>() }).collect();
        Self { slots: Box::into_raw(slots).cast(), headers, queued: Vec::with_capacity(BATCH), used: BATCH }
    }

    /// Takes in what has arrived, up to [`BATCH`] packets, without waiting.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
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
    pub fn packet(&mut self, index: usize) -> (&[u8], &mut [u8]) {
        let length = (self.headers[index].msg_len as usize).min(PACKET);
        let slot = self.slot(index);
        // SAFETY: packet and reply are two fields of one of our slots, borrowed with `self`.
        unsafe { (&(&(*slot).packet)[..length], &mut (*slot).reply) }
    }

    /// The address that a received packet came from.
    pub fn client(&self, index: usize) -> IpAddr {
        self.path(index).client()
    }

    /// The way back, for a reply that comes later.
    pub fn path(&self, index: usize) -> &ReturnPath {
        // SAFETY: a field of one of our slots, borrowed with `self`.
        unsafe { &(*self.slot(index)).path }
    }

    /// Marks the first `length` octets of a slot's reply for sending.
    pub fn queue(&mut self, index: usize, length: usize) {
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
    pub fn send(&mut self, socket: BorrowedFd<'_>, given_up: &mut u64) -> io::Result<()> {
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
