//! Real servers that nothing reaches any more, and nobody says so.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::A;

use super::certificates::{Authority, Certified};
use super::client::{Ask, Reply};
use super::doq_server::DoqServer;
use super::dot::{extended_error, sections};
use super::firewall::Firewall;
use super::harness::Zerohop;
use super::load::{Load, run_while};
use super::namespace::inside;
use super::peers::{dnsdist_https, unbound, unbound_tls};
use super::recorder::Recorder;
use super::wait::{PATIENCE, now, until};

/// EDE Stale Answer (RFC 8914, section 4.4).
const STALE: u16 = 3;
/// How long a client is left without an answer at most, whatever happens.
const BUDGET: Duration = Duration::from_millis(4500);
/// What `serve-stale.after` says.
const AFTER: Duration = Duration::from_millis(400);
/// From a server's return until it is used.
const RETURN: Duration = Duration::from_secs(1);
/// What a machine with more to do takes on top.
const SLACK: Duration = Duration::from_millis(450);

/// Every one of these names at once, each with how long its answer took.
fn ask_all(zerohop: &Zerohop, names: &[String]) -> Vec<(Reply, Duration)> {
    let address = zerohop.address;
    thread::scope(|scope| {
        let asking: Vec<_> = names.iter().map(|name| scope.spawn(move || timed(address, name))).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    })
}

fn timed(address: SocketAddr, name: &str) -> (Reply, Duration) {
    let asked = now();
    let reply = Ask::new(name, A).edns(1232).udp_within(PATIENCE, address).expect("a reply, whatever it says");
    (reply, asked.elapsed())
}

fn longest(replies: &[(Reply, Duration)]) -> Duration {
    replies.iter().map(|(_, took)| *took).max().unwrap_or_default()
}

fn names(what: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{what}{number}.example.")).collect()
}

fn all_stale(replies: &[(Reply, Duration)]) {
    for (reply, _) in replies {
        let seen = (reply.rcode(), reply.data(A), reply.ttl(), extended_error(reply));
        assert_eq!(seen, (ResponseCode::NoError, vec!["192.0.2.1".to_owned()], 30, Some(STALE)));
    }
}

fn all_failed(replies: &[(Reply, Duration)]) {
    assert!(replies.iter().all(|(reply, _)| reply.rcode() == ResponseCode::ServFail));
}

fn is_up(zerohop: &Zerohop) -> bool {
    zerohop.metrics().sum("zerohop_upstream_up", &[]) == 1
}

#[test]
fn with_all_upstreams_dead_clients_get_what_is_known_or_a_failure_and_nobody_waits_for_long() {
    inside(&["127.0.0.1"], || {
        // One second, so that what is known runs out.
        let Some(server) = unbound(&[("example", "* 1 A 192.0.2.1\n")]) else { return };
        let Some(firewall) = Firewall::new() else { return };
        let zerohop = Zerohop::start(&format!(
            "[[zone]]\nname = \".\"\nforward = [\"{}\"]\nserve-stale = {{ after = \"400ms\" }}",
            server.address
        ));
        let known = names("known", 30);
        assert!(ask_all(&zerohop, &known).iter().all(|(reply, _)| reply.rcode() == ResponseCode::NoError));
        let learned = now();
        until("all of them to run out", || (learned.elapsed() > Duration::from_millis(1100)).then_some(()));

        firewall.cut_off(server.address);
        let replies = ask_all(&zerohop, &known);
        all_stale(&replies);
        println!("stale, the first time: within {:?}", longest(&replies));
        assert!(longest(&replies) <= AFTER + SLACK, "{:?}", longest(&replies));

        let replies = ask_all(&zerohop, &names("early", 30));
        all_failed(&replies);
        println!("unknown, in the first seconds: within {:?}", longest(&replies));
        assert!(longest(&replies) <= BUDGET + SLACK, "{:?}", longest(&replies));

        until("the server to be set aside", || (!is_up(&zerohop)).then_some(()));
        let count = |metric: &str| zerohop.metrics().sum(metric, &[]);
        let sent = || count("zerohop_upstream_queries_total") + count("zerohop_upstream_loop_checks_total");
        let (others, dropped) = (sent(), firewall.dropped());
        let probes = count("zerohop_upstream_probes_total");
        let began = now();
        let mut number = 0;
        // As long as some probes take.
        while count("zerohop_upstream_probes_total") < probes + 4 {
            number += 1;
            let stale = ask_all(&zerohop, &known);
            all_stale(&stale);
            let unknown = ask_all(&zerohop, &names(&format!("late{number}-"), 30));
            all_failed(&unknown);
            let longest = longest(&stale).max(longest(&unknown));
            assert!(longest < RETURN, "at once, and not {longest:?}");
            assert!(began.elapsed() < PATIENCE, "four probes within {PATIENCE:?}");
        }
        let (asked, took) = (60 * number, began.elapsed());
        let (dropped, probes) = (firewall.dropped() - dropped, count("zerohop_upstream_probes_total") - probes);
        println!("while it is set aside: {dropped} packets to it for {asked} questions in {took:?}, {probes} probes");
        // One may be counted and not be sent yet, or the other way round.
        assert!(dropped.abs_diff(probes) <= 1, "{dropped} packets, {probes} probes");
        assert!((sent() - others).abs_diff(probes) <= 1, "nothing but probes");

        firewall.let_through();
        let (back, forgotten) = returns(&zerohop, &known);
        println!("back: used after {back:?}, and for what had failed before after {forgotten:?}");
        assert!(forgotten <= RETURN + SLACK, "{forgotten:?}");
    });
}

