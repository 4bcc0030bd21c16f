//! Listen addresses come and go with reloads: what stays does not notice, what goes is served to its
//! end, and one that cannot be had keeps everything as it was.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use hickory_proto::rr::RecordType::A;
use nix::sys::signal::Signal;

use super::certificates::Authority;
use super::client::{Ask, ask, connect, read_framed, receive, socket};
use super::harness::{Zerohop, http};
use super::load::{Load, OWN, run_while, stay_connected};
use super::process::free_address;
use super::recorder::Recorder;
use super::secrecy::section;
use super::tls_client::{NAME, TlsClient};
use super::wait::until;

/// From other ports each time, so that every worker is asked.
const ROUNDS: usize = 32;

fn sections(upstream: &Recorder) -> String {
    format!("{OWN}{}", upstream.root_zone())
}

/// One that asks this upstream, and its sections.
fn start(upstream: &Recorder) -> (Zerohop, String) {
    let sections = sections(upstream);
    (Zerohop::start(&sections), sections)
}

/// Has it listen at these addresses.
fn listen(instance: &Zerohop, sections: &str, addresses: &[SocketAddr]) {
    instance.reload_text(&instance.config_listening(addresses, sections));
}

fn answers(address: SocketAddr) {
    for _ in 0..ROUNDS {
        assert_eq!(ask(address, "a.own.example.", A).data(A), ["10.0.0.1"]);
        assert_eq!(Ask::new("a.own.example.", A).tcp(address).data(A), ["10.0.0.1"]);
    }
}

/// Waits until nobody has the address.
fn is_free(address: SocketAddr) {
    until("the address to be free", || UdpSocket::bind(address).ok().zip(TcpListener::bind(address).ok()).map(drop));
}

#[test]
fn addresses_come_and_go_and_those_that_stay_lose_nothing() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let (instance, sections) = start(&upstream);
    let (first, second) = (instance.address, free_address());
    let (hits, misses) = (Load::new(1500, 300), Load::new(1500, 300));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over_tcp = scope.spawn(|| stay_connected(first, Duration::from_millis(5), &is_over));
        let seen = run_while(first, [(&hits, "own.example."), (&misses, "example.")], || {
            for turn in 1..=3 {
                listen(&instance, &sections, &[second, first]);
                answers(second);
                assert_eq!(http(instance.admin, "/ready").unwrap().0, 200);
                listen(&instance, &sections, &[first]);
                is_free(second);
                misses.until_sent(turn * 500);
            }
        });
        seen.iter().for_each(|seen| seen.lost_nothing(1500));
        is_over.store(true, Relaxed);
        assert!(over_tcp.join().unwrap() > 100);
    });
    assert_eq!(upstream.packets(), 1500);
    assert_eq!(instance.reloads(), (6, 0));
}

#[test]
fn ready_means_the_addresses_of_now() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let (instance, sections) = start(&upstream);
    let second = free_address();
    listen(&instance, &sections, &[second]);
    is_free(instance.address);
    assert_eq!(http(instance.admin, "/ready").unwrap(), (200, "ok\n".to_owned()));
    // Nobody but us is an upstream of ours.
    let at_ourselves = format!("{OWN}[[zone]]\nname = \".\"\nforward = [\"{second}\"]\n");
    listen(&instance, &at_ourselves, &[second]);
    assert_eq!(instance.reloads(), (1, 1), "{}", instance.process.output());
    // The address that it was at is anybody's again.
    let other = Recorder::at(instance.address, |asked| asked.answer_a([192, 0, 2, 7], 300));
    let at_other = format!("{OWN}{}", other.root_zone());
    listen(&instance, &at_other, &[second]);
    assert_eq!(ask(second, "www.example.", A).data(A), ["192.0.2.7"]);
}

#[test]
fn an_address_that_cannot_be_had_keeps_everything_as_it_was() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let (instance, sections) = start(&upstream);
    let (second, address) = (free_address(), free_address());
    let taken = UdpSocket::bind(address).unwrap();
    let changed = sections.replace("10.0.0.1", "10.0.0.2");
    listen(&instance, &changed, &[instance.address, second, address]);
    assert_eq!(instance.reloads(), (0, 1));
    assert_eq!(instance.metrics().sum("zerohop_config_current", &[]), 0);
    answers(instance.address);
    is_free(second);
    instance.log_line(&["ERROR", &format!("cannot listen on {address} (UDP)"), "or change [server] listen"]);
    instance.log_line(&["ERROR", "not reloaded"]);
    let output = instance.runs("reload");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("cannot listen on {address} (UDP)")));
    drop(taken);
    instance.process.signal(Signal::SIGHUP);
    until("the reload", || (instance.reloads() != (0, 2)).then_some(()));
    assert_eq!(instance.reloads(), (1, 2), "{}", instance.process.output());
    for address in [instance.address, second, address] {
        assert_eq!(ask(address, "a.own.example.", A).data(A), ["10.0.0.2"]);
    }
}

