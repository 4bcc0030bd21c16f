//! Any answer, written for any client.

use arbitrary::{Result, Unstructured};
use hickory_proto::op::Message;
use std::time::Duration;
use zerohop::dns::name::suffixes;
use zerohop::dns::response::{Terms, write_answer};
use zerohop::dns::stored_answer::{AnswerBuilder, Owner, Section};
use zerohop::dns::{Moment, Query, Rcode, RecordType};

use crate::wire::{Record, Wire};

const LABELS: &[&[u8]] = &[b"a", b"b", b"A", b"www", b"EXAMPLE", b"*", &[b'x'; 63]];
const SECTIONS: [Section; 3] = [Section::Answer, Section::Authority, Section::Additional];
const MAX_RECORDS: usize = 6000;

/// What is written is a valid message within its limit, of whole records from the front, with the
/// TTLs that are left; TC tells what is missing.
pub fn check(data: &[u8]) {
    // Octets that run out are no input.
    let _ = run(&mut Unstructured::new(data));
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let qname = name(u, &[0])?;
    let parent = suffixes(&qname).nth(1).unwrap_or(&qname);
    let names = [qname.clone(), name(u, &qname)?, name(u, &[0])?, name(u, parent)?];
    let rcode = u.int_in_range(0..=4095)?;
    let bound: bool = u.arbitrary()?;
    let mut builder = if bound {
        AnswerBuilder::for_question(Rcode::new(rcode), &qname)
    } else {
        AnswerBuilder::new(Rcode::new(rcode))
    };
    let mut expected = Vec::new();
    let address_owner = u.choose(&names)?;
    for section in SECTIONS {
        for _ in 0..u.int_in_range(0..=6)? {
            let (rtype, rdata) = rdata(u, &names)?;
            // One question has the addresses of one name: they are what is rotated.
            let is_address = matches!(rtype.code(), 1 | 28) && section == Section::Answer;
            let owner = if is_address { address_owner } else { u.choose(&names)? };
            let (ttl, times): (u32, u16) = (u.arbitrary()?, u.arbitrary()?);
            // Seldom many, for they take long.
            for _ in 0..(if times & 7 == 7 { times / 8 % 300 } else { 1 }) {
                let given = if *owner == qname && ttl & 1 == 0 { Owner::Question } else { Owner::Name(owner) };
                // An answer that is too large is not used.
                if expected.len() == MAX_RECORDS || builder.push(section, given, rtype, ttl, &rdata).is_err() {
                    return Ok(());
                }
                let owner = owner.to_ascii_lowercase();
                let section = section as usize + 1;
                expected.push(Record { section, owner, rtype: rtype.code(), class: 1, ttl, rdata: rdata.clone() });
            }
        }
    }
    let stored_at = Moment::after_origin(Duration::from_secs(u.arbitrary::<u32>()?.into()));
    let ageing: bool = u.arbitrary()?;
    let answer = builder.finish(ageing.then_some(stored_at));

    let packet = query(u, &qname)?;
    let query = Query::parse(&packet).expect("a query");
    for _ in 0..3 {
        let now = Moment::after_origin(Duration::from_millis(u64::from(u.arbitrary::<u32>()?) * 1000 + 999));
        let (limit, space) = (u.int_in_range(512..=65_535)?, u.int_in_range(512..=65_535)?);
        let rotation: u16 = u.arbitrary()?;
        let mut out = vec![0xaa; space];
        let length = write_answer(&query, &answer, now, rotation.into(), Terms::up_to(limit), &mut out);
        assert!(length <= limit.min(space));
        assert!(out[length..].iter().all(|&octet| octet == 0xaa), "octets behind the message");
        let age = if ageing { now.seconds_since(stored_at) } else { 0 };
        inspect(&packet, &out[..length], &expected, age, limit.min(space));
        if query.opt().is_some() {
            assert_eq!(Wire::read(&out[..length]).rcode(), rcode);
        }
    }
    Ok(())
}

