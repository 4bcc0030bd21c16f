use super::*;
use proptest::prelude::*;

fn origin() -> Name {
    Name::from_text("example.com.", &Name::root()).unwrap()
}

fn no_files(file: &str) -> Result<String, String> {
    Err(format!("there is no {file}"))
}

fn lines(parsed: &Parsed) -> Vec<String> {
    let show = |(record, line): &(Record, usize)| {
        format!("{line} {} {} {} {:02x?}", record.owner, record.ttl, record.rtype, record.rdata)
    };
    parsed.records.iter().map(show).collect()
}

#[test]
fn a_zone_file_is_read() {
    let text = "\
$TTL 1h
@ IN SOA ns host ( 1 ; serial
    2 3 4 5 )
  NS ns.\r
www 30 IN A 10.0.0.1
    IN 1m A 10.0.0.2
$ORIGIN sub
a.b A 10.0.0.3
;end
$ORIGIN other.test.
c TYPE1 \\# 4 0a000004";
    let parsed = parse(text, &origin(), 7, &mut no_files);
    assert_eq!(parsed.faults, []);
    let lines = lines(&parsed);
    assert!(lines[0].starts_with("2 example.com. 3600 SOA"), "{}", lines[0]);
    assert_eq!(
        lines[1..],
        [
            "4 example.com. 3600 NS [02, 6e, 73, 00]",
            "5 www.example.com. 30 A [0a, 00, 00, 01]",
            "6 www.example.com. 60 A [0a, 00, 00, 02]",
            "8 a.b.sub.example.com. 3600 A [0a, 00, 00, 03]",
            "11 c.other.test. 3600 A [0a, 00, 00, 04]",
        ]
    );
}

#[test]
fn every_fault_is_found_in_one_run() {
    let text = "  A 10.0.0.1\na A 10.0.0.300\nb..c A 10.0.0.1\n A 10.0.0.2\nc CH A 1.2.3.4\nd 10.0.0.1\ne 1x A 1.1.1.1\n\
                $GENERATE 1-2 a A 1.1.1.1\n$NOTHING\n$TTL\nf MX 10\ng AXFR x\nh \"A\ni A 10.0.0.9\nj\n";
    let parsed = parse(text, &origin(), 7, &mut no_files);
    let places: Vec<_> = parsed.faults.iter().map(|f| (f.line, f.column)).collect();
    assert_eq!(
        places,
        [(1, 3), (2, 5), (3, 1), (5, 3), (6, 3), (7, 3), (8, 1), (9, 1), (10, 1), (11, 6), (12, 3), (13, 3), (15, 1)]
    );
    assert_eq!(parsed.faults[1].problem, "\"10.0.0.300\" is no IPv4 address");
    assert_eq!(parsed.faults[4].remedy, "write `A 10.0.0.1`");
    assert!(parsed.faults[6].problem.contains("$GENERATE"));
    assert_eq!(lines(&parsed), ["4 example.com. 7 A [0a, 00, 00, 02]", "14 i.example.com. 7 A [0a, 00, 00, 09]"]);
}

#[test]
fn an_included_file_changes_neither_origin_nor_owner() {
    let mut files = |file: &str| match file {
        "one" => Ok("$ORIGIN x.test.\nb A 10.0.0.1\n\nbad A x\n$INCLUDE two y.test.\n".to_owned()),
        "two" => Ok("@ A 10.0.0.2\n$INCLUDE one\n".to_owned()),
        other => Err(format!("there is no {other}")),
    };
    let parsed = parse("a A 10.0.0.0\n$INCLUDE one\n A 10.0.0.3\n$INCLUDE three\n", &origin(), 7, &mut files);
    assert_eq!(
        lines(&parsed),
        [
            "1 a.example.com. 7 A [0a, 00, 00, 00]",
            "2 b.x.test. 7 A [0a, 00, 00, 01]",
            "2 y.test. 7 A [0a, 00, 00, 02]",
            "3 a.example.com. 7 A [0a, 00, 00, 03]",
        ]
    );
    let faults: Vec<_> = parsed.faults.iter().map(|f| (f.line, f.column, f.problem.as_str())).collect();
    assert_eq!(
        faults,
        [
            (2, 10, "one:4:7: \"x\" is no IPv4 address"),
            (2, 10, "one:5:10: two:2:10: \"one\" includes itself"),
            (4, 10, "\"three\" cannot be read: there is no three"),
        ]
    );
}

#[test]
fn files_include_one_another_only_so_deep() {
    let mut files = |file: &str| Ok(format!("$INCLUDE {file}x\n"));
    let parsed = parse("$INCLUDE x\n", &origin(), 7, &mut files);
    assert_eq!(parsed.faults.len(), 1);
    assert!(parsed.faults[0].problem.ends_with("8 deep"), "{}", parsed.faults[0].problem);
}

#[test]
fn one_record_is_one_entry() {
    let record = parse_record("*.Apps 1h IN A 10.0.0.20", &origin(), 30).unwrap();
    assert_eq!((record.owner.to_string().as_str(), record.ttl), ("*.apps.example.com.", 3600));
    assert_eq!(parse_record("a TXT ( \"x\"\n \"y\" )", &origin(), 30).unwrap().rdata[..], *b"\x01x\x01y");
    for (wrong, place) in [
        ("", (1, 1)),
        (" a A 10.0.0.1", (1, 2)),
        ("$TTL 5", (1, 1)),
        ("a A 10.0.0.1\nb A 10.0.0.2", (2, 1)),
        ("a A", (1, 3)),
        ("a 2147483648 A 10.0.0.1", (1, 3)),
    ] {
        let fault = parse_record(wrong, &origin(), 30).unwrap_err();
        assert_eq!((fault.line, fault.column), place, "{wrong}: {fault:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in "[ -~\n\té]{0,200}", wild in any::<String>()) {
        for text in [text, wild] {
            let mut includes = 0;
            let mut include = |_: &str| {
                includes += 1;
                if includes > 20 { Err("enough".to_owned()) } else { Ok(text.clone()) }
            };
            parse(&text, &origin(), 7, &mut include);
            let _ = parse_record(&text, &origin(), 7);
        }
    }

    #[test]
    fn printed_owners_read_back(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..6)) {
        let mut wire = Vec::new();
        for label in &labels {
            wire.push(u8::try_from(label.len()).unwrap());
            wire.extend(label);
        }
        wire.push(0);
        let owner = Name::from_wire(&wire).unwrap();
        let record = parse_record(&format!("{owner} A 10.0.0.1"), &origin(), 7).unwrap();
        prop_assert_eq!(record.owner, owner);
    }
}
