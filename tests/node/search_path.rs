//! The walk through a pod's search list, with and without relief: docs/search-paths.md says how many
//! questions reach kube-dns, and is held to it.

use std::io::{Write, stderr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, AAAA, SRV};

use super::client::ask;
use super::harness::Zerohop;
use super::peers::{self, Peer, Zone};

const PAGE: &str = include_str!("../../docs/search-paths.md");
/// Of the pods in the namespace `default`.
const SEARCH: [&str; 3] = ["default.svc.cluster.local.", "svc.cluster.local.", "cluster.local."];
const NAMES: usize = 100;
const PUBLIC: &str = "198.51.100.1";

const KUBE_DNS: Zone<'_> = (
    "cluster.local",
    "web.default.svc A 10.96.0.7\n_http._tcp.web.default.svc SRV 0 50 80 web-0.web.default.svc\n\
     web-0.web.default.svc A 10.244.9.1\n",
);

/// The pattern of the page's own configuration.
fn pattern() -> &'static str {
    let line = PAGE.lines().find_map(|line| line.strip_prefix("pattern = "));
    line.expect("a pattern on the page")
}

/// A row's first cell, and what it stands for in the zone.
fn rows() -> [(&'static str, String); 5] {
    let (cut, labels) = ("nxdomain-cut = true\n", "max-labels = 4\n");
    let denies = format!("[[zone.match]]\npattern = {}\nrcode = \"NXDOMAIN\"\n", pattern());
    [
        ("none", String::new()),
        ("`nxdomain-cut`", cut.to_owned()),
        ("`max-labels`", labels.to_owned()),
        ("both", format!("{cut}{labels}")),
        ("both and the pattern", format!("{cut}{labels}{denies}")),
    ]
}

fn zerohop_before(kube_dns: &Peer, public: &Peer, keys: &str) -> Zerohop {
    Zerohop::start(&format!(
        r#"
        [[upstream]]
        name = "kube-dns"
        servers = ["{}"]
        [[zone]]
        name = "."
        forward = ["{}"]
        [[zone]]
        name = "cluster.local"
        forward = ["kube-dns"]
        {keys}
        "#,
        kube_dns.address, public.address,
    ))
}

/// Looks a name up as a pod with ndots:5 does: A, then AAAA, below each suffix and then as it is.
fn look_up(zerohop: &Zerohop, name: &str) {
    for suffix in SEARCH {
        for rtype in [A, AAAA] {
            let walked = format!("{name}.{suffix}");
            assert_eq!(ask(zerohop.address, &walked, rtype).rcode(), ResponseCode::NXDomain, "{walked}");
        }
    }
    let public = format!("{name}.");
    assert_eq!(ask(zerohop.address, &public, A).data(A), [PUBLIC], "{public}");
    assert_eq!(ask(zerohop.address, &public, AAAA).rcode(), ResponseCode::NoError, "{public}");
}

/// Questions to kube-dns for these names, none of which was asked for before.
fn questions(kube_dns: &Peer, public: &Peer, keys: &str, names: &[String]) -> u64 {
    let zerohop = zerohop_before(kube_dns, public, keys);
    for name in names {
        look_up(&zerohop, name);
    }
    let metrics = zerohop.metrics();
    let asked = metrics.sum("zerohop_responses_total", &[("zone", "cluster.local."), ("source", "forward")]);
    // A question is sent again when the machine is so loaded that no reply comes in time.
    let sent = metrics.sum("zerohop_upstream_queries_total", &[("upstream", "kube-dns")]);
    assert!(sent >= asked, "{sent} of {asked}");
    the_cluster_is_still_there(&zerohop);
    asked
}

fn the_cluster_is_still_there(zerohop: &Zerohop) {
    assert_eq!(ask(zerohop.address, "web.default.svc.cluster.local.", A).data(A), ["10.96.0.7"]);
    assert_eq!(ask(zerohop.address, "web-0.web.default.svc.cluster.local.", A).data(A), ["10.244.9.1"]);
    let ports = ask(zerohop.address, "_http._tcp.web.default.svc.cluster.local.", SRV);
    assert_eq!(ports.data(SRV), ["0 50 80 web-0.web.default.svc.cluster.local."]);
}

fn the_page_is_right_of(server: &str, kube_dns: &Peer) {
    let Some(public) = peers::unbound(&[("com", &format!("* A {PUBLIC}"))]) else { return };
    let of_many: Vec<String> = (0..NAMES).map(|number| format!("www.example{number}.com")).collect();
    let below_one = (0..NAMES).map(|number| format!("w{number}.example.com"));
    let below_one: Vec<String> = std::iter::once("example.com".to_owned()).chain(below_one).collect();
    for (label, keys) in rows() {
        let measured = [&of_many, &below_one].map(|names| questions(kube_dns, &public, &keys, names));
        let line = format!("| {label} | {} | {} |", measured[0], measured[1]);
        // Not through print macros: the test runner hides those when a test passes.
        stderr().write_all(format!("search path, {server}: {line}\n").as_bytes()).unwrap();
        assert!(PAGE.lines().any(|said| said == line), "{server}: not on the page: {line}");
    }
}

#[test]
fn nsd_gets_as_many_questions_as_the_page_says() {
    let Some(kube_dns) = peers::nsd(&[KUBE_DNS]) else { return };
    the_page_is_right_of("nsd", &kube_dns);
}

#[test]
fn unbound_gets_as_many_questions_as_the_page_says() {
    let Some(kube_dns) = peers::unbound(&[KUBE_DNS]) else { return };
    the_page_is_right_of("unbound", &kube_dns);
}
