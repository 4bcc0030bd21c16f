//! What reading a configuration took goes back to the system.

use std::time::Duration;

/// For how long mimalloc keeps pages that were freed, and a bit.
const KEPT: Duration = Duration::from_millis(1500);

/// Large enough to be a page of its own.
const LARGE: usize = 1 << 20;

/// mimalloc gives back what has been free for a second, but only when another page is freed, which
/// in a daemon that nobody asks anything may be never: so we free one.
pub(super) fn give_back() {
    tokio::task::spawn_local(async {
        tokio::time::sleep(KEPT).await;
        drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE)));
    });
}
