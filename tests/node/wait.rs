//! Waiting for what is awaited, with a deadline.

use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that works never comes near it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

#[expect(clippy::disallowed_methods, reason = "the one clock of these tests")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Looks until there is something to see, and fails after [`PATIENCE`].
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look)
}

/// As [`until`], for what is known to take longer.
pub(crate) fn until_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + patience;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(now() < deadline, "waited {patience:?} in vain for {what}");
        std::thread::park_timeout(PAUSE);
    }
}
