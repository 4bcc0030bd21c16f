//! What happens to packets on their way to or from a server, in the network of a test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use super::process::find;

/// Rules of nftables for what comes in. They end with the network.
pub(crate) struct Firewall {
    nft: PathBuf,
}

impl Firewall {
    /// Without a rule. `None`, and said, when the program is missing.
    pub(crate) fn new() -> Option<Self> {
        let firewall = Self { nft: find("nft", "nftables")? };
        firewall.carry_out("add table ip test");
        firewall.carry_out("add chain ip test in { type filter hook input priority 0; }");
        Some(firewall)
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
        self.carry_out("flush chain ip test in");
    }

    /// Packets that [`Self::cut_off`] has dropped.
    pub(crate) fn dropped(&self) -> u64 {
        let listed = Command::new(&self.nft).args(["list", "chain", "ip", "test", "in"]).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let counts = listed.split("counter packets ").skip(1);
        counts.map(|rest| rest.split(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    fn add(&self, address: &str, port: &str, server: SocketAddr, what: &str) {
        for protocol in ["udp", "tcp"] {
            let (ip, number) = (server.ip(), server.port());
            self.carry_out(&format!("add rule ip test in ip {address} {ip} {protocol} {port} {number} {what}"));
        }
    }

    fn carry_out(&self, command: &str) {
        assert!(Command::new(&self.nft).arg(command).status().unwrap().success(), "nft {command}");
    }
}
