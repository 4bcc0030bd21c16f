//! Questions to upstreams over connections, with the EDNS options that only those have: how long a
//! connection may be idle (RFC 7828), and padding where it is encrypted (RFC 7830).

use std::time::Duration;

use super::message::Message;
use super::query::{KEEPALIVE_OPTION, PADDING_OPTION, write_upstream_query};
use super::response::MAX_UDP_PAYLOAD;
use super::stored_answer::Section;
use super::{Question, RecordType};

/// Queries are padded to a multiple of so many octets (RFC 8467, section 4.1).
const BLOCK: usize = 128;
/// The unit of the keepalive option (RFC 7828, section 3.1), in milliseconds.
const KEEPALIVE_UNIT: u64 = 100;
/// Code and length of an option.
const OPTION_HEAD: usize = 4;

/// What carries a question over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Tcp,
    Tls,
    /// HTTP/2 or QUIC: encrypted, and with their own word on how long a connection may be idle. Over
    /// QUIC the option is an error (RFC 9250, section 5.5.2).
    Multiplexed,
}

/// Writes a question for a connection to an upstream. It asks how long the connection may be idle,
/// where that is DNS's to say, and hides its length where it is encrypted. One that is to go without
/// EDNS does neither.
pub fn write_stream_query(question: &Question, id: u16, carrier: Carrier) -> Vec<u8> {
    let mut packet = write_upstream_query(question, id, MAX_UDP_PAYLOAD);
    if !question.has_edns() {
        return packet;
    }
    // The OPT record is the last, and is without options so far.
    let options = packet.len();
    if carrier != Carrier::Multiplexed {
        push_option(&mut packet, KEEPALIVE_OPTION, 0);
    }
    if carrier != Carrier::Tcp {
        let padding = (packet.len() + OPTION_HEAD).next_multiple_of(BLOCK) - packet.len() - OPTION_HEAD;
        push_option(&mut packet, PADDING_OPTION, padding);
    }
    let length = u16::try_from(packet.len() - options).unwrap_or(0);
    packet[options - 2..options].copy_from_slice(&length.to_be_bytes());
    packet
}

/// An option of this many zeros.
fn push_option(packet: &mut Vec<u8>, code: u16, length: usize) {
    packet.extend_from_slice(&code.to_be_bytes());
    packet.extend_from_slice(&u16::try_from(length).unwrap_or(0).to_be_bytes());
    packet.resize(packet.len() + length, 0);
}

/// How long the server says that the connection may be idle; `None` when it does not say. Zero asks
/// for its end as soon as nothing is outstanding.
pub fn idle_limit(reply: &[u8]) -> Option<Duration> {
    let message = Message::parse(reply).ok()?;
    let opt = message.section(Section::Additional).find(|record| record.rtype == RecordType::OPT)?;
    let mut options = reply.get(opt.rdata_start..opt.rdata_end)?;
    while let Some((head, rest)) = options.split_first_chunk::<OPTION_HEAD>() {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = rest.get(..length)?;
        if u16::from_be_bytes([head[0], head[1]]) == KEEPALIVE_OPTION {
            let units = u16::from_be_bytes(value.try_into().ok()?);
            return Some(Duration::from_millis(u64::from(units) * KEEPALIVE_UNIT));
        }
        options = &rest[length..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::query::Query;

    fn question(name: &[u8]) -> Question {
        Question::new(name, RecordType::A, false, false).unwrap()
    }

    #[test]
    fn keepalive_is_asked_for_and_length_hidden_where_it_is_of_use() {
        let plain = write_stream_query(&question(b"\x01a\x00"), 7, Carrier::Tcp);
        assert!(Query::parse(&plain).unwrap().opt().unwrap().keepalive);
        assert_eq!(plain.len(), 12 + 7 + 11 + 4);
        let without = write_stream_query(&question(b"\x01a\x00").without_edns(), 7, Carrier::Tls);
        assert_eq!((without.len(), Query::parse(&without).unwrap().opt()), (12 + 7, None));
        let label = [&[63][..], &[b'x'; 63]].concat();
        for labels in 0..4 {
            let name = [label.repeat(labels), vec![0]].concat();
            for (carrier, keepalive) in [(Carrier::Tls, true), (Carrier::Multiplexed, false)] {
                let padded = write_stream_query(&question(&name), 7, carrier);
                assert_eq!(padded.len() % BLOCK, 0);
                assert_eq!(Query::parse(&padded).unwrap().opt().unwrap().keepalive, keepalive);
            }
        }
    }

    #[test]
    fn the_servers_limit_is_read_past_other_options_and_nonsense_is_none() {
        let reply = |options: &[u8]| {
            let mut reply = write_upstream_query(&question(b"\x01a\x00"), 7, 0);
            let length = reply.len();
            reply[length - 1] = u8::try_from(options.len()).unwrap();
            reply.extend_from_slice(options);
            idle_limit(&reply)
        };
        assert_eq!(reply(&[0, 12, 0, 1, 0, 0, 11, 0, 2, 0, 25]), Some(Duration::from_millis(2500)));
        assert_eq!(reply(&[0, 11, 0, 2, 0, 0]), Some(Duration::ZERO));
        for nonsense in [&[][..], &[0, 11, 0, 0], &[0, 11, 0, 9, 0], &[0, 10, 0, 2, 1, 1], &[0, 11, 0]] {
            assert_eq!(reply(nonsense), None, "{nonsense:?}");
        }
        assert_eq!(idle_limit(&[0; 5]), None);
    }
}
