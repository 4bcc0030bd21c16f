//! zerohop: DNS that never leaves the node.
//!
//! The rooms, in the order a packet sees them. ARCHITECTURE.md walks one query through.

pub mod cache;
pub mod clock;
pub mod config;
pub mod dns;
pub mod forward;
pub mod handler;
pub mod listener;
pub mod metrics;
pub mod upstream;
pub mod zone;
