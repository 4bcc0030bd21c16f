//! DNS over TLS to clients (RFC 7858): what kdig, openssl and a client of our own expect of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::A;
use nix::sys::signal::Signal;
use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::certificates::{Authority, Certified};
use super::client::{Ask, connect, read_framed};
use super::config_map;
use super::harness::Zerohop;
use super::process::{find, free_address};
use super::recorder::Recorder;
use super::tls_client::{NAME, Secret, TlsClient};
use super::wait::until;

/// Padding and keepalive (RFC 7830, RFC 7828), as EDNS options.
const PADDING: u16 = 12;
const KEEPALIVE: u16 = 11;
/// Replies are padded to a multiple of this (RFC 8467, section 4.1).
const BLOCK: usize = 468;
/// Clients that ask at once.
const THREADS: usize = 8;

const OWN: &str = "[[zone]]\nname = \"own.example\"\nrecords = [\"a A 10.0.0.1\", \"b A 10.0.0.2\"]\n";

/// The section that has it serve at this address.
pub(crate) fn section(address: SocketAddr, certified: &Certified) -> String {
    let Certified { certificate, key } = certified;
    format!("[server.tls]\nlisten = [\"{address}\"]\ncertificate = {certificate:?}\nkey = {key:?}\n")
}

/// Serves [`OWN`], and everything else from this upstream; over TLS at the address.
fn zerohop(server: &str, authority: &Authority, upstream: &Recorder) -> (Zerohop, SocketAddr) {
    let address = free_address();
    let tls = section(address, &authority.certify(&[NAME]));
    let zones = format!("{tls}{OWN}{}", upstream.root_zone());
    (Zerohop::with_server(&format!("workers = 2\n{server}"), &zones), address)
}

fn own(name: &str) -> Ask {
    Ask::new(&format!("{name}.own.example."), A)
}

