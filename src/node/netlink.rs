//! Netlink: requests of attributes to the kernel, and what it says to them. It answers before the
//! sending returns, so that nothing here ever waits. A length that does not fit ends the reading.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockname, recv, send, socket,
};

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// The kernel fills at most this much at once (`NLMSG_GOODSIZE` of a dump).
const BUFFER: usize = 32 << 10;
/// How often a listing is asked for that changes while it is written.
const LISTINGS: usize = 5;
/// Bits of an attribute's type that say how it is encoded, not which it is.
const TYPE: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

/// Attributes of a message, one behind the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    pub(super) fn octets(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        self.octets(kind, format!("{value}\0").as_bytes())
    }

    pub(super) fn nested(self, kind: u16, inner: &Self) -> Self {
        self.octets(kind | NESTED, &inner.0)
    }
}

/// A request, without what the socket adds.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) kind: u16,
    /// Beyond `NLM_F_REQUEST`.
    pub(super) flags: i32,
    /// The fixed part of this kind of message.
    pub(super) fixed: Vec<u8>,
    pub(super) attributes: Attributes,
}

impl Request {
    fn append(&self, sequence: u32, flags: i32, out: &mut Vec<u8>) {
        let flags = u16::try_from(self.flags | flags | libc::NLM_F_REQUEST).unwrap_or_default();
        let length = HEADER + self.fixed.len().next_multiple_of(4) + self.attributes.0.len();
        out.extend(u32::try_from(length).unwrap_or_default().to_ne_bytes());
        out.extend(self.kind.to_ne_bytes());
        out.extend(flags.to_ne_bytes());
        out.extend(sequence.to_ne_bytes());
        out.extend(0_u32.to_ne_bytes());
        out.extend(&self.fixed);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(&self.attributes.0);
    }
}

/// A message from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) kind: u16,
    flags: u16,
    sequence: u32,
    /// The fixed part, and the attributes.
    pub(super) payload: Vec<u8>,
}

impl Reply {
    /// What an acknowledgement or an error says; `None` for any other message.
    fn result(&self) -> Option<io::Result<()>> {
        if i32::from(self.kind) != libc::NLMSG_ERROR {
            return None;
        }
        let code = self.payload.first_chunk().map_or(-libc::EBADMSG, |octets| i32::from_ne_bytes(*octets));
        Some(if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) })
    }
}

/// A socket of one of the kernel's families.
#[derive(Debug)]
pub(super) struct Socket {
    descriptor: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// `groups` are those whose news it hears.
    pub(super) fn open(family: SockProtocol, groups: i32) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let descriptor = socket(AddressFamily::Netlink, SockType::Raw, flags, family)?;
        bind(descriptor.as_raw_fd(), &NetlinkAddr::new(0, groups.cast_unsigned()))?;
        Ok(Self { descriptor, sequence: 0 })
    }

    /// The number that no other socket of this family has in this network: the process's own, unless
    /// another has that.
    pub(super) fn port(&self) -> io::Result<u32> {
        Ok(getsockname::<NetlinkAddr>(self.descriptor.as_raw_fd())?.pid())
    }

    /// Has the kernel do something.
    pub(super) fn order(&mut self, request: &Request) -> io::Result<()> {
        self.send(std::slice::from_ref(request), libc::NLM_F_ACK)?;
        loop {
            for reply in self.receive()? {
                if let Some(result) = reply.result().filter(|_| reply.sequence == self.sequence) {
                    return result;
                }
            }
        }
    }

    /// Asks for one thing.
    pub(super) fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        self.send(std::slice::from_ref(request), 0)?;
        loop {
            for reply in self.receive()? {
                if reply.sequence == self.sequence {
                    return reply.result().unwrap_or(Ok(())).map(|()| reply);
                }
            }
        }
    }

    /// Asks for all there are.
    pub(super) fn list(&mut self, request: &Request) -> io::Result<Vec<Reply>> {
        let mut list = Vec::new();
        for _ in 0..LISTINGS {
            list.clear();
            if self.list_once(request, &mut list)? {
                break;
            }
        }
        Ok(list)
    }

    /// Whether nothing changed meanwhile.
    fn list_once(&mut self, request: &Request, list: &mut Vec<Reply>) -> io::Result<bool> {
        self.send(std::slice::from_ref(request), libc::NLM_F_DUMP)?;
        let mut steady = true;
        loop {
            for reply in self.receive()?.into_iter().filter(|reply| reply.sequence == self.sequence) {
                steady &= i32::from(reply.flags) & libc::NLM_F_DUMP_INTR == 0;
                if i32::from(reply.kind) == libc::NLMSG_DONE {
                    return Ok(steady);
                }
                reply.result().unwrap_or(Ok(()))?;
                list.push(reply);
            }
        }
    }

    /// Sends all of these at once. The error comes with the place of the request that it is about.
    pub(super) fn transact(&mut self, requests: &[Request]) -> Result<(), (usize, io::Error)> {
        let first = self.sequence.wrapping_add(1);
        self.send(requests, 0).map_err(|error| (0, error))?;
        loop {
            let replies = match self.receive() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                replies => replies.map_err(|error| (0, error))?,
            };
            for reply in replies {
                if let Some(Err(error)) = reply.result() {
                    return Err((reply.sequence.wrapping_sub(first) as usize, error));
                }
            }
        }
    }

    /// What has come in.
    pub(super) fn receive(&self) -> io::Result<Vec<Reply>> {
        let mut buffer = vec![0; BUFFER];
        let length = loop {
            match recv(self.descriptor.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                received => break received?,
            }
        };
        Ok(replies(&buffer[..length]))
    }

    fn send(&mut self, requests: &[Request], flags: i32) -> io::Result<()> {
        let mut octets = Vec::new();
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            request.append(self.sequence, flags, &mut octets);
        }
        send(self.descriptor.as_raw_fd(), &octets, MsgFlags::empty())?;
        Ok(())
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> i32 {
        self.descriptor.as_raw_fd()
    }
}

