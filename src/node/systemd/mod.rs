//! systemd, as the service manager that has started us: what it passes, what it is told, and what it
//! keeps. Anything else that speaks sd_notify(3) and sd_listen_fds(3) is as good.

mod notify;
mod passed;
mod store;

pub use notify::{Notify, watchdog};
pub use passed::Passed;
pub use store::{Store, is_there, memory};
