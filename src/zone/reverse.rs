//! PTR records that address records imply (`ptr = true`).

use std::collections::HashSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config;
use crate::dns::{Name, Record, RecordType};

/// For each zone, the implied PTR records that lie in it. The first name of an address stands, as
/// in dnsmasq; wildcards name no host. `zone_of` tells the zone of a name.
pub(super) fn records(zones: &[config::Zone], zone_of: impl Fn(&[u8]) -> Option<usize>) -> Vec<Vec<Record>> {
    let mut implied = vec![Vec::new(); zones.len()];
    let mut seen = HashSet::new();
    let sources = zones.iter().filter(|zone| zone.ptr).flat_map(|zone| &zone.records);
    for record in sources.filter(|record| !record.owner.is_wildcard()) {
        let Some(address) = address(record) else { continue };
        if !seen.insert(address) {
            continue;
        }
        let Some(owner) = name_of(address) else { continue };
        if let Some(list) = zone_of(owner.wire()).and_then(|zone| implied.get_mut(zone)) {
            list.push(Record { owner, rtype: RecordType::PTR, ttl: record.ttl, rdata: record.owner.wire().into() });
        }
    }
    implied
}

fn address(record: &Record) -> Option<IpAddr> {
    let rdata = &*record.rdata;
    match record.rtype {
        RecordType::A => <[u8; 4]>::try_from(rdata).ok().map(|octets| Ipv4Addr::from(octets).into()),
        RecordType::AAAA => <[u8; 16]>::try_from(rdata).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

/// RFC 1035, section 3.5, and RFC 3596, section 2.5.
fn name_of(address: IpAddr) -> Option<Name> {
    let mut text = String::new();
    let written = match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            write!(text, "{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(address) => {
            let mut octets = address.octets().into_iter().rev();
            octets
                .try_for_each(|octet| write!(text, "{:x}.{:x}.", octet & 0xf, octet >> 4))
                .and_then(|()| text.write_str("ip6.arpa."))
        }
    };
    written.ok().and_then(|()| Name::from_text(&text, &Name::root()).ok())
}