#[test]
fn what_was_asked_at_an_address_that_goes_is_answered() {
    let (upstream, held) = Recorder::held();
    let (instance, sections) = start(&upstream);
    let second = free_address();
    listen(&instance, &sections, &[instance.address, second]);
    let (client, over_udp) = (socket(), Ask::new("udp.example.", A));
    client.send_to(&over_udp.octets(), second).unwrap();
    let (mut stream, over_tcp) = (connect(second), Ask::new("tcp.example.", A));
    stream.write_all(&over_tcp.framed()).unwrap();
    let mut idle = connect(second);
    let asked = [held.recv().unwrap(), held.recv().unwrap()];
    listen(&instance, &sections, &[instance.address]);
    until("nobody to listen", || TcpStream::connect(second).is_err().then_some(()));
    assert_eq!(read_framed(&mut idle), None, "it had nothing to wait for");
    asked.iter().for_each(|asked| asked.answer_a([192, 0, 2, 1], 300));
    assert_eq!(over_udp.check(receive(&client)).data(A), ["192.0.2.1"]);
    assert_eq!(over_tcp.check(read_framed(&mut stream).unwrap()).data(A), ["192.0.2.1"]);
    assert_eq!(read_framed(&mut stream), None, "it has come to its end");
    is_free(second);
}

#[test]
fn an_address_that_goes_and_comes_back_meanwhile_is_served_by_every_worker() {
    let (upstream, held) = Recorder::held();
    let (instance, sections) = start(&upstream);
    let second = free_address();
    let (with, without) = ([instance.address, second], [instance.address]);
    listen(&instance, &sections, &with);
    let (client, question) = (socket(), Ask::new("held.example.", A));
    client.send_to(&question.octets(), second).unwrap();
    let asked = held.recv().unwrap();
    listen(&instance, &sections, &without);
    listen(&instance, &sections, &with);
    answers(second);
    asked.answer_a([192, 0, 2, 1], 300);
    assert_eq!(question.check(receive(&client)).data(A), ["192.0.2.1"]);
    answers(second);
}

#[test]
fn all_addresses_of_a_port_and_one_of_them_change_places() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let (instance, sections) = start(&upstream);
    let one = instance.address;
    let all = SocketAddr::new("0.0.0.0".parse().unwrap(), one.port());
    for (addresses, answering) in [(all, [one.ip(), "127.0.0.1".parse().unwrap()]), (one, [one.ip(), one.ip()])] {
        listen(&instance, &sections, &[addresses]);
        for ip in answering {
            answers(SocketAddr::new(ip, one.port()));
        }
    }
    assert_eq!(instance.reloads(), (2, 0), "{}", instance.process.output());
    until("nobody to listen", || TcpStream::connect(("127.0.0.1", one.port())).is_err().then_some(()));
}

#[test]
fn tls_comes_and_goes_also_where_there_was_none_on_the_same_address() {
    let (upstream, authority, over_tls) = (Recorder::answering([192, 0, 2, 1]), Authority::new(), free_address());
    let (without, certified) = (sections(&upstream), authority.certify(&[NAME]));
    let instance = Zerohop::start(&without);
    let question = Ask::new("a.own.example.", A);
    let is_secret = |address| {
        for _ in 0..8 {
            let client = TlsClient::new(&[&authority], &["dot"]);
            assert_eq!(client.connect(address).ask(&question).data(A), ["10.0.0.1"]);
        }
    };
    let expiry = || {
        instance.metrics().text.lines().find(|line| line.starts_with("zerohop_certificate_expiry")).unwrap().to_owned()
    };
    let never = expiry();
    let with = |address| format!("{}{without}", section(address, &certified));
    instance.reload(&with(over_tls));
    is_secret(over_tls);
    assert_ne!(expiry(), never);
    instance.reload(&without);
    is_free(over_tls);
    assert_eq!(expiry(), never);
    // Who connects while the workers hear of it may be served in the way of before.
    let is_plain = |_| {
        let (mut stream, mut first) = (connect(over_tls), [0]);
        stream.write_all(&question.framed()).unwrap();
        // A short message begins so, and none of TLS does.
        stream.read(&mut first).is_ok_and(|read| read == 1) && first == [0]
    };
    listen(&instance, &without, &[instance.address, over_tls]);
    answers(over_tls);
    instance.reload(&with(over_tls));
    until("TLS on every worker", || (!(0..ROUNDS).any(is_plain)).then_some(()));
    is_secret(over_tls);
    until("nobody to listen over UDP", || UdpSocket::bind(over_tls).ok());
    listen(&instance, &without, &[instance.address, over_tls]);
    until("no TLS on any worker", || (0..ROUNDS).all(is_plain).then_some(()));
    answers(over_tls);
}

