//! A worker's own sockets towards all servers.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;
use tokio::sync::Semaphore;

use super::stream::{self, Pool};
use super::udp::{Inbox, Ports, UdpHabits};
use super::{Exchange, Exchanged, Reply, Server, Tls, Transport, Way};
use crate::clock::Clock;
use crate::datagram::Batch;
use crate::dns::stream_query::Carrier;
use crate::dns::{Protocol, Question};
use crate::metrics::WorkerSeries;

/// Connections to all servers at once; more wait for one to end, so that descriptors are left for
/// clients whatever upstreams do.
const MAX_CONNECTIONS: usize = 128;

/// What connections are shared by.
#[derive(PartialEq, Eq, Hash)]
enum Destination {
    Plain(SocketAddr),
    /// The pool itself holds on to what this points to, so that nothing else comes to stand there.
    Tls(SocketAddr, *const Tls),
}

/// Exchanges over real sockets. Lives on one worker's thread, with its runtime.
pub struct Sockets {
    udp: RefCell<HashMap<(SocketAddr, UdpHabits), Rc<Ports>, RandomState>>,
    inbox: Inbox,
    streams: RefCell<HashMap<Destination, Rc<Pool>, RandomState>>,
    permits: Arc<Semaphore>,
    series: Arc<WorkerSeries>,
    clock: Clock,
}

impl Sockets {
    /// `series` are told when there are no more connections to be had.
    pub fn new(clock: Clock, series: Arc<WorkerSeries>) -> Self {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let inbox = Rc::new(RefCell::new(Batch::new()));
        Self { udp: RefCell::default(), inbox, streams: RefCell::default(), permits, series, clock }
    }

    /// Connections to all servers, those being opened among them.
    pub fn connections(&self) -> usize {
        MAX_CONNECTIONS - self.permits.available_permits()
    }

    fn ports(&self, server: &Server) -> Rc<Ports> {
        let health = Arc::clone(&server.health);
        // A server whose answers come too late to be used is slow, not silent.
        let late = move |arrived| health.heard(arrived);
        let new = || Rc::new(Ports::new(server.address, server.habits, Rc::clone(&self.inbox), self.clock, late));
        Rc::clone(self.udp.borrow_mut().entry((server.address, server.habits)).or_insert_with(new))
    }

    fn pool(&self, server: &Server) -> Rc<Pool> {
        let mut pools = self.streams.borrow_mut();
        if self.permits.available_permits() == 0 {
            self.series.upstream_connections_full();
            pools.values().for_each(|pool| pool.close_idle());
        }
        let (permits, series) = (|| Arc::clone(&self.permits), || Arc::clone(&self.series));
        let new = || match &server.transport {
            Transport::Udp | Transport::Tcp => {
                Pool::new(stream::tcp(server.address, permits()), Carrier::Tcp, series())
            }
            Transport::Tls(tls) => {
                let connect = stream::encrypted(server.address, tls, permits());
                Pool::new(connect, stream::carrier(tls), series())
            }
        };
        Rc::clone(pools.entry(Destination::of(server)).or_insert_with(|| Rc::new(new())))
    }

    /// Closes the sockets of servers that are in no group any more, and of those whose files were
    /// read again. Who waits on one of them still gets the reply.
    pub fn keep_only<'s>(&self, servers: impl Iterator<Item = &'s Arc<Server>>) {
        let (used, asked): (HashSet<Destination>, HashSet<_>) =
            servers.map(|server| (Destination::of(server), (server.address, server.habits))).unzip();
        self.udp.borrow_mut().retain(|server, _| asked.contains(server));
        self.streams.borrow_mut().retain(|destination, _| used.contains(destination));
    }
}

impl Destination {
    fn of(server: &Server) -> Self {
        match &server.transport {
            Transport::Udp | Transport::Tcp => Self::Plain(server.address),
            Transport::Tls(tls) => Self::Tls(server.address, Arc::as_ptr(tls)),
        }
    }
}

impl Exchange for Sockets {
    fn exchange<'a>(&'a self, server: &'a Arc<Server>, question: &'a Question, way: Way) -> Exchanged<'a> {
        Box::pin(async move {
            if matches!(server.transport, Transport::Udp) && way == Way::Usual {
                let sent = || server.series.sent(Protocol::Udp);
                if let Some(reply) = self.ports(server).ask(question, sent).await? {
                    return Ok(reply);
                }
            }
            let protocol = match server.transport {
                Transport::Udp | Transport::Tcp => Protocol::Tcp,
                Transport::Tls(_) => Protocol::Tls,
            };
            let octets = self.pool(server).ask(question, || server.series.sent(protocol)).await?;
            Ok(Reply { octets, arrived: self.clock.now() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Registry, ServerSeries};

    #[test]
    fn who_finds_no_connection_left_is_counted() {
        let registry = Registry::new(1);
        let sockets = Sockets::new(Clock::start(), Arc::clone(&registry.workers()[0]));
        let series = Arc::new(ServerSeries::new(String::new(), String::new()));
        let (address, health) = (([127, 0, 0, 1], 53).into(), Arc::default());
        let server = Server {
            address,
            transport: Transport::Tcp,
            trusted: true,
            health,
            series,
            habits: UdpHabits::default(),
            in_flight: 1,
        };
        let full = "zerohop_upstream_connections_full_total";
        for (left, counted) in [(1, 0), (0, 1), (0, 2)] {
            let _taken = sockets.permits.try_acquire_many((MAX_CONNECTIONS - left).try_into().unwrap()).unwrap();
            assert_eq!(sockets.connections(), MAX_CONNECTIONS - left);
            sockets.pool(&server);
            assert!(registry.render().lines().any(|line| line == format!("{full} {counted}")), "{left} left");
        }
    }
}
