//! The only place that reads the clock. Rooms that decide are told the moment instead.

mod alarms;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::dns::Moment;
pub use alarms::Alarms;

/// The monotonic clock of this process, shared by copying. Under a paused runtime it stands still
/// with the runtime, which is how time passes in tests.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that says [`Moment::START`] now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub fn now(&self) -> Moment {
        Moment::START + self.start.elapsed()
    }

    /// The moment as timers take it.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.start + moment.since(Moment::START)
    }
}

/// The date, as the time since 1970: for what outlives the process, never for what happens within it.
/// Zero on a machine that believes to be earlier.
pub fn date() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// What the clock says that all processes of this boot share (CLOCK_MONOTONIC): for what one of them tells
/// another. Zero where there is none.
pub fn of_this_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}
