//! The hosts that a configuration names, and where they are by now: a task for each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::config::{Config, UpstreamServer};
use crate::metrics::Registry;
use crate::upstream::{Exchange, Host, resolve};

/// Where hosts are; those that nobody knows yet are missing.
pub(super) type Addresses = HashMap<Host, Vec<IpAddr>>;

/// See the module's head.
pub(super) struct Hosts {
    exchange: Rc<dyn Exchange>,
    clock: Clock,
    registry: Arc<Registry>,
    tasks: HashMap<Host, AbortHandle>,
    addresses: Addresses,
    tell: UnboundedSender<(Host, Vec<IpAddr>)>,
    told: UnboundedReceiver<(Host, Vec<IpAddr>)>,
}

impl Hosts {
    pub(super) fn new(exchange: Rc<dyn Exchange>, clock: Clock, registry: Arc<Registry>) -> Self {
        let (tell, told) = unbounded_channel();
        Self { exchange, clock, registry, tasks: HashMap::new(), addresses: Addresses::new(), tell, told }
    }

    /// Looks after the hosts of this configuration from now on, and after no others.
    pub(super) fn follow(&mut self, config: &Config) {
        let wanted: Vec<Host> = of(config).collect();
        self.tasks.retain(|host, task| {
            let stays = wanted.contains(host);
            if !stays {
                task.abort();
            }
            stays
        });
        // Where somebody else said that it is stays known until those say something who are asked now.
        self.addresses.retain(|host, _| wanted.iter().any(|other| other.name == host.name));
        for host in wanted {
            let (exchange, clock, tell) = (Rc::clone(&self.exchange), self.clock, self.tell.clone());
            let registry = Arc::clone(&self.registry);
            let last = self.addresses.iter().find(|(other, _)| other.name == host.name).map(|(_, last)| last.clone());
            self.tasks.entry(host.clone()).or_insert_with(|| {
                let task = async move {
                    let found = |addresses| {
                        // Nobody listens any more when the daemon ends.
                        let _ = tell.send((host.clone(), addresses));
                    };
                    let unused = |addresses| registry.control.addresses_unused.increment(addresses);
                    resolve(&*exchange, clock, &host, last.unwrap_or_default(), found, unused).await;
                };
                tokio::task::spawn_local(task).abort_handle()
            });
        }
    }

    /// Where they are.
    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Returns when one of them is elsewhere.
    pub(super) async fn moved(&mut self) {
        while let Some((host, addresses)) = self.told.recv().await {
            // It may have been told before its host left the configuration.
            if self.tasks.contains_key(&host) {
                self.addresses.retain(|other, _| other.name != host.name || self.tasks.contains_key(other));
                self.addresses.insert(host, addresses);
                return;
            }
        }
    }
}

fn of(config: &Config) -> impl Iterator<Item = Host> {
    config.upstreams.iter().flat_map(|upstream| {
        upstream.servers.iter().filter_map(|server| match server {
            UpstreamServer::Host { host, .. } => {
                Some(Host { name: host.clone(), bootstrap: upstream.bootstrap.clone() })
            }
            _ => None,
        })
    })
}
