//! What happens to packets on their way to or from a server, in the network of a test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use super::process::find;

/// The program that sets rules, as a witness too.
pub(crate) struct Nft(PathBuf);

impl Nft {
    /// `None`, and said, when the program is missing.
    pub(crate) fn found() -> Option<Self> {
        find("nft", "nftables").map(Self)
    }

    pub(crate) fn run(&self, command: &str) {
        assert!(self.can(command), "nft {command}");
    }

    /// Whether that works. Its words are not shown.
    pub(crate) fn can(&self, command: &str) -> bool {
        Command::new(&self.0).arg(command).output().unwrap().status.success()
    }

    pub(crate) fn says(&self, command: &str) -> String {
        String::from_utf8(Command::new(&self.0).arg(command).output().unwrap().stdout).unwrap()
    }
}

/// Rules of nftables for what comes in. They end with the network.
pub(crate) struct Firewall(Nft);

impl Firewall {
    /// Without a rule. `None`, and said, when the program is missing.
    pub(crate) fn new() -> Option<Self> {
        let nft = Nft::found()?;
        nft.run("add table ip test");
        nft.run("add chain ip test in { type filter hook input priority 0; }");
        Some(Self(nft))
    }

    /// Every fifth packet from the server is dropped, whatever its protocol.
    pub(crate) fn lose_every_fifth(&self, server: SocketAddr) {
        self.add("saddr", "sport", server, "numgen random mod 100 < 20 drop");
    }

    /// Nothing reaches the server any more, and nobody is told.
    pub(crate) fn cut_off(&self, server: SocketAddr) {
        self.add("daddr", "dport", server, "counter drop");
    }

    /// Every rule ends.
    pub(crate) fn let_through(&self) {
        self.0.run("flush chain ip test in");
    }

    /// Packets that [`Self::cut_off`] has dropped.
    pub(crate) fn dropped(&self) -> u64 {
        let listed = self.0.says("list chain ip test in");
        let counts = listed.split("counter packets ").skip(1);
        counts.map(|rest| rest.split(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    fn add(&self, address: &str, port: &str, server: SocketAddr, what: &str) {
        for protocol in ["udp", "tcp"] {
            let (ip, number) = (server.ip(), server.port());
            self.0.run(&format!("add rule ip test in ip {address} {ip} {protocol} {port} {number} {what}"));
        }
    }
}
