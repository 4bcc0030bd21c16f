//! What holds for every name and every answer, whatever is in them. Hickory reads what we write.

use std::time::Duration;

use hickory_proto::op::Message as Hickory;
use proptest::prelude::*;

use super::message::WireName;
use super::name::{suffixes, wire_length};
use super::query::write_upstream_query;
use super::response::{Terms, is_truncated, write_answer};
use super::stored_answer::{AnswerBuilder, Owner, Section};
use super::{Moment, Name, Query, Question, Rcode, RecordType, StoredAnswer};

/// Names in wire form, of any octets.
fn any_wire() -> impl Strategy<Value = Vec<u8>> {
    let label = prop::collection::vec(any::<u8>(), 1..=63);
    prop::collection::vec(label, 0..8).prop_map(|labels| {
        let mut wire = Vec::new();
        for label in labels.iter().filter(|label| !label.is_empty()) {
            if wire.len() + label.len() + 2 <= 255 {
                wire.push(u8::try_from(label.len()).unwrap());
                wire.extend_from_slice(label);
            }
        }
        wire.push(0);
        wire
    })
}

/// Names that have much in common.
fn related() -> impl Strategy<Value = Vec<u8>> {
    let label = prop::sample::select(vec!["a", "B", "b", "www", "example", "EXAMPLE", "c-long-label-of-a-service"]);
    prop::collection::vec(label, 0..6).prop_map(|labels| {
        let text = labels.iter().map(|label| format!("{label}.")).collect::<String>();
        Name::from_text(if text.is_empty() { "." } else { &text }, &Name::root()).unwrap().wire().to_vec()
    })
}

fn in_the_other_case(wire: &[u8]) -> Vec<u8> {
    let mut other = wire.to_vec();
    let mut at = 0;
    while other[at] != 0 {
        let end = at + 1 + usize::from(other[at]);
        for octet in &mut other[at + 1..end] {
            *octet = if octet.is_ascii_lowercase() { octet.to_ascii_uppercase() } else { octet.to_ascii_lowercase() };
        }
        at = end;
    }
    other
}

/// A record that hickory prints as `type data`.
type Entry = (Vec<u8>, RecordType, u32, Vec<u8>);

fn entry() -> impl Strategy<Value = Entry> {
    let data = prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| (RecordType::A, octets.to_vec())),
        related().prop_map(|target| (RecordType::CNAME, target)),
        related().prop_map(|target| (RecordType::NS, target)),
        (any::<u16>(), related()).prop_map(|(p, target)| (RecordType::MX, [&p.to_be_bytes(), &*target].concat())),
        prop::collection::vec(any::<u8>(), 1..300).prop_map(|octets| (RecordType::new(65_280), octets)),
    ];
    (related(), 0..0x8000_0000_u32, data).prop_map(|(owner, ttl, (rtype, rdata))| (owner, rtype, ttl, rdata))
}

fn stored(qname: &[u8], entries: &[Vec<Entry>; 3]) -> StoredAnswer {
    let mut builder = AnswerBuilder::for_question(Rcode::NOERROR, qname);
    for (section, entries) in [Section::Answer, Section::Authority, Section::Additional].into_iter().zip(entries) {
        for (owner, rtype, ttl, rdata) in entries {
            builder.push(section, Owner::Name(owner), *rtype, *ttl, rdata).unwrap();
        }
    }
    builder.finish(Some(Moment::ORIGIN))
}

fn written(qname: &[u8], answer: &StoredAnswer, age: u64, rotation: usize, limit: usize) -> Vec<u8> {
    let question = Question::new(qname, RecordType::A, false, false).unwrap();
    let packet = write_upstream_query(&question, 7, 1232);
    let mut out = vec![0; 65_535];
    let now = Moment::ORIGIN + Duration::from_secs(age);
    let length = write_answer(&Query::parse(&packet).unwrap(), answer, now, rotation, Terms::up_to(limit), &mut out);
    out.truncate(length);
    out
}

