//! Reads the records of a message from the wire: every length checked, every name decompressed
//! within bounds (RFC 1035, sections 4.1.3 and 4.1.4).

use super::RecordType;
use super::name::{MAX_LABEL, MAX_NAME};
use super::query::flag;
use super::rdata_shape::{Field, shape};
use super::stored_answer::{HEADER, POINTER_TO_QUESTION, Section, TYPE_AND_CLASS};

/// Compression pointers that reading one name follows: a writer needs one for each label at most,
/// and a name has 127 (RFC 1035, section 2.3.4).
const MAX_POINTERS: usize = 127;

/// A record of the root, without RDATA.
const LEAST_RECORD: usize = 11;

/// The message breaks the rules of its format; what it says cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("malformed message")
    }
}

impl std::error::Error for Malformed {}

/// The header of a message.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; HEADER],
}

impl Header {
    /// # Errors
    /// [`Malformed`] when the message is shorter than a header.
    pub fn read(message: &[u8]) -> Result<Self, Malformed> {
        message.first_chunk().map(|bytes| Self { bytes: *bytes }).ok_or(Malformed)
    }

    pub fn id(self) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]])
    }

    pub fn is_response(self) -> bool {
        self.bytes[2] & flag::QR != 0
    }

    /// 0 for an ordinary query (RFC 6895, section 2.2).
    pub fn opcode(self) -> u8 {
        (self.bytes[2] & flag::OPCODE) >> 3
    }

    pub fn is_authoritative(self) -> bool {
        self.bytes[2] & flag::AA != 0
    }

    pub fn is_truncated(self) -> bool {
        self.bytes[2] & flag::TC != 0
    }

    pub fn is_authentic(self) -> bool {
        self.bytes[3] & flag::AD != 0
    }

    /// The low four bits of the response code.
    pub fn rcode_bits(self) -> u8 {
        self.bytes[3] & 0x0f
    }

    /// How many questions it says it has.
    pub fn question_count(self) -> u16 {
        self.count(0)
    }

    /// How many records it says its answer section has.
    pub fn answer_count(self) -> u16 {
        self.count(1)
    }

    /// Whether the code is neither NOERROR nor NXDOMAIN.
    pub fn is_error(self) -> bool {
        !matches!(self.rcode_bits(), 0 | 3)
    }

    fn count(self, index: usize) -> u16 {
        u16::from_be_bytes([self.bytes[4 + 2 * index], self.bytes[5 + 2 * index]])
    }
}

/// The labels of a name as it stands in a message, each behind its length octet; the root's, which
/// is empty, is the last.
struct Labels<'m> {
    message: &'m [u8],
    at: usize,
    /// No pointer may lead to here or behind.
    lowest: usize,
    pointers: usize,
    /// Octets of the labels so far.
    length: usize,
    /// Where what follows the name begins, once a pointer has left it.
    behind: Option<usize>,
    is_done: bool,
}

impl<'m> Labels<'m> {
    fn new(message: &'m [u8], at: usize) -> Self {
        Self { message, at, lowest: at, pointers: 0, length: 0, behind: None, is_done: false }
    }

    /// The next label.
    ///
    /// # Errors
    /// [`Malformed`] for a cut or over-long name, for a pointer that does not go backwards, so that
    /// no chain of pointers can loop, and for more pointers than a name can have labels.
    fn advance(&mut self) -> Result<&'m [u8], Malformed> {
        loop {
            let length = usize::from(*self.message.get(self.at).ok_or(Malformed)?);
            if length & 0xc0 == 0xc0 {
                let low = *self.message.get(self.at + 1).ok_or(Malformed)?;
                let target = (length & 0x3f) << 8 | usize::from(low);
                self.pointers += 1;
                if target >= self.lowest || self.pointers > MAX_POINTERS {
                    return Err(Malformed);
                }
                self.behind.get_or_insert(self.at + 2);
                (self.lowest, self.at) = (target, target);
                continue;
            }
            if length > MAX_LABEL {
                return Err(Malformed);
            }
            let label = self.message.get(self.at..=self.at + length).ok_or(Malformed)?;
            self.length += label.len();
            if self.length > MAX_NAME {
                return Err(Malformed);
            }
            self.at += label.len();
            self.is_done = length == 0;
            return Ok(label);
        }
    }

    /// Where what follows the name begins.
    fn behind(mut self) -> Result<usize, Malformed> {
        while !self.is_done {
            self.advance()?;
        }
        Ok(self.behind.unwrap_or(self.at))
    }
}

