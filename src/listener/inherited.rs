//! Listening sockets that another instance has opened, and where they are.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use socket2::{Socket, Type};

use super::bind::equip;

/// See the module's head. What is asked of them is asked of the kernel: no description can differ.
#[derive(Debug, Default)]
pub struct Inherited {
    udp: Vec<(SocketAddr, UdpSocket)>,
    tcp: Vec<(SocketAddr, TcpListener)>,
    /// Where this process listens beside those.
    beside: Vec<SocketAddr>,
}

impl Inherited {
    /// Keeps those that are sockets of ours: bound, and over TCP listening. They are made what ours are,
    /// whoever has opened them.
    pub fn of(descriptors: Vec<OwnedFd>) -> Self {
        let mut sockets = Self::default();
        for socket in descriptors.into_iter().map(Socket::from) {
            let Some(address) = socket.local_addr().ok().and_then(|address| address.as_socket()) else { continue };
            let is_datagram = socket.r#type().is_ok_and(|kind| kind == Type::DGRAM);
            if socket.set_nonblocking(true).is_err() || is_datagram && equip(&socket, address.ip()).is_err() {
                continue;
            }
            match socket.r#type() {
                Ok(Type::DGRAM) => sockets.udp.push((address, socket.into())),
                Ok(Type::STREAM) if socket.is_listener().is_ok_and(|listens| listens) => {
                    sockets.tcp.push((address, socket.into()));
                }
                _ => {}
            }
        }
        sockets
    }

    /// The same, while this process listens at some addresses already.
    #[must_use]
    pub fn beside(mut self, addresses: Vec<SocketAddr>) -> Self {
        self.beside = addresses;
        self
    }

    /// Where it does.
    pub fn own(&self) -> impl Iterator<Item = SocketAddr> {
        self.beside.iter().copied()
    }

    /// Whether this process listens where what is sent to this address arrives.
    pub(super) fn is_beside(&self, address: SocketAddr) -> bool {
        self.beside.iter().any(|own| {
            let overlaps = own.ip() == address.ip() || own.ip().is_unspecified() || address.ip().is_unspecified();
            overlaps && own.port() == address.port() && own.is_ipv4() == address.is_ipv4()
        })
    }

    pub fn is_empty(&self) -> bool {
        self.udp.is_empty() && self.tcp.is_empty()
    }

    /// The TCP sockets of an address.
    pub fn take_tcp(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        self.tcp.extract_if(.., |(at, _)| *at == address).map(|(_, socket)| socket).collect()
    }

    /// The UDP sockets of an address.
    pub(super) fn take_udp(&mut self, address: SocketAddr) -> Vec<UdpSocket> {
        self.udp.extract_if(.., |(at, _)| *at == address).map(|(_, socket)| socket).collect()
    }

    /// The addresses of those that nobody has taken, each once.
    pub fn left(&self) -> Vec<SocketAddr> {
        let all = self.udp.iter().map(|(at, _)| at).chain(self.tcp.iter().map(|(at, _)| at));
        let mut left: Vec<SocketAddr> = all.copied().collect();
        left.sort_unstable();
        left.dedup();
        left
    }
}
