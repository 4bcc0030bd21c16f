//! What is written into resolv.conf(5) files.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::reaches;
use crate::upstream::nameservers;

/// Where systemd-resolved listens. It would ask us in turn.
const RESOLVED_STUBS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 53), Ipv4Addr::new(127, 0, 0, 54)];

/// How every file begins that is ours.
pub(super) const MARK: &str = "# Written by `zerohop resolv-conf install`";

/// How the lines begin that tell where zerohop is, in a file that does not ask it.
const WAS: &str = "# in place of ";

/// Whether we have written a file.
pub(super) fn is_ours(text: &[u8]) -> bool {
    text.starts_with(MARK.as_bytes())
}

/// Whether it is by [`pointing_at`].
pub(super) fn points_at_us(text: &[u8]) -> bool {
    text.strip_prefix(MARK.as_bytes()).is_some_and(|rest| rest.starts_with(b";"))
}

/// The node's file while what was there cannot be brought back: the servers that were asked before.
pub(super) fn standing_in(kept: &[u8], own: &[SocketAddr]) -> Option<Vec<u8>> {
    let was: String = own.iter().map(|own| format!("{WAS}{}\n", own.ip())).collect();
    keeping(kept, kept, own).map(|text| [text, was.into_bytes()].concat())
}

/// Where we are asked, or were, by a file that is ours.
pub(super) fn own_addresses(text: &[u8]) -> Vec<SocketAddr> {
    if points_at_us(text) {
        return nameservers(text);
    }
    let was = lines(text).filter_map(|line| line.strip_prefix(WAS.as_bytes()));
    was.flat_map(|address| nameservers(&[b"nameserver ", address].concat())).collect()
}

/// The text without the line that makes it ours.
pub(super) fn unmarked(text: &[u8]) -> Vec<u8> {
    let rest = if is_ours(text) { text.splitn(2, |&octet| octet == b'\n').nth(1).unwrap_or_default() } else { text };
    rest.to_vec()
}

/// The node's file while we are asked. A second nameserver would be asked as well, by some clients
/// always and at the same time.
pub(super) fn pointing_at(address: IpAddr, before: &[u8]) -> Vec<u8> {
    let head = format!("{MARK}; `zerohop resolv-conf restore` brings back what was here.\nnameserver {address}\n");
    let mut text = head.into_bytes();
    text.extend(settings(before));
    text
}

/// The file of the nameservers that were asked before: those of `servers` that are not ours, with the
/// settings of `before`. `None` when there are none.
pub(super) fn keeping(servers: &[u8], before: &[u8], own: &[SocketAddr]) -> Option<Vec<u8>> {
    let lines = lines(servers).filter(|line| !others(line, own).is_empty());
    let kept: Vec<u8> = lines.flat_map(with_end).collect();
    let head = format!("{MARK}: the nameservers that were asked before.\n");
    (!kept.is_empty()).then(|| [head.into_bytes(), kept, settings(before)].concat())
}

/// The nameservers of a text that are not ours.
pub(super) fn others(text: &[u8], own: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_own = |server: SocketAddr| own.iter().any(|&own| reaches(server, own));
    let is_stub = |ip: IpAddr| RESOLVED_STUBS.iter().any(|stub| ip.to_canonical() == IpAddr::V4(*stub));
    let servers = nameservers(text).into_iter();
    servers.filter(|server| !is_own(*server) && !is_stub(server.ip())).collect()
}

/// Whether a text sends everybody to systemd-resolved.
pub(super) fn asks_resolved(text: &[u8]) -> bool {
    !nameservers(text).is_empty() && others(text, &[]).is_empty()
}

/// The lines that say how names are looked up, not where.
fn settings(text: &[u8]) -> Vec<u8> {
    let is_setting = |line: &&[u8]| {
        let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        [&b"search"[..], b"domain", b"options", b"sortlist"].contains(&word)
    };
    lines(text).filter(is_setting).flat_map(with_end).collect()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&octet| octet == b'\n')
}

fn with_end(line: &[u8]) -> Vec<u8> {
    [line, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &[u8] = b"# theirs\nnameserver 10.0.0.2\nsearch a.example b.example\nnameserver 169.254.20.10\n\
                            nameserver 127.0.0.53\noptions ndots:5 \xff\nnameserver fe80::1%7\nsearching x";

    fn own() -> Vec<SocketAddr> {
        vec!["169.254.20.10:53".parse().unwrap()]
    }

    #[test]
    fn ours_names_one_server_and_keeps_the_settings() {
        let text = pointing_at("fd00::a".parse().unwrap(), BEFORE);
        assert!(is_ours(&text) && points_at_us(&text) && !is_ours(BEFORE));
        assert_eq!(nameservers(&text), ["[fd00::a]:53".parse().unwrap()]);
        assert!(text.ends_with(b"\nnameserver fd00::a\nsearch a.example b.example\noptions ndots:5 \xff\n"));
    }

    #[test]
    fn what_is_kept_is_what_is_not_ours_as_it_was_written() {
        let kept = keeping(BEFORE, BEFORE, &own()).unwrap();
        let lines = b"nameserver 10.0.0.2\nnameserver fe80::1%7\nsearch a.example b.example\noptions ndots:5 \xff\n";
        assert!(kept.ends_with(lines), "{}", String::from_utf8_lossy(&kept));
        assert_eq!(kept.iter().filter(|&&octet| octet == b'\n').count(), 5);
        assert!(is_ours(&kept) && !points_at_us(&kept));
        assert_eq!(unmarked(&kept), lines);
        assert_eq!(unmarked(lines), lines);
        assert_eq!(keeping(b"nameserver 127.0.0.53\nnameserver 169.254.20.10\n", BEFORE, &own()), None);
    }

    #[test]
    fn our_address_is_known_from_whatever_stands_in_its_place() {
        let text = standing_in(BEFORE, &own()).unwrap();
        assert!(is_ours(&text) && !points_at_us(&text));
        assert_eq!(nameservers(&text), others(BEFORE, &own()));
        assert_eq!(own_addresses(&text), own());
        assert_eq!(own_addresses(&pointing_at(own()[0].ip(), BEFORE)), own());
        assert!(own_addresses(BEFORE).is_empty());
    }

    #[test]
    fn resolved_is_known_by_its_addresses() {
        assert!(asks_resolved(b"nameserver 127.0.0.53\noptions edns0\n"));
        assert!(!asks_resolved(b"nameserver 127.0.0.53\nnameserver 10.0.0.1\n") && !asks_resolved(b"search x\n"));
    }
}
