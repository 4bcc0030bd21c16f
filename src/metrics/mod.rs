//! What operators see: counters that are cheap where packets are, and their text at the scrape.
//!
//! Everything that a packet touches is counted here in blocks of our own, one block a worker with a
//! single writer, and summed when somebody looks. What happens seldom goes through the `metrics`
//! crate, whose exporter also encodes it. Every label value comes from the configuration or from a
//! list in this room, never from a client.

pub mod control;
pub mod counter;
pub mod histogram;
pub mod occupancy;
pub mod outcome;
pub mod process;
pub mod registry;
pub mod server;
mod text;
pub mod worker;
pub mod zone;

pub use control::Control;
pub use occupancy::{Occupancy, Place};
pub use outcome::{Outcome, Source};
pub use registry::Registry;
pub use server::{Attempt, ServerSeries};
pub use worker::{Load, Rejection, WorkerSeries};
pub use zone::ZoneSeries;