/// Sections by their number, owners in lower case; TTLs on their own.
fn read(message: &[u8]) -> Vec<(usize, String, u32)> {
    let read = Hickory::from_vec(message).unwrap();
    let sections = [read.answers, read.authorities, read.additionals].into_iter().enumerate();
    sections
        .flat_map(|(section, records)| {
            records.into_iter().map(move |r| {
                let text = format!("{} {} {}", r.name, r.record_type(), r.data);
                (section, text.to_ascii_lowercase(), r.ttl)
            })
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_name_reads_back_from_its_text(wire in any_wire()) {
        let name = Name::from_wire(&wire).unwrap();
        prop_assert_eq!(Name::from_text(&name.to_string(), &Name::root()), Ok(name));
    }

    #[test]
    fn what_is_read_as_a_name_is_one(text in prop_oneof!["[a-c.\\\\0-9@*-]{0,30}", any::<String>()], origin in any_wire()) {
        let origin = Name::from_wire(&origin).unwrap();
        if let Ok(name) = Name::from_text(&text, &origin) {
            prop_assert_eq!(wire_length(name.wire()), Some(name.wire().len()));
            prop_assert_eq!(Name::from_text(&name.to_string(), &origin), Ok(name.clone()));
            prop_assert!(name.is_within(&origin) || text.ends_with('.'));
        }
    }

    #[test]
    fn spelling_makes_no_difference(one in any_wire(), other in any_wire()) {
        let name = Name::from_wire(&one).unwrap();
        let respelled = Name::from_wire(&in_the_other_case(&one)).unwrap();
        prop_assert_eq!(&name, &respelled);
        let other = Name::from_wire(&other).unwrap();
        prop_assert_eq!(name.cmp(&other), respelled.cmp(&other));
        prop_assert_eq!(name.cmp(&other), other.cmp(&name).reverse());
        let key = |wire: &[u8]| Question::new(wire, RecordType::A, false, false).unwrap().key().to_vec();
        prop_assert_eq!(key(&one), key(&in_the_other_case(&one)));
    }

    #[test]
    fn a_name_is_within_its_ancestors_and_no_other(one in related(), other in related()) {
        let (name, zone) = (Name::from_wire(&one).unwrap(), Name::from_wire(&other).unwrap());
        let ancestors: Vec<Name> = std::iter::successors(Some(name.clone()), Name::parent).collect();
        prop_assert_eq!(name.is_within(&zone), ancestors.contains(&zone));
        prop_assert_eq!(suffixes(name.wire()).count(), ancestors.len());
    }

    #[test]
    fn pointers_that_do_not_go_backwards_are_never_followed(
        targets in prop::collection::vec(0_u8..13, 1..12),
        start in any::<prop::sample::Index>(),
    ) {
        // The root, then nothing but pointers to it and to each other.
        let place = |number: usize| if number == 0 { 0 } else { 2 * number - 1 };
        let mut message = vec![0];
        for target in &targets {
            message.extend_from_slice(&[0xc0, u8::try_from(place(usize::from(*target))).unwrap()]);
        }
        let first = 1 + start.index(targets.len());
        let mut here = first;
        while here > 0 && usize::from(targets[here - 1]) < here {
            here = usize::from(targets[here - 1]);
        }
        match WireName::read(&message, place(first)) {
            Ok((name, behind)) => prop_assert_eq!((here, name.wire(), behind), (0, &[0][..], place(first) + 2)),
            Err(_) => prop_assert!(here > 0, "{:?} from {}", message, place(first)),
        }
    }

    #[test]
    fn any_octets_are_a_name_or_malformed(octets in prop::collection::vec(prop_oneof![0_u8..4, 0xc0_u8..0xc1, any::<u8>()], 0..80), at in 0_usize..80) {
        if let Ok((name, behind)) = WireName::read(&octets, at) {
            prop_assert_eq!(wire_length(name.wire()), Some(name.wire().len()));
            prop_assert!(behind > at && behind <= octets.len());
        }
    }

    #[test]
    fn compressed_names_are_read_as_they_were_meant(
        qname in related(),
        answers in prop::collection::vec(entry(), 0..6),
        authorities in prop::collection::vec(entry(), 0..6),
        additionals in prop::collection::vec(entry(), 0..6),
    ) {
        let entries = [answers, authorities, additionals];
        let mut plain = AnswerBuilder::new(Rcode::NOERROR);
        for (section, entries) in [Section::Answer, Section::Authority, Section::Additional].into_iter().zip(&entries) {
            for (owner, rtype, ttl, rdata) in entries {
                plain.push(section, Owner::Name(owner), *rtype, *ttl, rdata).unwrap();
            }
        }
        let plain = written(&qname, &plain.finish(None), 0, 0, 65_535);
        let compressed = written(&qname, &stored(&qname, &entries), 0, 0, 65_535);
        prop_assert!(compressed.len() <= plain.len());
        prop_assert_eq!(read(&compressed), read(&plain));
    }

    #[test]
    fn a_ttl_only_ever_goes_down(ttl in 0..0x8000_0000_u32, mut ages in prop::collection::vec(0..0x1_0000_0000_u64, 1..6)) {
        ages.sort_unstable();
        let answer = stored(&[0], &[vec![(vec![0], RecordType::A, ttl, vec![10, 0, 0, 1])], Vec::new(), Vec::new()]);
        let mut last = ttl;
        for age in ages {
            let left = read(&written(&[0], &answer, age, 0, 512))[0].2;
            prop_assert!(left <= last);
            prop_assert_eq!(u64::from(left), u64::from(ttl).saturating_sub(age));
            last = left;
        }
    }

    #[test]
    fn an_answer_is_cut_between_records(
        qname in related(),
        answers in prop::collection::vec(entry(), 0..12),
        additionals in prop::collection::vec(entry(), 0..12),
        limit in 512_usize..5000,
    ) {
        // Without addresses nothing is rotated: what is left is the front.
        let answers: Vec<Entry> = answers.into_iter().filter(|entry| entry.1 != RecordType::A).collect();
        let required = answers.len();
        let answer = stored(&qname, &[answers, Vec::new(), additionals]);
        let (whole, cut) = (written(&qname, &answer, 0, 0, 65_535), written(&qname, &answer, 0, 0, limit));
        let (all, left) = (read(&whole), read(&cut));
        prop_assert!(cut.len() <= limit);
        prop_assert_eq!(&all[..left.len()], &left[..]);
        prop_assert_eq!(is_truncated(&cut), left.len() < required);
        prop_assert!(whole.len() > limit || left.len() == all.len());
        if left.len() < all.len() {
            let ends: Vec<usize> = std::iter::once(0).chain(answer.ttls().map(|at| answer.end_of(at))).collect();
            let (next_start, next_end) = (ends[left.len()], ends[left.len() + 1]);
            prop_assert!(cut.len() + next_end - next_start > limit, "{} had room", left.len());
        }
    }

    #[test]
    fn rotation_gives_every_address_its_turn_behind_the_aliases(
        names in prop::collection::vec(related(), 1..4),
        count in 1_u8..20,
        first in 0_usize..1000,
    ) {
        let mut answers: Vec<Entry> =
            names.windows(2).map(|pair| (pair[0].clone(), RecordType::CNAME, 60, pair[1].clone())).collect();
        let aliases = answers.len();
        let last = names.last().unwrap();
        answers.extend((0..count).map(|number| (last.clone(), RecordType::A, 60, vec![10, 0, 0, number])));
        let answer = stored(&names[0], &[answers, Vec::new(), Vec::new()]);
        let whole = read(&written(&names[0], &answer, 0, 0, 65_535));
        let mut in_front = Vec::new();
        for rotation in first..first + usize::from(count) {
            let turned = read(&written(&names[0], &answer, 0, rotation, 65_535));
            prop_assert_eq!(&turned[..aliases], &whole[..aliases]);
            in_front.push(turned[aliases].clone());
            let mut sorted = turned[aliases..].to_vec();
            sorted.sort();
            let mut expected = whole[aliases..].to_vec();
            expected.sort();
            prop_assert_eq!(sorted, expected);
        }
        in_front.sort();
        in_front.dedup();
        prop_assert_eq!(in_front.len(), usize::from(count), "each in front once");
    }
}
