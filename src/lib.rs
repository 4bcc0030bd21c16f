//! zerohop: DNS that never leaves the node.

pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dns;
pub mod metrics;
