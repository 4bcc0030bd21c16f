//! zerohop: DNS that never leaves the node.
//!
//! The rooms, in the order a packet sees them. ARCHITECTURE.md walks one query through.

pub mod clock;
pub mod config;
pub mod dns;
pub mod listener;
pub mod handler;
pub mod zone;
pub mod cache;
pub mod forward;
pub mod upstream;
pub mod metrics;
