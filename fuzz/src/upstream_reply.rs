//! A reply out of an upstream, matched to its question.
//!
//! Input: six octets that choose question, zone and TTL rules, then a reply as [`wire::reply`]
//! takes it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record as HickoryRecord};
use zerohop::dns::kept::{Verdict, addresses, keep};
use zerohop::dns::query::write_upstream_query;
use zerohop::dns::response::{Terms, write_answer};
use zerohop::dns::{Moment, Name, Query, Question, RecordType, StoredAnswer, TtlRules};

use crate::wire::{self, Wire};

const NAMES: &[&str] = &["www.example.", "a.", ".", "x.y.z.example.com.", "www.example.com.", "*.example."];
const ZONES: &[&str] = &[".", "example.", "com.", "example.com."];
const TYPES: &[u16] = &[1, 28, 5, 6, 2, 15, 16, 33, 35, 39, 43, 46, 47, 64, 65, 12, 17, 18, 14, 24, 26, 30, 65280];
/// Types whose names a sender may compress and that hickory takes for plain octets.
const OPAQUE_TO_HICKORY: &[u16] = &[3, 4, 7, 8, 9, 14, 17, 18, 21, 24, 26, 30, 36, 39, 46, 47];
/// Up to here no reply grows past a message when its names are spelled out.
const SHORT: usize = 1024;

/// What is kept answers the question, and nothing in it was not in the reply.
pub fn check(data: &[u8]) {
    let Some((choice, from)) = data.split_first_chunk::<6>() else { return };
    let pick = |list: &[&str], index: u8| {
        let text = list[usize::from(index) % list.len()];
        Name::from_text(text, &Name::root()).expect("a name")
    };
    let name = pick(NAMES, choice[0]);
    let rtype = RecordType::new(TYPES[usize::from(choice[1]) % TYPES.len()]);
    let question = Question::new(name.wire(), rtype, choice[2] & 1 != 0, choice[2] & 2 != 0).expect("a question");
    let zone = pick(ZONES, choice[3]);
    let rules = TtlRules { min: u32::from(choice[4]), max: 300 + 86_400 * u32::from(choice[5]), negative_max: 3600 };
    let reply = wire::reply(&question, from);

    let now = Moment::ORIGIN;
    let _ = addresses(&question, &reply);
    let kept = keep(&question, &reply, choice[2] & 4 != 0, &zone, rules, now);
    let theirs = Message::from_vec(&reply);
    let Ok(kept) = kept else {
        if let Ok(theirs) = theirs {
            assert!(!is_plain_answer(&theirs, &question) || reply.len() > SHORT, "refused: {theirs:?}");
        }
        return;
    };
    outlives(&question, &kept.answer);
    let asked = write_upstream_query(&question, 9, 1232);
    let query = Query::parse(&asked).expect("a query");
    let mut written = vec![0; 65_535];
    let length = write_answer(&query, &kept.answer, now, 0, Terms::up_to(65_535), &mut written);
    written.truncate(length);
    let ours = Wire::read(&written);
    assert!(!ours.is_truncated());
    assert_eq!(ours.rcode(), kept.answer.rcode().code());

    match kept.verdict {
        Verdict::Data => {
            ours.assert_answers(name.wire(), rtype.code());
            assert!(ours.section(1).any(|record| record.rtype == rtype.code()));
            assert_eq!(ours.section(2).count(), 0);
        }
        Verdict::Nodata | Verdict::Nxdomain => {
            ours.assert_answers(name.wire(), rtype.code());
            assert!(ours.section(2).all(|record| matches!(record.rtype, 6 | 46 | 47 | 50)));
            assert!(ours.section(2).filter(|record| record.rtype == 6).count() <= 1);
            assert_eq!(ours.section(3).count(), 0);
            // RFC 2308, section 5: a denial lasts as long as the MINIMUM of its SOA, at most.
            let soa = ours.section(2).find(|record| record.rtype == 6);
            let longest = soa.and_then(|soa| soa.rdata.last_chunk()).map_or(5, |field| u32::from_be_bytes(*field));
            assert!(ours.section(2).all(|record| record.ttl <= longest) && kept.lifetime <= Some(longest));
        }
        Verdict::Incomplete | Verdict::Lame | Verdict::Failure(_) => assert_eq!(kept.lifetime, None),
    }
    if kept.verdict == Verdict::Data && matches!(rtype, RecordType::A | RecordType::AAAA) {
        let (found, _) = addresses(&question, &reply).expect("what is kept has them");
        let octets = |address: &IpAddr| match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let found: BTreeSet<Vec<u8>> = found.iter().map(octets).collect();
        let data = ours.section(1).filter(|record| record.rtype == rtype.code());
        assert_eq!(found, data.map(|record| record.rdata.to_vec()).collect());
    }
    for record in ours.section(3) {
        assert!(matches!(record.rtype, 1 | 28) && record.owner.to_ascii_lowercase().ends_with(zone.wire()));
    }
    assert!(kept.lifetime.is_none() || reply[2] & 0x02 == 0, "a part is kept for the whole");
    let lowest = ours.records.iter().map(|record| record.ttl).min();
    if let (Some(lifetime), Some(lowest)) = (kept.lifetime, lowest) {
        assert!(lifetime > 0 && lifetime <= lowest, "kept {lifetime} s, with a record of {lowest} s");
    }
    let capped = ours.section(1).chain(ours.section(3)).all(|record| record.ttl <= rules.max.max(rules.min));
    assert!(capped && ours.section(2).all(|record| record.ttl <= rules.negative_max));

    if let Ok(theirs) = theirs {
        assert_same_records(&theirs, &written, rules);
        if is_plain_answer(&theirs, &question) {
            assert_eq!(kept.verdict, Verdict::Data);
            let all = theirs.answers.iter().filter(|record| answers(record, &question)).count();
            assert_eq!(ours.section(1).count(), if rtype == RecordType::SOA { 1 } else { all });
        }
    }
}

