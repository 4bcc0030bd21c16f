//! The one function that writes a stored answer for a client, and the one for a packet that was
//! no question.

use super::query::{DNSSEC_OK, KEEPALIVE_OPTION, PADDING_OPTION, Query, flag};
use super::stored_answer::{HEADER, OPT_LENGTH, StoredAnswer};
use super::{Moment, Rcode, RecordType};

/// Octets of a keepalive option with a time-out (RFC 7828, section 3.1).
const KEEPALIVE_LENGTH: usize = 6;
/// Code and length of an option.
const OPTION_HEAD: usize = 4;
/// Replies are padded to a multiple of so many octets (RFC 8467, section 4.1).
const BLOCK: usize = 468;
/// The largest UDP payload that we take and send: no fragments on any path (DNS Flag Day 2020).
pub const MAX_UDP_PAYLOAD: u16 = 1232;
/// What a client without EDNS takes over UDP (RFC 1035, section 2.3.4).
const MIN_UDP_PAYLOAD: u16 = 512;
/// Octets of an Extended DNS Error option without text (RFC 8914, section 2).
const EXTENDED_ERROR_LENGTH: usize = 6;
const EXTENDED_ERROR_OPTION: u16 = 15;

/// How the question came, and so how long the reply may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Udp,
    Tcp,
    /// TLS over TCP (RFC 7858).
    Tls,
}

impl Protocol {
    /// The most octets this client takes in one message.
    pub fn size_limit(self, query: &Query<'_>) -> usize {
        match (self, query.opt()) {
            (Self::Tcp | Self::Tls, _) => usize::from(u16::MAX),
            (Self::Udp, None) => usize::from(MIN_UDP_PAYLOAD),
            (Self::Udp, Some(opt)) => usize::from(opt.udp_size.clamp(MIN_UDP_PAYLOAD, MAX_UDP_PAYLOAD)),
        }
    }
}

/// What a reply may be on its way to this client.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The most octets.
    pub limit: usize,
    /// How long the connection may be idle, in 100 ms (RFC 7828); said to clients that ask.
    pub keepalive: Option<u16>,
    /// Nobody else can read it: its length is hidden from those who look on (RFC 7830), for clients
    /// that hide theirs.
    pub encrypted: bool,
}

impl Terms {
    /// Of a reply of at most `limit` octets that says nothing of a connection.
    pub const fn up_to(limit: usize) -> Self {
        Self { limit, keepalive: None, encrypted: false }
    }
}

