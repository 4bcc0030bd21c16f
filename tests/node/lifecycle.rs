//! Starting, stopping, and what the command line says of itself.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};

use hickory_proto::rr::RecordType::{A, AAAA, TXT};
use nix::sys::signal::Signal;

use super::client::{Ask, connect, read_framed, receive, socket};
use super::harness::{Zerohop, http, zerohop};
use super::process::{Process, find, free_address, skip};
use super::recorder::Recorder;
use super::wait::until;

const DEFAULT: &str = include_str!("../../src/config/default.toml");
const OWN: &str = "[[zone]]\nname = \"own.example\"\nrecords = [\"a A 10.0.0.1\"]";

/// The quick start's answers, over UDP and TCP.
fn answers_the_quick_start(server: SocketAddr) {
    let hello = "hello.zerohop.test.";
    for reply in [Ask::new(hello, A).udp(server), Ask::new(hello, A).tcp(server)] {
        assert_eq!((reply.data(A), reply.authoritative()), (vec!["127.0.0.1".to_owned()], true));
    }
    assert_eq!(Ask::new(hello, AAAA).udp(server).data(AAAA), ["::1"]);
    assert_eq!(Ask::new(hello, TXT).udp(server).data(TXT), ["DNS that never leaves the node"]);
}

#[test]
fn without_a_file_the_quick_start_answers() {
    let server: SocketAddr = "127.0.0.1:1053".parse().unwrap();
    let directory = tempfile::tempdir().unwrap();
    // Its ports are fixed, and whoever else is trying the quick start has them.
    let mut process = until("the ports of the quick start", || {
        let mut process =
            Process::start(zerohop().env("RUNTIME_DIRECTORY", directory.path()), &directory.path().join("log"));
        let serves = until("the first log line", || {
            let serves = process.output().contains("\"message\":\"serving\"");
            (serves || process.ended().is_some()).then_some(serves)
        });
        assert!(serves || process.output().contains("Address already in use"), "{}", process.output());
        serves.then_some(process)
    });
    answers_the_quick_start(server);
    assert!(process.output().contains("(embedded default)"), "{}", process.output());
    process.stops();
}

/// In a network namespace of its own there is a loopback device and nothing else.
#[test]
fn without_any_network_the_quick_start_answers() {
    const SCRIPT: &str = r#"
        ip link set lo up
        "$0" & zerohop=$!
        ask() { dig @127.0.0.1 -p 1053 +short +timeout=1 +tries=1 hello.zerohop.test "$@"; }
        for attempt in $(seq 100); do ask +notcp >/dev/null && break; done
        ask +notcp && ask +tcp && kill $zerohop && wait $zerohop
    "#;
    let (Some(unshare), Some(_), Some(_)) =
        (find("unshare", "util-linux"), find("ip", "iproute2"), find("dig", "bind9-dnsutils"))
    else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let separate = || {
        let mut command = Command::new(&unshare);
        command.args(["--map-root-user", "--net"]).env_remove("ZEROHOP_CONFIG");
        command.env("RUNTIME_DIRECTORY", directory.path());
        command
    };
    if !separate().arg("true").status().unwrap().success() {
        return skip("leave to make a network namespace");
    }
    let output = separate().args(["sh", "-ec", SCRIPT, env!("CARGO_BIN_EXE_zerohop")]).output().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), answers.as_str()), (Some(0), "127.0.0.1\n127.0.0.1\n"));
}

#[test]
fn the_quick_start_is_a_file_to_begin_with() {
    let directory = tempfile::tempdir().unwrap();
    let (server, admin) = (free_address(), free_address());
    let text = DEFAULT.replace("127.0.0.1:1053", &server.to_string()).replace("127.0.0.1:9153", &admin.to_string());
    let process = started(&text, directory.path());
    until("readiness", || http(admin, "/ready").filter(|(status, _)| *status == 200));
    answers_the_quick_start(server);
    drop(process);
}

#[test]
fn sigterm_and_sigint_end_it_in_good_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut zerohop = Zerohop::start(OWN);
        zerohop.process.signal(signal);
        assert_eq!(zerohop.process.exit_code(), Some(0), "{signal}");
        let line = zerohop.log_line(&["stopping"]);
        assert!(line.contains(signal.as_str()), "{line}");
    }
}

#[test]
fn questions_under_way_at_sigterm_are_answered() {
    let (upstream, held) = Recorder::held();
    let mut zerohop = Zerohop::start(&upstream.root_zone());
    let (udp, mut tcp) = (socket(), connect(zerohop.address));
    let questions = [Ask::new("udp.example.", A), Ask::new("tcp.example.", A)];
    udp.send_to(&questions[0].octets(), zerohop.address).unwrap();
    tcp.write_all(&questions[1].framed()).unwrap();
    let asked = [held.recv().unwrap(), held.recv().unwrap()];
    zerohop.process.signal(Signal::SIGTERM);
    zerohop.log_line(&["stopping"]);
    asked.iter().for_each(|asked| asked.answer_a([192, 0, 2, 1], 300));
    assert_eq!(questions[0].check(receive(&udp)).data(A), ["192.0.2.1"]);
    assert_eq!(questions[1].check(read_framed(&mut tcp).unwrap()).data(A), ["192.0.2.1"]);
    assert_eq!(zerohop.process.exit_code(), Some(0));
}