/// The messages of a datagram.
fn replies(mut octets: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while let (Some(length), Some(kind), Some(flags), Some(sequence)) =
        (number(octets, 0), half(octets, 4), half(octets, 6), number(octets, 8))
    {
        let Some(payload) = octets.get(HEADER..length as usize) else { break };
        replies.push(Reply { kind, flags, sequence, payload: payload.to_vec() });
        octets = octets.get((length as usize).next_multiple_of(4)..).unwrap_or_default();
    }
    replies
}

/// Each attribute's type and value.
pub(super) fn attributes(mut octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (length, kind) = (usize::from(half(octets, 0)?), half(octets, 2)?);
        let value = octets.get(4..length)?;
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & TYPE, value))
    })
}

/// The value of an attribute, the first of its type.
pub(super) fn attribute(octets: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(octets).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// A string, with or without the zero behind it.
pub(super) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets.strip_suffix(&[0]).unwrap_or(octets)).into_owned()
}

/// A number of the host's byte order.
pub(super) fn number(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|octets| u32::from_ne_bytes(*octets))
}

fn half(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|octets| u16::from_ne_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let inner = Attributes::default().text(1, "dummy");
        let sent = Attributes::default().text(3, "zerohop0").octets(7, &[1]).nested(18, &inner);
        let request = Request { kind: 16, flags: 0, fixed: vec![9; 3], attributes: sent };
        let mut octets = Vec::new();
        request.append(5, libc::NLM_F_ACK, &mut octets);
        request.append(6, 0, &mut octets);
        let read = replies(&octets);
        assert_eq!((read.len(), read[1].sequence, read[0].kind), (2, 6, 16));
        let read: Vec<(u16, &[u8])> = attributes(&read[0].payload[4..]).collect();
        assert_eq!(read.len(), 3);
        assert_eq!((text(read[0].1), read[1]), ("zerohop0".to_owned(), (7, &[1][..])));
        assert_eq!(attribute(read[2].1, 1).map(text), Some("dummy".to_owned()));
    }

    proptest! {
        #[test]
        fn no_octets_are_read_beyond_their_end(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            for reply in replies(&octets) {
                let _ = reply.result();
                attributes(&reply.payload).for_each(|(_, value)| drop(text(value)));
            }
            attributes(&octets).for_each(|(_, value)| assert!(number(value, value.len()).is_none()));
        }
    }
}
