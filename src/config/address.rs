//! Addresses as the configuration spells them: listeners, prefixes, upstream servers.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;

use hyper::http::uri::PathAndQuery;
use rustls::pki_types::{DnsName, ServerName};

use super::fault::Message;
use super::{Over, Prefix, Transport, UpstreamServer};
use crate::dns::Name;

/// Where DNS is spoken unless a port is said (RFC 1035, section 4.2).
pub(super) const DNS_PORT: u16 = 53;
/// Where it is spoken over TLS (RFC 7858, section 3.1).
pub(super) const TLS_PORT: u16 = 853;

/// What goes before the path of a resolv.conf(5) file.
const RESOLV_CONF: &str = "resolv-conf:";

/// Where HTTPS is (RFC 9110, section 4.2.2).
const HTTPS_PORT: u16 = 443;
/// The path that most servers have, and that RFC 8484 has in its examples.
const HTTPS_PATH: &str = "/dns-query";

/// Reads `IP`, `IP:port` or `[v6]:port`. Without a port it is `port`; with none to fall back on,
/// a port must be said.
pub(super) fn socket(text: &str, port: Option<u16>) -> Result<SocketAddr, Message> {
    let address = match (text.parse::<SocketAddr>(), bare(text), port) {
        (Ok(address), _, _) => address,
        (_, Some(ip), Some(port)) => SocketAddr::new(ip, port),
        (_, Some(ip), None) => {
            let example = SocketAddr::new(ip, 9153);
            return Err(Message::new(
                format!("{text:?} has no port"),
                format!("write it too, as {:?}", example.to_string()),
            ));
        }
        _ => {
            return Err(Message::new(
                format!("{text:?} is no address"),
                r#"write an IP address with or without a port, as "169.254.20.10:53" or "[fd00::a]:53""#,
            ));
        }
    };
    if address.port() == 0 {
        return Err(Message::new(format!("{text:?} has port 0"), "write a port from 1 to 65535"));
    }
    Ok(address)
}

/// Reads an IP address without a port.
pub(super) fn ip(text: &str) -> Result<IpAddr, Message> {
    text.parse().map_err(|_| {
        Message::new(
            format!("{text:?} is no IP address"),
            r#"write one without port or prefix length, as "10.96.0.10""#,
        )
    })
}

