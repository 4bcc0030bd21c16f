use super::*;
use proptest::prelude::*;

fn origin() -> Name {
    Name::from_text("example.com.", &Name::root()).unwrap()
}

fn read(rtype: RecordType, text: &str) -> Result<Vec<u8>, String> {
    parse_rdata(rtype, text, &origin()).map(Vec::from)
}

fn decode(rtype: RecordType, wire: &[u8]) -> RData {
    use hickory_proto::serialize::binary::{BinDecoder, Restrict};
    let mut decoder = BinDecoder::new(wire);
    let length = Restrict::new(u16::try_from(wire.len()).unwrap());
    RData::read(&mut decoder, HickoryType::from(rtype.code()), length).unwrap()
}

#[test]
fn addresses_are_read_strictly() {
    assert_eq!(read(RecordType::A, "10.0.0.1").unwrap(), [10, 0, 0, 1]);
    assert_eq!(read(RecordType::AAAA, "fd00::1").unwrap().len(), 16);
    let fault = read(RecordType::A, "10.0.0.300").unwrap_err();
    assert_eq!(fault, "\"10.0.0.300\" is no IPv4 address; write `A address`");
    for wrong in ["", "10.0.0.1 10.0.0.2", "10.0.0", "fd00::1", "\"", "10.0.0.1\n10.0.0.2"] {
        assert!(read(RecordType::A, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn names_stand_below_the_origin() {
    for rtype in [RecordType::CNAME, RecordType::NS, RecordType::PTR, RecordType::DNAME] {
        assert_eq!(read(rtype, "A").unwrap(), b"\x01a\x07example\x03com\x00");
        assert_eq!(read(rtype, "a.").unwrap(), b"\x01a\x00");
        assert_eq!(read(rtype, "@").unwrap(), origin().wire());
    }
    assert_eq!(read(RecordType::MX, "10 mx.").unwrap(), b"\x00\x0a\x02mx\x00");
    assert_eq!(read(RecordType::SRV, "1 2 53 a.").unwrap(), b"\x00\x01\x00\x02\x00\x35\x01a\x00");
    let soa = read(RecordType::SOA, "ns. host. ( 1 1h 600 1w2d\n 5 )").unwrap();
    assert_eq!(decode(RecordType::SOA, &soa).to_string(), "ns. host. 1 3600 600 777600 5");
    let naptr = read(RecordType::NAPTR, "10 100 \"S\" \"SIP+D2U\" \"\" _sip._udp.pbx").unwrap();
    let text = decode(RecordType::NAPTR, &naptr).to_string();
    assert_eq!(text, "10 100 \"S\" \"SIP+D2U\" \"\" _sip._udp.pbx.example.com.");
}

#[test]
fn strings_keep_their_octets() {
    assert_eq!(read(RecordType::TXT, r#""a \"b\"; c" d\;e "" "#).unwrap(), b"\x08a \"b\"; c\x03d;e\x00");
    assert_eq!(read(RecordType::TXT, r#""\200\000""#).unwrap(), b"\x02\xc8\x00");
    assert_eq!(read(RecordType::TXT, &"x".repeat(255)).unwrap().len(), 256);
    let fault = read(RecordType::TXT, &"x".repeat(256)).unwrap_err();
    assert!(fault.contains("256 octets") && fault.contains("255"), "{fault}");
    assert_eq!(read(RecordType::CAA, "0 issue \"ca.example; a=b\"").unwrap(), b"\x00\x05issueca.example; a=b");
    assert_eq!(read(RecordType::URI, "1 2 \"http://a/\"").unwrap(), b"\x00\x01\x00\x02http://a/");
}

#[test]
fn tags_and_flags_are_letters_and_digits() {
    assert!(read(RecordType::NAPTR, "1 2 \"\" \"\" \"\" .").is_ok());
    assert!(read(RecordType::NAPTR, "1 2 1\"S\" \"\" \"\" .").is_err());
    assert!(read(RecordType::NAPTR, r"\# 8 00010002 00 00 00 00").is_ok());
    assert!(read(RecordType::NAPTR, r"\# 9 00010002 012b 00 00 00").is_err());
    for wrong in ["0 issu+e x", "0 \"\" x", "0 is\"s\"ue x", "0 a.b x"] {
        assert!(read(RecordType::CAA, wrong).is_err(), "{wrong}");
    }
    let fault = read(RecordType::CAA, "0 is-sue x").unwrap_err();
    assert_eq!(fault, "\"is-sue\" is no tag of letters and digits; write `CAA flags tag \"value\"`");
}

#[test]
fn generic_form_is_for_every_type_and_keeps_its_shape() {
    assert_eq!(read(RecordType::new(65280), r"\# 3 ab CDef").unwrap(), [0xab, 0xcd, 0xef]);
    assert_eq!(read(RecordType::new(65280), r"\# 0").unwrap(), Vec::<u8>::new());
    assert_eq!(read(RecordType::RRSIG, &format!(r"\# 20 {}", "00".repeat(20))).unwrap(), [0; 20]);
    assert_eq!(read(RecordType::HTTPS, r"\# 9 000100 0003000201bb").unwrap(), b"\x00\x01\x00\x00\x03\x00\x02\x01\xbb");
    assert_eq!(read(RecordType::A, r"\# 4 0a000001").unwrap(), [10, 0, 0, 1]);
    assert_eq!(read(RecordType::CNAME, r"\# 3 016100").unwrap(), b"\x01a\x00");
    assert_eq!(read(RecordType::TXT, r"\# 2 0161").unwrap(), b"\x01a");
    for (rtype, wrong) in [
        (RecordType::A, r"\# 3 0a0000"),
        (RecordType::AAAA, r"\# 4 0a000001"),
        (RecordType::CNAME, r"\# 2 c00c"),
        (RecordType::CNAME, r"\# 4 01610000"),
        (RecordType::MX, r"\# 2 0001"),
        (RecordType::SRV, r"\# 4 00010001"),
        (RecordType::SOA, r"\# 2 0000"),
        (RecordType::TXT, r"\# 2 0561"),
        (RecordType::RRSIG, r"\# 1 00"),
        (RecordType::NSEC, r"\# 2 c000"),
        (RecordType::HTTPS, r"\# 5 000100 0003"),
        (RecordType::CAA, r"\# 4 00022b61"),
        (RecordType::CAA, r"\# 2 0000"),
        (RecordType::new(65280), r"\# 2 ab"),
        (RecordType::new(65280), r"\# 1 a"),
        (RecordType::new(65280), r"\# 1 ag"),
        (RecordType::new(65280), r"\#"),
        (RecordType::new(65280), r"\# 99999999 00"),
    ] {
        assert!(read(rtype, wrong).is_err(), "{rtype} {wrong}");
    }
    let fault = read(RecordType::RRSIG, "A 8 2 300").unwrap_err();
    assert!(fault.contains("RFC 3597"), "{fault}");
}

#[test]
fn hexadecimal_and_hickory_types() {
    assert_eq!(read(RecordType::DS, "1 8 2 ab ( cd\n ef )").unwrap(), [0, 1, 8, 2, 0xab, 0xcd, 0xef]);
    assert_eq!(read(RecordType::OPENPGPKEY, "AQ ID").unwrap(), [1, 2, 3]);
    assert_eq!(read(RecordType::CERT, "1 2 8 AQID").unwrap(), [0, 1, 0, 2, 8, 1, 2, 3]);
    let https = read(RecordType::HTTPS, "1 svc port=443 alpn=\"h2,h3\"").unwrap();
    assert_eq!(https, b"\x00\x01\x03svc\x07example\x03com\x00\x00\x01\x00\x06\x02h2\x02h3\x00\x03\x00\x02\x01\xbb");
    assert_eq!(read(RecordType::SVCB, "0 .").unwrap(), b"\x00\x00\x00");
    for wrong in ["1 . port=x", "1 . \"alpn\"", "1 . port=1 port=2", "x ."] {
        assert!(read(RecordType::SVCB, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn times_have_units() {
    assert_eq!(parse_ttl("1h30m"), Some(5400));
    assert_eq!(parse_ttl("1W2D3h4M5s"), Some(788_645));
    assert_eq!(parse_ttl("0"), Some(0));
    for wrong in ["", "h", "1x", "4294967296", "7102w", "-1"] {
        assert_eq!(parse_ttl(wrong), None, "{wrong}");
    }
}

fn any_type() -> impl Strategy<Value = RecordType> {
    let shaped: Vec<RecordType> = SHAPES.iter().flat_map(|(types, ..)| types.iter().copied()).collect();
    prop_oneof![
        prop::sample::select(shaped),
        (0_u16..300).prop_map(RecordType::new),
        any::<u16>().prop_map(RecordType::new)
    ]
}

proptest! {
    #[test]
    fn any_text_is_read(rtype in any_type(), text in "[ -~\n\té]{0,80}", wild in any::<String>()) {
        let _ = read(rtype, &text);
        let _ = read(rtype, &wild);
    }

    #[test]
    fn what_hickory_prints_reads_back(preference in any::<u16>(), label in "[a-z0-9-]{1,20}", a in any::<u32>()) {
        let rdatas = [
            (RecordType::A, a.to_be_bytes().to_vec()),
            (RecordType::MX, read(RecordType::MX, &format!("{preference} {label}")).unwrap()),
            (RecordType::SRV, read(RecordType::SRV, &format!("{preference} 0 53 {label}")).unwrap()),
            (RecordType::SOA, read(RecordType::SOA, &format!("{label} {label}. {a} 1 2 3 4")).unwrap()),
            (RecordType::CNAME, read(RecordType::CNAME, &label).unwrap()),
            (RecordType::SSHFP, read(RecordType::SSHFP, &format!("1 2 {a:08x}")).unwrap()),
            (RecordType::HTTPS, read(RecordType::HTTPS, &format!("1 {label} port={preference}")).unwrap()),
        ];
        for (rtype, wire) in rdatas {
            prop_assert_eq!(&read(rtype, &decode(rtype, &wire).to_string()).unwrap(), &wire);
        }
    }

    #[test]
    fn any_rdata_reads_back_from_its_generic_form(octets in prop::collection::vec(any::<u8>(), 0..100)) {
        let digits: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        prop_assert_eq!(read(RecordType::new(65280), &format!(r"\# {} {digits}", octets.len())).unwrap(), octets);
    }

    #[test]
    fn any_string_reads_back_escaped(octets in prop::collection::vec(any::<u8>(), 0..=255)) {
        let escaped: String = octets.iter().map(|octet| format!("\\{octet:03}")).collect();
        let wire = read(RecordType::TXT, &format!("\"{escaped}\"")).unwrap();
        prop_assert_eq!(&wire[1..], &octets[..]);
    }
}
