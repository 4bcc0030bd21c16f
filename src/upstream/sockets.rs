//! A worker's own sockets towards all servers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::stream::{self, Pool};
use super::udp::Ports;
use super::{Exchange, Exchanged, Server, Transport};
use crate::dns::{Protocol, Question};

/// Connections to all servers at once; more wait for one to end, so that descriptors are left for
/// clients whatever upstreams do.
const MAX_CONNECTIONS: usize = 128;

/// Exchanges over real sockets. Lives on one worker's thread, with its runtime.
pub struct Sockets {
    udp: RefCell<HashMap<SocketAddr, Rc<Ports>>>,
    streams: RefCell<HashMap<SocketAddr, Rc<Pool>>>,
    permits: Arc<Semaphore>,
}

impl Default for Sockets {
    fn default() -> Self {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Self { udp: RefCell::default(), streams: RefCell::default(), permits }
    }
}

impl Sockets {
    fn ports(&self, address: SocketAddr) -> Rc<Ports> {
        Rc::clone(self.udp.borrow_mut().entry(address).or_insert_with(|| Rc::new(Ports::new(address))))
    }

    fn pool(&self, address: SocketAddr) -> Rc<Pool> {
        let mut pools = self.streams.borrow_mut();
        if self.permits.available_permits() == 0 {
            pools.values().for_each(|pool| pool.close_idle());
        }
        let new = || Rc::new(Pool::new(stream::tcp(address, Arc::clone(&self.permits)), false));
        Rc::clone(pools.entry(address).or_insert_with(new))
    }

    /// Closes the sockets of servers that are in no group any more.
    pub fn keep_only(&self, is_used: impl Fn(SocketAddr) -> bool) {
        self.udp.borrow_mut().retain(|address, _| is_used(*address));
        self.streams.borrow_mut().retain(|address, _| is_used(*address));
    }
}

impl Exchange for Sockets {
    fn exchange<'a>(&'a self, server: &'a Arc<Server>, question: &'a Question) -> Exchanged<'a> {
        Box::pin(async move {
            if server.transport == Transport::Udp {
                let sent = || server.series.sent(Protocol::Udp);
                if let Some(reply) = self.ports(server.address).ask(question, sent).await? {
                    return Ok(reply);
                }
            }
            self.pool(server.address).ask(question, || server.series.sent(Protocol::Tcp)).await
        })
    }
}
