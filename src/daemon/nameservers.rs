//! What the resolv.conf files of a configuration say, and where its hosts are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::hosts::Addresses;
use crate::config::{Config, Files, UpstreamServer, reaches};
use crate::dns::Name;
use crate::node::resolv_conf::KEPT;
use crate::upstream::{Host, nameservers};

/// The servers of every file, and what is wrong with the files.
#[derive(Debug, Default)]
pub struct Nameservers {
    /// None of a file that is of no use.
    servers: BTreeMap<PathBuf, Vec<SocketAddr>>,
    /// The files that were read.
    pub(super) files: Files,
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
                && !read.servers.contains_key(path)
            {
                let servers = read.file(path, listen, Path::new(KEPT));
                read.servers.insert(path.clone(), servers);
            }
        }
        read
    }

    /// In place of files that are of no use, takes what `previous` has of them. Returns whether it
    /// knows all of them.
    pub(super) fn keep_last_good(&mut self, previous: &Self) -> bool {
        for (path, servers) in self.servers.iter_mut().filter(|(_, servers)| servers.is_empty()) {
            let Some(last) = previous.servers.get(path) else { return false };
            servers.clone_from(last);
        }
        true
    }

    /// The servers that a file names.
    pub(super) fn of(&self, path: &Path) -> &[SocketAddr] {
        self.servers.get(path).map_or(&[], Vec::as_slice)
    }

    /// Takes note of where hosts are, as far as that is not where we listen ourselves.
    pub(super) fn locate(&mut self, hosts: &Addresses, listen: &[SocketAddr]) {
        self.hosts.clone_from(hosts);
        self.listen = listen.to_vec();
    }

    /// The servers at a port of a host, as `bootstrap` knows it; until it has said something, as whoever
    /// was asked before knew it.
    pub(super) fn of_host(&self, name: &Name, port: u16, bootstrap: &[SocketAddr]) -> Vec<SocketAddr> {
        let host = Host { name: name.clone(), bootstrap: bootstrap.to_vec() };
        let before = || self.hosts.iter().find(|(other, _)| other.name == host.name).map(|(_, last)| last);
        let addresses = self.hosts.get(&host).or_else(before).map_or(&[][..], Vec::as_slice);
        let servers = addresses.iter().map(|&ip| SocketAddr::new(ip, port));
        servers.filter(|&server| !self.listen.iter().any(|&own| reaches(server, own))).collect()
    }

    /// The servers of a file. Where it names nobody but us, because the node was pointed at us, they are
    /// those of `kept`, who were asked before.
    fn file(&mut self, path: &Path, listen: &[SocketAddr], kept: &Path) -> Vec<SocketAddr> {
        let text = match self.files.read(path) {
            Ok(text) => text,
            Err(error) => {
                self.problems
                    .push(format!("{}: no upstream servers: the file cannot be read: {error}", path.display()));
                return Vec::new();
            }
        };
        let is_own = |server: &SocketAddr| listen.iter().any(|&own| reaches(*server, own));
        let (own, others): (Vec<_>, Vec<_>) = nameservers(&text).into_iter().partition(is_own);
        if others.is_empty() && !own.is_empty() && path != kept {
            // Not being there is noted as well: then the file is taken up when it comes.
            let text = self.files.read(kept).unwrap_or_default();
            let before: Vec<_> = nameservers(&text).into_iter().filter(|server| !is_own(server)).collect();
            if !before.is_empty() {
                tracing::info!(file = %path.display(), kept = %kept.display(), "the node asks us: upstreams are those it asked before");
                return before;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn a_file_that_is_of_no_use_keeps_its_last_servers_and_a_new_one_has_none() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        put("one", "nameserver 192.0.2.1\nnameserver 192.0.2.2\n");
        put("two", "");
        let read = |files: &str| {
            let listen = "[server]\nlisten = ['127.0.0.1', '10.0.0.1']\n";
            let zone = format!("[[zone]]\nname = '.'\nforward = [{files}]\n");
            let loaded = parse(&directory.path().join("zerohop.toml"), &format!("{listen}{zone}")).unwrap();
            Nameservers::read(&loaded.config, &loaded.config.addresses())
        };
        let (both, one) = ("'resolv-conf:one', 'resolv-conf:two'", "'resolv-conf:one'");
        let of = |nameservers: &Nameservers, name: &str| nameservers.of(&directory.path().join(name)).len();
        let start = read(both);
        assert_eq!((of(&start, "one"), of(&start, "two"), start.problems.len()), (2, 0, 1));
        put("one", "nameserver 10.0.0.1\nnameserver 127.0.0.1\n");
        let mut next = read(both);
        assert!(next.problems[0].ends_with("the file names none but our own address"), "{:?}", next.problems);
        assert_eq!((next.problems.len(), of(&next, "one")), (2, 0));
        assert!(next.keep_last_good(&start), "that of `two` is nothing");
        assert_eq!((of(&next, "one"), of(&next, "two")), (2, 0));
        put("one", "nameserver 192.0.2.3\n");
        let mut later = read(one);
        assert!(later.keep_last_good(&next));
        assert_eq!(of(&later, "one"), 1);
        assert!(!read(both).keep_last_good(&later), "`two` is new");
    }

    #[test]
    fn a_file_that_names_nobody_but_us_stands_for_what_was_asked_before() {
        let directory = tempfile::tempdir().unwrap();
        let (file, kept) = (directory.path().join("resolv.conf"), directory.path().join("upstream"));
        let listen = ["169.254.20.10:53".parse().unwrap()];
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let mut nameservers = Nameservers::default();
            let servers = nameservers.file(&file, &listen, &kept);
            let count = nameservers.files.paths().count();
            (servers.iter().map(ToString::to_string).collect::<Vec<_>>(), nameservers.problems.len(), count)
        };
        let ours = "nameserver 169.254.20.10\n";
        assert_eq!(read(ours), (vec![], 1, 2), "both are watched");
        std::fs::write(&kept, "nameserver 169.254.20.10\nnameserver 192.0.2.1\n").unwrap();
        assert_eq!(read(ours), (vec!["192.0.2.1:53".to_owned()], 0, 2));
        assert_eq!(read("nameserver 192.0.2.2\n"), (vec!["192.0.2.2:53".to_owned()], 0, 1));
        assert_eq!(read(""), (vec![], 1, 1), "a file that names nobody is a fault of its own");
    }
}
