//! Patterns: what they answer, and that the index never hides one.

use proptest::prelude::*;

use super::*;
use crate::config::Zone;
use crate::dns::{Name, Rcode};
use crate::zone::tests::{ask, bare, forwarded, pattern, table, zone};

fn with(zone: Zone, patterns: Vec<config::Pattern>) -> Zone {
    Zone { patterns, ..zone }
}

fn keys(pattern: &str) -> Option<Vec<String>> {
    let text = |key: Box<[u8]>| String::from_utf8(key.into()).unwrap();
    Some(required_suffixes(pattern)?.into_iter().map(text).collect())
}

#[test]
fn groups_become_addresses() {
    let ip = r"(^|[.])ip-10-([0-9]+)-([0-9]+)-([0-9]+)[.]example$";
    let table =
        table(&[with(forwarded("example.", &["ip-10-1-1-1 A 10.9.9.9"]), vec![pattern(ip, &["A 10.${2}.${3}.${4}"])])]);
    let expected = "NOERROR aa ip-10-95-12-8.example. 60 A 10.95.12.8;";
    assert_eq!(ask(&table, "IP-10-95-12-8.example.", "A"), expected);
    assert_eq!(ask(&table, "x.ip-10-95-12-8.example.", "A"), format!("NOERROR aa x.{}", &expected[11..]));
    assert_eq!(ask(&table, "ip-10-95-12-8.example.", "AAAA"), "NOERROR aa [example. 5 SOA]");
    assert_eq!(ask(&table, "something.example.", "A"), "elsewhere");
    // Records stand before patterns, and an expansion that is no address is no match.
    assert_eq!(ask(&table, "ip-10-1-1-1.example.", "A"), "NOERROR aa ip-10-1-1-1.example. 30 A 10.9.9.9;");
    assert_eq!(ask(&table, "ip-10-95-12-256.example.", "A"), "elsewhere");
}

#[test]
fn groups_may_be_hexadecimal() {
    let hex = r"^ip6-([0-9a-f]{1,4})-([0-9a-f]{1,4})[.]example$";
    let table = table(&[with(zone("example.", &[]), vec![pattern(hex, &["AAAA fd00::${1}:${2}"])])]);
    assert_eq!(ask(&table, "ip6-5f-c09.example.", "AAAA"), "NOERROR aa ip6-5f-c09.example. 60 AAAA fd00::5f:c09;");
    assert_eq!(ask(&table, "ip6-g.example.", "AAAA"), "NXDOMAIN aa [example. 5 SOA]");
}

#[test]
fn reverse_names_are_computed() {
    let reverse = r"^([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)\.in-addr\.arpa$";
    let table =
        table(&[with(zone("in-addr.arpa.", &[]), vec![pattern(reverse, &["PTR ip-${4}-${3}-${2}-${1}.example."])])]);
    assert_eq!(
        ask(&table, "4.3.2.1.in-addr.arpa.", "PTR"),
        "NOERROR aa 4.3.2.1.in-addr.arpa. 60 PTR ip-1-2-3-4.example.;"
    );
}

#[test]
fn the_first_pattern_that_comes_to_records_owns_the_name() {
    let patterns = vec![
        pattern(r"^ip-([0-9]+)-([0-9]+)\.dc\.example$", &["A 10.0.${1}.${2}", "TXT dc"]),
        pattern(r"^([0-9]+)\.([0-9]+)\.ext\.example$", &["A 10.0.${1}.${2}"]),
        pattern(r"^ip-.*\.example$", &["CNAME other"]),
        bare(r"^no\.", Rcode::REFUSED),
        bare(r"^nodata\.", Rcode::NOERROR),
        bare(r"^gone\.", Rcode::NXDOMAIN),
    ];
    let table = table(&[with(zone("example.", &["a.gone A 10.0.0.1"]), patterns)]);
    assert_eq!(ask(&table, "ip-1-2.dc.example.", "A"), "NOERROR aa ip-1-2.dc.example. 60 A 10.0.1.2;");
    assert_eq!(ask(&table, "ip-1-2.dc.example.", "TXT"), "NOERROR aa ip-1-2.dc.example. 60 TXT dc;");
    assert_eq!(ask(&table, "1.2.ext.example.", "A"), "NOERROR aa 1.2.ext.example. 60 A 10.0.1.2;");
    let alias = "NOERROR aa ip-1-256.dc.example. 60 CNAME other.example.;";
    assert_eq!(ask(&table, "ip-1-256.dc.example.", "A"), format!("{alias} -> other.example."));
    assert_eq!(ask(&table, "ip-1-256.dc.example.", "CNAME"), alias);
    assert_eq!(ask(&table, "no.example.", "A"), "REFUSED");
    assert_eq!(ask(&table, "nodata.example.", "A"), "NOERROR aa [example. 5 SOA]");
    // Patterns stand before the empty non-terminal.
    assert_eq!(ask(&table, "gone.example.", "A"), "NXDOMAIN aa [example. 5 SOA]");
}