impl<'m> Iterator for Labels<'m> {
    type Item = Result<&'m [u8], Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.is_done).then(|| {
            let label = self.advance();
            self.is_done |= label.is_err();
            label
        })
    }
}

/// A name as it stands in a message, decompressed, in its own spelling.
#[derive(Clone)]
pub struct WireName {
    bytes: [u8; MAX_NAME],
    length: usize,
}

impl WireName {
    pub fn wire(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Reads the name at `at` and returns it with the offset behind it.
    ///
    /// # Errors
    /// [`Malformed`] for a cut or over-long name, for a pointer that does not go backwards, so that
    /// no chain of pointers can loop, and for more pointers than a name can have labels.
    pub fn read(message: &[u8], at: usize) -> Result<(Self, usize), Malformed> {
        let mut name = Self { bytes: [0; MAX_NAME], length: 0 };
        let mut labels = Labels::new(message, at);
        for label in labels.by_ref() {
            let label = label?;
            name.bytes[name.length..][..label.len()].copy_from_slice(label);
            name.length += label.len();
        }
        labels.behind().map(|behind| (name, behind))
    }
}

/// One record, still in the message.
#[derive(Clone, Copy, Debug)]
pub struct WireRecord {
    pub section: Section,
    /// Where its owner name begins.
    pub owner_at: usize,
    pub rtype: RecordType,
    pub class: u16,
    /// Seconds; 0 if the top bit was set (RFC 2181, section 8).
    pub ttl: u32,
    /// The TTL field as it came; an OPT record keeps other things in it.
    pub ttl_field: u32,
    pub rdata_start: usize,
    pub rdata_end: usize,
}

/// A whole message whose records have been found to lie within it.
#[derive(Debug)]
pub struct Message<'m> {
    bytes: &'m [u8],
    pub header: Header,
    /// Answer, authority and additional records, in order.
    pub records: Vec<WireRecord>,
}

impl<'m> Message<'m> {
    /// Reads a message with one question. Octets behind the last record are not looked at.
    ///
    /// # Errors
    /// [`Malformed`] when a count, length or name is wrong.
    pub fn parse(bytes: &'m [u8]) -> Result<Self, Malformed> {
        let header = Header::read(bytes)?;
        if header.count(0) != 1 {
            return Err(Malformed);
        }
        let mut at = Labels::new(bytes, HEADER).behind()? + TYPE_AND_CLASS;
        let counted: usize = (1..=3).map(|section| usize::from(header.count(section))).sum();
        let mut records = Vec::with_capacity(counted.min(bytes.len() / LEAST_RECORD));
        for (index, section) in [Section::Answer, Section::Authority, Section::Additional].into_iter().enumerate() {
            for _ in 0..header.count(index + 1) {
                let record = read_record(bytes, at, section)?;
                at = record.rdata_end;
                records.push(record);
            }
        }
        Ok(Self { bytes, header, records })
    }

    /// The records of one section.
    pub fn section(&self, section: Section) -> impl Iterator<Item = &WireRecord> + Clone {
        self.records.iter().filter(move |record| record.section == section)
    }

    /// # Errors
    /// Never after [`Message::parse`], which has read every owner.
    pub fn owner(&self, record: &WireRecord) -> Result<WireName, Malformed> {
        WireName::read(self.bytes, record.owner_at).map(|(name, _)| name)
    }

