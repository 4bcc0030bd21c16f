//! A worker's own sockets towards all servers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::udp::Ports;
use super::{Exchange, Exchanged, Server, Transport, Way, tcp};
use crate::dns::{Protocol, Question};

/// TCP connections to all servers at once; more wait for one to end, so that descriptors are left
/// for clients whatever upstreams do.
const MAX_CONNECTIONS: usize = 128;

/// Exchanges over real sockets. Lives on one worker's thread, with its runtime.
pub struct Sockets {
    udp: RefCell<HashMap<SocketAddr, Rc<Ports>>>,
    connections: Semaphore,
}

impl Default for Sockets {
    fn default() -> Self {
        Self { udp: RefCell::default(), connections: Semaphore::new(MAX_CONNECTIONS) }
    }
}

impl Sockets {
    fn ports(&self, address: SocketAddr) -> Rc<Ports> {
        Rc::clone(self.udp.borrow_mut().entry(address).or_insert_with(|| Rc::new(Ports::new(address))))
    }

    /// Closes the sockets of servers that are in no group any more.
    pub fn keep_only(&self, is_used: impl Fn(SocketAddr) -> bool) {
        self.udp.borrow_mut().retain(|address, _| is_used(*address));
    }
}

impl Exchange for Sockets {
    fn exchange<'a>(&'a self, server: &'a Arc<Server>, question: &'a Question, way: Way) -> Exchanged<'a> {
        Box::pin(async move {
            if server.transport == Transport::Udp && way == Way::Usual {
                let sent = || server.series.sent(Protocol::Udp);
                if let Some(reply) = self.ports(server.address).ask(question, sent).await? {
                    return Ok(reply);
                }
            }
            // Never closed: this waits, and the caller's budget ends that.
            let _permit = self.connections.acquire().await;
            tcp::ask(server.address, question, || server.series.sent(Protocol::Tcp)).await
        })
    }
}
