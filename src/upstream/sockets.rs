//! A worker's own sockets towards all servers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::udp::Ports;
use super::{Exchange, Exchanged, Server, Transport, tcp};
use crate::dns::{Protocol, Question};

/// Exchanges over real sockets. Lives on one worker's thread, with its runtime.
#[derive(Default)]
pub struct Sockets {
    udp: RefCell<HashMap<SocketAddr, Rc<Ports>>>,
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
    fn exchange<'a>(&'a self, server: &'a Arc<Server>, question: &'a Question) -> Exchanged<'a> {
        Box::pin(async move {
            if server.transport == Transport::Udp {
                server.series.sent(Protocol::Udp);
                if let Some(reply) = self.ports(server.address).ask(question).await? {
                    return Ok(reply);
                }
            }
            server.series.sent(Protocol::Tcp);
            tcp::ask(server.address, question).await
        })
    }
}
