//! What became of one question, as plain data: the handler fills it in, once.

use std::time::Duration;

use crate::dns::{Protocol, Rcode, RecordType};

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Local records, zone files, hosts files; denials of zones that are ours.
    Local,
    /// A regex wildcard.
    Pattern,
    /// The cache.
    Cache,
    /// An upstream, just now.
    Forward,
    /// Made here because no upstream gave an answer.
    Failure,
    /// The cache, past its time, because no upstream gave an answer (RFC 8767).
    Stale,
}

/// One answered question.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub rtype: RecordType,
    pub protocol: Protocol,
    pub rcode: Rcode,
    pub source: Source,
    /// From the packet's arrival to its reply.
    pub elapsed: Duration,
}

/// A set of label values that a dimension of counters can be indexed by.
macro_rules! label_values {
    ($count:ident, $labels:ident: $($label:literal),+ $(,)?) => {
        pub(super) const $labels: &[&str] = &[$($label),+];
        pub(super) const $count: usize = $labels.len();
    };
}

label_values!(TYPES, TYPE_LABELS: "A", "AAAA", "CNAME", "HTTPS", "MX", "NS", "PTR", "SOA", "SRV", "SVCB", "TXT", "other");
label_values!(RCODES, RCODE_LABELS: "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "other");
label_values!(SOURCES, SOURCE_LABELS: "local", "pattern", "cache", "forward", "failure", "stale");
label_values!(PROTOCOLS, PROTOCOL_LABELS: "udp", "tcp", "tls");

impl Outcome {
    pub(super) fn type_index(&self) -> usize {
        match self.rtype {
            RecordType::A => 0,
            RecordType::AAAA => 1,
            RecordType::CNAME => 2,
            RecordType::HTTPS => 3,
            RecordType::MX => 4,
            RecordType::NS => 5,
            RecordType::PTR => 6,
            RecordType::SOA => 7,
            RecordType::SRV => 8,
            RecordType::SVCB => 9,
            RecordType::TXT => 10,
            _ => TYPES - 1,
        }
    }

    pub(super) fn source_index(&self) -> usize {
        self.source as usize
    }
}

pub(super) fn protocol_index(protocol: Protocol) -> usize {
    protocol as usize
}

pub(super) fn rcode_index(rcode: Rcode) -> usize {
    usize::from(rcode.code()).min(RCODES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_finds_its_own_label() {
        for (index, label) in TYPE_LABELS[..TYPES - 1].iter().enumerate() {
            let outcome = Outcome {
                rtype: RecordType::from_mnemonic(label).unwrap(),
                protocol: Protocol::Udp,
                rcode: Rcode::NOERROR,
                source: Source::Failure,
                elapsed: Duration::ZERO,
            };
            assert_eq!(outcome.type_index(), index);
            assert_eq!(SOURCE_LABELS[outcome.source_index()], "failure");
        }
        for (index, label) in RCODE_LABELS[..RCODES - 1].iter().enumerate() {
            assert_eq!(rcode_index(Rcode::from_mnemonic(label).unwrap()), index);
        }
        assert_eq!(rcode_index(Rcode::BADVERS), RCODES - 1);
        for (protocol, label) in [(Protocol::Udp, "udp"), (Protocol::Tcp, "tcp"), (Protocol::Tls, "tls")] {
            assert_eq!(PROTOCOL_LABELS[protocol_index(protocol)], label);
        }
    }
}
