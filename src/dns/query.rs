//! A client's question, read from a packet without allocating.

use std::borrow::Cow;

use super::name::{MAX_NAME, wire_length};
use super::stored_answer::{HEADER, OPT_LENGTH, TYPE_AND_CLASS};
use super::{Question, Rcode, RecordType};

/// The flags octets of a header (RFC 1035, section 4.1.1; RFC 4035, section 3.2).
pub(super) mod flag {
    pub(crate) const QR: u8 = 0x80;
    pub(crate) const OPCODE: u8 = 0x78;
    pub(crate) const AA: u8 = 0x04;
    pub(crate) const TC: u8 = 0x02;
    pub(crate) const RD: u8 = 0x01;
    pub(crate) const RA: u8 = 0x80;
    pub(crate) const AD: u8 = 0x20;
    pub(crate) const CD: u8 = 0x10;
}

/// Class IN (RFC 1035, section 3.2.4).
pub const CLASS_IN: u16 = 1;
/// edns-tcp-keepalive (RFC 7828, section 3.1).
pub(super) const KEEPALIVE_OPTION: u16 = 11;
/// Padding (RFC 7830, section 3).
pub(super) const PADDING_OPTION: u16 = 12;
/// Octets of an option without data (RFC 6891, section 6.1.2).
const EMPTY_OPTION: u8 = 4;
/// The DO bit in the TTL field of an OPT record (RFC 6891, section 6.1.4).
pub(super) const DNSSEC_OK: u8 = 0x80;

/// What the client said of itself in an OPT record (RFC 6891). Other options are read past: COOKIE
/// is hop by hop, and ECS is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt {
    /// The largest UDP payload it takes.
    pub udp_size: u16,
    pub version: u8,
    pub dnssec_ok: bool,
    /// It wants to know how long its connection may be idle (RFC 7828).
    pub keepalive: bool,
    /// It hid the length of its query, and wants the same of the reply (RFC 7830).
    pub padding: bool,
}

/// A well-formed question.
#[derive(Debug)]
pub struct Query<'p> {
    /// Header and question as they came, the client's spelling included.
    head: Cow<'p, [u8]>,
    question: Question,
    opt: Option<Opt>,
}

/// Why a packet gets no answer of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// Too short for a header, or itself a response (answering those makes two servers loop).
    Drop,
    /// There is an ID to answer, but no question that can be read: FORMERR, or NOTIMP when the
    /// opcode is one that we do not know anyway.
    Reply(Rcode),
}

impl<'p> Query<'p> {
    /// Reads a packet: one question, any number of records behind it, at most one OPT.
    ///
    /// # Errors
    /// [`Rejected`] says how to react to what is no query.
    pub fn parse(packet: &'p [u8]) -> Result<Self, Rejected> {
        let header = packet.first_chunk::<HEADER>().ok_or(Rejected::Drop)?;
        if header[2] & flag::QR != 0 {
            return Err(Rejected::Drop);
        }
        let Some((name_length, tail, opt)) = parse_sections(packet, header) else {
            return Err(Rejected::Reply(match header[2] & flag::OPCODE {
                0 => Rcode::FORMERR,
                _ => Rcode::NOTIMP,
            }));
        };
        // Built where it stays: a question is large to move.
        let question = Question::build(
            &packet[HEADER..HEADER + name_length],
            name_length,
            RecordType::new(u16::from_be_bytes([tail[0], tail[1]])),
            u16::from_be_bytes([tail[2], tail[3]]),
            opt.is_some_and(|opt| opt.dnssec_ok),
            header[3] & flag::CD != 0,
        );
        let head = Cow::Borrowed(&packet[..HEADER + name_length + TYPE_AND_CLASS]);
        Ok(Self { head, question, opt })
    }

    pub fn question(&self) -> &Question {
        &self.question
    }

    pub fn opt(&self) -> Option<Opt> {
        self.opt
    }

    /// 0 for an ordinary query (RFC 6895, section 2.2).
    pub fn opcode(&self) -> u8 {
        (self.head[2] & flag::OPCODE) >> 3
    }

    pub fn recursion_desired(&self) -> bool {
        self.head[2] & flag::RD != 0
    }

    /// Whether the client understands the AD bit (RFC 6840, section 5.7), by saying AD or DO.
    pub(super) fn wants_authentic_data(&self) -> bool {
        self.head[3] & flag::AD != 0 || self.question.dnssec_ok()
    }

