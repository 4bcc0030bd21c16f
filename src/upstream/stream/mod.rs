//! Connections to servers that are kept and shared by many questions (RFC 7766).

mod connection;
mod https;
mod link;
mod pool;
mod quic;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::ExchangeError;
use crate::config::Over;
use crate::dns::stream_query::Carrier;
use link::{Link, Opened, Opening};
pub(super) use pool::Pool;
pub use tls::Tls;

/// A way to open connections to a server over TLS, of the kind that it is asked by.
pub(super) fn encrypted(server: SocketAddr, tls: &Arc<Tls>, permits: Arc<Semaphore>) -> Box<dyn Fn() -> Opening> {
    match tls.over() {
        Over::Tcp => Box::new(tls::tls(server, Arc::clone(tls), permits)),
        Over::Https { path } => Box::new(https::https(server, Arc::clone(tls), path, permits)),
        Over::Quic => Box::new(quic::quic(server, Arc::clone(tls), permits)),
    }
}

/// How its questions are carried.
pub(super) fn carrier(tls: &Tls) -> Carrier {
    match tls.over() {
        Over::Tcp => Carrier::Tls,
        Over::Https { .. } | Over::Quic => Carrier::Multiplexed,
    }
}

/// Why a connection gave no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It could not be opened.
    Network(io::ErrorKind),
    /// There is no TLS with the server, and this is why.
    Tls(Rc<str>),
    /// It says something that is no reply.
    NoReply(Rc<str>),
    /// It was open and has ended, after so many replies.
    Lost { answered: u32 },
    /// We ended it, for others to be opened.
    Dismissed,
}

/// A way to open TCP connections to a server, as many as there are permits.
pub(super) fn tcp(server: SocketAddr, permits: Arc<Semaphore>) -> impl Fn() -> Opening {
    move || {
        let permits = Arc::clone(&permits);
        Box::pin(async move {
            let permit = permits.acquire_owned().await.ok();
            let stream = open(server).await.map_err(|error| Failure::Network(error.kind()))?;
            Ok(Opened { link: Link::Stream(Box::new(stream)), permit, tls: None })
        })
    }
}

async fn open(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl From<Failure> for ExchangeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Network(kind) => Self::Network(kind.into()),
            Failure::Tls(cause) => Self::Tls(cause.to_string()),
            Failure::NoReply(cause) => Self::NoReply(cause.to_string()),
            Failure::Lost { .. } | Failure::Dismissed => Self::Closed,
        }
    }
}
