//! dig, kdig, drill and host have nothing to warn of, whatever they ask and however.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::harness::Zerohop;
use super::peers::{self, Peer};
use super::process::find;

/// What these programs say, in lower case, when a reply is not as it should be.
const COMPLAINTS: &[&str] = &[
    "warning",
    "error:",
    "got bad packet",
    "malformed",
    "mismatch",
    "unexpected",
    "extra bytes",
    "not available",
    "timed out",
    "no servers could be reached",
    "short",
    "fail",
    "retrying",
    "trunca",
];

/// The same records twice: below `own` as static ones, below `fwd` at a server that is forwarded to.
const RECORDS: [&str; 8] = [
    "four A 10.0.0.4",
    "both A 10.0.0.5",
    "both AAAA fd00::5",
    "alias CNAME four",
    "text TXT \"one\" \"two words\"",
    "_http._tcp SRV 0 50 80 four",
    "mail MX 10 four",
    "mail MX 20 both",
];

/// A name of both zones, a type, and what the answer shows; nothing for a denial.
const QUESTIONS: [(&str, &str, &str); 9] = [
    ("four", "A", "10.0.0.4"),
    ("both", "AAAA", "fd00::5"),
    ("four", "AAAA", ""),
    ("nobody", "A", ""),
    ("alias", "A", "10.0.0.4"),
    ("text", "TXT", "two words"),
    ("_http._tcp", "SRV", "four"),
    ("mail", "MX", "both"),
    ("both", "ANY", "RFC8482"),
];

fn set_up() -> Option<(Peer, Zerohop)> {
    let upstream = peers::nsd(&[("fwd.example", &RECORDS.join("\n"))])?;
    let records: Vec<String> = RECORDS.iter().map(|record| format!("'{record}'")).collect();
    let zerohop = Zerohop::start(&format!(
        "[[zone]]\nname = \"own.example\"\nrecords = [{}]\n[[zone]]\nname = \"fwd.example\"\nforward = [\"{}\"]",
        records.join(", "),
        upstream.address
    ));
    Some((upstream, zerohop))
}

/// Runs a client, and returns what it says if that is no complaint.
fn run(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let complaint = COMPLAINTS.iter().find(|complaint| said.to_lowercase().contains(**complaint));
    assert_eq!(complaint, None, "{program:?} {arguments:?}: {said}");
    said
}

/// Asks everything, cold and hot, in each of these ways; `arguments` makes a command line of one.
fn ask_everything<'a>(
    program: &Path,
    ways: &[&[&'a str]],
    arguments: impl Fn(SocketAddr, &[&'a str], &str, &str) -> Vec<String>,
) {
    let Some((_upstream, zerohop)) = set_up() else { return };
    for way in ways {
        for zone in ["own.example", "fwd.example", "fwd.example"] {
            for (name, rtype, shown) in QUESTIONS {
                let arguments = arguments(zerohop.address, way, &format!("{name}.{zone}"), rtype);
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let said = run(program, &arguments);
                assert!(said.contains(shown), "{arguments:?}: {shown} is missing: {said}");
            }
        }
    }
    let metrics = zerohop.metrics();
    let asked = metrics.sum("zerohop_requests_total", &[]);
    let expected = ways.len() * 3 * QUESTIONS.len();
    assert_eq!(usize::try_from(asked).unwrap(), expected, "nobody had to ask twice");
}

/// dig's way of writing a question, and kdig's.
fn dig_like(server: SocketAddr, way: &[&str], name: &str, rtype: &str) -> Vec<String> {
    let fixed = [format!("@{}", server.ip()), "-p".to_owned(), server.port().to_string()];
    let asked = [name.to_owned(), rtype.to_owned(), "+tries=1".to_owned()];
    fixed.into_iter().chain(asked).chain(way.iter().map(|&option| option.to_owned())).collect()
}

#[test]
fn dig_has_nothing_to_warn_of() {
    let Some(dig) = find("dig", "bind9-dnsutils") else { return };
    let ways: &[&[&str]] = &[
        &["+notcp"],
        &["+tcp"],
        &["+notcp", "+noedns"],
        &["+tcp", "+noedns"],
        &["+notcp", "+dnssec"],
        &["+notcp", "+nocookie", "+bufsize=512"],
    ];
    ask_everything(&dig, ways, dig_like);
}

#[test]
fn kdig_has_nothing_to_warn_of() {
    let Some(kdig) = find("kdig", "knot-dnsutils") else { return };
    let ways: &[&[&str]] =
        &[&["+notcp", "+edns"], &["+tcp", "+edns"], &["+notcp", "+noedns"], &["+tcp"], &["+notcp", "+dnssec"]];
    ask_everything(&kdig, ways, |server, way, name, rtype| {
        dig_like(server, way, name, rtype).into_iter().filter(|argument| argument != "+tries=1").collect()
    });
}

#[test]
fn drill_has_nothing_to_warn_of() {
    let Some(drill) = find("drill", "ldnsutils") else { return };
    let ways: &[&[&str]] = &[&["-u"], &["-t"], &["-u", "-b", "1232"], &["-u", "-D"]];
    ask_everything(&drill, ways, |server, way, name, rtype| {
        let fixed = ["-p".to_owned(), server.port().to_string()];
        let asked = [name.to_owned(), format!("@{}", server.ip()), rtype.to_owned()];
        way.iter().map(|&option| option.to_owned()).chain(fixed).chain(asked).collect()
    });
}

#[test]
fn host_has_nothing_to_warn_of() {
    let Some(host) = find("host", "bind9-host") else { return };
    ask_everything(&host, &[&["-U"], &["-T"]], |server, way, name, rtype| {
        let fixed = ["-p".to_owned(), server.port().to_string(), "-t".to_owned(), rtype.to_owned(), name.to_owned()];
        way.iter().map(|&option| option.to_owned()).chain(fixed).chain([server.ip().to_string()]).collect()
    });
}

#[test]
fn transfers_and_other_classes_are_refused() {
    let Some(dig) = find("dig", "bind9-dnsutils") else { return };
    let zerohop = Zerohop::start("[[zone]]\nname = \"own.example\"\nrecords = [\"a A 10.0.0.1\"]");
    let port = zerohop.address.port().to_string();
    let server = format!("@{}", zerohop.address.ip());
    let chaos = run(&dig, &[&server, "-p", &port, "CH", "TXT", "version.bind", "+tries=1"]);
    assert!(chaos.contains("status: REFUSED"), "{chaos}");
    let ixfr = run(&dig, &[&server, "-p", &port, "own.example", "IXFR=1", "+notcp", "+noall", "+comments", "+tries=1"]);
    assert!(ixfr.contains("REFUSED"), "{ixfr}");
    // That a transfer failed is what dig is meant to say.
    let axfr = Command::new(&dig).args([&server, "-p", &port, "own.example", "AXFR"]).output().unwrap();
    assert!(String::from_utf8_lossy(&axfr.stdout).contains("; Transfer failed."), "{axfr:?}");
    assert_eq!(zerohop.metrics().sum("zerohop_rejected_total", &[("reason", "transfer")]), 2);
}
