//! Open descriptors from one process to another: over a unix socket (SCM_RIGHTS), and at a start.
//!
//! One of the two places with `unsafe`: the kernel hands descriptors over as numbers.
#![expect(unsafe_code, reason = "a number that the kernel has just made becomes an owned descriptor")]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// Descriptors of one message; the kernel takes 253.
pub const MOST_DESCRIPTORS: usize = 128;

/// The first of those that a service manager passes (sd_listen_fds(3)).
const FIRST: RawFd = 3;

/// Takes the descriptors that this process was started with: at most `count` of them, from 3 on, one for
/// each number. What is not there, or was opened since, is `None`; so is everything at a second call.
pub fn adopt(count: usize) -> Vec<Option<OwnedFd>> {
    (FIRST..).take(count).map(adopt_one).collect()
}

fn adopt_one(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: only the flags of whatever has this number are asked for, and nothing may have it.
    let unowned = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = FdFlag::from_bits_retain(fcntl(unowned, FcntlArg::F_GETFD).ok()?);
    // A start closes all descriptors with this flag, and the standard library opens none without it.
    if flags.contains(FdFlag::FD_CLOEXEC) {
        return None;
    }
    fcntl(unowned, FcntlArg::F_SETFD(flags | FdFlag::FD_CLOEXEC)).ok()?;
    // SAFETY: it came with the start, so that nobody in this process owns it; by now it has the flag, so that
    // nobody will be told so again.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Sends a message and duplicates of some descriptors, without waiting.
///
/// # Errors
/// As sendmsg(2), and when the message could be sent in part only.
pub fn send(socket: BorrowedFd<'_>, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights = if numbers.is_empty() { &[] } else { &rights[..] };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let sent = sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(message)], rights, flags, None)?;
    if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Takes in what has come, at most as much as there is room for, and the descriptors that came along,
/// without waiting. No octets are the end.
///
/// # Errors
/// As recvmsg(2), and when this process has no room for the descriptors.
pub fn receive(socket: BorrowedFd<'_>, room: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = nix::cmsg_space!([RawFd; MOST_DESCRIPTORS]);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let mut vectors = [IoSliceMut::new(room)];
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut vectors, Some(&mut control), flags)?;
    let mut descriptors = Vec::new();
    if let Ok(messages) = received.cmsgs() {
        for message in messages {
            if let ControlMessageOwned::ScmRights(numbers) = message {
                // SAFETY: the kernel has opened these for us with this call, and nobody else knows them.
                descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
            }
        }
    }
    if received.flags.contains(MsgFlags::MSG_CTRUNC) {
        return Err(io::Error::other("not all descriptors could be taken: raise the limit on open files"));
    }
    Ok((received.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_this_process_has_opened_is_not_adopted() {
        let file = tempfile::tempfile().unwrap();
        assert!(adopt_one(file.as_raw_fd()).is_none());
        file.metadata().unwrap();
        assert!(adopt_one(RawFd::MAX).is_none());
    }

    #[test]
    fn descriptors_arrive_in_order_and_mean_the_same() {
        let (from, to) = UnixStream::pair().unwrap();
        let files: Vec<File> = (0..MOST_DESCRIPTORS).map(|_| tempfile::tempfile().unwrap()).collect();
        let all: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        send(from.as_fd(), b"first", &all).unwrap();
        send(from.as_fd(), b"second", &all[..1]).unwrap();
        let mut room = [0; 100];
        let (length, received) = receive(to.as_fd(), &mut room).unwrap();
        assert_eq!((&room[..length], received.len()), (&b"first"[..], MOST_DESCRIPTORS));
        for (index, descriptor) in received.into_iter().enumerate() {
            write!(File::from(descriptor), "{index}").unwrap();
        }
        for (index, mut file) in files.iter().enumerate() {
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, index.to_string());
        }
        let (length, received) = receive(to.as_fd(), &mut room).unwrap();
        assert_eq!((&room[..length], received.len()), (&b"second"[..], 1));
        assert_eq!(receive(to.as_fd(), &mut room).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(from);
        assert_eq!(receive(to.as_fd(), &mut room).unwrap().0, 0);
    }
}
