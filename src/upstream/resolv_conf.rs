//! The nameservers of a file in resolv.conf(5) format.

use std::net::IpAddr;

/// The addresses of the `nameserver` lines, in order, each once; none when there are none.
pub fn nameservers(text: &[u8]) -> Vec<IpAddr> {
    let Ok((config, _)) = hickory_resolver::system_conf::parse_resolv_conf(text) else { return Vec::new() };
    let mut addresses = Vec::new();
    for server in config.name_servers() {
        if !addresses.contains(&server.ip) {
            addresses.push(server.ip);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_file_order_without_repeats() {
        let text = b"# by hand\nsearch a.example b.example\nnameserver 10.0.0.2\nnameserver fd00::1\nnameserver 10.0.0.2\noptions ndots:5\n";
        let expected: Vec<IpAddr> = vec!["10.0.0.2".parse().unwrap(), "fd00::1".parse().unwrap()];
        assert_eq!(nameservers(text), expected);
    }

    #[test]
    fn a_file_without_nameservers_has_none() {
        assert!(nameservers(b"").is_empty());
        assert!(nameservers(b"search x\n").is_empty());
        assert!(nameservers(b"\xff\xfe").is_empty());
    }
}
