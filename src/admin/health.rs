//! Whether the workers are alive.

use std::time::Duration;

use super::Admin;

/// How long a worker may take to show that it is alive.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a scrape waits for what each has to say. One that is stuck says what it said last.
const SCRAPE: Duration = Duration::from_millis(100);

impl Admin {
    /// The workers that do not go round their loop, by index: known after a second, and that there are
    /// none at once.
    pub async fn stuck_workers(&self) -> Vec<usize> {
        self.roll_call.call(self.registry.workers(), self.clock, PATIENCE).await
    }

    /// Has the workers say how full they are.
    pub(super) async fn refresh_loads(&self) {
        self.roll_call.call(self.registry.workers(), self.clock, SCRAPE).await;
    }
}
