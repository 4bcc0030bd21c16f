//! Servers that are asked: who they are, in what order, and one question to one of them.

mod allowance;
pub mod edns;
mod group;
mod health;
mod hosts;
mod loop_watch;
mod loops;
pub mod matching;
mod prober;
mod resolv_conf;
mod sockets;
mod stream;
mod udp;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::dns::{Moment, Question};
use crate::metrics::ServerSeries;

pub use allowance::Allowance;
pub use group::Group;
pub use health::Health;
pub use hosts::{Host, resolve};
pub use loop_watch::{Route, watch_loops};
pub use loops::{LastUse, Loops};
pub use prober::probe;
pub use resolv_conf::nameservers;
pub use sockets::Sockets;
pub use stream::Tls;
pub use udp::UdpHabits;

/// How a server is asked.
#[derive(Clone, Debug)]
pub enum Transport {
    /// UDP first, TCP when the reply was truncated.
    Udp,
    /// TCP only.
    Tcp,
    /// TLS over TCP, HTTPS or QUIC.
    Tls(Arc<Tls>),
}

impl Transport {
    /// A server that is asked so, as the configuration spells it.
    pub fn at(&self, address: SocketAddr) -> String {
        match self {
            Self::Udp => address.to_string(),
            Self::Tcp => format!("tcp://{address}"),
            Self::Tls(tls) => tls.shown(address),
        }
    }
}

/// One upstream server, shared by all workers.
#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    pub transport: Transport,
    /// Whether its AD bit is believed.
    pub trusted: bool,
    /// Stays the same across reloads.
    pub health: Arc<Health>,
    pub series: Arc<ServerSeries>,
    pub habits: UdpHabits,
    /// The most questions out to it at once.
    pub in_flight: usize,
}

impl Server {
    /// The same, for questions that are not sent for a client and stand in no series of its own.
    fn uncounted(&self) -> Self {
        let (transport, health) = (self.transport.clone(), Arc::clone(&self.health));
        Self { transport, health, series: Arc::new(ServerSeries::new(String::new(), String::new())), ..*self }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.transport.at(self.address))
    }
}

/// Why asking a server gave no reply. How long to wait is the caller's business, who drops the
/// exchange.
#[derive(Debug)]
pub enum ExchangeError {
    /// The network said so: refused, unreachable, reset.
    Network(std::io::Error),
    /// The server is not who it must be, or will not talk with us: a sentence without its subject.
    Tls(String),
    /// The server says something that is no reply: a sentence without its subject.
    NoReply(String),
    /// The connection ended before a reply.
    Closed,
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(error) => write!(f, "{error}"),
            Self::Tls(cause) | Self::NoReply(cause) => f.write_str(cause),
            Self::Closed => f.write_str("the connection was closed before the reply"),
        }
    }
}

impl std::error::Error for ExchangeError {}

impl From<std::io::Error> for ExchangeError {
    fn from(error: std::io::Error) -> Self {
        Self::Network(error)
    }
}

/// A reply: whole, and undecoded.
#[derive(Debug)]
pub struct Reply {
    pub octets: Vec<u8>,
    pub arrived: Moment,
}

/// What comes of an exchange.
pub type Exchanged<'a> = Pin<Box<dyn Future<Output = Result<Reply, ExchangeError>> + 'a>>;

/// Which way a question goes to its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As the server is configured: over UDP first, unless its transport is another.
    Usual,
    /// Over a stream from the start, for datagrams get lost.
    Stream,
}

/// One question to one server: the only seam between the line and the network, so that tests can
/// stand in for the network.
pub trait Exchange {
    /// Asks once. A reply is handed back only if its ID, question and sender are those of the
    /// query; anything else is dropped and waiting goes on. A truncated UDP reply is not handed
    /// back: the question has been asked again over TCP (RFC 7766, section 5).
    ///
    /// # Errors
    /// [`ExchangeError`] when the network says that no reply will come.
    fn exchange<'a>(&'a self, server: &'a Arc<Server>, question: &'a Question, way: Way) -> Exchanged<'a>;
}
