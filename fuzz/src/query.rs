//! A packet from a client.

use hickory_proto::op::Message;
use zerohop::dns::name::{suffixes, wire_length};
use zerohop::dns::query::Rejected;
use zerohop::dns::response::{Terms, write_answer, write_rejection};
use zerohop::dns::{Moment, Protocol, Query, Rcode, StoredAnswer};

use crate::wire::Wire;

/// What we take for a question, others read the same way; and everything else has a reason.
pub fn check(packet: &[u8]) {
    let mut out = [0; 512];
    let query = match Query::parse(packet) {
        Ok(query) => query,
        Err(Rejected::Drop) => return assert!(packet.len() < 12 || packet[2] & 0x80 != 0),
        Err(Rejected::Reply(rcode)) => {
            let length = write_rejection(packet, rcode, &mut out);
            let reply = Wire::read(&out[..length]);
            assert_eq!((&reply.id[..], reply.rcode()), (&packet[..2], rcode.code()));
            assert_eq!(rcode == Rcode::FORMERR, query_opcode(packet) == 0);
            return;
        }
    };
    let question = query.question();
    let name = question.name();
    assert_eq!(wire_length(name), Some(name.len()));
    assert_eq!(suffixes(name).last(), Some(&[0][..]));
    assert!(!name.iter().any(u8::is_ascii_uppercase));
    assert_eq!(query.opcode(), query_opcode(packet));

    for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Tls] {
        let limit = protocol.size_limit(&query);
        assert!((512..=65_535).contains(&limit));
        let length = write_answer(
            &query,
            &StoredAnswer::bare(Rcode::BADVERS, Some(22)),
            Moment::ORIGIN,
            0,
            Terms { limit, keepalive: Some(100), encrypted: protocol == Protocol::Tls },
            &mut out,
        );
        let reply = Wire::read(&out[..length]);
        assert_eq!(reply.questions.len(), 1);
        assert!(reply.questions[0].starts_with(&packet[12..12 + name.len()]), "the client's own spelling");
        assert_eq!(reply.opt.is_some(), query.opt().is_some());
    }

    // Others may refuse what lies behind the question; what they read must be what we read.
    let Ok(other) = Message::from_vec(packet) else { return };
    assert_eq!(other.metadata.id.to_be_bytes(), packet[..2]);
    assert_eq!(other.metadata.recursion_desired, query.recursion_desired());
    assert_eq!(other.metadata.checking_disabled, question.checking_disabled());
    let [asked] = other.queries.as_slice() else { panic!("one question is {:?}", other.queries) };
    let labels: Vec<&[u8]> = asked.name().iter().collect();
    let ours: Vec<&[u8]> =
        suffixes(name).filter(|rest| rest[0] > 0).map(|rest| &rest[1..=usize::from(rest[0])]).collect();
    assert!(labels.iter().zip(&ours).all(|(a, b)| a.eq_ignore_ascii_case(b)) && labels.len() == ours.len());
    assert_eq!(u16::from(asked.query_type()), question.rtype().code());
    assert_eq!(u16::from(asked.query_class()), question.class());
    match (&other.edns, query.opt()) {
        (None, None) => assert!(!question.dnssec_ok()),
        (Some(edns), Some(opt)) => {
            assert_eq!((edns.version(), edns.flags().dnssec_ok), (opt.version, opt.dnssec_ok));
            assert_eq!(question.dnssec_ok(), opt.dnssec_ok);
        }
        (theirs, ours) => panic!("OPT is {theirs:?} to others, {ours:?} to us"),
    }
}

fn query_opcode(packet: &[u8]) -> u8 {
    packet[2] >> 3 & 0x0f
}