    /// The same, kept when its packet is not. Other records and options are not part of it.
    pub fn detached(&self) -> Query<'static> {
        Query { head: Cow::Owned(self.head.to_vec()), question: self.question.clone(), opt: self.opt }
    }

    /// A packet that is read as this query. Options that say nothing to us are not in it.
    pub fn packet(&self) -> Vec<u8> {
        let mut packet = Vec::with_capacity(self.head.len() + OPT_LENGTH + 2 * usize::from(EMPTY_OPTION));
        packet.extend_from_slice(&self.head);
        packet[6..HEADER].copy_from_slice(&[0, 0, 0, 0, 0, u8::from(self.opt.is_some())]);
        let Some(opt) = self.opt else { return packet };
        packet.push(0);
        packet.extend_from_slice(&RecordType::OPT.code().to_be_bytes());
        packet.extend_from_slice(&opt.udp_size.to_be_bytes());
        packet.extend_from_slice(&[0, opt.version, if opt.dnssec_ok { DNSSEC_OK } else { 0 }, 0]);
        let options = [(opt.keepalive, KEEPALIVE_OPTION), (opt.padding, PADDING_OPTION)];
        let said = || options.into_iter().filter(|(is_said, _)| *is_said);
        packet.extend_from_slice(&[0, EMPTY_OPTION * (u8::from(opt.keepalive) + u8::from(opt.padding))]);
        for (_, code) in said() {
            packet.extend_from_slice(&code.to_be_bytes());
            packet.extend_from_slice(&[0, 0]);
        }
        packet
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }
}

/// The length of the only question's name, its type and class, and the OPT record; `None` of what is
/// malformed.
fn parse_sections(packet: &[u8], header: &[u8; HEADER]) -> Option<(usize, [u8; TYPE_AND_CLASS], Option<Opt>)> {
    let count = |section: usize| u16::from_be_bytes([header[4 + 2 * section], header[5 + 2 * section]]);
    if count(0) != 1 {
        return None;
    }
    // A compression pointer in the only question has nothing to point back to.
    let name_length = wire_length(&packet[HEADER..])?;
    let tail = *packet.get(HEADER + name_length..)?.first_chunk::<TYPE_AND_CLASS>()?;
    let opt = parse_opt(packet, HEADER + name_length + TYPE_AND_CLASS, count(1), count(2), count(3))?;
    Some((name_length, tail, opt))
}

/// Walks the records behind the question. The outer `None` is a malformed packet.
#[expect(clippy::option_option, reason = "a malformed packet and one without OPT are two things")]
fn parse_opt(packet: &[u8], start: usize, answers: u16, authorities: u16, additionals: u16) -> Option<Option<Opt>> {
    // A query has no answers; the authority section of an IXFR has one SOA (RFC 1995, section 3).
    if answers != 0 {
        return None;
    }
    let mut at = start;
    let mut found = None;
    for index in 0..u32::from(authorities) + u32::from(additionals) {
        let owner = packet.get(at..)?;
        at += owner_length(owner)?;
        let fixed = packet.get(at..)?.first_chunk::<10>()?;
        at += fixed.len();
        let rdata = packet.get(at..at + usize::from(u16::from_be_bytes([fixed[8], fixed[9]])))?;
        at += rdata.len();
        if u16::from_be_bytes([fixed[0], fixed[1]]) != RecordType::OPT.code() {
            continue;
        }
        // RFC 6891, section 6.1.1: one at most, owned by the root, in the additional section.
        if found.is_some() || owner[0] != 0 || index < u32::from(authorities) {
            return None;
        }
        let (keepalive, padding) = options(rdata)?;
        found = Some(Opt {
            udp_size: u16::from_be_bytes([fixed[2], fixed[3]]),
            version: fixed[5],
            dnssec_ok: fixed[6] & DNSSEC_OK != 0,
            keepalive,
            padding,
        });
    }
    Some(found)
}

/// The length of an owner name that may end in a compression pointer.
fn owner_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0.. => return bytes.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
        if at >= MAX_NAME {
            return None;
        }
    }
}

/// Walks the options and says whether keepalive and padding are among them; `None` if one is cut.
fn options(mut rdata: &[u8]) -> Option<(bool, bool)> {
    let mut found = (false, false);
    while let Some((head, rest)) = rdata.split_first_chunk::<4>() {
        let code = u16::from_be_bytes([head[0], head[1]]);
        found.0 |= code == KEEPALIVE_OPTION;
        found.1 |= code == PADDING_OPTION;
        rdata = rest.get(usize::from(u16::from_be_bytes([head[2], head[3]]))..)?;
    }
    rdata.is_empty().then_some(found)
}

/// Writes a question for an upstream: RD and AD set (RFC 6840, section 5.7), our own OPT record
/// with the client's DO bit, unless it is to go without. The name is in lower case; the reply's is compared without case.
pub fn write_upstream_query(question: &Question, id: u16, udp_size: u16) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER + MAX_NAME + TYPE_AND_CLASS + OPT_LENGTH);
    append_upstream_query(question, id, udp_size, &mut packet);
    packet
}

