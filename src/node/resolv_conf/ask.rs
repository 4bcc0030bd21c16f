//! Whether somebody answers at an address, before everybody is sent there.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::dns::message::Header;
use crate::dns::query::write_upstream_query;
use crate::dns::{Question, Rcode, RecordType};

/// Answered by every zerohop without asking anybody.
const NAME: &[u8] = b"\x09localhost\0";
const PATIENCE: Duration = Duration::from_secs(1);
const ATTEMPTS: usize = 3;
const REPLY: usize = 1232;

/// Why nobody should be sent there.
#[derive(Debug)]
pub enum Silence {
    /// No reply, and what the last attempt came to.
    Silent(io::Error),
    /// The reply is a refusal or a failure.
    Unwilling(Rcode),
}

/// Asks a harmless question.
///
/// # Errors
/// When the server does not answer it.
pub fn ask(server: SocketAddr) -> Result<(), Silence> {
    let mut last = io::ErrorKind::TimedOut.into();
    for _ in 0..ATTEMPTS {
        match attempt(server) {
            Ok(reply) if reply.is_error() => return Err(Silence::Unwilling(Rcode::new(reply.rcode_bits().into()))),
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(Silence::Silent(last))
}

fn attempt(server: SocketAddr) -> io::Result<Header> {
    let question = Question::new(NAME, RecordType::A, false, false).ok_or(io::ErrorKind::InvalidInput)?;
    let id = rand::random();
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    // Replies of others are not taken in, and a closed port is known at once.
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(&write_upstream_query(&question, id, 1232))?;
    let mut reply = [0; REPLY];
    let length = socket.recv(&mut reply)?;
    let header = Header::read(&reply[..length]).ok().filter(|header| header.is_response() && header.id() == id);
    header.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what came is no reply"))
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                write!(f, "there was no reply within {ATTEMPTS} s")
            }
            Self::Silent(error) => error.fmt(f),
            Self::Unwilling(rcode) => write!(f, "the reply was {rcode}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Answers one question, with this change to the reply.
    fn answering(change: impl Fn(&mut Vec<u8>) + Send + 'static) -> (SocketAddr, thread::JoinHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let answer = move || {
            let mut packet = vec![0; 512];
            let (length, client) = socket.recv_from(&mut packet).unwrap();
            packet.truncate(length);
            packet[2] |= 0x80;
            change(&mut packet);
            socket.send_to(&packet, client).unwrap();
        };
        (address, thread::spawn(answer))
    }

    #[test]
    fn whoever_answers_will_do_and_whoever_refuses_will_not() {
        let (server, end) = answering(|_| {});
        ask(server).unwrap();
        end.join().unwrap();
        let (server, end) = answering(|reply| reply[3] |= 5);
        assert_eq!(ask(server).unwrap_err().to_string(), "the reply was REFUSED");
        end.join().unwrap();
    }

    #[test]
    fn a_closed_port_is_known_at_once() {
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask(closed).unwrap_err().to_string().starts_with("Connection refused"));
    }
}
