//! The nameservers of a file in resolv.conf(5) format.
//!
//! Read line by line, as the C library does: one line that cannot be read, of whatever kind, does
//! not cost the servers of the others.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The port, which the format cannot name.
const DNS_PORT: u16 = 53;

/// The servers of the `nameserver` lines, in order, each once; none when there are none.
pub fn nameservers(text: &[u8]) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for line in text.split(|&octet| octet == b'\n') {
        let server = std::str::from_utf8(line).ok().and_then(nameserver);
        servers.extend(server.filter(|server| !servers.contains(server)));
    }
    servers
}

fn nameserver(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_ascii_whitespace();
    let address = words.next().filter(|&keyword| keyword == "nameserver").and_then(|_| words.next())?;
    let server = match address.split_once('%') {
        Some((address, scope)) => {
            SocketAddrV6::new(address.parse::<Ipv6Addr>().ok()?, DNS_PORT, 0, scope_id(scope)?).into()
        }
        None => SocketAddr::new(address.parse::<IpAddr>().ok()?, DNS_PORT),
    };
    Some(server).filter(|server| !server.ip().is_unspecified() && !server.ip().is_multicast())
}

/// A link, by name or number (RFC 4007, section 11).
fn scope_id(scope: &str) -> Option<u32> {
    scope.parse().ok().or_else(|| nix::net::if_::if_nametoindex(scope).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        nameservers(text.as_bytes()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn servers_come_in_file_order_without_repeats() {
        let text = "# by hand\nsearch a.example b.example\nnameserver 10.0.0.2\nnameserver\tfd00::1 # two\n\
                    nameserver 10.0.0.2\noptions ndots:5\nnameserver 10.0.0.3\r\n";
        assert_eq!(read(text), ["10.0.0.2:53", "[fd00::1]:53", "10.0.0.3:53"]);
    }

    #[test]
    fn a_link_local_server_keeps_its_link() {
        let lo = nix::net::if_::if_nametoindex("lo").unwrap();
        assert_eq!(read("nameserver fe80::1%lo"), [format!("[fe80::1%{lo}]:53")]);
        assert_eq!(read("nameserver fe80::1%7"), ["[fe80::1%7]:53"]);
        assert!(read("nameserver fe80::1%no-such-link").is_empty());
    }

    #[test]
    fn one_bad_line_costs_no_other() {
        let long = "x".repeat(64);
        let text =
            format!("search {long}.example\nnameserver here\nnameserver\nnameserver 0.0.0.0\nnameserver 10.0.0.1");
        assert_eq!(read(&text), ["10.0.0.1:53"]);
        assert_eq!(nameservers(b"\xff\xfe\nnameserver 10.0.0.1\n").len(), 1);
        assert!(read("").is_empty() && read("search x\n").is_empty() && read("nameservers 10.0.0.1").is_empty());
    }
}
