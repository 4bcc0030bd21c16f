//! zerohop: DNS that never leaves the node.

pub mod clock;
pub mod config;
pub mod dns;
pub mod metrics;
