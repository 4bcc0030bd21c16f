//! Upstreams that are known by the name of their host.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::A;

use super::certificates::Authority;
use super::client::{Ask, ask};
use super::harness::Zerohop;
use super::peers::dnsdist_https;
use super::process::free_address;
use super::recorder::Recorder;
use super::tls_server::TlsServer;
use super::wait::{PATIENCE, until, until_within};

/// EDE No Reachable Authority (RFC 8914, section 4.23).
const NO_REACHABLE_AUTHORITY: u16 = 22;
const HOST: &str = "dns.b.example";

fn sections(server: &str, bootstrap: SocketAddr, more: &str) -> String {
    format!(
        "[[upstream]]\nname = \"b\"\nservers = [{server}]\nbootstrap = [\"{bootstrap}\"]\n{more}\n[[zone]]\nname = \".\"\nforward = [\"b\"]"
    )
}

fn octets(address: SocketAddr) -> [u8; 4] {
    match address.ip() {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => panic!("not here"),
    }
}

/// A bootstrap server that says where the host is.
fn bootstrap(place: SocketAddr) -> Recorder {
    Recorder::scripted(move |asked| {
        assert_eq!(asked.name(), "dns.b.example.");
        asked.answer_a(octets(place), 300);
    })
}

fn resolves(zerohop: &Zerohop, name: &str, address: &str) {
    until("an answer", || (ask(zerohop.address, name, A).data(A) == [address]).then_some(()));
}

#[test]
fn a_server_over_tls_is_found_and_must_have_its_name() {
    let authority = Authority::new();
    let server = TlsServer::start(&authority.certify(&[HOST]), None, usize::MAX);
    let knows = bootstrap(server.address);
    let ca = format!("ca = {:?}", authority.file());
    let port = server.address.port();
    let zerohop = Zerohop::start(&sections(&format!("\"tls://{HOST}:{port}\""), knows.address, &ca));
    resolves(&zerohop, "www.example.", "192.0.2.1");
    assert_eq!(server.calls()[0].name.as_deref(), Some(HOST));
    let mut asked = knows.questions();
    asked.sort();
    assert_eq!(asked, ["dns.b.example. IN A", "dns.b.example. IN AAAA"], "nothing else is asked of it");
    // With another name behind it, that one.
    zerohop.reload(&sections(&format!("\"tls://{HOST}:{port}#dns.c.example\""), knows.address, &ca));
    until("a refusal", || {
        let refused = ask(zerohop.address, "www2.example.", A).rcode() == ResponseCode::ServFail;
        refused.then_some(())
    });
    zerohop.log_line(&["its certificate is for dns.b.example, not for dns.c.example"]);
    assert_eq!(knows.packets(), 2, "a reload that names the same host does not ask again");
}

#[test]
fn a_server_over_https_is_found() {
    let authority = Authority::new();
    let certified = authority.certify(&[HOST]);
    let behind = Recorder::answering([192, 0, 2, 8]);
    let Some((_peer, address)) = dnsdist_https(behind.address, &certified.certificate, &certified.key, "/dns-query")
    else {
        return;
    };
    let knows = bootstrap(address);
    let server = format!("\"https://{HOST}:{}/dns-query\"", address.port());
    let zerohop = Zerohop::start(&sections(&server, knows.address, &format!("ca = {:?}", authority.file())));
    resolves(&zerohop, "www.example.", "192.0.2.8");
}

#[test]
fn while_a_host_is_not_known_the_others_are_asked_and_else_clients_are_told() {
    let (unknown, other) = (free_address(), Recorder::answering([192, 0, 2, 2]));
    let alone = Zerohop::start(&sections(&format!("\"{HOST}:5353\""), unknown, ""));
    let reply = Ask::new("www.example.", A).edns(1232).udp(alone.address);
    assert_eq!(super::dot::extended_error(&reply), Some(NO_REACHABLE_AUTHORITY));
    assert_eq!(reply.rcode(), ResponseCode::ServFail);
    alone.log_line(&["upstream is not asked: its address is not known", HOST]);
    let both = Zerohop::start(&sections(&format!("\"{HOST}:5353\", \"{}\"", other.address), unknown, ""));
    assert_eq!(ask(both.address, "www.example.", A).data(A), ["192.0.2.2"]);
}

