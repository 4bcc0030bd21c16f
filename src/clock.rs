//! The only place that reads the clock. Rooms that decide are told the moment instead.

mod alarms;

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