#[test]
fn the_admin_addresses_follow_and_one_that_is_taken_keeps_everything_as_it_was() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let (instance, sections) = start(&upstream);
    let (other, second, taken) = (free_address(), free_address(), TcpListener::bind(free_address()).unwrap());
    let text = |admin: SocketAddr, scraper: SocketAddr| {
        let said = format!("listen = \"{}\"\ncontrol", instance.admin);
        let text = instance.config_text(&sections);
        text.replace(&said, &format!("listen = \"{admin}\"\nmetrics-listen = [\"{scraper}\"]\ncontrol"))
    };
    instance.reload_text(&text(instance.admin, taken.local_addr().unwrap()));
    assert_eq!(instance.reloads(), (0, 1));
    instance.log_line(&["ERROR", "cannot listen on", "for [admin]"]);
    std::fs::write(instance.config(), text(other, second)).unwrap();
    for address in [other, second] {
        until("the new address", || http(address, "/ready").filter(|(status, _)| *status == 200));
    }
    until("nobody to listen", || TcpStream::connect(instance.admin).is_err().then_some(()));
    answers(instance.address);
}

#[test]
fn limits_and_the_log_level_are_those_of_now() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let sections = sections(&upstream);
    let instance = Zerohop::with_server("workers = 2\ntcp-idle = \"1m\"", &sections);
    let mut patient = connect(instance.address);
    let question = Ask::new("a.own.example.", A);
    let asks = |stream: &mut TcpStream| {
        stream.write_all(&question.framed()).unwrap();
        question.check(read_framed(stream).unwrap())
    };
    asks(&mut patient);
    let said = "workers = 2\ntcp-idle = \"1m\"";
    let second = free_address();
    let text = instance.config_listening(&[instance.address, second], &format!("[log]\nlevel = \"debug\"\n{sections}"));
    instance.reload_text(&text.replace(said, "workers = 2\ntcp-idle = \"1s\"\ntcp-connections = 2"));
    instance.log_line(&["DEBUG", "listening", &second.to_string()]);
    let mut hasty = connect(instance.address);
    asks(&mut hasty);
    assert_eq!(read_framed(&mut connect(instance.address)), None, "there are two already");
    assert_eq!(read_framed(&mut hasty), None, "it was idle for a second");
    asks(&mut patient);
    instance.reload(&format!("[log]\nlevel = \"error\"\n{sections}"));
    let before = instance.process.output();
    instance.process.signal(Signal::SIGHUP);
    until("the reload", || (instance.reloads().0 == 3).then_some(()));
    assert_eq!(instance.process.output(), before, "only errors are logged");
}

#[test]
fn what_needs_a_restart_is_said_and_nothing_else() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let (instance, sections) = start(&upstream);
    let second = free_address();
    let text = instance.config_listening(
        &[second],
        &format!("[cache]\nmax-bytes = \"32MiB\"\nnegative-share = 10\n[log]\nformat = \"json\"\n{sections}"),
    );
    let text = text.replace(
        "workers = 2",
        "workers = 3\ntcp-idle = \"3s\"\ntcp-read = \"3s\"\ndrain = \"3s\"\ntcp-connections = 7",
    );
    instance.reload_text(&text.replace("\"control.sock\"", "\"other.sock\""));
    let log = instance.process.output();
    let keys: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("at the next start only"))
        .map(|line| line.split_once("\"key\":\"").unwrap().1.split('"').next().unwrap())
        .collect();
    assert_eq!(keys, ["server.workers", "admin.control", "cache.max-bytes", "cache.negative-share", "log.format"]);
    answers(second);
}