/// Writes `answer` as the reply to `query` into `out` and returns its length.
///
/// The question goes back as it was spelled. TTLs have counted down to `now`. A run of addresses
/// starts at record `rotation`, modulo its length. What does not fit `limit` or `out` is left out
/// by whole records; TC is set when answer or authority records are missing (RFC 2181,
/// section 9). `out` must have room for the question and an OPT record; 512 octets always do.
pub fn write_answer(
    query: &Query<'_>,
    answer: &StoredAnswer,
    now: Moment,
    rotation: usize,
    terms: Terms,
    out: &mut [u8],
) -> usize {
    let head = query.head();
    let mut opt_length = match (query.opt(), answer.extended_error) {
        (None, _) => 0,
        (Some(_), None) => OPT_LENGTH,
        (Some(_), Some(_)) => OPT_LENGTH + EXTENDED_ERROR_LENGTH + answer.extra_text.len(),
    };
    let mut room = terms.limit.min(out.len()).saturating_sub(head.len() + opt_length);
    // No record makes way for an option that only helps.
    let wanted = terms.keepalive.filter(|_| query.opt().is_some_and(|opt| opt.keepalive));
    let keepalive = wanted.filter(|_| answer.body().len() + KEEPALIVE_LENGTH <= room);
    if keepalive.is_some() {
        opt_length += KEEPALIVE_LENGTH;
        room -= KEEPALIVE_LENGTH;
    }
    let (kept, body_length) = fitting(answer, room);
    let padding = if terms.encrypted && query.opt().is_some_and(|opt| opt.padding) {
        padding(head.len() + body_length + opt_length, terms.limit.min(out.len()))
    } else {
        None
    };
    opt_length += padding.map_or(0, |octets| OPTION_HEAD + octets);
    let counts = if kept == answer.records() { answer.counts } else { kept_counts(answer.counts, kept) };
    let required = usize::from(answer.counts[0]) + usize::from(answer.counts[1]);

    out[..head.len()].copy_from_slice(head);
    out[2] = flag::QR
        | (head[2] & (flag::OPCODE | flag::RD))
        | if answer.authoritative { flag::AA } else { 0 }
        | if kept < required { flag::TC } else { 0 };
    out[3] = flag::RA
        | (head[3] & flag::CD)
        | if answer.authentic && query.wants_authentic_data() { flag::AD } else { 0 }
        | answer.rcode.header_bits();
    out[4..6].copy_from_slice(&1u16.to_be_bytes());
    out[6..8].copy_from_slice(&counts[0].to_be_bytes());
    out[8..10].copy_from_slice(&counts[1].to_be_bytes());
    out[10..12].copy_from_slice(&(counts[2] + u16::from(opt_length > 0)).to_be_bytes());

    let body = &mut out[head.len()..head.len() + body_length];
    copy_rotated(answer, rotation, body);
    count_down(answer, kept, now, body);
    let end = head.len() + body_length;
    if query.opt().is_some() {
        write_opt(answer, query.question().dnssec_ok(), keepalive, padding, &mut out[end..end + opt_length]);
    }
    end + opt_length
}

/// Writes the reply to a packet whose question could not be read: its ID, opcode and RD, no
/// question. Nothing for a packet without a header.
pub fn write_rejection(packet: &[u8], rcode: Rcode, out: &mut [u8]) -> usize {
    if packet.len() < HEADER {
        return 0;
    }
    out[..HEADER].fill(0);
    out[..2].copy_from_slice(&packet[..2]);
    out[2] = flag::QR | (packet[2] & (flag::OPCODE | flag::RD));
    out[3] = flag::RA | rcode.header_bits();
    HEADER
}

/// Whether the written reply says that a part of it is missing.
pub fn is_truncated(reply: &[u8]) -> bool {
    reply.get(2).is_some_and(|flags| flags & flag::TC != 0)
}

/// How many records fit into `room`, and their octets.
fn fitting(answer: &StoredAnswer, room: usize) -> (usize, usize) {
    if answer.body().len() <= room {
        return (answer.records(), answer.body().len());
    }
    let ends = answer.ttls().map(|ttl_at| answer.end_of(ttl_at)).take_while(|&end| end <= room);
    ends.fold((0, 0), |(records, _), end| (records + 1, end))
}

fn kept_counts(counts: [u16; 3], kept: usize) -> [u16; 3] {
    let mut left = u16::try_from(kept).unwrap_or(u16::MAX);
    counts.map(|count| {
        let here = count.min(left);
        left -= here;
        here
    })
}

/// Copies as much of the body as `out` holds. Records of a run are equally long and share their
/// TTL, so that turning the run moves whole records and nothing else.
fn copy_rotated(answer: &StoredAnswer, rotation: usize, out: &mut [u8]) {
    let body = answer.body();
    let Some(run) = answer.rotating else { return out.copy_from_slice(&body[..out.len()]) };
    let (start, end) = (usize::from(run.start), run.end());
    let turn = start + usize::from(run.record_length) * (rotation % usize::from(run.count));
    let mut written = 0;
    for part in [&body[..start], &body[turn..end], &body[start..turn], &body[end..]] {
        let length = part.len().min(out.len() - written);
        out[written..written + length].copy_from_slice(&part[..length]);
        written += length;
    }
}

