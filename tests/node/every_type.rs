//! Records of every kind come through as the server has them: type, data, spelling and TTL.

use hickory_proto::rr::RecordType;

use super::client::Ask;
use super::harness::Zerohop;
use super::peers::nsd;

/// Owner, type, data. `TYPE…` and `\#` are RFC 3597.
const RECORDS: &[(&str, &str, &str)] = &[
    ("Mixed.Case", "A", "192.0.2.1"),
    ("v6", "AAAA", "2001:db8::1"),
    ("mx", "MX", "10 Mail.Example."),
    ("txt", "TXT", r#""one" "two \"three\"" "\000\255""#),
    ("srv", "SRV", "10 60 5060 pbx.example."),
    ("naptr", "NAPTR", r#"10 100 "S" "SIP+D2U" "!^.*$!sip:a@example.com!" _sip._udp.example."#),
    ("ptr", "PTR", "host.example."),
    ("ns", "HINFO", "cpu os"),
    ("rp", "RP", "mbox.example. txt.example."),
    ("afsdb", "AFSDB", "1 afs.example."),
    ("kx", "KX", "10 kx.example."),
    ("loc", "LOC", "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m"),
    ("caa", "CAA", r#"0 issue "ca.example; policy=ev""#),
    ("tlsa", "TLSA", "3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971"),
    ("smimea", "SMIMEA", "3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971"),
    ("sshfp", "SSHFP", "4 2 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971"),
    ("uri", "URI", r#"10 1 "https://www.example.com/""#),
    ("cert", "CERT", "1 12345 8 AQIDBA=="),
    ("openpgpkey", "OPENPGPKEY", "AQIDBA=="),
    ("svcb", "SVCB", "1 target.example. alpn=h2,h3 port=8443 ipv4hint=192.0.2.7 key65280=x"),
    ("https", "HTTPS", "1 . alpn=h3 mandatory=alpn"),
    ("https-alias", "HTTPS", "0 target.example."),
    ("sub", "DS", "12345 8 2 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971"),
    ("cds", "CDS", "12345 8 2 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971"),
    ("dnskey", "DNSKEY", "256 3 8 AQIDBA=="),
    ("nsec3param", "NSEC3PARAM", "1 0 10 aabbccdd"),
    ("unknown", "TYPE65280", r"\# 4 c0 0c 00 01"),
    ("eui48", "EUI48", "00-00-5e-00-53-2a"),
    ("dname", "DNAME", "elsewhere.example."),
];

/// hickory has no name for some of them.
fn rtype(name: &str) -> RecordType {
    let code = match name {
        "LOC" => 29,
        "AFSDB" => 18,
        "RP" => 17,
        "KX" => 36,
        "DNAME" => 39,
        "URI" => 256,
        "EUI48" => 108,
        "TYPE65280" => 65_280,
        name => return name.parse().unwrap(),
    };
    RecordType::from(code)
}

#[test]
fn records_of_every_type_come_through_unharmed() {
    let records: String = RECORDS.iter().map(|(owner, rtype, data)| format!("{owner} 300 {rtype} {data}\n")).collect();
    let zone = format!("{records}sub NS ns.sub\nns.sub A 192.0.2.53\ntarget A 192.0.2.8\npbx A 192.0.2.9\n");
    let Some(server) = nsd(&[("example", &zone)]) else { return };
    let zerohop = Zerohop::start(&format!("[[zone]]\nname = \".\"\nforward = [\"{}\"]", server.address));
    for (owner, name, _) in RECORDS {
        // Data of a DNAME's owner, and a name below it, which has a CNAME made for it.
        let owners = if *name == "DNAME" {
            vec![(*owner).to_owned(), format!("a.b.{owner}")]
        } else {
            vec![(*owner).to_owned()]
        };
        for owner in owners {
            let question = Ask::new(&format!("{owner}.example."), rtype(name)).edns(1232);
            let said = sorted(&question.udp(server.address).answers());
            assert!(!said.is_empty(), "{owner} {name}");
            for hot in [false, true] {
                assert_eq!(sorted(&question.udp(zerohop.address).answers()), said, "{owner} {name}, hot: {hot}");
            }
        }
    }
}

/// TTLs, which may have counted down a second, replaced.
fn sorted(records: &[String]) -> Vec<String> {
    let mut records: Vec<String> = records.iter().map(|record| record.replace(" 299 ", " 300 ")).collect();
    records.sort();
    records
}