#[test]
fn with_lameduck_it_answers_on_and_says_that_it_will_not() {
    let mut zerohop = Zerohop::with_server("lameduck = 60", OWN);
    assert_eq!(http(zerohop.admin, "/ready").unwrap().0, 200);
    zerohop.process.signal(Signal::SIGTERM);
    let said =
        until("a word that it is not ready", || http(zerohop.admin, "/ready").filter(|(status, _)| *status == 503));
    assert_eq!(said.1, "zerohop is stopping\n");
    for _ in 0..10 {
        assert_eq!(Ask::new("a.own.example.", A).udp(zerohop.address).data(A), ["10.0.0.1"]);
    }
    assert_eq!(http(zerohop.admin, "/health").unwrap().0, 200);
    assert!(zerohop.process.ended().is_none());
    zerohop.process.signal(Signal::SIGTERM);
    assert_eq!(zerohop.process.exit_code(), Some(0), "a second signal ends it");
}

#[test]
fn a_second_instance_on_the_same_port_does_not_start() {
    let first = Zerohop::start(OWN);
    // With a control socket of its own.
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("zerohop.toml");
    std::fs::copy(first.config(), &other).unwrap();
    let output = zerohop().arg("--config").arg(other).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = error_text(&output);
    assert!(error.contains(&format!("cannot listen on {}", first.address)), "{error}");
    assert!(error.contains("[server] listen"), "says what to change: {error}");
    Ask::new("a.own.example.", A).udp(first.address);
}

#[test]
fn a_taken_admin_port_does_not_stop_dns() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (server, admin) = (free_address(), taken.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let text = format!("[server]\nlisten = [\"{server}\"]\n[admin]\nlisten = \"{admin}\"\ncontrol = \"off\"\n{OWN}");
    let process = started(&text, directory.path());
    let question = Ask::new("a.own.example.", A);
    assert_eq!(until("an answer", || question.try_udp(server)).data(A), ["10.0.0.1"]);
    process.until_says("cannot listen for [admin]");
}

#[test]
fn a_named_file_that_is_missing_is_a_fault() {
    for arguments in
        [&["--config", "/nonexistent/zerohop.toml"][..], &["check", "--config", "/nonexistent/zerohop.toml"]]
    {
        let output = zerohop().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        assert!(error_text(&output).contains("/nonexistent/zerohop.toml"), "{}", error_text(&output));
    }
    let output = zerohop().env("ZEROHOP_CONFIG", "/nonexistent/other.toml").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(error_text(&output).contains("/nonexistent/other.toml"), "{}", error_text(&output));
}

#[test]
fn check_finds_every_fault_and_run_starts_with_none() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("zerohop.toml");
    std::fs::write(&file, DEFAULT).unwrap();
    let check = || zerohop().arg("check").arg("--config").arg(&file).output().unwrap();
    let good = check();
    assert_eq!((good.status.code(), error_text(&good)), (Some(0), String::new()));
    let broken = DEFAULT.replace("hello A    127.0.0.1", "hello A    127.0.0.256").replace("forward", "forwrad");
    std::fs::write(&file, broken).unwrap();
    for output in [check(), zerohop().arg("--config").arg(&file).output().unwrap()] {
        assert_eq!(output.status.code(), Some(78));
        let error = error_text(&output);
        assert!(error.contains("127.0.0.256") && error.contains("`forward`"), "both faults in one go: {error}");
        assert!(error.contains(&format!("{}:", file.display())), "says where: {error}");
    }
}

#[test]
fn the_log_says_what_is_served() {
    let upstream = Recorder::black_hole();
    let zerohop = Zerohop::start(&format!("{OWN}\n{}", upstream.root_zone()));
    let line = zerohop.log_line(&["\"message\":\"serving\""]);
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    for (key, value) in [
        ("config", zerohop.config().display().to_string()),
        ("listen", zerohop.address.to_string()),
        ("zones", "own.example. .".to_owned()),
        ("upstreams", upstream.address.to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ] {
        assert!(line.contains(&format!("\"{key}\":\"{value}\"")), "{key}: {line}");
    }
}

fn started(text: &str, directory: &Path) -> Process {
    let config = directory.join("zerohop.toml");
    std::fs::write(&config, text).unwrap();
    let mut command = zerohop();
    command.env("RUNTIME_DIRECTORY", directory).arg("--config").arg(&config);
    Process::start(&mut command, &directory.join("log"))
}

fn error_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
