//! What upstreams said, for as long as they said it holds.
//!
//! [`Front`] is a worker's own small memory of finished answers; [`Store`] is the one cache behind
//! all of them; [`Failures`] remembers for seconds what could not be answered. The room reads no
//! clock: whoever asks says what moment it is.

mod door;
mod failures;
mod front;
mod key;
mod prefetch;
mod presence;
pub mod snapshot;
mod store;

pub use failures::Failures;
pub use front::{Found, Front, Memory};
pub use key::{Key, Keyed, Lookup};
pub use store::{Cached, Seen, Store};
