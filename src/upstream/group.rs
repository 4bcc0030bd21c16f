//! Servers that know the same, and the order in which they are asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rand::RngExt;

use super::Server;
use crate::config::Policy;

/// One upstream group.
#[derive(Debug)]
pub struct Group {
    pub name: String,
    pub servers: Vec<Arc<Server>>,
    policy: Policy,
    turn: AtomicUsize,
}

impl Group {
    pub fn new(name: String, servers: Vec<Arc<Server>>, policy: Policy) -> Self {
        Self { name, servers, policy, turn: AtomicUsize::new(0) }
    }

    /// All servers, the one to ask first in front. Empty when the group has none.
    pub fn order(&self) -> Vec<Arc<Server>> {
        let mut order = self.servers.clone();
        if order.len() > 1 {
            let first = match self.policy {
                Policy::Sequential => 0,
                Policy::RoundRobin => self.turn.fetch_add(1, Relaxed) % order.len(),
                Policy::Random => rand::rng().random_range(0..order.len()),
            };
            order.rotate_left(first);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Transport;
    use crate::metrics::ServerSeries;
    use crate::upstream::EdnsMemory;

    fn group(policy: Policy) -> Group {
        let server = |port: u16| {
            let series = Arc::new(ServerSeries::new("g".to_owned(), port.to_string()));
            Arc::new(Server {
                address: ([127, 0, 0, 1], port).into(),
                transport: Transport::Udp,
                trusted: true,
                edns: EdnsMemory::default(),
                series,
            })
        };
        Group::new("g".to_owned(), (1..=3).map(server).collect(), policy)
    }

    fn ports(group: &Group) -> Vec<u16> {
        group.order().iter().map(|server| server.address.port()).collect()
    }

    #[test]
    fn every_policy_names_every_server_once() {
        let sequential = group(Policy::Sequential);
        assert_eq!([ports(&sequential), ports(&sequential)], [[1, 2, 3], [1, 2, 3]]);
        let round_robin = group(Policy::RoundRobin);
        assert_eq!([ports(&round_robin), ports(&round_robin)], [[1, 2, 3], [2, 3, 1]]);
        let random = group(Policy::Random);
        let mut firsts: Vec<u16> = (0..200).map(|_| ports(&random)[0]).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts, [1, 2, 3]);
    }
}
