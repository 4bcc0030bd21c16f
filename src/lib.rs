//! zerohop: DNS that never leaves the node.

pub mod cache;
pub mod clock;
pub mod config;
pub mod dns;
pub mod metrics;
pub mod upstream;
pub mod zone;