fn inspect(asked: &[u8], reply: &[u8], expected: &[Record], age: u32, limit: usize) {
    let read = Wire::read(reply);
    assert_eq!(read.id, asked[..2]);
    assert_eq!(read.questions, Wire::read(asked).questions);
    assert_eq!(read.opt.is_some(), Wire::read(asked).opt.is_some());
    assert!(read.flags[0] & 0x80 != 0);

    let kept = read.records.len();
    let missing = &expected[kept..];
    assert_eq!(read.is_truncated(), missing.iter().any(|record| record.section < 3));
    if let Some(next) = missing.first() {
        let at_most = next.owner.len().max(2) + 10 + next.rdata.len();
        assert!(reply.len() + at_most > limit, "there was room for {next:?}");
    }
    let is_address = |record: &Record| record.section == 1 && matches!(record.rtype, 1 | 28);
    let mut addresses: Vec<&Record> = expected.iter().filter(|record| is_address(record)).collect();
    for (found, stored) in read.records.iter().zip(expected) {
        let owner = found.owner.to_ascii_lowercase();
        let same = |stored: &Record| {
            stored.section == found.section
                && stored.owner == owner
                && stored.rtype == found.rtype
                && found.class == 1
                && stored.ttl.saturating_sub(age) == found.ttl
                && stored.rdata == found.rdata
        };
        if is_address(stored) {
            let place = addresses.iter().position(|address| same(address));
            addresses.swap_remove(place.unwrap_or_else(|| panic!("not stored: {found:?}")));
        } else {
            assert!(same(stored), "{found:?} for {stored:?} after {age} s");
        }
    }
    if let Err(error) = Message::from_vec(reply) {
        panic!("{error}: {read:?}");
    }
}

/// A name of up to four labels below another.
fn name(u: &mut Unstructured<'_>, below: &[u8]) -> Result<Vec<u8>> {
    let mut wire = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let label = u.choose(LABELS)?;
        wire.push(u8::try_from(label.len()).expect("a short label"));
        wire.extend_from_slice(label);
    }
    wire.extend_from_slice(below);
    // One short of the 255 that hickory does not take.
    Ok(if wire.len() < 255 { wire } else { below.to_vec() })
}

fn rdata(u: &mut Unstructured<'_>, names: &[Vec<u8>]) -> Result<(RecordType, Vec<u8>)> {
    let name = u.choose(names)?;
    Ok(match u.int_in_range(0..=7)? {
        0 => (RecordType::A, u.arbitrary::<[u8; 4]>()?.to_vec()),
        1 => (RecordType::AAAA, u.arbitrary::<[u8; 16]>()?.to_vec()),
        2 => (RecordType::CNAME, name.clone()),
        3 => (RecordType::NS, name.clone()),
        4 => (RecordType::MX, [&u.arbitrary::<[u8; 2]>()?, name.as_slice()].concat()),
        5 => (RecordType::SRV, [&u.arbitrary::<[u8; 6]>()?, name.as_slice()].concat()),
        6 => (RecordType::DNAME, name.clone()),
        _ => (RecordType::new(65_280), vec![u.arbitrary()?; usize::from(u.arbitrary::<u16>()?).max(1)]),
    })
}

/// A query for the name, in some other spelling, perhaps with an OPT record.
fn query(u: &mut Unstructured<'_>, qname: &[u8]) -> Result<Vec<u8>> {
    let mut packet = vec![u.arbitrary()?, u.arbitrary()?, u.arbitrary::<u8>()? & 0x7f, u.arbitrary()?];
    packet.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    let upper: bool = u.arbitrary()?;
    packet.extend(qname.iter().map(|octet| if upper { octet.to_ascii_uppercase() } else { *octet }));
    packet.extend_from_slice(&u.arbitrary::<[u8; 2]>()?);
    packet.extend_from_slice(&[0, 1]);
    if u.arbitrary()? {
        packet[11] = 1;
        packet.extend_from_slice(&[0, 0, 41]);
        packet.extend_from_slice(&u.arbitrary::<[u8; 6]>()?);
        packet.extend_from_slice(&[0, 6, 0, 10, 0, 2, 1, 2]);
    }
    Ok(packet)
}