/// The same, behind what is there already.
pub fn append_upstream_query(question: &Question, id: u16, udp_size: u16, packet: &mut Vec<u8>) {
    let cd = if question.checking_disabled() { flag::CD } else { 0 };
    packet.extend_from_slice(&id.to_be_bytes());
    packet.extend_from_slice(&[flag::RD, flag::AD | cd]);
    packet.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(question.has_edns())]);
    packet.extend_from_slice(question.name());
    packet.extend_from_slice(&question.rtype().code().to_be_bytes());
    packet.extend_from_slice(&question.class().to_be_bytes());
    if !question.has_edns() {
        return;
    }
    packet.extend_from_slice(&[0]);
    packet.extend_from_slice(&RecordType::OPT.code().to_be_bytes());
    packet.extend_from_slice(&udp_size.to_be_bytes());
    packet.extend_from_slice(&[0, 0, if question.dnssec_ok() { DNSSEC_OK } else { 0 }, 0, 0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `WWW.example. A IN`, ID 0x1234, RD.
    fn packet() -> Vec<u8> {
        let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        packet.extend_from_slice(b"\x03WWW\x07example\x00\x00\x01\x00\x01");
        packet
    }

    fn with_opt(options: &[u8]) -> Vec<u8> {
        let mut packet = packet();
        packet[11] = 1;
        packet.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0]);
        packet.extend_from_slice(&u16::try_from(options.len()).unwrap().to_be_bytes());
        packet.extend_from_slice(options);
        packet
    }

    #[test]
    fn a_question_is_keyed_in_lower_case_and_kept_as_spelled() {
        let packet = packet();
        let query = Query::parse(&packet).unwrap();
        assert_eq!(query.question().name(), b"\x03www\x07example\x00");
        assert_eq!((query.question().rtype(), query.question().class()), (RecordType::A, 1));
        assert!(query.recursion_desired() && query.opt().is_none());
        assert_eq!(query.head(), packet);
        let lower = Question::new(b"\x03www\x07example\x00", RecordType::A, false, false).unwrap();
        assert_eq!(query.question().key(), lower.key());
        let other = Question::new(b"\x03www\x07example\x00", RecordType::A, true, false).unwrap();
        assert_ne!(query.question().key(), other.key());
    }

    #[test]
    fn the_opt_record_is_read_past_its_options() {
        let packet = with_opt(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        let query = Query::parse(&packet).unwrap();
        assert_eq!(
            query.opt(),
            Some(Opt { udp_size: 1232, version: 0, dnssec_ok: true, keepalive: false, padding: false })
        );
        assert!(query.question().dnssec_ok());
    }

    #[test]
    fn what_is_no_query_is_told_apart() {
        let rejected = |packet: &[u8]| Query::parse(packet).err();
        let formerr = Some(Rejected::Reply(Rcode::FORMERR));
        assert_eq!(rejected(&packet()[..11]), Some(Rejected::Drop));
        let edited = |at: usize, value: u8| {
            let mut packet = packet();
            packet[at] = value;
            packet
        };
        assert_eq!(rejected(&edited(2, 0x81)), Some(Rejected::Drop), "a response");
        assert_eq!(rejected(&edited(5, 0)), formerr, "no question");
        assert_eq!(rejected(&edited(5, 2)), formerr, "two questions");
        assert_eq!(rejected(&edited(7, 1)), formerr, "an answer in a query");
        assert_eq!(rejected(&edited(12, 0xc0)), formerr, "a pointer in the question");
        assert_eq!(rejected(&edited(11, 1)), formerr, "an additional record that is not there");
        assert_eq!(rejected(&packet()[..28]), formerr, "cut inside the question");
        assert_eq!(rejected(&with_opt(&[0, 10, 0, 8, 1])), formerr, "a cut option");
        let mut twice = with_opt(&[]);
        twice[11] = 2;
        twice.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(rejected(&twice), formerr, "two OPT records");
        let mut update = edited(2, 5 << 3);
        assert_eq!(Query::parse(&update).unwrap().opcode(), 5);
        update.truncate(20);
        assert_eq!(rejected(&update), Some(Rejected::Reply(Rcode::NOTIMP)), "an update that cannot be read");
    }

    #[test]
    fn a_query_is_a_packet_again() {
        let mut strange = with_opt(&[0, 11, 0, 0, 0, 12, 0, 1, 0, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        (strange[2], strange[3]) = (0x28, 0x30);
        for packet in [packet(), with_opt(&[]), with_opt(&[0, 12, 0, 0]), with_opt(&[0, 11, 0, 0]), strange] {
            let query = Query::parse(&packet).unwrap().detached();
            let packet = query.packet();
            let again = Query::parse(&packet).unwrap();
            assert_eq!((again.opt(), again.question().key()), (query.opt(), query.question().key()));
            assert_eq!((&again.head()[..6], &again.head()[HEADER..]), (&query.head()[..6], &query.head()[HEADER..]));
            assert_eq!(again.packet(), packet);
        }
    }

    #[test]
    fn an_upstream_query_reads_back() {
        let question = Question::new(b"\x01a\x00", RecordType::SRV, true, true).unwrap();
        let packet = write_upstream_query(&question, 0xabcd, 1232);
        let query = Query::parse(&packet).unwrap();
        assert_eq!(query.question().key(), question.key());
        assert_eq!(
            query.opt(),
            Some(Opt { udp_size: 1232, version: 0, dnssec_ok: true, keepalive: false, padding: false })
        );
        assert!(query.recursion_desired() && query.wants_authentic_data());
        assert_eq!(packet[..2], [0xab, 0xcd]);
    }
}
