//! Zones asked as a client would, their answers read by hickory.

use std::time::Duration;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::{RData, RecordType as HickoryType};

use super::*;
use crate::config::{Expression, NextOn, Pattern, Piece, Reaction, ServeStale, Template};
use crate::dns::response::{Terms, write_answer};
use crate::dns::zone_text::{self, parse_record};
use crate::dns::{Moment, Query, Question, TtlRules};

pub(super) fn name(text: &str) -> Name {
    Name::from_text(text, &Name::root()).unwrap()
}

pub(super) fn forward() -> Option<Forward> {
    let next_on = NextOn { nxdomain: false, nodata: false, servfail: true, refused: true, timeout: true };
    let stale = ServeStale { max_age: Duration::ZERO, after: Duration::ZERO, ttl: 30 };
    let ttl = TtlRules { min: 0, max: 86_400, negative_max: 3600 };
    Some(Forward {
        groups: vec![0],
        in_flight: 1,
        next_on,
        ttl,
        except: Vec::new(),
        nxdomain_cut: false,
        max_labels: None,
        stale,
    })
}

/// A zone owned whole, with TTL 30.
pub(super) fn zone(apex: &str, records: &[&str]) -> config::Zone {
    let apex = name(apex);
    config::Zone {
        records: records.iter().map(|text| parse_record(text, &apex, 30).unwrap()).collect(),
        name: apex,
        patterns: Vec::new(),
        forward: None,
        ttl: 30,
        ptr: false,
        other_types: OtherTypes::Nodata,
        absent: Rcode::NXDOMAIN,
        special: false,
    }
}

pub(super) fn forwarded(apex: &str, records: &[&str]) -> config::Zone {
    config::Zone { forward: forward(), ..zone(apex, records) }
}

/// Templates are `TYPE data`, where `${n}` is a group.
pub(super) fn pattern(regex: &str, templates: &[&str]) -> Pattern {
    let template = |text: &&str| {
        let (rtype, data) = text.split_once(' ').unwrap();
        let mut pieces = Vec::new();
        for (index, part) in data.split("${").enumerate() {
            let (group, text) =
                if index == 0 { (None, part) } else { part.split_once('}').map(|(g, t)| (Some(g), t)).unwrap() };
            pieces.extend(group.map(|group| Piece::Group(group.parse().unwrap())));
            pieces.push(Piece::Text(text.to_owned()));
        }
        Template { rtype: RecordType::from_mnemonic(rtype).unwrap(), pieces }
    };
    Pattern { reaction: Reaction::Answer(templates.iter().map(template).collect()), ..bare(regex, Rcode::NOERROR) }
}

pub(super) fn bare(regex: &str, rcode: Rcode) -> Pattern {
    let regex = Expression::new(regex, &Expression::parse(regex).unwrap()).unwrap();
    Pattern { regex, reaction: Reaction::Rcode(rcode), ttl: 60 }
}

pub(super) fn table(zones: &[config::Zone]) -> ZoneTable {
    ZoneTable::build(zones).unwrap()
}

/// Asks `TYPE name` and shows the answer: response code, AA, records.
pub(super) fn ask(table: &ZoneTable, qname: &str, rtype: &str) -> String {
    let rtype = RecordType::from_mnemonic(rtype).unwrap();
    let qname = name(qname);
    let Some(zone) = table.find(qname.wire(), rtype) else { return "no zone".to_owned() };
    match table.zone(zone).own(qname.wire(), rtype) {
        Own::Elsewhere => "elsewhere".to_owned(),
        Own::Answer { answer, .. } => show(&qname, rtype, &answer),
        Own::Alias { answer, target, .. } => format!("{} -> {target}", show(&qname, rtype, &answer)),
    }
}

fn show(qname: &Name, rtype: RecordType, answer: &StoredAnswer) -> String {
    let question = Question::new(qname.wire(), rtype, false, false).unwrap();
    let packet = crate::dns::query::write_upstream_query(&question, 7, 1232);
    let mut out = vec![0; 65_535];
    let length =
        write_answer(&Query::parse(&packet).unwrap(), answer, Moment::default(), 0, Terms::up_to(65_535), &mut out);
    let message = Message::from_vec(&out[..length]).unwrap();
    assert_eq!(message.metadata.message_type, MessageType::Response);
    // Hickory does not know DNAME.
    let data = |data: &RData| match data {
        RData::Unknown { code: HickoryType::DNAME, rdata } => Name::from_wire(&rdata.anything).unwrap().to_string(),
        known => known.to_string(),
    };
    let records =
        message.answers.iter().map(|r| format!(" {} {} {} {};", r.name, r.ttl, r.record_type(), data(&r.data)));
    let denial = message.authorities.iter().map(|r| format!(" [{} {} {}]", r.name, r.ttl, r.record_type()));
    let aa = if message.metadata.authoritative { " aa" } else { "" };
    format!("{}{aa}{}", answer.rcode(), records.chain(denial).collect::<String>())
}

