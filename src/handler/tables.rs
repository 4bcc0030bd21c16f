//! Everything that a reload replaces at once.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Prefix;
use crate::dns::Name;
use crate::forward::Plan;
use crate::metrics::ZoneSeries;
use crate::upstream::{Route, Server};
use crate::zone::ZoneTable;

/// The live tables. A reload builds new ones and swaps them in; whoever is working on a question
/// keeps those it began with.
pub struct Tables {
    /// Grows with every reload: what was answered under another generation is not given again.
    pub generation: u64,
    /// Of the configuration alone, so that tables whose servers are elsewhere share it.
    pub zones: Arc<ZoneTable>,
    /// How each zone forwards; `None` for zones that are wholly ours. Indexed like `zones`.
    pub forwarding: Vec<Option<Arc<Plan>>>,
    /// Indexed like `zones`.
    pub series: Vec<Arc<ZoneSeries>>,
    pub allow: Vec<Prefix>,
    /// The name of the readiness check, which nobody outside can guess.
    pub ready: Name,
}

impl Tables {
    /// Every upstream server of every zone; some more than once.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        let groups = self.forwarding.iter().flatten().flat_map(|plan| &plan.groups);
        groups.flat_map(|group| &group.servers)
    }

    /// Each zone's ways to the servers it is forwarded to.
    pub fn routes(&self) -> impl Iterator<Item = Route<'_>> {
        self.forwarding.iter().flatten().flat_map(|plan| {
            let servers = plan.groups.iter().flat_map(|group| &group.servers);
            servers.map(|server| Route { zone: &plan.zone, used: &plan.used, server })
        })
    }

    /// Whether a client may ask at a listener that does not answer everybody.
    pub(super) fn allows(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.allow.iter().any(|prefix| contains(prefix, client))
    }
}

fn contains(prefix: &Prefix, client: IpAddr) -> bool {
    match (prefix.address, client) {
        (IpAddr::V4(network), IpAddr::V4(client)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.length)).unwrap_or(0);
            u32::from(network) & mask == u32::from(client) & mask
        }
        (IpAddr::V6(network), IpAddr::V6(client)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.length)).unwrap_or(0);
            u128::from(network) & mask == u128::from(client) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_hold_what_lies_in_them() {
        let holds = |network: &str, length, client: &str| {
            contains(&Prefix { address: network.parse().unwrap(), length }, client.parse().unwrap())
        };
        assert!(holds("10.0.0.0", 8, "10.255.0.1"));
        assert!(!holds("10.0.0.0", 8, "11.0.0.1"));
        assert!(holds("0.0.0.0", 0, "192.0.2.1"));
        assert!(holds("192.0.2.1", 32, "192.0.2.1"));
        assert!(!holds("192.0.2.1", 32, "192.0.2.2"));
        assert!(holds("fc00::", 7, "fd12::1"));
        assert!(!holds("fc00::", 7, "fe80::1"));
        assert!(holds("::", 0, "2001:db8::1"));
        assert!(!holds("::", 0, "10.0.0.1"));
    }
}
