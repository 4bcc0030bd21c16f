//! What the node has to have so that questions reach us: a device with our addresses, kept over
//! netlink. No other program is run.

mod device;
mod fault;
mod keeper;
mod netlink;
mod route;

pub use fault::Fault;
pub use keeper::Keeper;
