//! What a connection runs over, and how it is opened.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use super::{Failure, Tls};

/// What a connection runs over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A link to the server, and the leave to have it, given back when it is closed.
pub(crate) struct Opened {
    pub(crate) link: Link,
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    /// For one over TLS, to judge its errors.
    pub(crate) tls: Option<(SocketAddr, Arc<Tls>)>,
}

/// How questions get over a connection.
pub(crate) enum Link {
    /// One behind the other, with IDs that tell their replies apart.
    Stream(Box<dyn Stream>),
    /// Each by a call of its own; `ended` runs the connection until it ends, which it also does once
    /// `calls` is dropped.
    Calls { calls: Rc<dyn Calls>, ended: Ended },
}

/// Runs a connection until it ends. What it has to say then is said by the server, once and for all
/// that was on it; `None` is a connection lost.
pub(crate) type Ended = Pin<Box<dyn Future<Output = Option<Failure>>>>;

/// A connection of a protocol that keeps questions apart itself.
pub(crate) trait Calls {
    /// Sends a query and waits for what is said to it.
    fn call(&self, query: Vec<u8>) -> Called;
}

/// What comes of a call.
pub(crate) type Called = Pin<Box<dyn Future<Output = Result<Vec<u8>, Failure>>>>;

/// What comes of opening a connection.
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<Opened, Failure>>>>;
