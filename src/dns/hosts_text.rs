//! Hosts files (hosts(5)).

use std::net::IpAddr;

use super::Name;
use super::presentation::TextFault;

/// One line: an address and its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Never an IPv4-mapped IPv6 address.
    pub address: IpAddr,
    /// In file order, the canonical name first; never empty. With or without a final dot, they are
    /// absolute.
    pub names: Vec<Name>,
    /// From 1.
    pub line: usize,
}

/// Reads a hosts file and finds every fault in one run. Addresses with an IPv6 zone identifier
/// (`fe80::1%lo0`) mean nothing outside their host and are left out.
pub fn parse(text: &str) -> (Vec<Host>, Vec<TextFault>) {
    let mut hosts = Vec::new();
    let mut faults = Vec::new();
    for (index, content) in text.lines().enumerate() {
        let line = index + 1;
        let content = content.split('#').next().unwrap_or_default();
        let mut words = content.split_whitespace();
        let Some(first) = words.next() else { continue };
        let mut fault = |word: &str, problem: String, remedy: &str| {
            let before = word.as_ptr().addr() - content.as_ptr().addr();
            let column = content[..before].chars().count() + 1;
            faults.push(TextFault { line, column, problem, remedy: remedy.to_owned() });
        };
        if first.contains('%') {
            continue;
        }
        let Ok(address) = first.parse::<IpAddr>() else {
            fault(first, format!("{first:?} is no IP address"), "write `address name …`");
            continue;
        };
        let mut names = Vec::new();
        let mut bare = true;
        for word in words {
            bare = false;
            match Name::from_text(word, &Name::root()) {
                Ok(name) => names.push(name),
                Err(error) => fault(word, format!("{word:?}: {error}"), "write a host name"),
            }
        }
        if bare {
            fault(first, format!("{first} has no name"), "write `address name …`");
        }
        if !names.is_empty() {
            hosts.push(Host { address: address.to_canonical(), names, line });
        }
    }
    (hosts, faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_addresses_and_names() {
        let text = "127.0.0.1\tlocalhost  Host.Example # me\r\n\n# none\n::ffff:10.0.0.1 mapped\nfe80::1%lo0 localhost\n\
                    ::1 ip6-localhost";
        let (hosts, faults) = parse(text);
        assert_eq!(faults, []);
        let read: Vec<String> = hosts.iter().map(|h| format!("{} {} {:?}", h.line, h.address, h.names)).collect();
        assert_eq!(read, ["1 127.0.0.1 [localhost., host.example.]", "4 10.0.0.1 [mapped.]", "6 ::1 [ip6-localhost.]"]);
    }

    #[test]
    fn every_fault_is_found() {
        let (hosts, faults) = parse("10.0.0.300 a\n 10.0.0.1 ok a..b\n10.0.0.2\n");
        assert_eq!(hosts.len(), 1);
        let places: Vec<_> = faults.iter().map(|f| (f.line, f.column)).collect();
        assert_eq!(places, [(1, 1), (2, 14), (3, 1)]);
        assert_eq!(faults[0].problem, "\"10.0.0.300\" is no IP address");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[ -~\n\té]{0,200}", wild in any::<String>()) {
            parse(&text);
            parse(&wild);
        }
    }
}
