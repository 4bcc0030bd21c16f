//! DNS over TLS to upstreams: who is not who the configuration says is not asked.

use std::net::SocketAddr;
use std::path::Path;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::A;
use hickory_proto::rr::rdata::opt::EdnsOption;

use super::certificates::{Authority, Certified};
use super::client::{Ask, Reply, ask};
use super::harness::Zerohop;
use super::peers::{dnsdist_tls, kresd_tls, unbound_tls};
use super::recorder::Recorder;
use super::tls_server::TlsServer;
use super::wait::until;

/// EDE Network Error (RFC 8914, section 4.24).
const NETWORK_ERROR: u16 = 23;
const ZONE: (&str, &str) = ("b.example", "www A 192.0.2.7\n");

pub(crate) fn sections(servers: &[String], ca: &Path, more: &str) -> String {
    let ca = ca.display();
    format!(
        "[[upstream]]\nname = \"b\"\nservers = {servers:?}\nca = \"{ca}\"\n{more}\n[[zone]]\nname = \".\"\nforward = [\"b\"]"
    )
}

pub(crate) fn zerohop(server: String, ca: &Authority, more: &str) -> Zerohop {
    Zerohop::start(&sections(&[server], &ca.file(), more))
}

pub(crate) fn extended_error(reply: &Reply) -> Option<u16> {
    let edns = reply.message.edns.as_ref()?;
    edns.options().as_ref().iter().find_map(|(_, option)| match option {
        EdnsOption::Unknown(15, data) => Some(u16::from_be_bytes([data[0], data[1]])),
        _ => None,
    })
}

/// It is asked, refused, told so to the client, and said once in the log.
pub(crate) fn is_refused(zerohop: &Zerohop, parts: &[&str]) {
    // Two: with three that wait in vain the server would be set aside, which is another answer.
    for name in ["www.b.example.", "www2.b.example."] {
        let reply = Ask::new(name, A).edns(1232).udp(zerohop.address);
        assert_eq!((reply.rcode(), extended_error(&reply)), (ResponseCode::ServFail, Some(NETWORK_ERROR)), "{name}");
    }
    zerohop.log_line(parts);
    let said = zerohop.process.output().lines().filter(|line| line.contains("upstream is not asked")).count();
    assert_eq!(said, 1, "{}", zerohop.process.output());
    assert!(zerohop.metrics().sum("zerohop_upstream_attempts_total", &[("outcome", "unreachable")]) >= 2);
}

fn unbound(authority: &Authority, names: &[&str]) -> Option<(super::peers::Peer, SocketAddr)> {
    let Certified { certificate, key } = authority.certify(names);
    unbound_tls(&[ZONE], &certificate, &key)
}

#[test]
fn unbound_is_asked_when_it_has_the_name() {
    let authority = Authority::new();
    let Some((_peer, address)) = unbound(&authority, &["dns.b.example"]) else { return };
    let server = format!("tls://{address}#dns.b.example");
    let named = zerohop(server.clone(), &authority, "");
    assert_eq!(ask(named.address, "www.b.example.", A).data(A), ["192.0.2.7"]);
    let labels = [("server", server.as_str()), ("protocol", "tls")];
    assert_eq!(named.metrics().sum("zerohop_upstream_queries_total", &labels), 1);
}

#[test]
fn without_a_name_the_certificate_is_for_the_address_or_refused() {
    let authority = Authority::new();
    let listener = TlsServer::listener();
    let address = listener.local_addr().unwrap();
    let certified = authority.certify(&[&address.ip().to_string(), "dns.b.example"]);
    let _server = TlsServer::start_at(listener, &certified, None, usize::MAX);
    let zerohop_of = |server| zerohop(server, &authority, "");
    assert_eq!(ask(zerohop_of(format!("tls://{address}")).address, "www.b.example.", A).data(A), ["192.0.2.1"]);
    let other = TlsServer::start(&authority.certify(&["127.0.0.1", "dns.b.example"]), None, usize::MAX);
    let ip = other.address.ip();
    is_refused(
        &zerohop_of(format!("tls://{}", other.address)),
        &[&format!("for 127.0.0.1, dns.b.example, not for {ip}")],
    );
}

#[test]
fn a_wrong_name_is_refused_and_both_names_are_said() {
    let authority = Authority::new();
    let Some((_peer, address)) = unbound(&authority, &["dns.b.example", "other.example"]) else { return };
    let zerohop = zerohop(format!("tls://{address}#dns.c.example"), &authority, "");
    is_refused(
        &zerohop,
        &["its certificate is for dns.b.example, other.example, not for dns.c.example", &address.to_string()],
    );
}

#[test]
fn of_a_server_that_is_not_trusted_the_log_says_that_once_and_nothing_of_silence() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = TlsServer::start(&stranger.certify(&["dns.b.example"]), None, usize::MAX);
    let shown = format!("tls://{}#dns.b.example", server.address);
    let zerohop = zerohop(shown.clone(), &authority, "");
    let mut number = 0;
    until("it to be set aside", || {
        number += 1;
        ask(zerohop.address, &format!("n{number}.example."), A);
        (zerohop.metrics().sum("zerohop_upstream_up", &[]) == 0).then_some(())
    });
    // What is said of it when it is set aside is written before the gauge can be seen.
    let output = zerohop.process.output();
    let said: Vec<&str> = output.lines().filter(|line| line.contains(&shown) && line.contains("WARN")).collect();
    assert!(said.len() == 1 && said[0].contains("signed by nobody that is trusted"), "{said:#?}");
}

