//! DNS over QUIC to upstreams.

use hickory_proto::rr::RecordType::A;

use super::certificates::Authority;
use super::client::ask;
use super::doq_server::DoqServer;
use super::dot::{is_refused, sections, zerohop};
use super::harness::Zerohop;
use super::recorder::Recorder;
use super::wait::until;

/// Seconds; longer than any test takes.
const LONG: u32 = 60;
const FOREVER: u32 = u32::MAX;

fn server(authority: &Authority, idle: u32, lifetime: u32) -> Option<DoqServer> {
    DoqServer::start(&authority.certify(&["dns.b.example"]), idle, lifetime)
}

fn spelled(server: &DoqServer) -> String {
    format!("quic://{}#dns.b.example", server.address)
}

fn resolves(zerohop: &Zerohop, name: &str) {
    assert_eq!(ask(zerohop.address, name, A).data(A), ["192.0.2.9"], "{name}");
}

#[test]
fn questions_share_a_connection_and_are_padded() {
    let authority = Authority::new();
    let Some(server) = server(&authority, LONG, FOREVER) else { return };
    let sections = sections(&[spelled(&server)], &authority.file(), "");
    let zerohop = Zerohop::with_server("workers = 1", &sections);
    for number in 0..50 {
        resolves(&zerohop, &format!("n{number}.example."));
    }
    assert_eq!((server.count("connected doq"), server.count("query 128 id 0 whole")), (1, 50));
    assert_eq!(server.count("stopped"), 0, "whatever was answered is not called off");
    let labels = [("server", spelled(&server))];
    let labels = labels.each_ref().map(|(key, value)| (*key, value.as_str()));
    assert_eq!(zerohop.metrics().sum("zerohop_upstream_queries_total", &labels), 50);
}

#[test]
fn many_questions_at_once_are_answered_over_few_connections() {
    let authority = Authority::new();
    let Some(server) = server(&authority, LONG, FOREVER) else { return };
    super::streams::ask_at_once(&zerohop(spelled(&server), &authority, ""));
    assert!((1..=16).contains(&server.count("connected")), "{}", server.count("connected"));
}

#[test]
fn a_server_that_closes_in_between_loses_no_question() {
    let authority = Authority::new();
    let Some(server) = server(&authority, LONG, 7) else { return };
    super::streams::ask_at_once(&zerohop(spelled(&server), &authority, ""));
    assert!(server.count("connected") > 16, "it did close");
}

#[test]
fn a_connection_that_was_idle_is_opened_again() {
    let authority = Authority::new();
    let Some(server) = server(&authority, 1, FOREVER) else { return };
    let zerohop = zerohop(spelled(&server), &authority, "");
    for round in 1..=2 {
        resolves(&zerohop, &format!("n{round}.example."));
        until("the end of an idle connection", || (server.count("ended") == round).then_some(()));
    }
    assert_eq!(server.count("query"), 2);
}

#[test]
fn a_server_that_was_started_anew_is_asked_again() {
    let authority = Authority::new();
    let Some(mut server) = server(&authority, LONG, FOREVER) else { return };
    let zerohop = zerohop(spelled(&server), &authority, "");
    for number in 0..10 {
        resolves(&zerohop, &format!("n{number}.example."));
    }
    server.restart();
    for number in 10..20 {
        resolves(&zerohop, &format!("n{number}.example."));
    }
}

#[test]
fn without_a_name_the_certificate_is_for_the_address() {
    let authority = Authority::new();
    let names: Vec<String> = (2..=255).map(|last| format!("127.0.0.{last}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let Some(server) = DoqServer::start(&authority.certify_as("loopback", &names), LONG, FOREVER) else { return };
    resolves(&zerohop(format!("quic://{}", server.address), &authority, ""), "www.example.");
}

#[test]
fn a_wrong_name_is_refused_and_both_names_are_said() {
    let authority = Authority::new();
    let Some(server) = server(&authority, LONG, FOREVER) else { return };
    is_refused(
        &zerohop(format!("quic://{}#dns.c.example", server.address), &authority, ""),
        &["its certificate is for dns.b.example, not for dns.c.example", "quic://", &server.address.to_string()],
    );
    assert_eq!(server.count("query"), 0);
}

#[test]
fn an_unknown_authority_is_refused_until_its_file_is_named() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let Some(server) = server(&authority, LONG, FOREVER) else { return };
    let zerohop = zerohop(spelled(&server), &stranger, "");
    is_refused(&zerohop, &["signed by nobody that is trusted", "`ca`"]);
    std::fs::copy(authority.file(), stranger.file()).unwrap();
    zerohop.reload(&sections(&[spelled(&server)], &stranger.file(), ""));
    resolves(&zerohop, "www4.b.example.");
}

#[test]
fn a_question_that_nobody_waits_for_any_more_is_called_off() {
    let authority = Authority::new();
    let Some(server) = server(&authority, LONG, FOREVER) else { return };
    let other = Recorder::answering([192, 0, 2, 2]);
    let servers = [spelled(&server), other.address.to_string()];
    let zerohop = Zerohop::start(&sections(&servers, &authority.file(), "policy = \"sequential\""));
    assert_eq!(ask(zerohop.address, "silent.example.", A).data(A), ["192.0.2.2"]);
    // Where that took long, the connection is given up with it.
    let told = || server.count("stopped") + server.count("ended") > 0;
    until("a question that is called off", || told().then_some(()));
    assert_eq!(server.count("stopped 0"), 0, "it was not answered");
}
