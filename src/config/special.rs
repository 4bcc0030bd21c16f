//! Names that never leave the node, whoever is configured to be asked for everything.

use std::collections::HashSet;

use super::{OtherTypes, Zone};
use crate::dns::name::suffixes;
use crate::dns::zone_text::parse_record;
use crate::dns::{Name, Rcode, Record};

/// The TTL of the addresses of localhost, in seconds: they never change.
const TTL: u32 = 3600;

const LOCALHOST: &[&str] = &["@ A 127.0.0.1", "@ AAAA ::1", "* A 127.0.0.1", "* AAAA ::1"];

/// RFC 6761, section 6; RFC 7686 (onion); RFC 9462, section 6.4 (resolver.arpa). `local` and
/// `example` are not among them: there are networks that serve the one, and servers for the other.
const ALWAYS: &[(&str, Rcode, &[&str])] = &[
    ("localhost.", Rcode::NXDOMAIN, LOCALHOST),
    ("invalid.", Rcode::NXDOMAIN, &[]),
    ("test.", Rcode::NXDOMAIN, &[]),
    ("onion.", Rcode::NXDOMAIN, &[]),
    // Whoever looks for an encrypted resolver hears that there is none, not that the name is wrong.
    ("resolver.arpa.", Rcode::NOERROR, &[]),
];

const LOOPBACK_V4: &[&str] = &["1.0.0 PTR localhost."];
const LOOPBACK_V6: &[&str] = &["@ PTR localhost."];

/// RFC 6303, section 4, but for the ranges that are counted out below.
const PRIVATE_REVERSE: &[(&str, &[&str])] = &[
    ("10.in-addr.arpa.", &[]),
    ("168.192.in-addr.arpa.", &[]),
    ("0.in-addr.arpa.", &[]),
    ("127.in-addr.arpa.", LOOPBACK_V4),
    ("254.169.in-addr.arpa.", &[]),
    ("2.0.192.in-addr.arpa.", &[]),
    ("100.51.198.in-addr.arpa.", &[]),
    ("113.0.203.in-addr.arpa.", &[]),
    ("255.255.255.255.in-addr.arpa.", &[]),
    ("0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.", &[]),
    ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.", LOOPBACK_V6),
    ("d.f.ip6.arpa.", &[]),
    ("8.e.f.ip6.arpa.", &[]),
    ("9.e.f.ip6.arpa.", &[]),
    ("a.e.f.ip6.arpa.", &[]),
    ("b.e.f.ip6.arpa.", &[]),
    ("8.b.d.0.1.0.0.2.ip6.arpa.", &[]),
];

/// The special zones that no zone of `configured` but the root covers; the reverse zones of private
/// addresses only if `private_reverse`.
pub(super) fn zones<'n>(configured: impl Iterator<Item = &'n Name>, private_reverse: bool) -> Vec<Zone> {
    let always = ALWAYS.iter().map(|(name, absent, records)| zone(name, *absent, records));
    let reverse = PRIVATE_REVERSE.iter().map(|(name, records)| zone(name, Rcode::NXDOMAIN, records));
    // RFC 1918: 172.16.0.0/12. RFC 7793: 100.64.0.0/10.
    let ranges = (16..32).map(|second| (second, 172)).chain((64..128).map(|second| (second, 100)));
    let ranges = ranges.map(|(second, first)| zone(&format!("{second}.{first}.in-addr.arpa."), Rcode::NXDOMAIN, &[]));
    let reverse = reverse.chain(ranges).filter(|_| private_reverse);
    let root = Name::root();
    let configured: HashSet<&[u8]> = configured.filter(|name| **name != root).map(Name::wire).collect();
    let covered = |name: &Name| suffixes(name.wire()).any(|suffix| configured.contains(suffix));
    always.chain(reverse).filter(|zone| !covered(&zone.name)).collect()
}

fn zone(name: &str, absent: Rcode, records: &[&str]) -> Zone {
    // Both are written above, and a test reads them all.
    let name = Name::from_text(name, &Name::root()).unwrap_or_else(|_| Name::root());
    let records: Vec<Record> = records.iter().filter_map(|text| parse_record(text, &name, TTL).ok()).collect();
    Zone {
        name,
        records,
        patterns: Vec::new(),
        forward: None,
        ttl: TTL,
        ptr: false,
        other_types: OtherTypes::Nodata,
        absent,
        special: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside(configured: &[&str], private_reverse: bool) -> Vec<String> {
        let configured: Vec<Name> =
            configured.iter().map(|text| Name::from_text(text, &Name::root()).unwrap()).collect();
        zones(configured.iter(), private_reverse).iter().map(|zone| zone.name.to_string()).collect()
    }

    #[test]
    fn every_name_and_record_can_be_read() {
        let zones = zones([].iter(), true);
        assert_eq!(zones.len(), ALWAYS.len() + PRIVATE_REVERSE.len() + 16 + 64);
        assert!(zones.iter().all(|zone| zone.name != Name::root()));
        let records: usize = zones.iter().map(|zone| zone.records.len()).sum();
        assert_eq!(records, LOCALHOST.len() + 2);
    }

    #[test]
    fn a_configured_zone_but_the_root_takes_their_place() {
        assert_eq!(beside(&["."], false), ["localhost.", "invalid.", "test.", "onion.", "resolver.arpa."]);
        let configured = ["test.", "arpa.", "zerohop.invalid."];
        assert_eq!(beside(&configured, true), ["localhost.", "invalid.", "onion."]);
    }
}
