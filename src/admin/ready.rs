//! Whether questions are answered: one is asked at every listen address, over the kernel, through
//! the line.

use std::fmt::Write;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::Admin;
use crate::dns::message::Header;
use crate::dns::query::write_upstream_query;
use crate::dns::response::MAX_UDP_PAYLOAD;
use crate::dns::{Question, RecordType};

/// How long one address may take; probes give up after a second.
const PATIENCE: Duration = Duration::from_millis(500);

impl Admin {
    /// A line for each listen address that does not answer, or that we are stopping; nothing when all is well.
    pub async fn unready(&self) -> String {
        if self.is_stopping.get() {
            return "zerohop is stopping\n".to_owned();
        }
        let mut lines = String::new();
        // A reload may come meanwhile.
        let listen = self.listen.borrow().clone();
        for address in listen {
            let problem = match timeout(PATIENCE, self.ask(address)).await {
                Ok(Ok(true)) => continue,
                Ok(Ok(false)) => "answered with an error".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} ms", PATIENCE.as_millis()),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{address}: {problem}");
        }
        lines
    }

    async fn ask(&self, address: SocketAddr) -> io::Result<bool> {
        let (any, loopback): (IpAddr, IpAddr) = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into()),
        };
        // The scope of a link-local address stays with it.
        let mut target = address;
        if address.ip().is_unspecified() {
            target.set_ip(loopback);
        }
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(target).await?;
        let Some(question) = Question::new(self.ready.wire(), RecordType::TXT, false, false) else { return Ok(false) };
        let id = rand::random();
        socket.send(&write_upstream_query(&question, id, MAX_UDP_PAYLOAD)).await?;
        let mut reply = [0; MAX_UDP_PAYLOAD as usize];
        loop {
            let length = socket.recv(&mut reply).await?;
            match Header::read(&reply[..length]) {
                Ok(header) if header.id() == id && header.is_response() => return Ok(header.rcode_bits() == 0),
                _ => {}
            }
        }
    }
}