#[test]
fn the_longest_suffix_is_the_zone() {
    let zones = [forwarded(".", &[]), zone("example.com.", &[]), zone("sub.example.com.", &[]), zone("other.", &[])];
    let table = table(&zones);
    let find = |text: &str, rtype| table.find(name(text).wire(), rtype);
    assert_eq!(find("example.com.", RecordType::A), Some(1));
    assert_eq!(find("a.b.EXAMPLE.com.", RecordType::A), Some(1));
    assert_eq!(find("badexample.com.", RecordType::A), Some(0));
    assert_eq!(find("a.sub.example.com.", RecordType::A), Some(2));
    assert_eq!(find(".", RecordType::A), Some(0));
    // DS belongs to the parent's side of a cut.
    assert_eq!(find("sub.example.com.", RecordType::DS), Some(1));
    assert_eq!(find("a.sub.example.com.", RecordType::DS), Some(2));
    assert_eq!(find("example.com.", RecordType::DS), Some(0));
    assert_eq!(find(".", RecordType::DS), Some(0));
    assert_eq!(table.len(), 4);

    let alone = tests::table(&[zone("example.com.", &[])]);
    assert_eq!(alone.find(name("com.").wire(), RecordType::A), None);
    assert_eq!(alone.find(name("example.com.").wire(), RecordType::DS), Some(0));
    assert_eq!(ask(&alone, "example.com.", "DS"), "NOERROR aa [example.com. 5 SOA]");
}

#[test]
fn a_zone_without_forward_is_owned_whole() {
    let table = table(&[zone("example.com.", &["api A 10.0.0.10", "a.b A 10.0.0.1"])]);
    assert_eq!(ask(&table, "api.example.com.", "A"), "NOERROR aa api.example.com. 30 A 10.0.0.10;");
    assert_eq!(ask(&table, "api.example.com.", "AAAA"), "NOERROR aa [example.com. 5 SOA]");
    assert_eq!(ask(&table, "b.example.com.", "A"), "NOERROR aa [example.com. 5 SOA]");
    assert_eq!(ask(&table, "c.example.com.", "A"), "NXDOMAIN aa [example.com. 5 SOA]");
    let soa = "NOERROR aa example.com. 5 SOA ns.example.com. hostmaster.example.com. 1 3600 600 86400 5;";
    assert_eq!(ask(&table, "example.com.", "SOA"), soa);
    assert_eq!(ask(&table, "example.com.", "A"), "NOERROR aa [example.com. 5 SOA]");
}

#[test]
fn a_zone_with_forward_owns_only_its_names() {
    let mut zone = forwarded(
        "example.com.",
        &["api A 10.0.0.10", "a.b A 10.0.0.1", "*.w A 10.0.0.2", "x.sub A 10.0.0.3", "sub NS ns"],
    );
    let strict = table(std::slice::from_ref(&zone));
    assert_eq!(ask(&strict, "api.example.com.", "A"), "NOERROR aa api.example.com. 30 A 10.0.0.10;");
    assert_eq!(ask(&strict, "api.example.com.", "AAAA"), "NOERROR aa [example.com. 5 SOA]");
    assert_eq!(ask(&strict, "q.w.example.com.", "A"), "NOERROR aa q.w.example.com. 30 A 10.0.0.2;");
    for elsewhere in ["b.example.com.", "example.com.", "c.example.com.", "sub.example.com.", "x.sub.example.com."] {
        assert_eq!(ask(&strict, elsewhere, "A"), "elsewhere", "{elsewhere}");
    }
    zone.other_types = OtherTypes::Forward;
    zone.patterns = vec![pattern("^p", &["A 10.0.0.9"])];
    let lenient = table(&[zone]);
    assert_eq!(ask(&lenient, "api.example.com.", "A"), "NOERROR aa api.example.com. 30 A 10.0.0.10;");
    assert_eq!(ask(&lenient, "api.example.com.", "AAAA"), "elsewhere");
    assert_eq!(ask(&lenient, "p.example.com.", "AAAA"), "elsewhere");
}

