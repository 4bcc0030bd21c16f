//! What the resolv.conf files of a configuration say, and where its hosts are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{Config, UpstreamServer, reaches};
use crate::dns::Name;
use crate::upstream::{Host, nameservers};

use super::hosts::Addresses;

/// The servers of every file, and what is wrong with the files.
#[derive(Debug, Default)]
pub struct Nameservers {
    files: BTreeMap<PathBuf, Vec<SocketAddr>>,
    /// Where hosts are, as far as it is known.
    hosts: Addresses,
    /// Where we listen: those of a host that are ours are left out.
    listen: Vec<SocketAddr>,
    /// A sentence for each file that cannot be read or names no server.
    pub problems: Vec<String>,
}

impl Nameservers {
    /// Reads each file once. `listen` are the addresses that we answer at: asking those would be
    /// asking ourselves, so that they are left out.
    pub fn read(config: &Config, listen: &[SocketAddr]) -> Self {
        let mut read = Self::default();
        for source in config.upstreams.iter().flat_map(|upstream| &upstream.servers) {
            if let UpstreamServer::ResolvConf(path) = source
                && !read.files.contains_key(path)
            {
                let servers = read.file(path, listen);
                read.files.insert(path.clone(), servers);
            }
        }
        read
    }

    /// The servers that a file names.
    pub(super) fn of(&self, path: &Path) -> &[SocketAddr] {
        self.files.get(path).map_or(&[], Vec::as_slice)
    }

    /// Takes note of where hosts are, as far as that is not where we listen ourselves.
    pub(super) fn locate(&mut self, hosts: &Addresses, listen: &[SocketAddr]) {
        self.hosts.clone_from(hosts);
        self.listen = listen.to_vec();
    }

    /// The servers at a port of a host, as `bootstrap` knows it.
    pub(super) fn of_host(&self, name: &Name, port: u16, bootstrap: &[SocketAddr]) -> Vec<SocketAddr> {
        let host = Host { name: name.clone(), bootstrap: bootstrap.to_vec() };
        let addresses = self.hosts.get(&host).map_or(&[][..], Vec::as_slice);
        let servers = addresses.iter().map(|&ip| SocketAddr::new(ip, port));
        servers.filter(|&server| !self.listen.iter().any(|&own| reaches(server, own))).collect()
    }

    fn file(&mut self, path: &Path, listen: &[SocketAddr]) -> Vec<SocketAddr> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) => {
                self.problems
                    .push(format!("{}: no upstream servers: the file cannot be read: {error}", path.display()));
                return Vec::new();
            }
        };
        let is_own = |server: &SocketAddr| listen.iter().any(|&own| reaches(*server, own));
        let (own, others): (Vec<_>, Vec<_>) = nameservers(&text).into_iter().partition(is_own);
        for address in &own {
            tracing::warn!(file = %path.display(), %address, "left out of the upstreams: we answer there ourselves");
        }
        if others.is_empty() {
            let but = if own.is_empty() { "none" } else { "none but our own address" };
            self.problems.push(format!("{}: no upstream servers: the file names {but}", path.display()));
        }
        others
    }
}