fn count_down(answer: &StoredAnswer, kept: usize, now: Moment, body: &mut [u8]) {
    let Some(stored_at) = answer.stored_at() else { return };
    let age = now.seconds_since(stored_at);
    if age == 0 {
        return;
    }
    for at in answer.ttls().take(kept) {
        if let Some(field) = body[at..].first_chunk_mut::<4>() {
            *field = u32::from_be_bytes(*field).saturating_sub(age).to_be_bytes();
        }
    }
}

/// How many octets a message of this length is padded with behind the option's head, if that fits.
fn padding(length: usize, limit: usize) -> Option<usize> {
    let least = length + OPTION_HEAD;
    least.next_multiple_of(BLOCK).min(limit).checked_sub(least)
}

fn write_opt(answer: &StoredAnswer, dnssec_ok: bool, keepalive: Option<u16>, padding: Option<usize>, out: &mut [u8]) {
    let length = u16::try_from(out.len() - OPT_LENGTH).unwrap_or(0);
    out[0] = 0;
    out[1..3].copy_from_slice(&RecordType::OPT.code().to_be_bytes());
    out[3..5].copy_from_slice(&MAX_UDP_PAYLOAD.to_be_bytes());
    out[5..9].copy_from_slice(&[answer.rcode.extended_bits(), 0, if dnssec_ok { DNSSEC_OK } else { 0 }, 0]);
    out[9..OPT_LENGTH].copy_from_slice(&length.to_be_bytes());
    let mut rest = &mut out[OPT_LENGTH..];
    let said = [(EXTENDED_ERROR_OPTION, answer.extended_error, answer.extra_text), (KEEPALIVE_OPTION, keepalive, "")];
    // Both are a code, a length, and a number; one may have text behind it.
    for (code, value, text) in said.into_iter().filter_map(|(code, value, text)| Some((code, value?, text))) {
        let Some((option, next)) = rest.split_at_mut_checked(OPTION_HEAD + 2 + text.len()) else { return };
        option[..2].copy_from_slice(&code.to_be_bytes());
        option[2..4].copy_from_slice(&u16::try_from(2 + text.len()).unwrap_or(2).to_be_bytes());
        option[4..6].copy_from_slice(&value.to_be_bytes());
        option[6..].copy_from_slice(text.as_bytes());
        rest = next;
    }
    if let Some(octets) = padding {
        rest[..2].copy_from_slice(&PADDING_OPTION.to_be_bytes());
        rest[2..OPTION_HEAD].copy_from_slice(&u16::try_from(octets).unwrap_or(0).to_be_bytes());
        rest[OPTION_HEAD..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::stored_answer::{AnswerBuilder, Owner, Section};
    use super::*;

    const NAME: &[u8] = b"\x01A\x00";

    fn query(opt_size: Option<u16>) -> Vec<u8> {
        let mut packet = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(opt_size.is_some())];
        packet.extend_from_slice(NAME);
        packet.extend_from_slice(&[0, 1, 0, 1]);
        if let Some(size) = opt_size {
            packet.extend_from_slice(&[0, 0, 41]);
            packet.extend_from_slice(&size.to_be_bytes());
            packet.extend_from_slice(&[0; 6]);
        }
        packet
    }

    fn addresses(count: u8, stored_at: Option<Moment>) -> StoredAnswer {
        let mut builder = AnswerBuilder::new(Rcode::NOERROR);
        for last in 0..count {
            builder.push(Section::Answer, Owner::Question, RecordType::A, 300, &[10, 0, 0, last]).unwrap();
        }
        builder.finish(stored_at)
    }

    fn reply(packet: &[u8], answer: &StoredAnswer, now: Moment, rotation: usize, protocol: Protocol) -> Vec<u8> {
        let query = Query::parse(packet).unwrap();
        let mut out = vec![0xaa; 65_535];
        let length = write_answer(&query, answer, now, rotation, Terms::up_to(protocol.size_limit(&query)), &mut out);
        out.truncate(length);
        out
    }

    #[test]
    fn the_question_comes_back_as_spelled_and_ttls_count_down() {
        let start = Moment::default();
        let stored = addresses(1, Some(start));
        let first = reply(&query(None), &stored, start + Duration::from_secs(100), 0, Protocol::Udp);
        assert_eq!(first[..12], [0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(&first[12..15], NAME);
        assert_eq!(first[19..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 200, 0, 4, 10, 0, 0, 0]);
        let standing = addresses(1, None);
        let later = reply(&query(None), &standing, start + Duration::from_secs(100), 0, Protocol::Udp);
        assert_eq!(later[25..29], 300u32.to_be_bytes());
    }

    #[test]
    fn truncation_is_by_whole_records_and_never_empty() {
        for (opt, most) in [(None, 512), (Some(100), 512), (Some(800), 800), (Some(4096), 1232)] {
            let reply = reply(&query(opt), &addresses(100, None), Moment::default(), 0, Protocol::Udp);
            let opt_length = if opt.is_some() { 11 } else { 0 };
            let answers = usize::from(reply[7]);
            assert_eq!(answers, (most - 19 - opt_length) / 16, "{opt:?}");
            assert_eq!(reply.len(), 19 + 16 * answers + opt_length);
            assert_ne!(reply[2] & flag::TC, 0);
            assert_eq!(usize::from(reply[11]), usize::from(opt.is_some()));
        }
        let whole = reply(&query(None), &addresses(100, None), Moment::default(), 0, Protocol::Tcp);
        assert_eq!((whole[7], whole[2] & flag::TC), (100, 0));
    }

    #[test]
    fn missing_additional_records_are_no_truncation() {
        let mut builder = AnswerBuilder::new(Rcode::NOERROR);
        builder.push(Section::Answer, Owner::Question, RecordType::MX, 300, b"\x00\x01\x01m\x00").unwrap();
        for _ in 0..60 {
            builder.push(Section::Additional, Owner::Question, RecordType::A, 300, &[10, 0, 0, 1]).unwrap();
        }
        let reply = reply(&query(None), &builder.finish(None), Moment::default(), 0, Protocol::Udp);
        assert_eq!(reply[2] & flag::TC, 0);
        assert!(reply[11] > 20 && reply[11] < 60);
    }

    #[test]
    fn rotation_turns_the_run_whatever_is_cut() {
        let stored = addresses(5, None);
        for rotation in 0..12 {
            let reply = reply(&query(None), &stored, Moment::default(), rotation, Protocol::Udp);
            let lasts: Vec<usize> = (0..5).map(|i| usize::from(reply[19 + 16 * i + 15])).collect();
            let expected: Vec<usize> = (0..5).map(|i| (i + rotation) % 5).collect();
            assert_eq!(lasts, expected);
        }
        let cut = reply(&query(None), &addresses(100, None), Moment::default(), 90, Protocol::Udp);
        assert_eq!((cut[19 + 15], cut[19 + 16 * 10 + 15]), (90, 0));
    }

    #[test]
    fn who_asks_hears_how_long_a_connection_may_be_idle() {
        let mut packet = query(Some(1232));
        let end = packet.len();
        packet[end - 1] = 4;
        packet.extend_from_slice(&[0, 11, 0, 0]);
        let written = |packet: &[u8], answer: &StoredAnswer, terms| {
            let mut out = vec![0; 65_535];
            let length = write_answer(&Query::parse(packet).unwrap(), answer, Moment::default(), 0, terms, &mut out);
            out.truncate(length);
            out
        };
        let over_tcp = Terms { limit: 65_535, keepalive: Some(100), encrypted: false };
        let servfail = StoredAnswer::bare(Rcode::SERVFAIL, Some(22));
        let out = written(&packet, &servfail, over_tcp);
        assert_eq!(out[28..], [0, 12, 0, 15, 0, 2, 0, 22, 0, 11, 0, 2, 0, 100]);
        assert!(written(&packet, &servfail, Terms::up_to(1232)).ends_with(&[0, 22]), "over UDP");
        assert!(written(&query(Some(1232)), &servfail, over_tcp).ends_with(&[0, 22]), "not asked for");
        // Whatever fits without the option comes whole.
        let answer = addresses(3, None);
        for limit in [19 + 48 + 11 + 5, 19 + 48 + 11 + 6] {
            let out = written(&packet, &answer, Terms { limit, ..over_tcp });
            assert_eq!((out[7], out[2] & flag::TC), (3, 0));
            assert_eq!(out.ends_with(&[0, 100]), limit == out.len());
        }
    }

    #[test]
    fn an_error_carries_its_high_bits_and_reason_in_opt() {
        let badvers = StoredAnswer::bare(Rcode::BADVERS, None);
        let out = reply(&query(Some(1232)), &badvers, Moment::default(), 0, Protocol::Udp);
        assert_eq!(out[3] & 0x0f, 0);
        assert_eq!(out[19..], [0, 0, 41, 0x04, 0xd0, 1, 0, 0, 0, 0, 0]);
        let servfail = StoredAnswer::bare(Rcode::SERVFAIL, Some(22));
        let out = reply(&query(Some(1232)), &servfail, Moment::default(), 0, Protocol::Udp);
        assert_eq!(out[19..], [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 6, 0, 15, 0, 2, 0, 22]);
        let full = reply(&query(Some(1232)), &StoredAnswer::overflow("full"), Moment::default(), 0, Protocol::Udp);
        assert_eq!((full[3] & 0x0f, full[29..].as_ref()), (5, &b"\x0a\x00\x0f\x00\x06\x00\x00full"[..]));
        let plain = reply(&query(None), &servfail, Moment::default(), 0, Protocol::Udp);
        assert_eq!((plain.len(), plain[3] & 0x0f), (19, 2));
    }

    #[test]
    fn padding_is_for_those_who_padded_where_nobody_else_can_read() {
        let padded = |packet: &[u8], answer: &StoredAnswer, encrypted, limit| {
            let query = Query::parse(packet).unwrap();
            let mut out = vec![0xaa; 65_535];
            let terms = Terms { limit, keepalive: Some(100), encrypted };
            let length = write_answer(&query, answer, Moment::default(), 0, terms, &mut out);
            out.truncate(length);
            out
        };
        let mut hiding = query(Some(1232));
        let rdlength = hiding.len() - 1;
        hiding[rdlength] = 8;
        hiding.extend_from_slice(&[0, 11, 0, 0, 0, 12, 0, 0]);
        for count in [0, 1, 26, 27, 100, 200] {
            let answer = addresses(count, None);
            let bare = padded(&hiding, &answer, false, 65_535).len();
            assert_eq!(bare, 19 + 16 * usize::from(count) + 11 + 6);
            assert_eq!(padded(&query(Some(1232)), &answer, true, 65_535).len(), bare - 6);
            let reply = padded(&hiding, &answer, true, 65_535);
            assert_eq!(reply.len(), (bare + 4).next_multiple_of(468), "{count}");
            // RDLENGTH, keepalive, and then nothing but padding.
            let opt = bare - 6 - 11;
            let length = |at: usize| usize::from(u16::from_be_bytes([reply[at], reply[at + 1]]));
            assert_eq!(length(opt + 9), reply.len() - opt - 11);
            assert_eq!(reply[opt + 11..bare + 2], [0, 11, 0, 2, 0, 100, 0, 12]);
            assert_eq!(length(bare + 2), reply.len() - bare - 4);
            assert!(reply[bare + 4..].iter().all(|&octet| octet == 0));
        }
        let answer = addresses(27, None);
        let bare = padded(&hiding, &answer, false, 65_535).len();
        for (limit, length) in [(bare + 3, bare), (bare + 4, bare + 4), (bare + 100, bare + 100)] {
            assert_eq!(padded(&hiding, &answer, true, limit).len(), length);
        }
    }
}
