//! Reads the records of a message from the wire: every length checked, every name decompressed
//! within bounds (RFC 1035, sections 4.1.3 and 4.1.4).

use super::RecordType;
use super::name::{MAX_LABEL, MAX_NAME};
use super::query::flag;
use super::rdata_shape::{Field, shape};
use super::stored_answer::{HEADER, Section, TYPE_AND_CLASS};

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

    /// 0 for an ordinary query and its reply (RFC 6895, section 2.2).
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

    fn count(self, index: usize) -> u16 {
        u16::from_be_bytes([self.bytes[4 + 2 * index], self.bytes[5 + 2 * index]])
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
    /// [`Malformed`] for a cut or over-long name and for a pointer that does not go backwards, so
    /// that no chain of pointers can loop.
    pub fn read(message: &[u8], at: usize) -> Result<(Self, usize), Malformed> {
        let mut name = Self { bytes: [0; MAX_NAME], length: 0 };
        let mut at = at;
        let mut lowest = at;
        let mut behind = None;
        loop {
            let length = usize::from(*message.get(at).ok_or(Malformed)?);
            if length & 0xc0 == 0xc0 {
                let low = *message.get(at + 1).ok_or(Malformed)?;
                let target = (length & 0x3f) << 8 | usize::from(low);
                if target >= lowest {
                    return Err(Malformed);
                }
                behind.get_or_insert(at + 2);
                lowest = target;
                at = target;
                continue;
            }
            if length > MAX_LABEL {
                return Err(Malformed);
            }
            let label = message.get(at..=at + length).ok_or(Malformed)?;
            let space = name.bytes.get_mut(name.length..name.length + label.len()).ok_or(Malformed)?;
            space.copy_from_slice(label);
            name.length += label.len();
            at += label.len();
            if length == 0 {
                return Ok((name, behind.unwrap_or(at)));
            }
        }
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
        let (_, behind) = WireName::read(bytes, HEADER)?;
        let mut at = behind + TYPE_AND_CLASS;
        let mut records = Vec::new();
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
    pub fn section(&self, section: Section) -> impl Iterator<Item = &WireRecord> {
        self.records.iter().filter(move |record| record.section == section)
    }

    /// # Errors
    /// Never after [`Message::parse`], which has read every owner.
    pub fn owner(&self, record: &WireRecord) -> Result<WireName, Malformed> {
        WireName::read(self.bytes, record.owner_at).map(|(name, _)| name)
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

fn read_record(bytes: &[u8], at: usize, section: Section) -> Result<WireRecord, Malformed> {
    let (_, behind) = WireName::read(bytes, at)?;
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
mod tests {
    use super::*;

    #[test]
    fn pointers_only_go_backwards() {
        let mut message = vec![0; HEADER];
        message.extend_from_slice(b"\x01a\x00\x01b\xc0\x0c\xc0\x13\xc0\x0f");
        let (name, behind) = WireName::read(&message, 15).unwrap();
        assert_eq!((name.wire(), behind), (&b"\x01b\x01a\x00"[..], 19));
        assert!(WireName::read(&message, 19).is_err(), "a pointer to itself");
        assert_eq!(WireName::read(&message, 21).unwrap().0.wire(), b"\x01b\x01a\x00");
        assert!(WireName::read(&message, 22).is_err(), "cut");
    }

    #[test]
    fn a_name_is_at_most_255_octets_however_it_is_pieced_together() {
        let mut message = Vec::new();
        for _ in 0..5 {
            message.push(63);
            message.extend([b'x'; 63]);
        }
        message.push(0);
        assert!(WireName::read(&message, 0).is_err());
        assert_eq!(WireName::read(&message, 128).unwrap().0.wire().len(), 193);
    }

    /// A response to `a. SRV` with one record of this type and RDATA.
    fn with_rdata(rtype: u16, rdata: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 1, b'a', 0, 0, 33, 0, 1, 0xc0, 12];
        message.extend_from_slice(&rtype.to_be_bytes());
        message.extend_from_slice(&[0, 1, 0x80, 0, 0, 5]);
        message.extend_from_slice(&u16::try_from(rdata.len()).unwrap().to_be_bytes());
        message.extend_from_slice(rdata);
        message
    }

    fn rdata_of(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        let message = Message::parse(bytes)?;
        let mut out = Vec::new();
        message.write_rdata(&message.records[0], &mut out).map(|()| out)
    }

    #[test]
    fn rdata_is_decompressed_by_the_shape_of_its_type() {
        assert_eq!(
            rdata_of(&with_rdata(33, b"\0\x01\0\x02\0\x03\x01b\xc0\x0c")).unwrap(),
            b"\0\x01\0\x02\0\x03\x01b\x01a\0"
        );
        assert_eq!(rdata_of(&with_rdata(65280, b"\xc0\x0c")).unwrap(), b"\xc0\x0c", "an unknown type is left alone");
        assert_eq!(rdata_of(&with_rdata(65280, b"")).unwrap(), b"");
        assert_eq!(rdata_of(&with_rdata(1, &[10, 0, 0])), Err(Malformed), "three octets are no address");
        assert_eq!(rdata_of(&with_rdata(5, b"\x01b\0junk")), Err(Malformed), "octets behind the name");
        assert_eq!(rdata_of(&with_rdata(35, b"\0\0\0\0\x05a")), Err(Malformed), "a cut character-string");
    }

    #[test]
    fn lengths_within_rdata_lie_within_it() {
        let good: [(u16, &[u8]); 11] = [
            (47, b"\x01a\0\0\x01\x40\x01\x02\0\x80"),
            (50, b"\x01\0\0\0\0\x01c"),
            (16, b"\x04text\x00\x01a"),
            (13, b"\x03cpu\x02os"),
            (257, b"\x00\x05issueca.example"),
            (65, b"\0\x01\0\0\x01\0\x03\x02h2\0\x03\0\x02\x01\xbb"),
            (64, b"\0\0\x01a\0"),
            (50, b"\x01\0\0\0\x02\xaa\xbb\x02cc\0\x01\x40"),
            (51, b"\x01\0\0\0\0"),
            (43, b"\0\x01\x08\x02"),
            (44, b"\x01\x01"),
        ];
        for (rtype, rdata) in good {
            assert_eq!(rdata_of(&with_rdata(rtype, rdata)).unwrap(), rdata, "type {rtype}");
        }
        let bad: [(u16, &[u8]); 12] = [
            (47, b"\x01a\0\0\x20\x40"),
            (47, b"\x01a\0\0\x01\x40\x01"),
            (16, b""),
            (16, b"\xc8text"),
            (16, b"\x04text\x05cut"),
            (13, b"\x03cpu"),
            (13, b"\x03cpu\x02os\x00"),
            (257, b"\x00\x09issue"),
            (65, b"\0\x01\0\0\x01\0\x20\x02h"),
            (65, b"\0\x01\0\0\x01\0"),
            (50, b"\x01\0\0\0\x02\xaa\xbb\xffcc"),
            (43, b"\0\x01\x08"),
        ];
        for (rtype, rdata) in bad {
            assert_eq!(rdata_of(&with_rdata(rtype, rdata)), Err(Malformed), "type {rtype} {rdata:02x?}");
        }
    }

    #[test]
    fn a_ttl_with_its_top_bit_set_is_zero() {
        let message = with_rdata(1, &[10, 0, 0, 1]);
        assert_eq!(Message::parse(&message).unwrap().records[0].ttl, 0);
    }

    #[test]
    fn counts_and_lengths_are_believed_only_as_far_as_the_message_goes() {
        let good = with_rdata(1, &[10, 0, 0, 1]);
        for cut in 0..good.len() {
            assert!(Message::parse(&good[..cut]).is_err(), "{cut}");
        }
        let mut more = good;
        more[7] = 2;
        assert!(Message::parse(&more).is_err());
    }
}
