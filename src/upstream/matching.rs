//! Whether a packet is the reply to a query (RFC 5452, section 9).

use crate::dns::Question;
use crate::dns::message::Header;
use crate::dns::name::wire_length;
use crate::dns::stored_answer::HEADER;

/// What a packet from the right server and port is to a query.
#[derive(Debug, PartialEq, Eq)]
pub enum Match {
    /// Its reply.
    Reply,
    /// Its reply, of which a part is missing: to be asked for over TCP.
    Truncated,
    /// Somebody else's, an old one's, or an attacker's.
    Foreign,
}

/// Compares ID, opcode and question; the name without regard to case.
///
/// Some servers leave the question out of an error. That is taken as the reply it is meant to be:
/// it carries no data, so that nothing can be planted with it.
pub fn classify(packet: &[u8], id: u16, question: &Question) -> Match {
    let Ok(header) = Header::read(packet) else { return Match::Foreign };
    // RFC 1035, section 4.1.1: a reply has the opcode of its query.
    if header.id() != id || !header.is_response() || header.opcode() != 0 {
        return Match::Foreign;
    }
    if header.is_error() && (header.question_count() == 0 || packet.len() == HEADER) {
        return Match::Reply;
    }
    if !question_matches(packet, question) {
        return Match::Foreign;
    }
    if header.is_truncated() { Match::Truncated } else { Match::Reply }
}

fn question_matches(packet: &[u8], question: &Question) -> bool {
    let rest = &packet[HEADER..];
    let Some(length) = wire_length(rest) else { return false };
    let Some(tail) = rest.get(length..length + 4) else { return false };
    packet[4..6] == [0, 1]
        && rest[..length].eq_ignore_ascii_case(question.name())
        && tail[..2] == question.rtype().code().to_be_bytes()
        && tail[2..] == question.class().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::RecordType;

    fn reply() -> Vec<u8> {
        let mut packet = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0];
        packet.extend_from_slice(b"\x01A\x00\x00\x01\x00\x01");
        packet
    }

    fn edited(at: usize, value: u8) -> Match {
        let mut packet = reply();
        packet[at] = value;
        classify(&packet, 0x1234, &Question::new(b"\x01a\x00", RecordType::A, false, false).unwrap())
    }

    #[test]
    fn only_the_same_id_and_question_make_a_reply() {
        assert_eq!(edited(0, 0x12), Match::Reply, "another spelling is the same name");
        assert_eq!(edited(1, 0x35), Match::Foreign, "another ID");
        assert_eq!(edited(2, 0x01), Match::Foreign, "a query");
        assert_eq!(edited(2, 0x83), Match::Truncated);
        assert_eq!(edited(2, 0xa9), Match::Foreign, "the reply to an update");
        assert_eq!(edited(13, b'b'), Match::Foreign, "another name");
        assert_eq!(edited(16, 28), Match::Foreign, "another type");
        assert_eq!(edited(18, 3), Match::Foreign, "another class");
        assert_eq!(edited(5, 0), Match::Foreign, "no question, with one behind");
    }

    #[test]
    fn an_error_may_leave_the_question_out_and_data_may_not() {
        let question = Question::new(b"\x01a\x00", RecordType::A, false, false).unwrap();
        let bare = |rcode: u8| [0x12, 0x34, 0x81, 0x80 | rcode, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(classify(&bare(5), 0x1234, &question), Match::Reply);
        let with_opt = [&bare(1)[..11], &[1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(classify(&with_opt, 0x1234, &question), Match::Reply);
        assert_eq!(classify(&bare(0), 0x1234, &question), Match::Foreign);
        assert_eq!(classify(&bare(3), 0x1234, &question), Match::Foreign);
        assert_eq!(classify(&bare(5)[..5], 0x1234, &question), Match::Foreign);
    }
}
