//! /etc/resolv.conf: the node is pointed at the daemon, and back.
//!
//! What is to be done is decided first, as a list of steps ([`Plan`]). Each replaces or removes one
//! file at once, and behind each of them the node has a nameserver: whoever kills us between two
//! leaves something that works, and that can be carried on or taken back.
//!
//! No other program is run. A manager that has to be told is told by the user.

mod ask;
mod dhclient;
mod entry;
mod fault;
mod install;
mod kubelet;
mod manager;
mod network_manager;
mod plain;
mod plan;
mod restore;
mod root;
#[cfg(test)]
mod shipped;
mod status;
mod systemd_resolved;
#[cfg(test)]
mod tests;
mod text;

pub use ask::{Silence, ask};
pub use fault::Fault;
pub use install::install;
pub use manager::Manager;
pub use plan::Plan;
pub use restore::restore;
pub use root::Root;
pub use status::{Status, status};

/// What every program of the node reads.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The nameservers that were asked before; beside [`RESOLV_CONF`] as `daemon/nameservers.rs` looks for it.
pub const KEPT: &str = "/etc/zerohop/resolv.conf.upstream";
/// What [`RESOLV_CONF`] was before, link or file.
pub const SAVED: &str = "/etc/zerohop/resolv.conf.saved";
