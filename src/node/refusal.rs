//! Why addresses of another service are not intercepted, and what to do about it.

use std::fmt;
use std::io;
use std::net::IpAddr;

use super::fault::Fault;
use super::nftables::{BaseChain, TableError};

/// The device on which kube-proxy in IPVS mode keeps every ClusterIP.
pub(super) const IPVS: &str = "kube-ipvs0";
/// What a rule of somebody else says in a comment when it lets DNS through for us.
pub(super) const WORD: &str = "zerohop";

/// See the module's head.
#[derive(Debug)]
pub(super) enum Refusal {
    Ipvs(IpAddr),
    Device(Fault),
    /// The device has it, and it is sent elsewhere.
    Undelivered(IpAddr),
    /// This chain drops what it does not know; `ips` are those of its family.
    Drops {
        chain: BaseChain,
        ips: Vec<IpAddr>,
    },
    Table(TableError),
    /// What others have could not be seen.
    Unseen(io::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipvs(ip) => {
                write!(f, "{ip} is on {IPVS}: kube-proxy in IPVS mode keeps it there and answers for it; have the ")?;
                f.write_str("kubelet's `clusterDNS` name the link-local address of `server.listen` instead")
            }
            Self::Device(fault) => fault.fmt(f),
            Self::Undelivered(ip) => {
                write!(f, "what is sent to {ip} does not stay on this node, though our device has the address; ")?;
                write!(f, "see what `ip route get {ip}` and `ip rule` say")
            }
            Self::Drops { chain, ips } => drops(f, chain, ips),
            Self::Table(TableError::Unknown) => {
                f.write_str("this kernel has no nftables; load its module nf_tables, or do without `intercept`")
            }
            Self::Table(TableError::Ownerless) => {
                f.write_str(
                    "this kernel has no nftables tables that go with their owner (Linux 5.12), and rules that ",
                )?;
                f.write_str("outlive a crash would leave pods without DNS; do without `intercept` here")
            }
            Self::Table(TableError::Refused(error)) | Self::Unseen(error) if is_forbidden(error) => {
                f.write_str("rules of nftables need CAP_NET_ADMIN; give zerohop the capability")
            }
            Self::Table(TableError::Refused(error)) => write!(f, "the kernel would not take the rules: {error}"),
            Self::Unseen(error) => write!(f, "the kernel would not say what rules there are: {error}"),
        }
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn drops(f: &mut fmt::Formatter<'_>, chain: &BaseChain, ips: &[IpAddr]) -> fmt::Result {
    let family = family(chain.family);
    let place = format!("{family} {} {}", chain.table, chain.name);
    let (end, port) = if chain.hook == libc::NF_INET_LOCAL_IN { ("daddr", "dport") } else { ("saddr", "sport") };
    let (v6, v4): (Vec<&IpAddr>, Vec<&IpAddr>) = ips.iter().partition(|ip| ip.is_ipv6());
    let rules = [("ip", v4), ("ip6", v6)].into_iter().filter(|(_, ips)| !ips.is_empty()).map(|(header, ips)| {
        let ips: Vec<String> = ips.iter().map(ToString::to_string).collect();
        let which = format!("{header} {end} '{{ {} }}' meta l4proto '{{ udp, tcp }}' th {port} 53", ips.join(", "));
        format!("`nft insert rule {place} {which} accept comment {WORD}`")
    });
    let rules: Vec<String> = rules.collect();
    write!(
        f,
        "the firewall drops what no rule lets through: the policy of the chain {place:?} is drop, and ours cannot "
    )?;
    write!(
        f,
        "overrule that; let DNS pass there, with the word {WORD} in a comment to be known by: {}",
        rules.join(" ")
    )
}

fn family(number: i32) -> &'static str {
    match number {
        libc::NFPROTO_IPV4 => "ip",
        libc::NFPROTO_IPV6 => "ip6",
        _ => "inet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_says_what_to_do() {
        let (v4, v6): (IpAddr, IpAddr) = ("10.96.0.10".parse().unwrap(), "fd00::a".parse().unwrap());
        let chain = |family, table: &str, name: &str, hook| BaseChain {
            family,
            table: table.to_owned(),
            name: name.to_owned(),
            kind: "filter".to_owned(),
            hook,
            drops: true,
        };
        let refusals = [
            Refusal::Ipvs(v4),
            Refusal::Undelivered(v4),
            Refusal::Device(Fault::Elsewhere {
                ip: v4,
                length: 24,
                device: "eth0".to_owned(),
                name: "zerohop0".to_owned(),
            }),
            Refusal::Drops {
                chain: chain(libc::NFPROTO_IPV4, "filter", "INPUT", libc::NF_INET_LOCAL_IN),
                ips: vec!["169.254.20.10".parse().unwrap(), v4],
            },
            Refusal::Drops {
                chain: chain(libc::NFPROTO_INET, "node", "out", libc::NF_INET_LOCAL_OUT),
                ips: vec![v4, v6],
            },
            Refusal::Table(TableError::Unknown),
            Refusal::Table(TableError::Ownerless),
            Refusal::Table(TableError::Refused(io::Error::from_raw_os_error(libc::EPERM))),
            Refusal::Table(TableError::Refused(io::Error::from_raw_os_error(libc::ENOENT))),
            Refusal::Unseen(io::Error::from_raw_os_error(libc::ENOBUFS)),
        ];
        let shown: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("interception-refusals", shown.join("\n"));
        });
    }
}