/// How long it takes until one new name after the other is resolved, and until nothing is left of
/// earlier failures.
fn returns(zerohop: &Zerohop, known: &[String]) -> (Duration, Duration) {
    let began: Instant = now();
    let mut number = 0;
    until("the server to be used again", || {
        number += 1;
        let (reply, _) = timed(zerohop.address, &format!("again{number}.example."));
        (reply.rcode() == ResponseCode::NoError).then_some(())
    });
    let back = began.elapsed();
    let is_fresh = |reply: &Reply| reply.rcode() == ResponseCode::NoError && extended_error(reply).is_none();
    until("failures to be forgotten", || {
        let replies = ask_all(zerohop, &[known, &["early0.example.".to_owned()]].concat());
        replies.iter().all(|(reply, _)| is_fresh(reply)).then_some(())
    });
    (back, began.elapsed())
}

/// Connections to a server that is cut off hear nothing of it, and new ones are not answered.
fn comes_back(server: SocketAddr, spelled: &str, authority: &Authority) {
    let Some(firewall) = Firewall::new() else { return };
    let zerohop = Zerohop::start(&sections(&[spelled.to_owned()], &authority.file(), ""));
    let replies = ask_all(&zerohop, &names("before", 30));
    assert!(replies.iter().all(|(reply, _)| reply.rcode() == ResponseCode::NoError));
    firewall.cut_off(server);
    let replies = ask_all(&zerohop, &names("early", 30));
    all_failed(&replies);
    assert!(longest(&replies) <= BUDGET + SLACK, "{:?}", longest(&replies));
    until("the server to be set aside", || (!is_up(&zerohop)).then_some(()));
    let probes = || zerohop.metrics().sum("zerohop_upstream_probes_total", &[]);
    let before = probes();
    until("ten probes", || (probes() >= before + 10).then_some(()));
    firewall.let_through();
    let (back, _) = returns(&zerohop, &[]);
    println!("{spelled} is used again after {back:?}");
    assert!(back <= RETURN + SLACK, "{back:?}");
}

#[test]
fn over_tcp_a_server_that_was_cut_off_is_used_within_a_second_of_its_return() {
    inside(&["127.0.0.1"], || {
        let Some(server) = unbound(&[("example", "* A 192.0.2.1\n")]) else { return };
        comes_back(server.address, &format!("tcp://{}", server.address), &Authority::new());
    });
}

#[test]
fn over_tls_likewise() {
    inside(&["127.0.0.1"], || {
        let authority = Authority::new();
        let Certified { certificate, key } = authority.certify(&["dns.b.example"]);
        let zones = [("example", "* A 192.0.2.1\n")];
        let Some((_server, address)) = unbound_tls(&zones, &certificate, &key) else { return };
        comes_back(address, &format!("tls://{address}#dns.b.example"), &authority);
    });
}

#[test]
fn over_https_likewise() {
    inside(&["127.0.0.1"], || {
        let authority = Authority::new();
        let Certified { certificate, key } = authority.certify(&["dns.b.example"]);
        let behind = Recorder::answering([192, 0, 2, 1]);
        let Some((_server, address)) = dnsdist_https(behind.address, &certificate, &key, "/dns-query") else { return };
        comes_back(address, &format!("https://{address}#dns.b.example"), &authority);
    });
}

#[test]
fn over_quic_likewise() {
    if !DoqServer::is_to_be_had() {
        return;
    }
    inside(&["127.0.0.1"], || {
        let authority = Authority::new();
        let certified = authority.certify(&["dns.b.example"]);
        let Some(server) = DoqServer::start(&certified, 60, u32::MAX) else { return };
        comes_back(server.address, &format!("quic://{}#dns.b.example", server.address), &authority);
    });
}

/// 500 a second for 20 seconds in the long run.
#[test]
fn two_upstreams_that_are_cut_off_in_turn_lose_no_question() {
    let (seconds, rate) = if std::env::var_os("ZEROHOP_LONG").is_some() { (20, 500) } else { (8, 150) };
    inside(&["127.0.0.1"], || {
        let zones = [("example", "* A 192.0.2.1\n")];
        let (Some(one), Some(two)) = (unbound(&zones), unbound(&zones)) else { return };
        let Some(firewall) = Firewall::new() else { return };
        let zerohop = Zerohop::start(&format!(
            "[[upstream]]\nname = \"two\"\nservers = [\"{}\", \"{}\"]\n[[zone]]\nname = \".\"\nforward = [\"two\"]",
            one.address, two.address
        ));
        let load = Load::new(u16::try_from(seconds * rate).unwrap(), rate);
        let [seen] = run_while(zerohop.address, [(&load, "example.")], || {
            // In twentieths, as the seconds of the long run.
            for (from, to, server) in [(2, 7, &one), (10, 15, &two)] {
                load.until_sent(load.count / 20 * from);
                firewall.cut_off(server.address);
                load.until_sent(load.count / 20 * to);
                assert!(firewall.dropped() > 0, "it was asked");
                firewall.let_through();
            }
        });
        let (p50, p99, max) = (seen.percentile(50), seen.percentile(99), seen.max());
        println!("{} questions, {} failed: p50 {p50:?}, p99 {p99:?}, max {max:?}", load.count, seen.failed.len());
        assert!(seen.failed.is_empty(), "{:#?}", seen.failed);
    });
}