#[test]
fn an_unknown_authority_is_refused_until_its_file_is_named() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let Some((_peer, address)) = unbound(&authority, &["dns.b.example"]) else { return };
    let server = format!("tls://{address}#dns.b.example");
    let zerohop = zerohop(server.clone(), &stranger, "");
    is_refused(&zerohop, &["signed by nobody that is trusted", "`ca`"]);
    // The same path, with another certificate in it.
    std::fs::copy(authority.file(), stranger.file()).unwrap();
    zerohop.reload(&sections(&[server], &stranger.file(), ""));
    assert_eq!(ask(zerohop.address, "www4.b.example.", A).rcode(), ResponseCode::NXDomain);
}

#[test]
fn dnsdist_is_asked() {
    let authority = Authority::new();
    let Certified { certificate, key } = authority.certify(&["dns.b.example"]);
    let behind = Recorder::answering([192, 0, 2, 8]);
    let Some((_peer, address)) = dnsdist_tls(behind.address, &certificate, &key) else { return };
    let zerohop = zerohop(format!("tls://{address}#dns.b.example"), &authority, "");
    for number in 0..50 {
        assert_eq!(ask(zerohop.address, &format!("n{number}.example."), A).data(A), ["192.0.2.8"]);
    }
}

#[test]
fn queries_are_padded_and_connections_say_whom_they_want_and_resume() {
    let authority = Authority::new();
    let server = TlsServer::start(&authority.certify(&["dns.b.example"]), None, 2);
    let zerohop = zerohop(format!("tls://{}#dns.b.example", server.address), &authority, "");
    for number in 0..20 {
        assert_eq!(ask(zerohop.address, &format!("n{number}.example."), A).data(A), ["192.0.2.1"]);
    }
    let calls = server.calls();
    assert!(calls.len() >= 10, "it hung up after two replies: {calls:?}");
    for call in &calls {
        assert_eq!((call.name.as_deref(), call.protocol.as_deref()), (Some("dns.b.example"), Some("dot")));
        assert!(!call.certified);
    }
    assert!(calls.iter().filter(|call| call.resumed).count() >= calls.len() / 2, "{calls:?}");
    assert!(server.queries().iter().all(|query| query.len() == 128));
}

#[test]
fn knot_resolver_is_asked_under_its_name_and_under_no_other() {
    let authority = Authority::new();
    let Certified { certificate, key } = authority.certify(&["dns.b.example"]);
    let Some((_peer, address)) = kresd_tls([192, 0, 2, 7], &certificate, &key) else { return };
    let named = zerohop(format!("tls://{address}#dns.b.example"), &authority, "");
    for number in 0..50 {
        assert_eq!(ask(named.address, &format!("n{number}.b.example."), A).data(A), ["192.0.2.7"]);
    }
    is_refused(
        &zerohop(format!("tls://{address}#dns.c.example"), &authority, ""),
        &["its certificate is for dns.b.example, not for dns.c.example", &address.to_string()],
    );
}

#[test]
fn a_server_that_hangs_up_in_between_loses_no_question_over_tls_either() {
    let authority = Authority::new();
    let certified = authority.certify(&["dns.b.example"]);
    for lifetime in [1, 25] {
        let server = TlsServer::start(&certified, None, lifetime);
        let zerohop = zerohop(format!("tls://{}#dns.b.example", server.address), &authority, "");
        super::streams::ask_at_once_by(&zerohop, lifetime);
        assert!(server.calls().len() > 8, "it did hang up");
    }
}

#[test]
fn connections_outlive_a_reload_that_changes_no_certificate() {
    let authority = Authority::new();
    let certified = authority.certify(&["dns.b.example"]);
    let server = TlsServer::start(&certified, None, usize::MAX);
    let sections = |more: &str| sections(&[format!("tls://{}#dns.b.example", server.address)], &authority.file(), more);
    let zerohop = Zerohop::with_server("workers = 1", &sections(""));
    let resolves = |name: &str| assert_eq!(ask(zerohop.address, name, A).data(A), ["192.0.2.1"]);
    resolves("a.example.");
    zerohop.reload(&sections("policy = \"random\""));
    resolves("b.example.");
    assert_eq!(server.calls().len(), 1);
    zerohop.reload(&sections(&format!("certificate = {:?}\nkey = {:?}", certified.certificate, certified.key)));
    resolves("c.example.");
    assert_eq!(server.calls().len(), 2);
}

#[test]
fn many_questions_share_few_connections_over_tls_too() {
    let authority = Authority::new();
    let server = TlsServer::start(&authority.certify(&["dns.b.example"]), None, usize::MAX);
    let zerohop = zerohop(format!("tls://{}#dns.b.example", server.address), &authority, "");
    super::streams::ask_at_once(&zerohop);
    assert!((1..=8).contains(&server.calls().len()), "{:?}", server.calls());
    assert_eq!(server.queries().len(), super::streams::QUESTIONS);
}

#[test]
fn a_server_that_wants_a_certificate_gets_ours() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = TlsServer::start(&authority.certify(&["dns.b.example"]), Some(&clients), usize::MAX);
    let at = format!("tls://{}#dns.b.example", server.address);
    is_refused(&zerohop(at.clone(), &authority, ""), &["it wants a certificate of ours", "`certificate`"]);
    let Certified { certificate, key } = clients.certify(&["node.example"]);
    let more = format!("certificate = {certificate:?}\nkey = {key:?}");
    let zerohop = zerohop(at, &authority, &more);
    assert_eq!(ask(zerohop.address, "www.example.", A).data(A), ["192.0.2.1"]);
    assert!(server.calls().iter().all(|call| call.certified));
}