fn kdig(program: &Path, server: SocketAddr, arguments: &[&str]) -> (bool, String) {
    let at = [format!("@{}", server.ip()), "-p".to_owned(), server.port().to_string()];
    let output = Command::new(program).args(at).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn kdig_is_answered_and_told_who_we_are() {
    let Some(program) = find("kdig", "knot-dnsutils") else { return };
    let authority = Authority::new();
    let (zerohop, address) = zerohop("", &authority, &Recorder::answering([192, 0, 2, 1]));
    let ca = format!("+tls-ca={}", authority.file().display());
    let hostname = format!("+tls-hostname={NAME}");
    let (names, checked) = (["a.own.example", "www.example"], [ca.as_str(), hostname.as_str()]);
    for ways in [&["+tls"][..], &checked, &["+tls", "+nopadding"], &["+tls", "+dnssec"], &["+tls", "+alignment"]] {
        let (good, said) = kdig(&program, address, &ways.iter().chain(&names).copied().collect::<Vec<_>>());
        assert!(good && said.contains("10.0.0.1"), "{ways:?}: {said}");
        assert!(!said.contains(";; WARNING") && !said.contains(";; ERROR"), "{ways:?}: {said}");
        assert!(said.contains("TLS1.3"), "{said}");
    }
    let before = zerohop.metrics().sum("zerohop_tcp_connections_total", &[]);
    let many = ["+tls", "+keepopen", "a.own.example", "b.own.example", "www.example", "nobody.own.example"];
    let (good, said) = kdig(&program, address, &many);
    assert!(good && said.contains("10.0.0.1") && said.contains("10.0.0.2") && said.contains("192.0.2.1"), "{said}");
    assert!(said.contains("NXDOMAIN"), "{said}");
    assert_eq!(zerohop.metrics().sum("zerohop_tcp_connections_total", &[]), before + 1, "{said}");
    let (_, said) = kdig(&program, address, &["+tls", "+padding=64", "a.own.example"]);
    assert!(said.contains("Received 468 B"), "{said}");
    let wrong = ["+tls-hostname=other.example", ca.as_str(), "a.own.example", "+retry=0"];
    let (_, said) = kdig(&program, address, &wrong);
    assert!(!said.contains("10.0.0.1"), "another name is not ours: {said}");
    assert!(zerohop.metrics().sum("zerohop_requests_total", &[("protocol", "tls")]) > 0);
}

#[test]
fn openssl_agrees_on_1_2_and_1_3_and_on_nothing_older() {
    let Some(program) = find("openssl", "openssl") else { return };
    let authority = Authority::new();
    let (zerohop, address) = zerohop("", &authority, &Recorder::black_hole());
    let said = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["s_client", "-connect", &address.to_string(), "-verify_return_error", "-verify_hostname", NAME]);
        let output =
            command.arg("-CAfile").arg(authority.file()).args(arguments).stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    for (version, shown) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = said(&[version, "-alpn", "dot"]);
        for part in [shown, "ALPN protocol: dot", "Verify return code: 0 (ok)"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let without = said(&["-tls1_3"]);
    assert!(without.contains("No ALPN negotiated") && without.contains("Verify return code: 0 (ok)"), "{without}");
    assert_eq!(zerohop.metrics().sum("zerohop_tls_handshake_failures_total", &[]), 0);
    let old = said(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert!(old.contains("alert"), "{old}");
    let other = said(&["-alpn", "h2"]);
    assert!(other.contains("no application protocol"), "{other}");
    until("the failures", || (zerohop.metrics().sum("zerohop_tls_handshake_failures_total", &[]) >= 2).then_some(()));
}

#[test]
fn sessions_are_resumed_whichever_worker_began_them() {
    let authority = Authority::new();
    let (zerohop, address) = zerohop("", &authority, &Recorder::black_hole());
    let client = TlsClient::new(&[&authority], &["dot"]);
    for number in 0..20 {
        let mut connection = client.connect(address);
        assert_eq!(connection.ask(&own("a")).data(A), ["10.0.0.1"]);
        assert_eq!(connection.version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(connection.alpn(), Some(&b"dot"[..]));
        assert_eq!(connection.is_resumed(), number > 0, "{number}");
    }
    assert_eq!(zerohop.metrics().sum("zerohop_tls_handshakes_total", &[]), 20);
}

#[test]
fn replies_are_padded_for_those_who_padded() {
    let authority = Authority::new();
    let (zerohop, address) = zerohop("", &authority, &Recorder::answering([192, 0, 2, 1]));
    let mut connection = TlsClient::new(&[&authority], &[]).connect(address);
    for question in [own("a"), own("nobody"), Ask::new("www.example.", A), Ask::new("www.example.", A)] {
        let bare = connection.ask(&question.clone().edns(1232)).octets.len();
        assert!(bare < BLOCK, "{bare}");
        let padding = question.clone().edns(1232).option(PADDING, &[0; 40]);
        assert_eq!(connection.ask(&padding).octets.len(), BLOCK);
        assert_eq!(padding.tcp(zerohop.address).octets.len(), bare, "without TLS there is nothing to hide");
        let keepalive = padding.option(KEEPALIVE, &[]);
        let reply = connection.ask(&keepalive);
        assert_eq!(reply.octets.len(), BLOCK);
        // `tcp-idle`, in 100 ms.
        assert!(reply.octets.windows(6).any(|option| option == [0, 11, 0, 2, 0, 100]), "{:02x?}", reply.octets);
    }
}

#[test]
fn answers_come_as_they_are_found_and_many_questions_go_at_once() {
    let (upstream, held) = Recorder::holding(|asked| asked.name().ends_with("slow.example."));
    let authority = Authority::new();
    let (zerohop, address) = zerohop("", &authority, &upstream);
    let mut connection = TlsClient::new(&[&authority], &["dot"]).connect(address);
    let slow = Ask::new("slow.example.", A);
    let questions: Vec<Ask> = (0..50).map(|number| own(if number % 2 == 0 { "a" } else { "b" })).collect();
    let octets: Vec<u8> = std::iter::once(&slow).chain(&questions).flat_map(Ask::framed).collect();
    connection.stream.write_all(&octets).unwrap();
    for question in &questions {
        question.check(read_framed(&mut connection.stream).unwrap());
    }
    held.recv().unwrap().answer_a([192, 0, 2, 9], 300);
    assert_eq!(slow.check(read_framed(&mut connection.stream).unwrap()).data(A), ["192.0.2.9"]);
    // A client that says that it is done still hears what it asked for.
    let slower = Ask::new("slower.slow.example.", A);
    connection.stream.write_all(&slower.framed()).unwrap();
    connection.stream.conn.send_close_notify();
    connection.stream.flush().unwrap();
    held.recv().unwrap().answer_a([192, 0, 2, 8], 300);
    assert_eq!(slower.check(read_framed(&mut connection.stream).unwrap()).data(A), ["192.0.2.8"]);
    assert!(read_framed(&mut connection.stream).is_none(), "and then the connection ends");
    // One that says so to TCP alone hears it, too.
    let mut connection = TlsClient::new(&[&authority], &["dot"]).connect(address);
    let slowest = Ask::new("slowest.slow.example.", A);
    connection.stream.write_all(&slowest.framed()).unwrap();
    let asked = held.recv().unwrap();
    connection.stream.sock.shutdown(Shutdown::Write).unwrap();
    asked.answer_a([192, 0, 2, 7], 300);
    assert_eq!(slowest.check(read_framed(&mut connection.stream).unwrap()).data(A), ["192.0.2.7"]);
    let metrics = zerohop.metrics();
    assert_eq!(metrics.sum("zerohop_requests_total", &[("protocol", "tls")]), 53);
    assert_eq!(metrics.sum("zerohop_requests_total", &[("protocol", "tcp")]), 0);
}

#[test]
fn what_is_under_way_at_a_stop_is_answered_and_then_there_is_an_end() {
    let (upstream, held) = Recorder::held();
    let authority = Authority::new();
    let (mut zerohop, address) = zerohop("", &authority, &upstream);
    let client = TlsClient::new(&[&authority], &["dot"]);
    let (mut idle, mut waiting) = (client.connect(address), client.connect(address));
    idle.ask(&own("a"));
    let question = Ask::new("slow.example.", A);
    waiting.stream.write_all(&question.framed()).unwrap();
    let asked = held.recv().unwrap();
    let _in_its_handshake = connect(address);
    zerohop.process.signal(Signal::SIGTERM);
    assert_eq!(idle.stream.read(&mut [0]).unwrap(), 0, "it is told of the end");
    asked.answer_a([192, 0, 2, 9], 300);
    assert_eq!(question.check(read_framed(&mut waiting.stream).unwrap()).data(A), ["192.0.2.9"]);
    assert_eq!(waiting.stream.read(&mut [0]).unwrap(), 0);
    assert_eq!(zerohop.process.exit_code(), Some(0));
}

#[test]
fn a_handshake_that_never_ends_is_ended_and_counts_among_the_connections() {
    let authority = Authority::new();
    let (zerohop, address) = zerohop("tcp-read = \"500ms\"\ntcp-connections = 2", &authority, &Recorder::black_hole());
    let failures = || zerohop.metrics().sum("zerohop_tls_handshake_failures_total", &[]);
    let mut silent = [connect(address), connect(address)];
    until("both to be taken in", || (zerohop.metrics().sum("zerohop_tcp_connections_open", &[]) == 2).then_some(()));
    let mut third = connect(address);
    assert!(matches!(third.read(&mut [0]), Ok(0) | Err(_)), "there is room for two");
    assert_eq!(zerohop.metrics().sum("zerohop_tcp_refused_total", &[]), 1);
    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it has been long enough");
    }
    until("both to be counted", || (failures() == 2).then_some(()));
    let mut nonsense = connect(address);
    nonsense.write_all(&own("a").framed()).unwrap();
    let mut said = Vec::new();
    let end = nonsense.read_to_end(&mut said);
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    until("the nonsense to be counted", || (failures() == 3).then_some(()));
    let mut connection = TlsClient::new(&[&authority], &["dot"]).connect(address);
    assert_eq!(connection.ask(&own("a")).rcode(), ResponseCode::NoError);
}

#[test]
fn when_the_certificate_expires_is_known_before_it_does() {
    let authority = Authority::new();
    let (zerohop, _) = zerohop("", &authority, &Recorder::black_hole());
    // As it stands in the certificates of these tests: the first second of the year 4096.
    let metrics = zerohop.metrics();
    assert_eq!(metrics.sum("zerohop_certificate_expiry_timestamp_seconds", &[]), 67_090_118_400);
}

/// Asks over this many connections, over and over, while `change` is under way, and once more when it
/// is done: no question goes unanswered and no connection ends.
fn under_load(client: &TlsClient, address: SocketAddr, connections: usize, change: impl FnOnce()) {
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut open: Vec<Secret> = (0..connections / THREADS).map(|_| client.connect(address)).collect();
                loop {
                    let last = done.load(Relaxed);
                    for connection in &mut open {
                        assert_eq!(connection.ask(&own("a")).data(A), ["10.0.0.1"]);
                        asked.fetch_add(1, Relaxed);
                    }
                    // And one that comes in the midst of it.
                    assert_eq!(client.connect(address).ask(&own("b")).data(A), ["10.0.0.2"]);
                    if last {
                        break;
                    }
                }
            });
        }
        until("every connection to be used", || (asked.load(Relaxed) >= 2 * connections).then_some(()));
        change();
        done.store(true, Relaxed);
    });
}