#[test]
fn the_root_may_be_ours() {
    let table = table(&[zone(".", &["a A 10.0.0.1", "*. TXT x"])]);
    assert_eq!(ask(&table, "a.", "A"), "NOERROR aa a. 30 A 10.0.0.1;");
    assert_eq!(ask(&table, "b.c.", "TXT"), "NOERROR aa b.c. 30 TXT x;");
    assert_eq!(ask(&table, ".", "A"), "NOERROR aa [. 5 SOA]");
    assert_eq!(ask(&table, "b.a.", "A"), "NXDOMAIN aa [. 5 SOA]");
}

#[test]
fn the_soa_of_the_records_is_used() {
    let table = table(&[zone("a.", &["@ 600 SOA ns. host. 9 1 2 3 60", "@ NS ns."])]);
    assert_eq!(ask(&table, "x.a.", "A"), "NXDOMAIN aa [a. 60 SOA]");
    assert_eq!(ask(&table, "a.", "SOA"), "NOERROR aa a. 600 SOA ns. host. 9 1 2 3 60;");
    assert_eq!(ask(&table, "a.", "NS"), "NOERROR aa a. 30 NS ns.;");
}

#[test]
fn a_cname_is_followed_by_the_caller() {
    let table = table(&[zone("a.", &["c CNAME T.b.", "*.w CNAME t"])]);
    assert_eq!(ask(&table, "c.a.", "A"), "NOERROR aa c.a. 30 CNAME t.b.; -> t.b.");
    assert_eq!(ask(&table, "c.a.", "CNAME"), "NOERROR aa c.a. 30 CNAME t.b.;");
    assert_eq!(ask(&table, "x.w.a.", "A"), "NOERROR aa x.w.a. 30 CNAME t.a.; -> t.a.");
}

#[test]
fn a_dname_redirects_what_is_below_it() {
    let long = format!("{0}.{0}.{0}.{1}.", "x".repeat(63), "y".repeat(50));
    let table =
        table(&[zone("a.", &["d DNAME t.b.", "d A 10.0.0.1", "hidden.d A 10.0.0.2", &format!("l DNAME {long}")])]);
    assert_eq!(ask(&table, "d.a.", "A"), "NOERROR aa d.a. 30 A 10.0.0.1;");
    assert_eq!(ask(&table, "d.a.", "DNAME"), "NOERROR aa d.a. 30 DNAME t.b.;");
    let both = "NOERROR aa d.a. 30 DNAME t.b.; x.d.a. 30 CNAME x.t.b.;";
    assert_eq!(ask(&table, "x.d.a.", "A"), format!("{both} -> x.t.b."));
    assert_eq!(ask(&table, "x.d.a.", "CNAME"), both);
    assert!(ask(&table, "hidden.d.a.", "A").ends_with("-> hidden.t.b."));
    assert_eq!(
        ask(&table, "x.l.a.", "A"),
        format!("NOERROR aa l.a. 30 DNAME {long}; x.l.a. 30 CNAME x.{long}; -> x.{long}")
    );
    assert_eq!(ask(&table, &format!("{}.l.a.", "z".repeat(20)), "A"), format!("YXDOMAIN aa l.a. 30 DNAME {long};"));
}

#[test]
fn below_a_zone_cut_nothing_is_ours() {
    let table = table(&[zone("a.", &["sub NS ns.sub", "ns.sub A 10.0.0.1", "sub DS 1 8 2 ab", "e NS x."])]);
    for name in ["sub.a.", "ns.sub.a.", "x.y.sub.a."] {
        assert_eq!(ask(&table, name, "A"), "REFUSED", "{name}");
    }
    assert!(ask(&table, "sub.a.", "DS").starts_with("NOERROR aa sub.a. 30 DS"));
    assert_eq!(ask(&table, "e.a.", "DS"), "NOERROR aa [a. 5 SOA]");
}

#[test]
fn addresses_imply_reverse_names() {
    let mut hosts =
        zone("a.", &["one A 10.0.0.1", "two A 10.0.0.1", "six AAAA fd00::1", "*.w A 10.0.0.3", "k A 10.0.0.4"]);
    hosts.ptr = true;
    let quiet = zone("b.", &["one A 10.0.0.9"]);
    let reverse = forwarded("10.in-addr.arpa.", &["4.0.0 PTR kept.a."]);
    let table = table(&[hosts, quiet, reverse, zone("ip6.arpa.", &[])]);
    assert_eq!(ask(&table, "1.0.0.10.in-addr.arpa.", "PTR"), "NOERROR aa 1.0.0.10.in-addr.arpa. 30 PTR one.a.;");
    assert_eq!(ask(&table, "4.0.0.10.in-addr.arpa.", "PTR"), "NOERROR aa 4.0.0.10.in-addr.arpa. 30 PTR kept.a.;");
    for elsewhere in ["3.0.0.10.in-addr.arpa.", "9.0.0.10.in-addr.arpa."] {
        assert_eq!(ask(&table, elsewhere, "PTR"), "elsewhere");
    }
    let six = format!("1.{}0.0.d.f.ip6.arpa.", "0.".repeat(27));
    assert!(ask(&table, &six, "PTR").ends_with("PTR six.a.;"));
}

