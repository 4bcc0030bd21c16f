//! The one representation of an answer: what follows the question, ready for the wire.
//!
//! Static records, rendered patterns and upstream replies are all kept as a [`StoredAnswer`], and
//! [`super::response::write_answer`] writes each of them for a client. Names are compressed
//! (RFC 1035, section 4.1.4) in owner names only, so that nothing in RDATA ever needs decoding
//! (RFC 3597, section 4).

mod builder;
mod packed;

use super::extended_error::OTHER;
use super::{Moment, Rcode, RecordType};
pub use builder::AnswerBuilder;

/// Octets of a message header (RFC 1035, section 4.1.1).
pub const HEADER: usize = 12;
/// Octets of QTYPE and QCLASS behind the question's name.
pub const TYPE_AND_CLASS: usize = 4;
/// Octets of an OPT record without options (RFC 6891, section 6.1.2).
pub(super) const OPT_LENGTH: usize = 11;
/// A pointer to the question's name, which always stands right behind the header.
pub(super) const POINTER_TO_QUESTION: [u8; 2] = [0xc0, 0x0c];

/// A section of a message behind the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Answer = 0,
    Authority = 1,
    Additional = 2,
}

/// Whose record it is.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'n> {
    /// The name that was asked, as the client spelled it.
    Question,
    /// This name, in uncompressed wire form.
    Name(&'n [u8]),
}

/// An answer without its question, header and OPT record.
#[derive(Debug)]
pub struct StoredAnswer {
    pub(super) rcode: Rcode,
    pub(super) authoritative: bool,
    pub(super) authentic: bool,
    /// Records in each section.
    pub(super) counts: [u16; 3],
    /// Whether TTLs count down from `stored_at`; those of local data stand still.
    ages: bool,
    stored_at: Moment,
    /// All records in wire form; behind them, for each, where in them its TTL stands, as two octets.
    /// In one allocation: the cache is full of these.
    octets: Box<[u8]>,
    pub(super) rotating: Option<Rotating>,
    /// INFO-CODE of an Extended DNS Error (RFC 8914).
    pub(super) extended_error: Option<u16>,
    /// Its EXTRA-TEXT, for people; without an INFO-CODE it is not sent.
    pub(super) extra_text: &'static str,
}

/// The run of equally long A or AAAA records that is rotated from reply to reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotating {
    pub(super) start: u16,
    pub(super) record_length: u16,
    pub(super) count: u16,
}

impl Rotating {
    /// Where the last of them ends in the body.
    pub(super) fn end(self) -> usize {
        usize::from(self.start) + usize::from(self.record_length) * usize::from(self.count)
    }
}

impl StoredAnswer {
    /// An answer that is only a response code, made here.
    pub fn bare(rcode: Rcode, extended_error: Option<u16>) -> Self {
        Self { extended_error, ..AnswerBuilder::new(rcode).finish(None) }
    }

    /// REFUSED because a bound of ours is reached, which `text` names in a few words (RFC 8914): so
    /// that a client with another name server goes there.
    pub fn overflow(text: &'static str) -> Self {
        Self { extra_text: text, ..Self::bare(Rcode::REFUSED, Some(OTHER)) }
    }

    /// When its TTLs began to count down; `None` for one whose TTLs stand.
    pub fn stored_at(&self) -> Option<Moment> {
        self.ages.then_some(self.stored_at)
    }

    /// Records in all sections.
    pub(super) fn records(&self) -> usize {
        self.counts.iter().map(|&count| usize::from(count)).sum()
    }

    /// All records, in wire form.
    pub(super) fn body(&self) -> &[u8] {
        &self.octets[..self.octets.len() - size_of::<u16>() * self.records()]
    }

    /// Where in the body the TTL of each record stands.
    pub(super) fn ttls(&self) -> impl Iterator<Item = usize> + '_ {
        let (offsets, _) = self.octets[self.body().len()..].as_chunks();
        offsets.iter().map(|offset| usize::from(u16::from_be_bytes(*offset)))
    }

    /// The same with all its TTLs at this value, where they stand.
    pub(super) fn with_ttl(&self, ttl: u32) -> Self {
        let mut octets = self.octets.clone();
        for at in self.ttls() {
            octets[at..at + 4].copy_from_slice(&ttl.to_be_bytes());
        }
        Self { octets, ages: false, ..*self }
    }

    /// The lowest TTL as it was stored, in seconds; `None` without records.
    pub fn lowest_ttl(&self) -> Option<u32> {
        let field = |at: usize| self.body().get(at..)?.first_chunk().map(|ttl| u32::from_be_bytes(*ttl));
        self.ttls().filter_map(field).min()
    }

    pub fn rcode(&self) -> Rcode {
        self.rcode
    }

    /// Whether the answer section has any record.
    pub fn has_answers(&self) -> bool {
        self.counts[Section::Answer as usize] > 0
    }

    /// Whether it says that there is nothing: NXDOMAIN or NODATA, behind a CNAME too. Of a reply only
    /// denials keep their SOA.
    pub fn is_denial(&self) -> bool {
        let [answers, authorities, _] = self.counts.map(usize::from);
        let is_soa = |ttl_at: usize| self.body()[ttl_at - 4..ttl_at - 2] == RecordType::SOA.code().to_be_bytes();
        self.rcode == Rcode::NXDOMAIN || answers == 0 || self.ttls().skip(answers).take(authorities).any(is_soa)
    }

    /// NOERROR without an answer of the type asked for is told from data by the caller; this is
    /// the INFO-CODE that goes to clients with EDNS.
    pub fn extended_error(&self) -> Option<u16> {
        self.extended_error
    }

    /// Octets on the heap and in the struct itself.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.octets.len()
    }

    /// Where the record ends whose TTL stands here.
    pub(super) fn end_of(&self, ttl_at: usize) -> usize {
        let body = self.body();
        ttl_at + 6 + usize::from(u16::from_be_bytes([body[ttl_at + 4], body[ttl_at + 5]]))
    }
}

/// The records would not fit into a message of 65,535 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the records do not fit into one DNS message of 65,535 octets")
    }
}

impl std::error::Error for TooLarge {}
