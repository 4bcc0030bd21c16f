//! The operators' door: plain HTTP on an address of its own.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | every series, in the Prometheus text format |
//! | `/health` | 200 if every worker goes round its loop within a second, else 503 |
//! | `/ready` | 200 while every listen address answers a question of ours, and nobody has told us to stop, else 503 |
//!
//! It never stands in the way of DNS: a port that is taken is tried again, and said.

pub mod control;
mod health;
mod http;
mod ready;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::clock::Clock;
use crate::dns::Name;
use crate::forward::Shared;
use crate::listener::{Connections, RollCall};
use crate::metrics::Registry;

use control::Succession;
pub use http::{Stop, bind, serve};

/// What the routes look at.
pub struct Admin {
    pub registry: Arc<Registry>,
    pub shared: Arc<Shared>,
    pub clock: Clock,
    /// Where workers show that they are alive.
    pub roll_call: RollCall,
    /// Where questions are answered, for the readiness check.
    pub listen: RefCell<Vec<SocketAddr>>,
    /// The readiness check's name.
    pub ready: Name,
    /// Those of clients.
    pub connections: Arc<Connections>,
    pub succession: Succession,
    /// No more is to be asked of us soon.
    pub is_stopping: Cell<bool>,
}

impl Admin {
    /// Brings the mirrored figures up to date and renders everything.
    async fn metrics(&self) -> String {
        self.refresh_loads().await;
        let control = &self.registry.control;
        let store = &self.shared.store;
        let (entries, bytes) = store.size();
        control.cache_entries.set(float(entries));
        control.cache_bytes.set(float(bytes));
        control.cache_evictions.absolute(store.counts().evictions.value());
        control.cache_prefetches.absolute(store.counts().prefetches.value());
        control.background_overflows.absolute(store.counts().background_overflows.value());
        control.cache_dropped_writes.absolute(store.counts().queue.overflows());
        control.cache_queue.set(float(store.counts().queue.taken()));
        control.failures.set(float(self.shared.failures.len() as u64));
        control.failures_dropped.absolute(self.shared.failures.dropped());
        control.in_flight.set(float(self.shared.in_flight.len() as u64));
        control.tcp_open.set(float(self.connections.open()));
        control.standby.set(float(self.succession.has_heir().into()));
        self.registry.render()
    }
}

/// A gauge is a float; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no gauge here comes near 2^53")]
fn float(value: u64) -> f64 {
    value as f64
}
