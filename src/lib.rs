//! zerohop: DNS that never leaves the node.

pub mod config;
pub mod dns;