    /// Whether the record's owner is this name, whatever the case of either. Nothing is copied: a
    /// reply has most of its owners compared several times.
    pub fn is_owned_by(&self, record: &WireRecord, name: &[u8]) -> bool {
        // Nearly every owner is a pointer to the question's name.
        let is_asked = self.bytes.get(record.owner_at..record.owner_at + 2) == Some(&POINTER_TO_QUESTION);
        if is_asked && self.bytes.get(HEADER..HEADER + name.len()).is_some_and(|asked| asked.eq_ignore_ascii_case(name))
        {
            return true;
        }
        let mut rest = name;
        for label in Labels::new(self.bytes, record.owner_at) {
            let Ok(label) = label else { return false };
            let Some((here, next)) = rest.split_at_checked(label.len()) else { return false };
            if !here.eq_ignore_ascii_case(label) {
                return false;
            }
            rest = next;
        }
        rest.is_empty()
    }

    /// Writes the RDATA with its names decompressed where their type may have compressed them
    /// (RFC 3597, section 4). Other types are copied as they are.
    ///
    /// # Errors
    /// [`Malformed`] when the RDATA does not have the shape of its type.
    pub fn write_rdata(&self, record: &WireRecord, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let mut at = record.rdata_start;
        let end = record.rdata_end;
        let take =
            |at: usize, length: usize| self.bytes.get(at..at + length).filter(|_| at + length <= end).ok_or(Malformed);
        for field in shape(record.rtype) {
            match field {
                Field::Octets(length) => {
                    out.extend_from_slice(take(at, *length)?);
                    at += length;
                }
                Field::CharacterString => {
                    let length = 1 + usize::from(take(at, 1)?[0]);
                    out.extend_from_slice(take(at, length)?);
                    at += length;
                }
                Field::Name => {
                    let (name, behind) = WireName::read(self.bytes, at)?;
                    out.extend_from_slice(name.wire());
                    at = behind;
                }
                Field::CharacterStrings => {
                    while at < end || at == record.rdata_start {
                        let length = 1 + usize::from(take(at, 1)?[0]);
                        out.extend_from_slice(take(at, length)?);
                        at += length;
                    }
                }
                Field::Parameters => {
                    while at < end {
                        let length = take(at, 4)?.last_chunk().map_or(0, |length| u16::from_be_bytes(*length));
                        let length = 4 + usize::from(length);
                        out.extend_from_slice(take(at, length)?);
                        at += length;
                    }
                }
                Field::TypeBitmaps => {
                    while at < end {
                        let length = 2 + usize::from(take(at, 2)?[1]);
                        out.extend_from_slice(take(at, length)?);
                        at += length;
                    }
                }
                Field::Rest => {
                    out.extend_from_slice(self.bytes.get(at..end).ok_or(Malformed)?);
                    at = end;
                }
            }
        }
        if at == end { Ok(()) } else { Err(Malformed) }
    }
}

/// Whether these octets, on their own and uncompressed, are data of their type as
/// [`Message::write_rdata`] copies it.
pub(super) fn has_shape(rtype: RecordType, rdata: &[u8]) -> bool {
    let message = Message { bytes: rdata, header: Header { bytes: [0; HEADER] }, records: Vec::new() };
    let record = WireRecord {
        section: Section::Answer,
        owner_at: 0,
        rtype,
        class: 0,
        ttl: 0,
        ttl_field: 0,
        rdata_start: 0,
        rdata_end: rdata.len(),
    };
    let mut copy = Vec::new();
    message.write_rdata(&record, &mut copy).is_ok() && copy == rdata
}

fn read_record(bytes: &[u8], at: usize, section: Section) -> Result<WireRecord, Malformed> {
    let behind = Labels::new(bytes, at).behind()?;
    let fixed = bytes.get(behind..).and_then(|rest| rest.first_chunk::<10>()).ok_or(Malformed)?;
    let rdata_start = behind + fixed.len();
    let rdata_end = rdata_start + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    if rdata_end > bytes.len() {
        return Err(Malformed);
    }
    let ttl_field = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
    Ok(WireRecord {
        section,
        owner_at: at,
        rtype: RecordType::new(u16::from_be_bytes([fixed[0], fixed[1]])),
        class: u16::from_be_bytes([fixed[2], fixed[3]]),
        ttl: if ttl_field >> 31 == 0 { ttl_field } else { 0 },
        ttl_field,
        rdata_start,
        rdata_end,
    })
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
