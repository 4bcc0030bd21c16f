use std::str::FromStr;
use std::time::Duration;

use hickory_proto::op::{Message as Built, MessageType, OpCode, Query as BuiltQuery, ResponseCode};
use hickory_proto::rr::{Name as BuiltName, RData, Record as BuiltRecord, RecordType as BuiltType};

use super::super::query::Query;
use super::super::response::{Protocol, write_answer};
use super::*;

const RULES: TtlRules = TtlRules { min: 0, max: 86_400, negative_max: 3600 };

fn record(text: &str) -> BuiltRecord {
    let mut words = text.splitn(4, ' ');
    let owner = BuiltName::from_str(words.next().unwrap()).unwrap();
    let ttl = words.next().unwrap().parse().unwrap();
    let rtype = BuiltType::from_str(words.next().unwrap()).unwrap();
    BuiltRecord::from_rdata(owner, ttl, RData::try_from_str(rtype, words.next().unwrap()).unwrap())
}

/// A reply of hickory's making, in which names are compressed wherever it can.
fn upstream(qname: &str, qtype: &str, rcode: ResponseCode, sections: [&[&str]; 3]) -> Vec<u8> {
    let mut message = Built::new(7, MessageType::Response, OpCode::Query);
    message.metadata.response_code = rcode;
    message.add_query(BuiltQuery::query(BuiltName::from_str(qname).unwrap(), BuiltType::from_str(qtype).unwrap()));
    for text in sections[0] {
        message.add_answer(record(text));
    }
    for text in sections[1] {
        message.add_authority(record(text));
    }
    for text in sections[2] {
        message.add_additional(record(text));
    }
    message.to_vec().unwrap()
}

fn question(qname: &str, qtype: &str) -> Question {
    let name = Name::from_text(qname, &Name::root()).unwrap();
    Question::new(name.wire(), RecordType::from_mnemonic(qtype).unwrap(), false, false).unwrap()
}

fn kept(qname: &str, qtype: &str, rcode: ResponseCode, sections: [&[&str]; 3]) -> Kept {
    let reply = upstream(qname, qtype, rcode, sections);
    keep(&question(qname, qtype), &reply, false, &Name::root(), RULES, Moment::default()).unwrap()
}

