//! Whether the workers are alive.

use std::time::Duration;

use super::Admin;
use crate::metrics::WorkerSeries;

/// A worker beats four times as often.
const PATIENCE: Duration = Duration::from_secs(1);

impl Admin {
    /// The workers that have not gone round their loop lately, by index.
    pub fn stuck_workers(&self) -> Vec<usize> {
        let now = self.clock.now();
        let stuck = |worker: &WorkerSeries| now.since(worker.last_beat()) > PATIENCE;
        let workers = self.registry.workers().iter().enumerate();
        workers.filter(|(_, worker)| stuck(worker)).map(|(index, _)| index).collect()
    }
}
