//! The only place that reads the clock. Rooms that decide are told the moment instead.

mod alarms;

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::dns::Moment;
pub use alarms::Alarms;

/// The monotonic clock of this process, shared by copying. Under a paused runtime it stands still
/// with the runtime, which is how time passes in tests.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose origin is now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub fn now(&self) -> Moment {
        Moment::after_origin(self.origin.elapsed())
    }

    /// The moment as timers take it.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.origin + moment.since(Moment::ORIGIN)
    }
}

/// What the clock says that all processes of this boot share (CLOCK_MONOTONIC): for what one of them tells
/// another. Zero where there is none.
pub fn of_this_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}
