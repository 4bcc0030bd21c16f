//! What a worker is to listen on, which may change while it runs.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::bind::Listener;
use super::context::Limits;

/// A listening socket of one worker.
#[derive(Debug)]
pub struct Post {
    listener: Listener,
    open: Need,
}

/// Held by whoever has a question that came in at a post, until it is answered.
#[derive(Clone, Debug)]
pub struct Need {
    _open: mpsc::Sender<Infallible>,
}

impl Need {
    /// The second ends when nobody has the first any more.
    pub fn new() -> (Self, mpsc::Receiver<Infallible>) {
        let (open, over) = mpsc::channel(1);
        (Self { _open: open }, over)
    }
}

impl Post {
    pub fn new(listener: Listener, open: Need) -> Self {
        Self { listener, open }
    }

    /// The socket itself, for when it is to be served in another way.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Has no more packets come in, whoever has the socket open. What the kernel has queued can be read,
    /// and replies can be sent.
    pub fn silence(&self) {
        if let Listener::Udp(udp) = &self.listener {
            // Connected to itself, it is nobody's, and among sockets with SO_REUSEPORT it is passed over.
            // Where that cannot be, the address is not on the node, and nothing comes.
            let _ = udp.local_addr().and_then(|mut address| {
                if address.ip().is_unspecified() {
                    address.set_ip(if address.is_ipv4() {
                        Ipv4Addr::LOCALHOST.into()
                    } else {
                        Ipv6Addr::LOCALHOST.into()
                    });
                }
                udp.connect(address)
            });
        }
    }

    pub(super) fn need(&self) -> Need {
        self.open.clone()
    }

    pub(super) fn duplicate(&self) -> io::Result<Listener> {
        self.listener.duplicate()
    }
}

impl AsFd for Post {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// What a worker has to do.
#[derive(Clone, Debug)]
pub struct Duty {
    /// A post that is here no more is served to its end: what the kernel had queued is answered, and
    /// connections are closed when their questions are.
    pub posts: Vec<Arc<Post>>,
    /// For connections from now on, and for the stop.
    pub limits: Limits,
}

/// Lasts until whoever has the other end lets go of it.
#[derive(Clone, Debug)]
pub(super) struct Service(watch::Receiver<()>);

impl Service {
    pub(super) fn begin() -> (watch::Sender<()>, Self) {
        let (end, service) = watch::channel(());
        (end, Self(service))
    }

    /// Returns when it is over.
    pub(super) async fn over(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}