/// Reads one address that a device can have, with or without the length that says it is one.
pub(super) fn of_device(text: &str) -> Result<IpAddr, Message> {
    let (bare, length) = text.split_once('/').map_or((text, None), |(bare, length)| (bare, Some(length)));
    let ip = ip(bare)?;
    let width = if ip.is_ipv4() { "32" } else { "128" };
    if length.is_some_and(|length| length != width) {
        let problem = format!("{text:?} is not one address");
        return Err(Message::new(problem, format!(r#"write "{ip}/{width}""#)));
    }
    if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || ip.to_canonical() != ip {
        let problem = format!("{ip} is no address for a device of our own");
        return Err(Message::new(problem, r#"write one that nobody else has, as "169.254.20.10""#));
    }
    Ok(ip)
}

/// Reads `10.0.0.0/8`, or one address.
pub(super) fn prefix(text: &str) -> Result<Prefix, Message> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let invalid = || {
        let remedy = r#"write an address and a length, as "10.0.0.0/8" or "fd00::/8""#;
        Message::new(format!("{text:?} is no prefix"), remedy)
    };
    let address: IpAddr = address.parse().map_err(|_| invalid())?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let length =
        length.map_or(Some(width), |length| length.parse().ok()).filter(|l| *l <= width).ok_or_else(invalid)?;
    let masked = mask(address, length);
    if masked != address {
        let problem = format!("{text:?} has bits set behind its first {length}");
        return Err(Message::new(
            problem,
            format!(r#"write "{masked}/{length}", or "{address}" for that one address"#),
        ));
    }
    Ok(Prefix { address, length })
}

/// Whether `text` is meant as a server and not as the name of an upstream.
pub(super) fn looks_like_server(text: &str) -> bool {
    text.contains("://") || text.starts_with(RESOLV_CONF) || text.parse::<SocketAddr>().is_ok() || bare(text).is_some()
}

/// Reads an upstream server; a resolv.conf path is relative to `directory`.
pub(super) fn server(text: &str, directory: &Path) -> Result<UpstreamServer, Message> {
    if let Some(path) = text.strip_prefix(RESOLV_CONF) {
        if path.is_empty() {
            let remedy = r#"write one, as "resolv-conf:/etc/resolv.conf""#;
            return Err(Message::new(format!("{text:?} has no path"), remedy));
        }
        return Ok(UpstreamServer::ResolvConf(directory.join(path)));
    }
    let (transport, address) = match text.split_once("://") {
        None => (Transport::Udp, text),
        Some(("udp", address)) => (Transport::Udp, address),
        Some(("tcp", address)) => (Transport::Tcp, address),
        Some(("tls", rest)) => return encrypted(rest, "tls", Over::Tcp, TLS_PORT),
        Some(("quic", rest)) => return encrypted(rest, "quic", Over::Quic, TLS_PORT),
        Some(("https", rest)) => return https(rest),
        Some((scheme, _)) => {
            let problem = format!("`{scheme}://` is no way to ask a server");
            return Err(Message::new(
                problem,
                r#"write "udp://…", "tcp://…", "tls://…", "https://…", "quic://…" or the address alone"#,
            ));
        }
    };
    Ok(at(transport, place(address, DNS_PORT)?))
}

/// Where a server is.
enum Place {
    Address(SocketAddr),
    Host(Name, u16),
}

fn at(transport: Transport, place: Place) -> UpstreamServer {
    match place {
        Place::Address(address) => UpstreamServer::Address { transport, address },
        Place::Host(host, port) => UpstreamServer::Host { transport, host, port },
    }
}

impl UpstreamServer {
    /// A server that is known by the name of its host, as the configuration spells it.
    pub fn spelled_host(&self) -> Option<String> {
        let Self::Host { transport, host, port } = self else { return None };
        let host = host.to_string();
        let host = host.trim_end_matches('.');
        Some(match transport {
            Transport::Udp => format!("{host}:{port}"),
            Transport::Tcp => format!("tcp://{host}:{port}"),
            Transport::Tls { name, over } => {
                let name = name.to_str();
                let behind = if name == host { String::new() } else { format!("#{name}") };
                match over {
                    Over::Tcp => format!("tls://{host}:{port}{behind}"),
                    Over::Https { path } => format!("https://{host}:{port}{path}{behind}"),
                    Over::Quic => format!("quic://{host}:{port}{behind}"),
                }
            }
        })
    }
}

/// Reads `HOST[:port][/path][#name]`, HOST being an address or a name.
fn https(text: &str) -> Result<UpstreamServer, Message> {
    let (place, name) = text.split_once('#').map_or((text, None), |(place, name)| (place, Some(name)));
    let at = place.find('/').unwrap_or(place.len());
    let (address, path) = place.split_at(at);
    let path = if path.is_empty() { HTTPS_PATH } else { path };
    // A template (RFC 8484, section 4.1.1) is for GET; a query is POSTed to the path as it stands.
    if path.contains(['{', '}']) || PathAndQuery::try_from(path).is_err() {
        let problem = format!("{path:?} is no path that a question can be sent to");
        return Err(Message::new(problem, format!("write it without template, as {HTTPS_PATH:?}")));
    }
    let over = Over::Https { path: path.to_owned() };
    let rest = name.map_or_else(|| address.to_owned(), |name| format!("{address}#{name}"));
    encrypted(&rest, "https", over, HTTPS_PORT)
}

/// Reads `HOST[:port][#name]`. Without a name behind it HOST is what the server has to prove.
fn encrypted(text: &str, scheme: &str, over: Over, port: u16) -> Result<UpstreamServer, Message> {
    let (address, name) = text.split_once('#').map_or((text, None), |(address, name)| (address, Some(name)));
    let place = place(address, port)?;
    let name = match (name, &place) {
        (None, Place::Address(address)) => ServerName::from(address.ip()),
        (None, Place::Host(host, _)) => certified(&host.to_string(), &format!("{scheme}://{address}"))?,
        (Some(name), _) => certified(name, &format!("{scheme}://{address}"))?,
    };
    Ok(at(Transport::Tls { name, over }, place))
}

/// A name that stands behind `server`, or in it.
fn certified(name: &str, server: &str) -> Result<ServerName<'static>, Message> {
    let plain = name.trim_end_matches('.').to_ascii_lowercase();
    DnsName::try_from(plain).map(ServerName::DnsName).map_err(|_| {
        let problem = format!("{name:?} is no name that a certificate can have");
        Message::new(problem, format!("write the server's name, as {:?}", format!("{server}#dns.example")))
    })
}

/// Reads where a server can be asked: an address, or a host name.
fn place(text: &str, port: u16) -> Result<Place, Message> {
    if !is_host_name(text) {
        return server_address(text, port).map(Place::Address);
    }
    let (name, said) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let port = said.map_or(Some(port), |port| port.parse().ok()).filter(|&port| port > 0);
    let port = port.ok_or_else(|| {
        Message::new(format!("{text:?} has no port behind its colon"), "write a port from 1 to 65535, or no colon")
    })?;
    let host = Name::from_text(name, &Name::root()).map_err(|error| {
        Message::new(format!("{name:?} is no host name: {error}"), "write the server's name, or its IP address")
    })?;
    Ok(Place::Host(host, port))
}

/// Reads the address of a server that can be asked.
pub(super) fn server_address(text: &str, port: u16) -> Result<SocketAddr, Message> {
    let address = socket(text, Some(port))?;
    if address.ip().is_unspecified() || address.ip().is_multicast() {
        let problem = format!("no server can be asked at {}", address.ip());
        return Err(Message::new(problem, "write the server's own address"));
    }
    Ok(address)
}

/// Whether what arrives at `listen` is what is sent to `server`, so that asking would be asking
/// ourselves.
pub fn reaches(server: SocketAddr, listen: SocketAddr) -> bool {
    let (asked, own) = (server.ip().to_canonical(), listen.ip().to_canonical());
    // `[::]` takes IPv4 as well, `0.0.0.0` does not take IPv6.
    let any = own.is_unspecified() && (own.is_ipv6() || asked.is_ipv4());
    server.port() == listen.port() && (asked == own || any && asked.is_loopback())
}

/// Whether a listener for all addresses takes in what arrives at `other`.
pub(super) fn takes_in(listen: SocketAddr, other: SocketAddr) -> bool {
    listen.ip().is_unspecified() && listen.is_ipv4() == other.is_ipv4() && listen.port() == other.port()
}

/// An address alone; an IPv6 one may stand in brackets.
fn bare(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

fn is_host_name(text: &str) -> bool {
    let name = text.split_once(':').map_or(text, |(name, _port)| name);
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    name.bytes().any(|b| b.is_ascii_alphabetic())
        && !text.contains("::")
        && text.matches(':').count() < 2
        && name.trim_end_matches('.').split('.').all(is_label)
}

fn mask(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let keep = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & keep).into())
        }
        IpAddr::V6(v6) => {
            let keep = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & keep).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_have_a_port_or_get_one() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1:53"),
            ("127.0.0.1:1053", "127.0.0.1:1053"),
            ("fd00::a", "[fd00::a]:53"),
            ("[fd00::a]", "[fd00::a]:53"),
            ("[fd00::a]:54", "[fd00::a]:54"),
        ] {
            assert_eq!(socket(text, Some(DNS_PORT)).unwrap().to_string(), expected);
        }
        for wrong in ["", "dns", "1.2.3", "1.2.3.4:", "1.2.3.4:70000", "1.2.3.4:0", "[1.2.3.4]:53", "10.0.0.0/8"] {
            assert!(socket(wrong, Some(DNS_PORT)).is_err(), "{wrong}");
        }
        assert!(socket("127.0.0.1", None).is_err());
    }

    #[test]
    fn prefixes_have_no_bits_behind_their_length() {
        let read = |text| prefix(text).map(|p| (p.address.to_string(), p.length)).ok();
        assert_eq!(read("10.0.0.0/8"), Some(("10.0.0.0".to_owned(), 8)));
        assert_eq!(read("0.0.0.0/0"), Some(("0.0.0.0".to_owned(), 0)));
        assert_eq!(read("::/0"), Some(("::".to_owned(), 0)));
        assert_eq!(read("fe80::1"), Some(("fe80::1".to_owned(), 128)));
        for wrong in ["10.0.0.1/8", "10.0.0.0/33", "fd00::/129", "10/8", "10.0.0.0/", "", "fd00::1/64"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn servers_are_addresses_or_files() {
        let read = |text| server(text, Path::new("/etc/zerohop")).ok();
        let at =
            |transport, address: &str| Some(UpstreamServer::Address { transport, address: address.parse().unwrap() });
        assert_eq!(read("10.0.0.1"), at(Transport::Udp, "10.0.0.1:53"));
        assert_eq!(read("udp://[fd00::1]:54"), at(Transport::Udp, "[fd00::1]:54"));
        assert_eq!(read("tcp://fd00::1"), at(Transport::Tcp, "[fd00::1]:53"));
        assert_eq!(read("resolv-conf:up.conf"), Some(UpstreamServer::ResolvConf("/etc/zerohop/up.conf".into())));
        let tls = |name: &str, over| Transport::Tls { name: ServerName::try_from(name.to_owned()).unwrap(), over };
        let https = |path: &str| Over::Https { path: path.to_owned() };
        for (text, name, over, address) in [
            ("tls://10.0.0.1", "10.0.0.1", Over::Tcp, "10.0.0.1:853"),
            ("tls://[fd00::1]:8853#DNS.b.example.", "dns.b.example", Over::Tcp, "[fd00::1]:8853"),
            ("quic://10.0.0.1", "10.0.0.1", Over::Quic, "10.0.0.1:853"),
            ("quic://fd00::1#b", "b", Over::Quic, "[fd00::1]:853"),
            ("https://10.0.0.1", "10.0.0.1", https("/dns-query"), "10.0.0.1:443"),
            ("https://[fd00::1]:8443/q?a=b#b", "b", https("/q?a=b"), "[fd00::1]:8443"),
            ("https://10.0.0.1/#b", "b", https("/"), "10.0.0.1:443"),
        ] {
            assert_eq!(read(text), at(tls(name, over), address), "{text}");
        }
        let at_host = |transport, host: &str, port| {
            Some(UpstreamServer::Host { transport, host: Name::from_text(host, &Name::root()).unwrap(), port })
        };
        assert_eq!(read("dns.example"), at_host(Transport::Udp, "dns.example", 53));
        assert_eq!(read("tcp://DNS.example.:54"), at_host(Transport::Tcp, "dns.example", 54));
        for (text, name, over, port) in [
            ("tls://DNS.example.", "dns.example", Over::Tcp, 853),
            ("quic://dns.example:8853#b", "b", Over::Quic, 8853),
            ("https://dns.example", "dns.example", https("/dns-query"), 443),
            ("https://dns.example/q#b", "b", https("/q"), 443),
        ] {
            assert_eq!(read(text), at_host(tls(name, over), "dns.example", port), "{text}");
        }
        for spelled in
            ["dns.example:53", "tcp://dns.example:54", "quic://dns.example:853", "https://dns.example:443/q#b"]
        {
            assert_eq!(read(spelled).unwrap().spelled_host().as_deref(), Some(spelled));
        }
        assert_eq!(read("10.0.0.1").unwrap().spelled_host(), None);
        for wrong in ["h3://10.0.0.1", "sctp://10.0.0.1", "dns.example:0", "0.0.0.0", "ff02::fb", "resolv-conf:", ""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        for wrong in [
            "tls://10.0.0.1#",
            "tls://10.0.0.1#a b",
            "tls://10.0.0.1#10.0.0.1",
            "tls://dns.example:x",
            "tls://",
            "https://",
            "https:///dns-query",
            "https://10.0.0.1/{?dns}",
            "https://10.0.0.1/a b",
            "quic://10.0.0.1/a",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn asking_ourselves_is_noticed() {
        let asks = |server: &str, listen: &str| reaches(server.parse().unwrap(), listen.parse().unwrap());
        assert!(asks("10.0.0.1:53", "10.0.0.1:53"));
        assert!(asks("127.0.0.1:53", "0.0.0.0:53"));
        assert!(asks("127.0.0.1:53", "[::]:53"));
        assert!(asks("[::ffff:10.0.0.1]:53", "10.0.0.1:53"));
        assert!(!asks("[::1]:53", "0.0.0.0:53"));
        assert!(!asks("127.0.0.1:54", "0.0.0.0:53"));
        assert!(!asks("10.0.0.1:53", "0.0.0.0:53"));
    }
}