#[test]
fn a_label_cannot_add_fields() {
    let patterns = vec![pattern(r"^t-(.*)\.example$", &["TXT \"${1}\"", "CNAME ${1}.inside."])];
    let table = table(&[with(zone("example.", &[]), patterns)]);
    assert!(ask(&table, r"t-a\034\032\034b.example.", "A").ends_with(r#"-> a\"\032\"b.inside."#));
    assert_eq!(ask(&table, r"t-a\034\032\034b.example.", "TXT").split("TXT ").last().unwrap(), "a\" \"b;");
    assert!(ask(&table, r"t-out.\059.example.", "A").ends_with(r"-> out.\;.inside."));
    assert!(ask(&table, r"t-\200\092.example.", "A").ends_with(r"-> \200\\.inside."));
}

#[test]
fn one_of_ten_thousand_is_found() {
    let patterns = (0..10_000).map(|n| pattern(&format!(r"^h-([0-9]+)\.n{n}\.example$"), &["A 10.0.0.${1}"])).collect();
    let zone = with(forwarded("example.", &[]), patterns);
    assert!(Patterns::build(&zone.patterns).rest.is_empty());
    let table = table(&[zone]);
    assert_eq!(ask(&table, "h-7.n8191.example.", "A"), "NOERROR aa h-7.n8191.example. 60 A 10.0.0.7;");
    assert_eq!(ask(&table, "h-7.n10000.example.", "A"), "elsewhere");
}

#[test]
fn ends_are_whole_labels() {
    let some = |keys: &[&str]| Some(keys.iter().map(|&key| key.to_owned()).collect());
    assert_eq!(keys(r"^ip-(\d+)\.nodes\.example\.com$"), some(&["nodes.example.com"]));
    assert_eq!(keys(r"\.example\.com$"), some(&["example.com"]));
    assert_eq!(keys(r"example\.com$"), some(&["com"]));
    assert_eq!(keys(r"^www\.example\.com$"), some(&["www.example.com"]));
    assert_eq!(keys(r"\.(?:a|b)\.c$"), some(&["a.c", "b.c"]));
    assert_eq!(keys(r"(?i)\.com$"), some(&["com"]));
    for none in [r"example", r"example$", r"\.example\.com", r"\.example\.[a-z]+$", r".*", r"\.com$|^x", r"(?m)\.com$"]
    {
        assert_eq!(keys(none), None, "{none}");
    }
}

fn regex() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a", "b", r"\.", ".", "[ab]", "[a-z.]", "(?i)a", "(?i)B", "^", "$", "", r"a\.b", r"\.b\.a", "(?m)$", r"\b",
        "A", r"\z", "(?-m)^",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 6, |inner| {
        let several = || prop::collection::vec(inner.clone(), 1..6);
        prop_oneof![
            3 => several().prop_map(|parts| parts.concat()),
            1 => several().prop_map(|parts| format!("(?:{})", parts.join("|"))),
            1 => (inner.clone(), prop::sample::select(vec!["?", "*", "+", "{2}", "{0,3}", "*?"]))
                .prop_map(|(part, times)| format!("(?:{part}){times}")),
            2 => several().prop_map(|parts| format!("{}$", parts.concat())),
            2 => several().prop_map(|parts| format!("^{}$", parts.concat())),
            1 => several().prop_map(|parts| format!(r"{}\.a\.b$", parts.concat())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_index_hides_no_pattern(
        regexes in prop::collection::vec(regex(), 1..20),
        names in prop::collection::vec(prop::collection::vec("[ab]{1,2}|[ab.]{1,4}", 0..5), 1..20),
    ) {
        let compiled = regexes.iter().filter_map(|regex| Expression::new(regex, &Expression::parse(regex).ok()?).ok());
        let patterns: Vec<config::Pattern> =
            compiled.zip(0..).map(|(regex, ttl)| config::Pattern { regex, reaction: config::Reaction::Rcode(Rcode::REFUSED), ttl }).collect();
        let indexed = Patterns::build(&patterns);
        for labels in names {
            let escaped = |label: &String| label.replace('.', r"\.");
            let text: String = labels.iter().map(|label| escaped(label) + ".").collect();
            let qname = Name::from_text(if text.is_empty() { "." } else { &text }, &Name::root()).unwrap();
            let linear = patterns.iter().find(|pattern| pattern.regex.is_match(labels.join(".").as_bytes()));
            let found = indexed.first(qname.wire(), |_, pattern, text| {
                pattern.regex.is_match(text).then_some(pattern.ttl)
            });
            prop_assert_eq!(found, linear.map(|pattern| pattern.ttl), "{} {:?}", qname, regexes);
        }
    }
}

#[test]
fn of_patterns_that_one_name_may_match_few_are_compiled_late() {
    let compiled = |count: usize, end: &str| {
        let patterns: Vec<_> = (0..count).map(|n| pattern(&format!(r"^p{n}-[0-9]+{end}"), &["A 10.0.0.1"])).collect();
        Patterns::build(&patterns);
        patterns.iter().filter(|pattern| pattern.regex.is_compiled()).count()
    };
    for end in [r"\.example$", ""] {
        assert_eq!([16, 17].map(|count| compiled(count, end)), [0, 17], "{end}");
    }
}