#[test]
fn a_set_is_whole_with_its_lowest_ttl_and_no_record_twice() {
    let records: Vec<String> = (0..300).map(|n| format!("a {} A 10.0.{}.{}", 1000 - n, n / 250, n % 250)).collect();
    let mut records: Vec<&str> = records.iter().map(String::as_str).collect();
    records.push("a A 10.0.0.0");
    let answer = ask(&table(&[zone("z.", &records)]), "a.z.", "A");
    assert!(answer.starts_with("NOERROR aa a.z. 30 A 10.0.0.0; a.z. 30 A 10.0.0.1;"), "{}", &answer[..80]);
    assert_eq!(answer.matches(" A ").count(), 300);

    let records: Vec<String> = (0..5000).map(|n| format!("a A 10.0.{}.{}", n / 250, n % 250)).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let unfit = ZoneTable::build(&[zone("z.", &records)]).unwrap_err();
    assert_eq!(unfit, Unfit { zone: name("z."), owner: name("a.z."), rtype: RecordType::A });
}

#[test]
fn equal_answers_are_one_answer() {
    let table = table(&[zone("z.", &["a A 0.0.0.0", "b A 0.0.0.0", "c 31 A 0.0.0.0"])]);
    let own = |qname: &str| match table.zone(0).own(name(qname).wire(), RecordType::A) {
        Own::Answer { answer, source: OwnSource::Record | OwnSource::Absent } => answer,
        other => panic!("{other:?}"),
    };
    assert!(Arc::ptr_eq(&own("a.z."), &own("b.z.")));
    assert!(!Arc::ptr_eq(&own("a.z."), &own("c.z.")));
    assert!(Arc::ptr_eq(&own("x.z."), &own("y.z.")));
}

#[test]
fn the_examples_of_rfc_4592_hold() {
    let text = "
        @ 3600 SOA ns.example.com. host.example.com. 1 2 3 4 5
        @ 3600 NS ns.example.com.
        @ 3600 NS ns.example.net.
        * 3600 TXT \"this is a wildcard\"
        * 3600 MX 10 host1.example.
        sub.* 3600 TXT \"this is not a wildcard\"
        host1 3600 A 192.0.2.1
        _ssh._tcp.host1 3600 SRV 0 0 22 host1
        _ssh._tcp.host2 3600 SRV 0 0 22 host2
        subdel 3600 NS ns.example.com.
        subdel 3600 NS ns.example.net.";
    let text: String = text.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    let parsed = zone_text::parse(&text, &name("example."), 1, &mut |_| Err(String::new()));
    assert_eq!(parsed.faults, []);
    let records = parsed.records.into_iter().map(|(record, _)| record).collect();
    let table = table(&[config::Zone { records, ..zone("example.", &[]) }]);
    let (nodata, nxdomain) = ("NOERROR aa [example. 5 SOA]", "NXDOMAIN aa [example. 5 SOA]");
    assert_eq!(ask(&table, "host3.example.", "MX"), "NOERROR aa host3.example. 3600 MX 10 host1.example.;");
    assert_eq!(ask(&table, "host3.example.", "A"), nodata);
    assert_eq!(ask(&table, "foo.bar.example.", "TXT"), "NOERROR aa foo.bar.example. 3600 TXT this is a wildcard;");
    assert_eq!(ask(&table, "host1.example.", "MX"), nodata);
    assert_eq!(ask(&table, "sub.*.example.", "MX"), nodata);
    assert_eq!(ask(&table, "_telnet._tcp.host1.example.", "SRV"), nxdomain);
    assert_eq!(ask(&table, "host.subdel.example.", "A"), "REFUSED");
    assert_eq!(ask(&table, "ghost.*.example.", "MX"), nxdomain);
    // Section 2.2.2: empty non-terminals exist, and so hide the wildcard.
    assert_eq!(ask(&table, "_tcp.host2.example.", "TXT"), nodata);
    assert_eq!(ask(&table, "host2.example.", "TXT"), nodata);
    assert_eq!(ask(&table, "x.host2.example.", "TXT"), nxdomain);
    assert_eq!(ask(&table, "*.example.", "TXT"), "NOERROR aa *.example. 3600 TXT this is a wildcard;");
}
