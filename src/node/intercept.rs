//! Takes the questions for addresses of another DNS service, while nothing stands against it.
//!
//! The device gets the addresses, and only then come the rules: without them kube-proxy's own translate
//! such packets as ever. Whatever ends the rules, a crash too, gives pods back what they had.

use std::net::IpAddr;

use super::device::Device;
use super::fault::Fault;
use super::nftables::{self, BaseChain, Table};
use super::refusal::{IPVS, Refusal, WORD};

/// Which tables of iptables-legacy there are, for IPv4 and for IPv6.
const LEGACY_TABLES: [&str; 2] = ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"];

/// See the module's head.
#[derive(Debug)]
pub(super) struct Interception {
    ips: Vec<IpAddr>,
    /// Those, and the addresses of our own: what goes to them is not tracked.
    untracked: Vec<IpAddr>,
    table: Option<Table>,
    /// What stood against it when it was last looked at.
    refused: Option<String>,
}

impl Interception {
    pub(super) fn of(ips: Vec<IpAddr>, own: &[IpAddr]) -> Self {
        let untracked = own.iter().chain(&ips).copied().collect();
        Self { ips, untracked, table: None, refused: None }
    }

    /// Takes these from now on, and those of before no more. They stay with the device.
    pub(super) fn follow(&mut self, ips: &[IpAddr], own: &[IpAddr], device: &mut Device) {
        let next = Self::of(ips.to_vec(), own);
        if self.ips == next.ips && self.untracked == next.untracked {
            return;
        }
        let before = std::mem::replace(self, next);
        self.tend(device);
        // Its rules go behind those that have come.
        match (before.table, &self.table) {
            (Some(table), None) => tracing::info!(table = table.name, "interception ends"),
            (table, _) => drop(table),
        }
    }

    pub(super) fn ips(&self) -> &[IpAddr] {
        &self.ips
    }

    pub(super) fn is_active(&self) -> bool {
        self.table.is_some()
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// Begins if it can, ends if it cannot any more.
    pub(super) fn tend(&mut self, device: &mut Device) {
        if self.ips.is_empty() {
            return;
        }
        match self.obstacle(device).map_or_else(|| self.begin(device), Err) {
            Ok(()) => self.refused = None,
            Err(refusal) => {
                self.leave(device);
                let refusal = refusal.to_string();
                if self.refused.as_ref() != Some(&refusal) {
                    let addresses = spelled(&self.ips);
                    tracing::error!(addresses, "nothing is intercepted, until this has changed: {refusal}");
                }
                self.refused = Some(refusal);
            }
        }
    }

    /// Takes the rules away.
    pub(super) fn end(&mut self) {
        if let Some(table) = self.table.take() {
            tracing::info!(table = table.name, "interception ends");
        }
    }

    /// Gives the addresses back. Rules or not, packets of the node's own would have them as their source.
    pub(super) fn leave(&mut self, device: &mut Device) {
        self.end();
        device.give_up(&self.ips);
    }

    fn begin(&mut self, device: &mut Device) -> Result<(), Refusal> {
        if self.table.is_some() {
            return Ok(());
        }
        device.claim(&self.ips);
        device.set_right().map_err(Refusal::Device)?;
        if let Some(ip) = device.undelivered(&self.ips).map_err(Refusal::Device)? {
            return Err(Refusal::Undelivered(ip));
        }
        let table = Table::install(&self.untracked).map_err(Refusal::Table)?;
        tracing::info!(addresses = spelled(&self.ips), table = table.name, "interception begins");
        if has_legacy_filter() {
            tracing::warn!(
                addresses = spelled(&self.untracked),
                "iptables-legacy has a filter table on this node, which cannot be looked into: where its policy for \
                 INPUT or OUTPUT is DROP, let UDP and TCP port 53 of these addresses through"
            );
        }
        self.table = Some(table);
        Ok(())
    }

    fn obstacle(&self, device: &mut Device) -> Option<Refusal> {
        match device.held_elsewhere(&self.ips) {
            Ok(None) => {}
            Ok(Some(Fault::Elsewhere { ip, device, .. })) if device == IPVS => return Some(Refusal::Ipvs(ip)),
            Ok(Some(fault)) | Err(fault) => return Some(Refusal::Device(fault)),
        }
        let chains = match nftables::base_chains() {
            Ok(chains) => chains,
            Err(error) => return Some(Refusal::Unseen(error)),
        };
        chains.into_iter().find_map(|chain| self.stopped_by(chain))
    }

    /// An accept of ours would not keep another chain from dropping.
    fn stopped_by(&self, chain: BaseChain) -> Option<Refusal> {
        let is_passed = [libc::NF_INET_LOCAL_IN, libc::NF_INET_LOCAL_OUT].contains(&chain.hook);
        let concerns = |ip: &IpAddr| match chain.family {
            libc::NFPROTO_IPV4 => ip.is_ipv4(),
            libc::NFPROTO_IPV6 => ip.is_ipv6(),
            libc::NFPROTO_INET => true,
            _ => false,
        };
        let ips: Vec<IpAddr> = self.untracked.iter().copied().filter(concerns).collect();
        if !chain.drops || chain.kind != "filter" || !is_passed || ips.is_empty() {
            return None;
        }
        match nftables::mentions(&chain, WORD) {
            Ok(true) => None,
            Ok(false) => Some(Refusal::Drops { chain, ips }),
            Err(error) => Some(Refusal::Unseen(error)),
        }
    }
}

fn has_legacy_filter() -> bool {
    let has =
        |path: &&str| std::fs::read_to_string(path).is_ok_and(|tables| tables.lines().any(|name| name == "filter"));
    LEGACY_TABLES.iter().any(has)
}

fn spelled(ips: &[IpAddr]) -> String {
    ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
