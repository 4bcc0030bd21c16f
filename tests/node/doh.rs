//! DNS over HTTPS to upstreams.

use std::net::SocketAddr;

use hickory_proto::rr::RecordType::A;

use super::certificates::{Authority, Certified};
use super::client::ask;
use super::doh_server::{DohServer, Ending};
use super::dot::{is_refused, sections, zerohop};
use super::harness::Zerohop;
use super::peers::{Peer, dnsdist_https};
use super::recorder::Recorder;
use super::tls_server::TlsServer;

const PATH: &str = "/dns-query";

/// dnsdist with a certificate for these names, in front of a server that gives every name one
/// address.
fn dnsdist(authority: &Authority, names: &[&str]) -> Option<(Peer, SocketAddr, Recorder)> {
    let Certified { certificate, key } = authority.certify(names);
    let behind = Recorder::answering([192, 0, 2, 8]);
    let (peer, address) = dnsdist_https(behind.address, &certificate, &key, PATH)?;
    Some((peer, address, behind))
}

fn resolves(zerohop: &Zerohop, name: &str) {
    assert_eq!(ask(zerohop.address, name, A).data(A), ["192.0.2.8"], "{name}");
}

#[test]
fn dnsdist_is_asked_before_and_after_it_was_started_anew() {
    let authority = Authority::new();
    let Some((mut peer, address, _behind)) = dnsdist(&authority, &["dns.b.example"]) else { return };
    let server = format!("https://{address}{PATH}#dns.b.example");
    let zerohop = zerohop(server.clone(), &authority, "");
    for number in 0..50 {
        resolves(&zerohop, &format!("n{number}.example."));
    }
    peer.restart();
    for number in 50..60 {
        resolves(&zerohop, &format!("n{number}.example."));
    }
    let asked = zerohop.metrics().sum("zerohop_upstream_queries_total", &[("server", &server)]);
    assert!((60..=62).contains(&asked), "{asked}");
    assert_eq!(zerohop.metrics().sum("zerohop_upstream_attempts_total", &[("outcome", "unreachable")]), 0);
}

#[test]
fn many_questions_at_once_are_answered() {
    let authority = Authority::new();
    let Some((_peer, address, _behind)) = dnsdist(&authority, &["dns.b.example"]) else { return };
    super::streams::ask_at_once(&zerohop(format!("https://{address}#dns.b.example"), &authority, ""));
}

#[test]
fn a_server_that_ends_connections_in_between_loses_no_question() {
    let authority = Authority::new();
    let certified = authority.certify(&["dns.b.example"]);
    for (lifetime, ending) in [(1, Ending::Goodbye), (25, Ending::Goodbye), (1, Ending::Gone), (25, Ending::Gone)] {
        let server = DohServer::start(&certified, lifetime, ending);
        let zerohop = zerohop(format!("https://{}#dns.b.example", server.address), &authority, "");
        super::streams::ask_at_once_by(&zerohop, lifetime);
        assert!(server.ends() > 0, "{ending:?} after {lifetime}");
    }
}

#[test]
fn without_a_name_the_certificate_is_for_the_address() {
    let authority = Authority::new();
    // Which of them dnsdist gets is not known before.
    let names: Vec<String> = (2..=255).map(|last| format!("127.0.0.{last}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let certified = authority.certify_as("loopback", &names);
    let behind = Recorder::answering([192, 0, 2, 8]);
    let Some((_peer, address)) = dnsdist_https(behind.address, &certified.certificate, &certified.key, PATH) else {
        return;
    };
    resolves(&zerohop(format!("https://{address}"), &authority, ""), "www.example.");
}

#[test]
fn a_wrong_name_is_refused_and_both_names_are_said() {
    let authority = Authority::new();
    let Some((_peer, address, _behind)) = dnsdist(&authority, &["dns.b.example"]) else { return };
    is_refused(
        &zerohop(format!("https://{address}#dns.c.example"), &authority, ""),
        &["its certificate is for dns.b.example, not for dns.c.example", "https://", &address.to_string()],
    );
}

#[test]
fn an_unknown_authority_is_refused_until_its_file_is_named() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let Some((_peer, address, _behind)) = dnsdist(&authority, &["dns.b.example"]) else { return };
    let server = format!("https://{address}#dns.b.example");
    let zerohop = zerohop(server.clone(), &stranger, "");
    is_refused(&zerohop, &["signed by nobody that is trusted", "`ca`"]);
    std::fs::copy(authority.file(), stranger.file()).unwrap();
    zerohop.reload(&sections(&[server], &stranger.file(), ""));
    resolves(&zerohop, "www4.b.example.");
}

#[test]
fn a_wrong_path_is_said_plainly() {
    let authority = Authority::new();
    let Some((_peer, address, _behind)) = dnsdist(&authority, &["dns.b.example"]) else { return };
    let zerohop = zerohop(format!("https://{address}/elsewhere#dns.b.example"), &authority, "");
    ask(zerohop.address, "www.b.example.", A);
    zerohop.log_line(&["upstream gives no reply: it answers with the HTTP status 404 Not Found", "/elsewhere"]);
}

#[test]
fn a_server_of_dns_over_tls_is_told_from_one_of_https() {
    let authority = Authority::new();
    let server = TlsServer::start(&authority.certify(&["dns.b.example"]), None, usize::MAX);
    is_refused(
        &zerohop(format!("https://{}#dns.b.example", server.address), &authority, ""),
        &["it does not speak HTTP/2 there"],
    );
}

#[test]
fn a_server_that_wants_a_certificate_is_understood() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = TlsServer::start(&authority.certify(&["dns.b.example"]), Some(&clients), usize::MAX);
    let zerohop = zerohop(format!("https://{}#dns.b.example", server.address), &authority, "");
    is_refused(&zerohop, &["it wants a certificate of ours", "`certificate`"]);
}
