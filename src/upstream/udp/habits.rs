//! What a forger of replies has to guess beside the ID (RFC 5452).

use std::net::{IpAddr, Ipv4Addr};

use rand::RngExt;

/// How questions to a server leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UdpHabits {
    /// Each question has a port of its own.
    pub port_per_query: bool,
    /// The letters of the name are in random case.
    pub random_case: bool,
}

impl UdpHabits {
    /// What suits a server at this address: whoever could forge a reply of one that is near is on a
    /// network that we trust with the answers already.
    pub fn suiting(address: IpAddr) -> Self {
        Self { port_per_query: !is_near(address), random_case: false }
    }
}

/// Loopback, private (RFC 1918, RFC 4193), shared (RFC 6598) and link-local addresses.
fn is_near(address: IpAddr) -> bool {
    let is_near = |v4: Ipv4Addr| {
        let is_shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
        v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared
    };
    match address {
        IpAddr::V4(v4) => is_near(v4),
        IpAddr::V6(v6) => v6
            .to_ipv4_mapped()
            .map_or_else(|| v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(), is_near),
    }
}

/// The name in wire form with its letters in random case.
pub(super) fn in_random_case(name: &[u8]) -> Box<[u8]> {
    let mut name: Box<[u8]> = name.into();
    let mut bits: u64 = 0;
    for (place, octet) in name.iter_mut().enumerate() {
        if place % 64 == 0 {
            bits = rand::rng().random();
        }
        // Length octets are at most 63, below every letter.
        if octet.is_ascii_alphabetic() && bits >> (place % 64) & 1 == 1 {
            *octet ^= 0x20;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_the_internet_are_asked_from_a_port_for_each_question() {
        let per_query = |address: &str| UdpHabits::suiting(address.parse().unwrap()).port_per_query;
        for near in
            ["127.0.0.1", "10.96.0.10", "172.31.0.2", "192.168.1.1", "169.254.169.253", "100.100.2.136", "100.127.0.1"]
        {
            assert!(!per_query(near), "{near}");
        }
        for near in ["::1", "fd00::a", "fe80::1", "::ffff:10.0.0.2"] {
            assert!(!per_query(near), "{near}");
        }
        for far in ["9.9.9.9", "172.32.0.1", "100.128.0.1", "100.63.0.1", "2620:fe::fe", "::ffff:9.9.9.9"] {
            assert!(per_query(far), "{far}");
        }
    }

    #[test]
    fn letters_alone_change_their_case_and_all_of_them_do() {
        let name = b"\x3fabcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz0123456789\x03com\0";
        let spelled: Vec<_> = (0..100).map(|_| in_random_case(name)).collect();
        for (place, &octet) in name.iter().enumerate() {
            let upper = spelled.iter().filter(|name| name[place] != octet).count();
            let expected = if octet.is_ascii_alphabetic() { 20..=80 } else { 0..=0 };
            assert!(expected.contains(&upper), "octet {place}: {upper} of 100");
        }
    }
}
