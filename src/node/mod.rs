//! What the node has to have so that questions reach us: a device with our addresses, kept over
//! netlink, and a resolv.conf that names us; and what the node takes from us again. No other program is run.

mod device;
mod fault;
mod follow;
mod intercept;
mod keeper;
mod netlink;
mod nftables;
pub mod privileges;
mod refusal;
pub mod resolv_conf;
mod route;
pub mod systemd;

pub use fault::Fault;
pub use keeper::Keeper;
