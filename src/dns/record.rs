//! One resource record, as local data is read from files.

use super::{Name, RecordType};

/// A record of class IN, with RDATA in wire form and its names uncompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The owner name, in lower case.
    pub owner: Name,
    pub rtype: RecordType,
    /// Seconds, at most 2^31 - 1 (RFC 2181, section 8).
    pub ttl: u32,
    /// At most 65,535 octets.
    pub rdata: Box<[u8]>,
}