#[test]
fn a_bootstrap_server_that_comes_later_is_asked_then() {
    let server = Recorder::answering([192, 0, 2, 1]);
    let place = free_address();
    let zerohop = Zerohop::start(&sections(&format!("\"{HOST}:{}\"", server.address.port()), place, ""));
    assert_eq!(ask(zerohop.address, "www.example.", A).rcode(), ResponseCode::ServFail);
    let at = octets(server.address);
    let _knows = Recorder::at(place, move |asked| asked.answer_a(at, 300));
    resolves(&zerohop, "www.example.", "192.0.2.1");
}

#[test]
fn with_another_bootstrap_server_the_host_stays_where_it_was_until_that_one_says_something() {
    let server = Recorder::answering([192, 0, 2, 1]);
    let (knows, place) = (bootstrap(server.address), free_address());
    let host = format!("\"{HOST}:{}\"", server.address.port());
    let zerohop = Zerohop::start(&sections(&host, knows.address, ""));
    resolves(&zerohop, "www.example.", "192.0.2.1");
    zerohop.reload(&sections(&host, place, ""));
    assert_eq!(ask(zerohop.address, "www2.example.", A).data(A), ["192.0.2.1"]);
    zerohop.log_line(&["the addresses of an upstream cannot be had: it is asked at the last ones", HOST]);
    let second_at = SocketAddr::new([127, 0, 1, 2].into(), server.address.port());
    let _second = Recorder::at(second_at, |asked| asked.answer_a([192, 0, 2, 2], 300));
    let _knows = Recorder::at(place, move |asked| asked.answer_a(octets(second_at), 300));
    let count = AtomicU32::new(0);
    until_within(2 * PATIENCE, "the move", || {
        let name = format!("n{}.example.", count.fetch_add(1, Relaxed));
        (ask(zerohop.address, &name, A).data(A) == ["192.0.2.2"]).then_some(())
    });
}

#[test]
fn a_host_that_moves_is_followed_and_its_answers_are_kept() {
    let first = Recorder::answering([192, 0, 2, 1]);
    let second_at = SocketAddr::new([127, 0, 1, 1].into(), first.address.port());
    if TcpListener::bind(second_at).is_err() {
        return super::process::say_skipped("a free port at 127.0.1.1");
    }
    let second = Recorder::at(second_at, |asked| asked.answer_a([192, 0, 2, 2], 300));
    let moved = Arc::new(AtomicU8::new(0));
    let places = [octets(first.address), octets(second.address)];
    let now_at = Arc::clone(&moved);
    let knows = Recorder::scripted(move |asked| asked.answer_a(places[usize::from(now_at.load(Relaxed))], 1));
    let zerohop = Zerohop::start(&sections(&format!("\"{HOST}:{}\"", first.address.port()), knows.address, ""));
    resolves(&zerohop, "kept.example.", "192.0.2.1");
    moved.store(1, Relaxed);
    let count = AtomicU32::new(0);
    until_within(2 * PATIENCE, "the move", || {
        let name = format!("n{}.example.", count.fetch_add(1, Relaxed));
        (ask(zerohop.address, &name, A).data(A) == ["192.0.2.2"]).then_some(())
    });
    assert_eq!(ask(zerohop.address, "kept.example.", A).data(A), ["192.0.2.1"], "it is the same zone's");
    zerohop.log_line(&["an upstream is there", "127.0.1.1"]);
    // A worker lets go of the old tables at its next question, and each port asks one of them.
    until("the end of the old address in metrics", || {
        ask(zerohop.address, "kept.example.", A);
        let text = zerohop.metrics().text;
        let has = |server: SocketAddr| text.contains(&format!("server=\"{server}\""));
        (has(second_at) && !has(first.address)).then_some(())
    });
}
