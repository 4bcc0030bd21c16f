//! Counters say what was sent, exactly, and Prometheus has nothing to complain about.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use RecordType::{A, AAAA, AXFR, NAPTR, SRV, TXT};
use hickory_proto::op::{OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};

use super::client::{Ask, connect, read_framed, receive, socket};
use super::harness::{Metrics, Zerohop};
use super::process::find;
use super::recorder::Recorder;

/// Sockets, and connections, of each round: enough to meet both workers.
const SOCKETS: u64 = 12;

fn upstream() -> Recorder {
    Recorder::scripted(|asked| match asked.name().starts_with("no") {
        true => asked.deny(ResponseCode::NXDomain, 300, 300),
        false => asked.answer_a([192, 0, 2, 1], 300),
    })
}

fn zones(upstream: SocketAddr) -> String {
    format!(
        r#"
        [[zone]]
        name = "own.example"
        records = ["a A 10.0.0.1"]
        [[zone.match]]
        pattern = '^node-\d+\.own\.example$'
        answer = ["A 10.0.1.1"]
        [[zone]]
        name = "fwd.example"
        forward = ["{upstream}"]
        "#
    )
}

/// One question a line, as each socket and each connection asks it.
fn load() -> Vec<Ask> {
    let plain = [
        ("a.own.example.", A),
        ("a.own.example.", AAAA),
        ("a.own.example.", NAPTR),
        ("nobody.own.example.", SRV),
        ("node-7.own.example.", A),
        ("www.fwd.example.", A),
        ("www.fwd.example.", A),
        ("www.fwd.example.", TXT),
        ("nobody.fwd.example.", A),
        ("nowhere.example.", A),
        ("own.example.", AXFR),
    ];
    let plain = plain.map(|(name, rtype)| Ask::new(name, rtype));
    let chaos = Ask::new("version.bind.", TXT).class(DNSClass::CH);
    let notify = Ask::new("own.example.", A).opcode(OpCode::Notify);
    let future = Ask::new("a.own.example.", A).edns_version(1);
    plain.into_iter().chain([chaos, notify, future]).collect()
}

#[test]
fn every_counter_says_what_was_sent() {
    let upstream = upstream();
    let zerohop = Zerohop::start(&zones(upstream.address));
    for _ in 0..SOCKETS {
        let (socket, mut stream) = (socket(), connect(zerohop.address));
        for question in load() {
            question.over(&socket, zerohop.address);
            stream.write_all(&question.framed()).unwrap();
            question.check(read_framed(&mut stream).unwrap());
        }
        // What is no query: a reply, and a question that ends too early.
        let mut octets = Ask::new("a.own.example.", A).octets();
        socket.send_to(&octets[..octets.len() - 1], zerohop.address).unwrap();
        receive(&socket);
        octets[2] |= 0x80;
        socket.send_to(&octets, zerohop.address).unwrap();
        // A reply gets no answer; this one says that it has been taken in.
        Ask::new("a.own.example.", A).over(&socket, zerohop.address);
    }
    check(&zerohop.metrics());
    assert_eq!(upstream.packets(), 3);
}

