//! Packets that wait to be sent together.

use std::io;
use std::mem::zeroed;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::path::ReturnPath;
use super::{BATCH, BATCH_COUNT};

/// Packets for one socket, in the order they were written.
pub struct Outbox {
    letters: Vec<Letter>,
    /// The packets, one behind the other.
    octets: Vec<u8>,
    /// How many of the letters are gone.
    sent: usize,
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
}

struct Letter {
    /// `None`: to the peer that the socket is connected with.
    path: Option<ReturnPath>,
    packet: Range<usize>,
}

impl Outbox {
    #[expect(clippy::new_without_default, reason = "like the batch")]
    pub fn new() -> Self {
        // SAFETY: all-zero octets are a valid mmsghdr: integers and null pointers.
        let headers = (0..BATCH).map(|_| unsafe { zeroed::<libc::mmsghdr>() }).collect();
        let vectors = (0..BATCH).map(|_| libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }).collect();
        Self { letters: Vec::new(), octets: Vec::new(), sent: 0, headers, vectors }
    }

    /// Takes a packet, which `append` writes behind what is there. Returns whether it is the first, so
    /// that somebody has to see to the sending.
    pub fn push(&mut self, path: Option<&ReturnPath>, append: impl FnOnce(&mut Vec<u8>)) -> bool {
        let begin = self.octets.len();
        append(&mut self.octets);
        // What somebody takes away is not sent.
        let begin = begin.min(self.octets.len());
        self.letters.push(Letter { path: path.copied(), packet: begin..self.octets.len() });
        self.letters.len() == 1
    }

    /// Sends what there is, as far as the socket takes it.
    ///
    /// # Errors
    /// What the kernel says of the first packet that is left. With `WouldBlock` the socket is full.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        while self.sent < self.letters.len() {
            let count = (self.letters.len() - self.sent).min(BATCH);
            for (place, letter) in self.letters[self.sent..][..count].iter().enumerate() {
                let packet = &self.octets[letter.packet.clone()];
                self.vectors[place] =
                    libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() };
                let header = &mut self.headers[place].msg_hdr;
                // SAFETY: all-zero octets are a valid msghdr.
                *header = unsafe { zeroed() };
                if let Some(path) = &letter.path {
                    header.msg_name = (&raw const path.peer).cast_mut().cast();
                    header.msg_namelen = path.peer_length;
                    header.msg_control = path.control.as_ptr().cast_mut().cast();
                    header.msg_controllen = path.control_length;
                }
                header.msg_iov = &raw mut self.vectors[place];
                header.msg_iovlen = 1;
            }
            let count = libc::c_uint::try_from(count).unwrap_or(BATCH_COUNT);
            // SAFETY: the first `count` headers were just pointed at letters, octets and vectors of
            // ours, with their true lengths; nothing moves them before the call is over, which only
            // reads all but the headers' own lengths.
            let sent =
                unsafe { libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
            match usize::try_from(sent) {
                Ok(sent) => self.sent += sent,
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
        self.clear();
        Ok(())
    }

    /// Gives up all packets that are left.
    pub fn clear(&mut self) {
        self.letters.clear();
        self.octets.clear();
        self.sent = 0;
    }

    /// Packets that are left.
    pub fn len(&self) -> usize {
        self.letters.len() - self.sent
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives up the first packet that is left.
    pub fn skip(&mut self) {
        self.sent = (self.sent + 1).min(self.letters.len());
    }
}
