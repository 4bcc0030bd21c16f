//! An upstream that misbehaves by name.
//!
//! A name is `<client>.<how>-<a>-<aaaa>.stub.example.`: it has so many addresses of either family,
//! and `how` says what is done to the answer.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::super::recorder::{Asked, Recorder};

/// What comes into a message without EDNS (RFC 1035, section 4.2.1).
const PLAIN_SIZE: usize = 512;
const TTL: u32 = 300;

pub(super) fn start() -> Recorder {
    Recorder::scripted(|asked| answer(&asked))
}

/// The addresses that a name with so many has, as text.
pub(super) fn addresses(a: usize, aaaa: usize) -> (Vec<String>, Vec<String>) {
    let text = |count, rtype| data(count, rtype).iter().map(ToString::to_string).collect();
    (text(a, RecordType::A), text(aaaa, RecordType::AAAA))
}

fn data(count: usize, rtype: RecordType) -> Vec<RData> {
    let numbers = 1..=u16::try_from(count).unwrap();
    let of = |number: u16| match rtype {
        RecordType::A => {
            let [high, low] = number.to_be_bytes();
            RData::A(A(Ipv4Addr::new(10, 1, high, low)))
        }
        _ => RData::AAAA(AAAA(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number))),
    };
    numbers.map(of).collect()
}

/// How, and how many addresses of either family, from a name's second label.
pub(super) fn parts(label: &str) -> (&str, usize, usize) {
    let [how, a, aaaa] = label.split('-').collect::<Vec<_>>()[..] else { panic!("{label}") };
    (how, a.parse().unwrap(), aaaa.parse().unwrap())
}

fn answer(asked: &Asked) {
    let question = &asked.query.queries[0];
    let (owner, rtype, text) = (question.name(), question.query_type(), asked.name());
    // A probe asks for the root.
    let Some(label) = text.split('.').nth(1).filter(|label| !label.is_empty()) else {
        return asked.send(&asked.reply());
    };
    let (how, a, aaaa) = parts(label);
    let is_a = rtype == RecordType::A;
    let count = if is_a { a } else { aaaa };
    let alias = |from: &Name, to: &Name| Record::from_rdata(from.clone(), TTL, RData::CNAME(CNAME(to.clone())));
    let addresses_of =
        |name: Name| data(count, rtype).into_iter().map(move |data| Record::from_rdata(name.clone(), TTL, data));
    let target = |number: u8| Name::from_ascii(format!("target{number}.stub.example.")).unwrap();
    let mut reply = asked.reply();
    match how {
        "chain" | "misordered" => {
            let chain = [alias(owner, &target(1)), alias(&target(1), &target(2))];
            let mut records: Vec<Record> = chain.into_iter().chain(addresses_of(target(2))).collect();
            if how == "misordered" {
                records.reverse();
            }
            reply.add_answers(records);
        }
        "alias" => drop(reply.add_answer(alias(owner, &target(1)))),
        "dropped" if !is_a => return,
        "bare" if !is_a => reply.metadata.recursion_available = false,
        "nxdomain" if !is_a => return asked.deny(ResponseCode::NXDomain, TTL, TTL),
        "servfail" if !is_a => reply.metadata.response_code = ResponseCode::ServFail,
        "refused" if !is_a => reply.metadata.response_code = ResponseCode::Refused,
        "notimp" if !is_a => reply.metadata.response_code = ResponseCode::NotImp,
        "formerr" if !is_a => reply.metadata.response_code = ResponseCode::FormErr,
        _ if count == 0 => return asked.deny(ResponseCode::NoError, TTL, TTL),
        _ => drop(reply.add_answers(addresses_of(owner.clone()))),
    }
    match how {
        "unasked" => reply.queries.clear(),
        "cut" if !asked.is_tcp() => cut(&mut reply, 0),
        "part" if !asked.is_tcp() => cut(&mut reply, 15),
        "oversize" => {}
        _ if !asked.is_tcp() => {
            let size = asked.query.edns.as_ref().map_or(PLAIN_SIZE, |edns| usize::from(edns.max_payload()));
            while reply.to_vec().unwrap().len() > size {
                let fewer = reply.answers.len() - 1;
                cut(&mut reply, fewer);
            }
        }
        _ => {}
    }
    asked.send(&reply);
}

fn cut(reply: &mut Message, answers: usize) {
    reply.metadata.truncation = true;
    reply.answers.truncate(answers);
}