/// Every record of ours is one of theirs: name, class, type, data, and no more time.
fn assert_same_records(theirs: &Message, written: &[u8], rules: TtlRules) {
    let ours = Message::from_vec(written).unwrap_or_else(|error| panic!("unreadable by now: {error}: {theirs:?}"));
    let sections = [
        (&ours.answers, &theirs.answers),
        (&ours.authorities, &theirs.authorities),
        (&ours.additionals, &theirs.additionals),
    ];
    for (ours, theirs) in sections {
        for our in ours {
            let same = |their: &&HickoryRecord| {
                let opaque = OPAQUE_TO_HICKORY.contains(&our.record_type().into());
                their.name == our.name
                    && their.record_type() == our.record_type()
                    && their.dns_class == our.dns_class
                    && (opaque || their.data == our.data)
            };
            let longest =
                theirs.iter().filter(same).map(|their| if their.ttl >> 31 == 0 { their.ttl } else { 0 }).max();
            let longest = longest.unwrap_or_else(|| panic!("not in the reply: {our:?}"));
            assert!(
                our.ttl <= if longest == 0 { 0 } else { longest.max(rules.min) },
                "{our:?} has more than {longest}"
            );
        }
    }
}

fn answers(record: &HickoryRecord, question: &Question) -> bool {
    let owner: Vec<u8> = record.name.iter().flat_map(|label| [&[label.len() as u8], label].concat()).collect();
    owner.eq_ignore_ascii_case(&question.name()[..question.name().len() - 1])
        && u16::from(record.record_type()) == question.rtype().code()
        && u16::from(record.dns_class) == question.class()
}

/// Whether there is data for the very question, and nothing that may be refused for its shape.
fn is_plain_answer(message: &Message, question: &Question) -> bool {
    let sections = [&message.answers, &message.authorities, &message.additionals];
    let mut all = sections.into_iter().flatten();
    let plain = all.all(|record| !matches!(record.data, RData::Update0(_) | RData::Unknown { .. } | RData::CNAME(_)));
    u16::from(message.metadata.response_code) & 0x0f == 0
        && !message.metadata.truncation
        && message.edns.is_none()
        && plain
        && message.answers.iter().any(|record| answers(record, question))
}

/// A snapshot has it as it is.
fn outlives(question: &Question, answer: &StoredAnswer) {
    let (mut packed, mut again) = (Vec::new(), Vec::new());
    if answer.pack(&mut packed) {
        let unpacked = StoredAnswer::unpack(&packed, question, Moment::ORIGIN).expect("what was kept");
        assert!(unpacked.pack(&mut again) && packed == again && unpacked.memory() == answer.memory());
    }
}