fn check(metrics: &Metrics) {
    let both = 2 * SOCKETS;
    let (own, fwd) = (("zone", "own.example."), ("zone", "fwd.example."));
    let requests = |labels: &[(&str, &str)]| metrics.sum("zerohop_requests_total", labels);
    for protocol in ["udp", "tcp"] {
        // One more over UDP, behind the packet that gets no answer.
        let extra = if protocol == "udp" { SOCKETS } else { 0 };
        for (zone, rtype, count) in
            [(own, "A", 2 * SOCKETS + extra), (own, "AAAA", SOCKETS), (own, "SRV", SOCKETS), (own, "other", SOCKETS)]
        {
            assert_eq!(requests(&[zone, ("type", rtype), ("protocol", protocol)]), count, "{rtype} {protocol}");
        }
        for (rtype, count) in [("A", 3 * SOCKETS), ("TXT", SOCKETS), ("AAAA", 0)] {
            assert_eq!(requests(&[fwd, ("type", rtype), ("protocol", protocol)]), count, "{rtype} {protocol}");
        }
    }
    let responses =
        |zone, rcode, source| metrics.sum("zerohop_responses_total", &[zone, ("rcode", rcode), ("source", source)]);
    assert_eq!(responses(own, "NOERROR", "local"), 3 * both + SOCKETS);
    assert_eq!(responses(own, "NXDOMAIN", "local"), both);
    assert_eq!(responses(own, "NOERROR", "pattern"), both);
    assert_eq!(responses(fwd, "NOERROR", "forward"), 2);
    assert_eq!(responses(fwd, "NOERROR", "cache"), 3 * both - 2);
    assert_eq!(responses(fwd, "NXDOMAIN", "forward"), 1);
    assert_eq!(responses(fwd, "NXDOMAIN", "cache"), both - 1);
    for (zone, sent, hits, misses) in [(own, 5 * both + SOCKETS, 0, 0), (fwd, 4 * both, 4 * both - 3, 3)] {
        let local =
            ["local", "pattern"].map(|source| metrics.sum("zerohop_responses_total", &[zone, ("source", source)]));
        assert_eq!(metrics.sum("zerohop_cache_hits_total", &[zone]), hits);
        assert_eq!(metrics.sum("zerohop_cache_misses_total", &[zone]), misses);
        assert_eq!(hits + misses + local.iter().sum::<u64>(), sent, "{zone:?}");
        assert_eq!(requests(&[zone]), sent);
        assert_eq!(metrics.sum("zerohop_responses_total", &[zone]), sent);
        assert_eq!(metrics.sum("zerohop_request_duration_seconds_count", &[zone]), sent);
    }
    for (reason, count) in [
        ("no_zone", both),
        ("transfer", both),
        ("class", both),
        ("not_implemented", both),
        ("malformed", SOCKETS),
        ("no_query", SOCKETS),
        ("edns_version", both),
        ("not_allowed", 0),
    ] {
        assert_eq!(metrics.sum("zerohop_rejected_total", &[("reason", reason)]), count, "{reason}");
    }
    assert_eq!(metrics.sum("zerohop_upstream_queries_total", &[("protocol", "udp")]), 3);
    assert_eq!(metrics.sum("zerohop_upstream_queries_total", &[("protocol", "tcp")]), 0);
    assert_eq!(metrics.sum("zerohop_upstream_attempts_total", &[("outcome", "NOERROR")]), 2);
    assert_eq!(metrics.sum("zerohop_upstream_attempts_total", &[("outcome", "NXDOMAIN")]), 1);
    assert_eq!(metrics.sum("zerohop_upstream_duration_seconds_count", &[]), 3);
    assert_eq!(metrics.sum("zerohop_tcp_connections_total", &[]), SOCKETS);
    for never in ["zerohop_truncated_total", "zerohop_panics_total", "zerohop_send_failures_total"] {
        assert_eq!(metrics.sum(never, &[]), 0, "{never}");
    }
}

#[test]
fn prometheus_has_nothing_to_complain_about() {
    let Some(promtool) = find("promtool", "prometheus") else { return };
    let upstream = upstream();
    let zerohop = Zerohop::start(&zones(upstream.address));
    for question in load() {
        question.udp(zerohop.address);
    }
    let mut lint = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    lint.stdin.take().unwrap().write_all(zerohop.metrics().text.as_bytes()).unwrap();
    let output = lint.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert_eq!((output.status.code(), String::from_utf8(said).unwrap()), (Some(0), String::new()));
}

#[test]
fn every_series_is_there_at_zero_and_no_client_makes_another() {
    let upstream = upstream();
    let zerohop = Zerohop::start(&zones(upstream.address));
    let before = zerohop.metrics();
    for family in [
        "zerohop_requests_total",
        "zerohop_responses_total",
        "zerohop_cache_hits_total",
        "zerohop_cache_misses_total",
        "zerohop_request_duration_seconds_bucket",
        "zerohop_request_duration_seconds_count",
        "zerohop_upstream_queries_total",
        "zerohop_upstream_attempts_total",
        "zerohop_upstream_duration_seconds_count",
        "zerohop_rejected_total",
        "zerohop_reloads_total",
        "zerohop_interface_repairs_total",
        "zerohop_interception_active",
        "zerohop_standby",
        "zerohop_cache_entries",
        "zerohop_cache_bytes",
        "zerohop_cache_evictions_total",
    ] {
        assert_eq!(before.sum(family, &[]), 0, "{family}");
    }
    let socket = socket();
    for number in 0..500_u32 {
        let below = ["own.example.", "fwd.example.", "else.example.", ""][usize::try_from(number % 4).unwrap()];
        let name = format!("x{:08x}.{below}", rand::random::<u32>());
        let rtype = RecordType::from(u16::try_from(256 + number % 100).unwrap());
        Ask::new(&name, if number % 2 == 0 { rtype } else { A }).over(&socket, zerohop.address);
    }
    let after = zerohop.metrics();
    assert_eq!(before.names(), after.names());
    assert_eq!(after.sum("zerohop_requests_total", &[]), 250);
    assert_eq!(after.sum("zerohop_rejected_total", &[("reason", "no_zone")]), 250);
}
