//! Addresses that are listened on no more, until all that came in there is answered.

use std::future::pending;
use std::net::{IpAddr, SocketAddr};

use tokio::task::JoinSet;

use super::listening::Departing;

/// See the module's head.
#[derive(Default)]
pub(super) struct Departures {
    waits: JoinSet<SocketAddr>,
    /// One for each wait.
    addresses: Vec<SocketAddr>,
}

impl Departures {
    pub(super) fn add(&mut self, departing: Departing) {
        self.addresses.push(departing.address);
        self.waits.spawn_local(departing.gone());
    }

    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What the node has to have for them still.
    pub(super) fn ips(&self) -> Vec<IpAddr> {
        self.addresses.iter().map(SocketAddr::ip).collect()
    }

    /// Returns when one is over. May be dropped and called again.
    pub(super) async fn over(&mut self) {
        match self.waits.join_next().await {
            Some(Ok(address)) => {
                let place = self.addresses.iter().position(|other| *other == address);
                place.map(|place| self.addresses.swap_remove(place));
            }
            Some(Err(_)) => {}
            None => pending().await,
        }
    }
}
