//! zerohop: DNS that never leaves the node.
//!
//! ARCHITECTURE.md walks one query through these rooms.

pub mod admin;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod datagram;
pub mod dns;
pub mod forward;
pub mod handler;
pub mod listener;
pub mod metrics;
pub mod node;
pub mod upstream;
pub mod zone;