#[test]
fn a_new_certificate_is_taken_up_under_load_and_a_bad_one_is_not() {
    let (first, second) = (Authority::new(), Authority::new());
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let of = |files: &Certified| CertificateDer::from_pem_file(&files.certificate).unwrap();
    // As a Secret is mounted: both files change at once.
    let put = |certificate: &Certified, key: &Certified| {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let contents = [("tls.crt", read(&certificate.certificate)), ("tls.key", read(&key.key))];
        config_map::swap(directory.path(), &contents);
    };
    let old = first.certify(&[NAME]);
    put(&old, &old);
    let files = Certified { certificate: directory.path().join("tls.crt"), key: directory.path().join("tls.key") };
    let zerohop = Zerohop::start(&format!("{}{OWN}", section(address, &files)));
    let client = TlsClient::new(&[&first, &second], &["dot"]);
    let shown = |authority: &Authority| {
        let mut connection = TlsClient::new(&[authority], &[]).connect(address);
        connection.ask(&own("a"));
        connection.shown()
    };
    assert_eq!(shown(&first), of(&old));
    let new = second.certify(&[NAME]);
    under_load(&client, address, 200, || {
        put(&new, &new);
        until("the new certificate", || (zerohop.reloads() == (1, 0)).then_some(()));
    });
    assert_eq!(shown(&second), of(&new));
    let metrics = zerohop.metrics();
    assert_eq!(metrics.sum("zerohop_tls_handshake_failures_total", &[]), 0);
    assert_eq!(metrics.sum("zerohop_send_failures_total", &[]), 0);
    put(&new, &old);
    until("the bad one to be turned down", || (zerohop.reloads() == (1, 1)).then_some(()));
    zerohop.log_line(&["ERROR", "server.tls.key", "is not the key to"]);
    assert_eq!(zerohop.metrics().sum("zerohop_config_current", &[]), 0);
    assert_eq!(shown(&second), of(&new));
    put(&old, &old);
    until("a good one", || (zerohop.reloads() == (2, 1)).then_some(()));
    assert_eq!(zerohop.metrics().sum("zerohop_config_current", &[]), 1);
    assert_eq!(shown(&first), of(&old));
}
