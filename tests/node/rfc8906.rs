//! The checklist of RFC 8906, section 8, with the command lines that it gives: for a zone that is
//! ours, and for one that is forwarded, cold and warm.
//!
//! The RFC tests authoritative servers. Of a forwarded zone AA is not expected, and cold without RD
//! nobody is asked: REFUSED, and no silence. With RD the same questions are answered.

use std::path::Path;
use std::process::Command;

use hickory_proto::rr::rdata::{NULL, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::harness::Zerohop;
use super::process::find;
use super::recorder::{Asked, Recorder};

/// Octets of the RDATA of one key: three of them do not fit into 512.
const KEY_LENGTH: usize = 254;

/// What one test of the checklist expects.
struct Expect {
    status: &'static str,
    /// Records of this type in the answer section; none of any type if empty.
    answer: &'static str,
    truncated: bool,
}

const SOA_RECORD: Expect = Expect { status: "NOERROR", answer: "SOA", truncated: false };
const NO_RECORD: Expect = Expect { status: "NOERROR", answer: "", truncated: false };
const BADVERS: Expect = Expect { status: "BADVERS", answer: "", truncated: false };
const NOTIMP: Expect = Expect { status: "NOTIMP", answer: "", truncated: false };
const REFUSED: Expect = Expect { status: "REFUSED", answer: "", truncated: false };
const TRUNCATED: Expect = Expect { status: "NOERROR", answer: "", truncated: true };

/// Flags, protocol, algorithm, and something like a key.
fn key(number: u8) -> Vec<u8> {
    let mut rdata = vec![1, 0, 3, 8];
    rdata.resize(KEY_LENGTH, number);
    rdata
}

/// The forwarded zone's server.
fn upstream(asked: &Asked) {
    let mut reply = asked.reply();
    let name = Name::from_ascii("fwd.example.").unwrap();
    let host = |host: &str| Name::from_ascii(host).unwrap();
    let soa = SOA::new(host("ns.fwd.example."), host("root.fwd.example."), 1, 3600, 600, 86_400, 60);
    let soa = Record::from_rdata(name.clone(), 300, RData::SOA(soa));
    match asked.query.queries[0].query_type() {
        RecordType::SOA => drop(reply.add_answer(soa)),
        RecordType::DNSKEY => {
            for number in 0..3 {
                let data = RData::Unknown { code: RecordType::DNSKEY, rdata: NULL::with(key(number)) };
                reply.add_answer(Record::from_rdata(name.clone(), 300, data));
            }
        }
        _ => drop(reply.add_authority(soa)),
    }
    asked.send(&reply);
}

/// Runs one command line of the checklist, in which `$zone` is the zone.
fn check(arguments: &str, expect: &Expect) {
    let Some(dig) = find("dig", "bind9-dnsutils") else { return };
    let upstream = Recorder::scripted(|asked| upstream(&asked));
    let hex = |number| key(number).iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let keys: Vec<String> = (0..3).map(|number| format!("'@ DNSKEY \\# {KEY_LENGTH} {}'", hex(number))).collect();
    let zerohop = Zerohop::start(&format!(
        "[[zone]]\nname = \"own.example\"\nrecords = [{}]\n[[zone]]\nname = \"fwd.example\"\nforward = [\"{}\"]",
        keys.join(", "),
        upstream.address
    ));
    let ask = |zone: &str, arguments: &str| dig_says(&dig, &zerohop, &arguments.replace("$zone", zone));
    let gives_data = expect.status == "NOERROR";

    expect.check(arguments, gives_data, &ask("own.example", arguments));

    let is_recursive = !arguments.contains("+norec");
    if gives_data && !is_recursive {
        REFUSED.check(arguments, false, &ask("fwd.example", arguments));
        assert_eq!(upstream.packets(), 0, "{arguments}: without RD nobody is asked");
    }
    let recursive = arguments.replace("+norec", "+rec");
    for (state, arguments) in [("cold", recursive.as_str()), ("warm", arguments), ("hot", arguments)] {
        expect.check(&format!("{state} {arguments}"), false, &ask("fwd.example", arguments));
        assert_eq!(upstream.packets(), usize::from(gives_data), "{state} {arguments}: packets to the upstream");
    }
    assert_eq!(zerohop.metrics().sum("zerohop_panics_total", &[]), 0);
}

fn dig_says(dig: &Path, zerohop: &Zerohop, arguments: &str) -> String {
    let mut command = Command::new(dig);
    command.arg(format!("@{}", zerohop.address.ip())).arg("-p").arg(zerohop.address.port().to_string());
    let output = command.args(["+tries=1", "+nocmd"]).args(arguments.split_whitespace()).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

impl Expect {
    fn check(&self, what: &str, authoritative: bool, said: &str) {
        let Self { status, answer, truncated } = self;
        let has = |part: &str| said.contains(part);
        assert!(has(&format!("status: {status},")), "{what}: {status} is expected: {said}");
        let flags = said.lines().find_map(|line| line.strip_prefix(";; flags:")).unwrap_or_else(|| panic!("{said}"));
        let (flags, _) = flags.split_once("; QUERY").unwrap_or_else(|| panic!("{said}"));
        let flag = |flag: &str| flags.split([' ', ';']).any(|word| word == flag);
        assert!(flag("qr"), "{what}: QR: {said}");
        assert_eq!(flag("aa"), authoritative, "{what}: AA: {said}");
        assert_eq!(flag("tc"), *truncated, "{what}: TC: {said}");
        assert_eq!(flag("rd"), !what.contains("+norec"), "{what}: RD: {said}");
        assert!(!flag("ad"), "{what}: AD: {said}");
        assert_eq!(flag("cd"), what.contains("+cd"), "{what}: CD: {said}");
        assert!(!has("MBZ"), "{what}: a reserved bit comes back: {said}");
        let count = if answer.is_empty() { "ANSWER: 0," } else { "ANSWER: 1," };
        assert!(*truncated || has(count), "{what}: {count} is expected: {said}");
        assert!(answer.is_empty() || has(&format!("\tIN\t{answer}\t")), "{what}: {answer}: {said}");
        let edns = what.contains("+edns=") || what.contains("+dnssec");
        assert_eq!(has("; EDNS: version: 0, flags:"), edns, "{what}: OPT: {said}");
        assert_eq!(has("; EDNS: version: 0, flags: do; udp"), what.contains("+dnssec"), "{what}: DO: {said}");
        for option in ["OPT=100", "COOKIE", "NSID", "EXPIRE", "CLIENT-SUBNET"] {
            assert!(!has(option), "{what}: {option} comes back: {said}");
        }
        for complaint in ["WARNING", "Warning", "malformed", "timed out", "mismatch"] {
            assert!(!has(complaint), "{what}: {said}");
        }
    }
}

#[test]
fn section_8_1_1_is_the_server_configured_for_the_zone() {
    check("+noedns +noad +norec soa $zone", &SOA_RECORD);
}

#[test]
fn section_8_1_2_unknown_types() {
    check("+noedns +noad +norec type1000 $zone", &NO_RECORD);
}

#[test]
fn section_8_1_3_1_cd_queries() {
    check("+noedns +noad +norec +cd soa $zone", &SOA_RECORD);
}

#[test]
fn section_8_1_3_2_ad_queries() {
    check("+noedns +norec +ad soa $zone", &SOA_RECORD);
}

#[test]
fn section_8_1_3_3_reserved_bit() {
    check("+noedns +noad +norec +zflag soa $zone", &SOA_RECORD);
}

#[test]
fn section_8_1_3_4_recursive_queries() {
    check("+noedns +noad +rec soa $zone", &SOA_RECORD);
}

#[test]
fn section_8_1_4_unknown_opcodes() {
    check("+noedns +noad +opcode=15 +norec +header-only", &NOTIMP);
}

#[test]
fn section_8_1_5_tcp() {
    check("+noedns +noad +norec +tcp soa $zone", &SOA_RECORD);
}

#[test]
fn section_8_2_1_minimal_edns() {
    check("+nocookie +edns=0 +noad +norec soa $zone", &SOA_RECORD);
}

#[test]
fn section_8_2_2_edns_version_negotiation() {
    check("+nocookie +edns=1 +noednsneg +noad +norec soa $zone", &BADVERS);
}

#[test]
fn section_8_2_3_unknown_edns_options() {
    check("+nocookie +edns=0 +noad +norec +ednsopt=100 soa $zone", &SOA_RECORD);
}

#[test]
fn section_8_2_4_unknown_edns_flags() {
    check("+nocookie +edns=0 +noad +norec +ednsflags=0x40 soa $zone", &SOA_RECORD);
}

#[test]
fn section_8_2_5_edns_version_negotiation_with_unknown_edns_flags() {
    check("+nocookie +edns=1 +noednsneg +noad +norec +ednsflags=0x40 soa $zone", &BADVERS);
}

#[test]
fn section_8_2_6_edns_version_negotiation_with_unknown_edns_options() {
    check("+nocookie +edns=1 +noednsneg +noad +norec +ednsopt=100 soa $zone", &BADVERS);
}

#[test]
fn section_8_2_7_truncated_responses() {
    check("+norec +dnssec +bufsize=512 +nocookie +ignore dnskey $zone", &TRUNCATED);
}

#[test]
fn section_8_2_8_do_handling() {
    check("+nocookie +edns=0 +noad +norec +dnssec soa $zone", &SOA_RECORD);
}

#[test]
fn section_8_2_9_edns_version_negotiation_with_do() {
    check("+nocookie +edns=1 +noednsneg +noad +norec +dnssec soa $zone", &BADVERS);
}

#[test]
fn section_8_2_10_multiple_defined_edns_options() {
    check("+edns=0 +noad +norec +cookie +nsid +expire +subnet=0.0.0.0/0 soa $zone", &SOA_RECORD);
}