/// What a client gets of it, read by hickory and printed section by section.
fn sent(qname: &str, qtype: &str, kept: &Kept) -> Vec<String> {
    let asked = super::super::query::write_upstream_query(&question(qname, qtype), 9, 1232);
    let query = Query::parse(&asked).unwrap();
    let mut out = vec![0; 65_535];
    let length = write_answer(&query, &kept.answer, Moment::default(), 0, Protocol::Tcp.size_limit(&query), &mut out);
    let read = Built::from_vec(&out[..length]).unwrap();
    let lines = [&read.answers, &read.authorities, &read.additionals].map(|records| {
        records
            .iter()
            .map(|record| record.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    });
    lines.concat()
}

const SOA: &str = "example. 300 SOA ns.example. host.example. 1 2 3 4 60";

#[test]
fn a_chain_is_written_in_walk_order_with_each_rrset_at_its_lowest_ttl() {
    let sections: [&[&str]; 3] = [
        &[
            "c.example. 90 A 10.0.0.1",
            "b.example. 50 CNAME c.example.",
            "a.example. 70 CNAME b.example.",
            "c.example. 80 A 10.0.0.2",
            "stray.example. 1 A 10.0.0.9",
        ],
        &["example. 5 NS ns.example."],
        &["ns.example. 5 A 10.0.0.3"],
    ];
    let kept = kept("a.example.", "A", ResponseCode::NoError, sections);
    assert_eq!((kept.verdict, kept.lifetime), (Verdict::Data, Some(50)));
    assert_eq!(
        sent("a.example.", "A", &kept),
        [
            "a.example. 70 IN CNAME b.example.",
            "b.example. 50 IN CNAME c.example.",
            "c.example. 80 IN A 10.0.0.1",
            "c.example. 80 IN A 10.0.0.2"
        ]
    );
}

#[test]
fn negatives_live_as_long_as_soa_ttl_minimum_and_cap_allow() {
    let ask = |soa: &str, rules: TtlRules| {
        let reply = upstream("a.example.", "A", ResponseCode::NXDomain, [&[], &[soa], &[]]);
        keep(&question("a.example.", "A"), &reply, false, &Name::root(), rules, Moment::default()).unwrap()
    };
    let first = ask(SOA, RULES);
    assert_eq!((first.verdict, first.lifetime), (Verdict::Nxdomain, Some(60)));
    assert_eq!(sent("a.example.", "A", &first), ["example. 60 IN SOA ns.example. host.example. 1 2 3 4 60"]);
    assert_eq!(ask("example. 30 SOA ns.example. host.example. 1 2 3 4 60", RULES).lifetime, Some(30));
    assert_eq!(ask(SOA, TtlRules { negative_max: 5, ..RULES }).lifetime, Some(5));
    assert_eq!(ask("example. 300 SOA ns.example. host.example. 1 2 3 4 0", RULES).lifetime, None);
    let foreign = ask("other. 300 SOA ns.other. host.other. 1 2 3 4 60", RULES);
    assert_eq!(
        (foreign.lifetime, sent("a.example.", "A", &foreign).len()),
        (Some(5), 0),
        "an SOA that does not speak for the name"
    );
}

#[test]
fn nodata_nxdomain_behind_a_cname_and_a_missing_target_are_three_things() {
    let cname = "a.example. 20 CNAME b.example.";
    let nodata = kept("a.example.", "A", ResponseCode::NoError, [&[cname], &[SOA], &[]]);
    assert_eq!((nodata.verdict, nodata.lifetime), (Verdict::Nodata, Some(20)));
    let nxdomain = kept("a.example.", "A", ResponseCode::NXDomain, [&[cname], &[SOA], &[]]);
    assert_eq!((nxdomain.verdict, nxdomain.lifetime), (Verdict::Nxdomain, Some(20)));
    let incomplete = kept("a.example.", "A", ResponseCode::NoError, [&[cname], &[], &[]]);
    assert_eq!((incomplete.verdict, incomplete.lifetime), (Verdict::Incomplete, None));
    assert_eq!(sent("a.example.", "A", &incomplete), ["a.example. 20 IN CNAME b.example."]);
    let bare = kept("a.example.", "A", ResponseCode::NoError, [&[], &[], &[]]);
    assert_eq!((bare.verdict, bare.lifetime), (Verdict::Nodata, Some(5)));
    let lame = kept("a.example.", "A", ResponseCode::NoError, [&[], &["example. 300 NS ns.example."], &[]]);
    assert_eq!((lame.verdict, lame.lifetime), (Verdict::Lame, None));
}

#[test]
fn ttl_rules_never_lift_zero() {
    let ask = |ttl: u32, rules: TtlRules| {
        let text = format!("a.example. {ttl} A 10.0.0.1");
        let reply = upstream("a.example.", "A", ResponseCode::NoError, [&[&text], &[], &[]]);
        keep(&question("a.example.", "A"), &reply, false, &Name::root(), rules, Moment::default()).unwrap().lifetime
    };
    let rules = TtlRules { min: 30, max: 100, negative_max: 5 };
    assert_eq!([ask(0, rules), ask(10, rules), ask(50, rules), ask(500, rules)], [None, Some(30), Some(50), Some(100)]);
}

#[test]
fn what_is_cut_is_for_one_use() {
    let mut reply = upstream("a.example.", "A", ResponseCode::NoError, [&["a.example. 60 A 10.0.0.1"], &[], &[]]);
    let lifetime = |reply: &[u8]| {
        keep(&question("a.example.", "A"), reply, false, &Name::root(), RULES, Moment::default()).unwrap().lifetime
    };
    assert_eq!(lifetime(&reply), Some(60));
    reply[2] |= 0x02;
    assert_eq!(lifetime(&reply), None);
}

#[test]
fn only_addresses_of_targets_within_the_zone_come_along() {
    let sections: [&[&str]; 3] = [
        &["_s._tcp.svc.example. 60 SRV 1 2 3 in.svc.example.", "_s._tcp.svc.example. 60 SRV 1 2 3 out.elsewhere."],
        &[],
        &["in.svc.example. 40 A 10.0.0.1", "out.elsewhere. 60 A 10.0.0.2", "stray.svc.example. 60 A 10.0.0.3"],
    ];
    let reply = upstream("_s._tcp.svc.example.", "SRV", ResponseCode::NoError, sections);
    let zone = Name::from_text("svc.example.", &Name::root()).unwrap();
    let kept = keep(&question("_s._tcp.svc.example.", "SRV"), &reply, false, &zone, RULES, Moment::default()).unwrap();
    assert_eq!(kept.lifetime, Some(40));
    let lines = sent("_s._tcp.svc.example.", "SRV", &kept);
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2], "in.svc.example. 40 IN A 10.0.0.1");
}

#[test]
fn failures_are_bare_and_loops_are_malformed() {
    let refused = kept("a.example.", "A", ResponseCode::Refused, [&["a.example. 9 A 10.0.0.1"], &[], &[]]);
    assert_eq!((refused.verdict, refused.lifetime), (Verdict::Failure(Rcode::REFUSED), None));
    assert!(sent("a.example.", "A", &refused).is_empty());
    let looped = upstream(
        "a.example.",
        "A",
        ResponseCode::NoError,
        [&["a.example. 9 CNAME b.example.", "b.example. 9 CNAME a.example."], &[], &[]],
    );
    assert!(keep(&question("a.example.", "A"), &looped, false, &Name::root(), RULES, Moment::default()).is_err());
}

#[test]
fn ttls_count_down_for_the_client() {
    let kept = kept("a.example.", "A", ResponseCode::NoError, [&["a.example. 90 A 10.0.0.1"], &[], &[]]);
    let asked = super::super::query::write_upstream_query(&question("a.example.", "A"), 9, 1232);
    let query = Query::parse(&asked).unwrap();
    let mut out = [0; 512];
    let later = Moment::default() + Duration::from_millis(30_900);
    let length = write_answer(&query, &kept.answer, later, 0, 512, &mut out);
    assert_eq!(Built::from_vec(&out[..length]).unwrap().answers[0].ttl, 60);
}
