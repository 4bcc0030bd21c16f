//! The addresses of `[admin]`, each with a task that serves it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::admin::{self, Admin};
use crate::config::Config;

/// A new address that cannot be had.
#[derive(Debug)]
pub(super) struct DoorError {
    address: SocketAddr,
    error: io::Error,
}

impl fmt::Display for DoorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        write!(f, "cannot listen on {address} for [admin]: {error}; write another in `listen` or `metrics-listen`")
    }
}

/// See the module's head.
pub(super) struct Doors {
    admin: Rc<Admin>,
    /// Letting go of the second ends the service.
    served: HashMap<SocketAddr, oneshot::Sender<Infallible>>,
}

impl Doors {
    /// With these addresses, and the sockets for them of the instance before. One that is taken is tried
    /// again: DNS does not depend on it.
    pub(super) fn open(admin: Rc<Admin>, addresses: Vec<(SocketAddr, Option<TcpListener>)>) -> Self {
        let mut doors = Self { admin, served: HashMap::new() };
        addresses.into_iter().for_each(|(address, inherited)| doors.serve(address, inherited));
        doors
    }

    /// Opens what this configuration has beyond what is served.
    ///
    /// # Errors
    /// [`DoorError`] when an address cannot be had: who has just written it can be told.
    pub(super) fn prepare(&self, config: &Config) -> Result<Vec<(SocketAddr, TcpListener)>, DoorError> {
        let new = addresses(config).filter(|address| !self.served.contains_key(address));
        let open = |address| match admin::bind(address) {
            Ok(listener) => Ok((address, listener)),
            Err(error) => Err(DoorError { address, error }),
        };
        new.map(open).collect()
    }

    /// Serves the addresses of this configuration and no others.
    pub(super) fn carry_out(&mut self, opened: Vec<(SocketAddr, TcpListener)>, config: &Config) {
        self.served.retain(|served, _| addresses(config).any(|address| address == *served));
        opened.into_iter().for_each(|(address, listener)| self.serve(address, Some(listener)));
    }

    /// Ends them all.
    pub(super) fn close(&mut self) {
        self.served.clear();
    }

    fn serve(&mut self, address: SocketAddr, open: Option<TcpListener>) {
        let (stop, stopped) = oneshot::channel();
        self.served.insert(address, stop);
        spawn_local(admin::serve(address, open, Rc::clone(&self.admin), stopped));
    }
}

/// Those that a configuration has.
pub(super) fn addresses(config: &Config) -> impl Iterator<Item = SocketAddr> {
    config.admin.listen.iter().chain(&config.admin.metrics_listen).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_taken_is_said_with_what_to_do() {
        let error = DoorError {
            address: "127.0.0.1:9153".parse().unwrap(),
            error: io::Error::from_raw_os_error(libc::EADDRINUSE),
        };
        insta::assert_snapshot!(error, @"cannot listen on 127.0.0.1:9153 for [admin]: Address already in use (os error 98); write another in `listen` or `metrics-listen`");
    }
}
