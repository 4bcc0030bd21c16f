//! Counters for one writer and for many.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter that only one thread adds to: a load and a store, no locked instruction. Anybody may
/// read it. Two writers would lose counts, so each worker has its own.
#[derive(Debug, Default)]
pub struct SingleWriter(AtomicU64);

impl SingleWriter {
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// For a gauge: how much there is now.
    pub fn set(&self, amount: u64) {
        self.0.store(amount, Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A counter that any thread may add to.
#[derive(Debug, Default)]
pub struct Shared(AtomicU64);

impl Shared {
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
