//! systemd-resolved keeps its highest feature level with zerohop as its only server.
//!
//! It lowers that level, for everybody behind it, when OPT, RRSIGs or whole replies are missing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{self, A, AAAA, TXT};
use nix::mount::{MsFlags, mount};
use nix::unistd::{Gid, Uid, chown};
use tempfile::TempDir;

use super::super::certificates::Authority;
use super::super::client::{Ask, receive, socket};
use super::super::harness::Zerohop;
use super::super::namespace::{NODE, inside, instead_of};
use super::super::peers;
use super::super::process::{Process, find, skip};
use super::super::wait::until;
use super::matrix::zones;
use super::upstream;

/// Its stub, which looks things up, and its proxy, which passes questions on as they are.
pub(super) const STUB: &str = "127.0.0.53:53";
const PROXY: &str = "127.0.0.54:53";
/// Whom it becomes. It wants a user of this name, which only a machine that has it installed has.
pub(super) const USER: u32 = 64_001;

/// Installed, or unpacked by `ci/test`, and where the library of its version is.
pub(super) fn program() -> Option<(PathBuf, PathBuf)> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debian");
    let roots = [PathBuf::from("/"), unpacked];
    let found = roots.into_iter().find(|root| root.join("lib/systemd/systemd-resolved").is_file());
    if found.is_none() {
        skip("systemd-resolved (ci/test unpacks it)");
    }
    let root = found?;
    let libraries = root.join(format!("usr/lib/{}-linux-gnu/systemd", std::env::consts::ARCH));
    Some((root.join("lib/systemd/systemd-resolved"), libraries))
}

/// Runs it with these settings in place of whatever this machine has, in a namespace, until it
/// answers for a name: it asks nobody before it has seen a network device.
fn start(settings: &str, anchor: &str, known: &str, files: &TempDir) -> Option<Process> {
    start_trusting(None, settings, anchor, known, files)
}

/// As [`start`]; over TLS it believes this authority alone.
fn start_trusting(
    authority: Option<&Authority>,
    settings: &str,
    anchor: &str,
    known: &str,
    files: &TempDir,
) -> Option<Process> {
    let (program, libraries) = program()?;
    for (path, line) in [
        ("/etc/passwd", format!("root:x:0:0::/:/bin/sh\nsystemd-resolve:x:{USER}:{USER}::/:/bin/false\n")),
        ("/etc/group", format!("root:x:0:\nsystemd-resolve:x:{USER}:\n")),
    ] {
        instead_of(path, &line, files);
    }
    mount(None::<&str>, "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    for directory in ["/run/systemd/resolve", "/run/systemd/resolved.conf.d", "/run/dnssec-trust-anchors.d"] {
        std::fs::create_dir_all(directory).unwrap();
    }
    chown("/run/systemd/resolve", Some(Uid::from_raw(USER)), Some(Gid::from_raw(USER))).unwrap();
    std::fs::write("/run/dnssec-trust-anchors.d/test.positive", anchor).unwrap();
    // Its own cache would stand before ours.
    let settings = format!(
        "[Resolve]\nDNS=169.254.20.10#dns.node.example\nFallbackDNS=\nDomains=~.\nCache=no\nLLMNR=no\nMulticastDNS=no\n{settings}\n"
    );
    std::fs::write("/run/systemd/resolved.conf.d/test.conf", settings).unwrap();
    let mut command = Command::new(program);
    command.env_clear().env("LD_LIBRARY_PATH", libraries);
    command.envs([("SYSTEMD_LOG_LEVEL", "debug"), ("SYSTEMD_LOG_TARGET", "console")]);
    if let Some(authority) = authority {
        command.env("SSL_CERT_FILE", authority.file());
    }
    let mut process = Process::start(&mut command, &files.path().join("resolved.log"));
    until("systemd-resolved", || {
        assert!(process.ended().is_none(), "{}", process.output());
        let reply = Ask::new(known, A).try_udp(STUB.parse().unwrap())?;
        (reply.rcode() == ResponseCode::NoError).then_some(())
    });
    Some(process)
}

/// Without EDNS, with it, and with DO.
fn every_way(name: &str, rtype: RecordType) -> [Ask; 3] {
    let ask = Ask::new(name, rtype);
    [ask.clone(), ask.clone().edns(1232), ask.dnssec()]
}

/// Asks its stub, and its proxy unless there is no OPT to pass on: it takes the lack of one in the
/// reply to its own query without any for a fault of the server, whichever that is. What they say
/// is theirs, and may be cut in the middle of a record.
fn over_udp(ask: &Ask) {
    let has_opt = ask.octets()[11] == 1;
    for server in [Some(STUB), has_opt.then_some(PROXY)].into_iter().flatten() {
        let socket = socket();
        socket.send_to(&ask.octets(), server).unwrap();
        receive(&socket);
    }
}

/// Its log has no word of a lower level, and the last question, a name that exists, went out at the
/// highest. In between it asks once without OPT for what does not exist, as it does everywhere.
fn stays_at(level: &str, known: &str, resolved: &Process) {
    Ask::new(known, A).tcp(STUB.parse().unwrap());
    let log = resolved.output();
    assert!(log.contains(&format!("Verified we get a response at feature level {level} from")), "{log}");
    let lower = log.lines().find(|line| line.contains("degraded feature set") || line.contains("downgrading"));
    assert_eq!(lower, None, "{log}");
    let last = log.lines().rfind(|line| line.starts_with("Using feature level "));
    assert!(last.is_some_and(|line| line.contains(&format!("level {level} for"))), "{log}");
}

#[test]
fn systemd_resolved_keeps_edns_whatever_is_asked() {
    inside(&["127.0.0.53"], || {
        let upstream = upstream::start();
        let zerohop = Zerohop::at(NODE.parse().unwrap(), &zones(&upstream.address.to_string()));
        let files = tempfile::tempdir().unwrap();
        let Some(resolved) = start("DNSSEC=no", "", "one.own.example.", &files) else { return };
        let own =
            ["one", "x.wild", "host-1", "both", "many", "alias", "nobody"].map(|name| format!("{name}.own.example."));
        let forwarded =
            ["plain-1-0", "plain-60-60", "plain-300-300", "chain-2-2", "misordered-2-2", "cut-100-100", "nxdomain-1-0"]
                .map(|name| format!("resolved.{name}.stub.example."));
        for _hot in [false, true] {
            for name in own.iter().chain(&forwarded) {
                for rtype in [A, AAAA] {
                    let straight = Ask::new(name, rtype).tcp(zerohop.address);
                    for ask in every_way(name, rtype) {
                        let reply = ask.tcp(STUB.parse().unwrap());
                        assert_eq!(
                            (reply.rcode(), reply.answers()),
                            (straight.rcode(), straight.answers()),
                            "{name} {rtype}"
                        );
                        over_udp(&ask);
                    }
                }
            }
        }
        stays_at("UDP+EDNS0", "one.own.example.", &resolved);
    });
}

/// A zone and its trust anchor.
fn signed() -> Option<(String, String)> {
    let (keygen, signer) = (find("ldns-keygen", "ldnsutils")?, find("ldns-signzone", "ldnsutils")?);
    let directory = tempfile::tempdir().unwrap();
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(&directory).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let zone = "$ORIGIN signed.example.\n$TTL 300\n@ SOA ns root 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n\
                a A 192.0.2.1\nalias CNAME a\n*.wild A 192.0.2.2\n";
    let long: String = (0..40).map(|number| format!("long TXT \"{number} {}\"\n", "x".repeat(200))).collect();
    std::fs::write(directory.path().join("zone"), zone.to_owned() + &long).unwrap();
    let key = run(&keygen, &["-a", "ECDSAP256SHA256", "-k", "signed.example"]);
    run(&signer, &["-o", "signed.example", "zone", &key]);
    let read = |file: String| std::fs::read_to_string(directory.path().join(file)).unwrap();
    Some((read("zone.signed".to_owned()), read(format!("{key}.ds"))))
}

#[test]
fn systemd_resolved_validates_what_comes_through() {
    let Some((zone, anchor)) = signed() else { return };
    inside(&["127.0.0.53"], || {
        let Some(upstream) = peers::nsd_as_written(("signed.example", &zone)) else { return };
        let forward = format!("[[zone]]\nname = 'signed.example'\nforward = ['{}']", upstream.address);
        let _zerohop = Zerohop::at(NODE.parse().unwrap(), &forward);
        let files = tempfile::tempdir().unwrap();
        let Some(resolved) = start("DNSSEC=yes", &anchor, "a.signed.example.", &files) else { return };
        let stub: SocketAddr = STUB.parse().unwrap();
        for _hot in [false, true] {
            for (name, rtype, rcode, answers) in [
                ("a", A, ResponseCode::NoError, 1),
                ("alias", A, ResponseCode::NoError, 2),
                ("x.wild", A, ResponseCode::NoError, 1),
                ("long", TXT, ResponseCode::NoError, 40),
                ("a", AAAA, ResponseCode::NoError, 0),
                ("nobody", A, ResponseCode::NXDomain, 0),
            ] {
                for ask in every_way(&format!("{name}.signed.example."), rtype) {
                    let reply = ask.tcp(stub);
                    let signatures = reply.data(RecordType::RRSIG).len();
                    assert_eq!(
                        (reply.rcode(), reply.message.answers.len() - signatures),
                        (rcode, answers),
                        "{name} {rtype}"
                    );
                    over_udp(&ask);
                }
                let validated = Ask::new(&format!("{name}.signed.example."), rtype).dnssec().tcp(stub);
                assert!(validated.message.metadata.authentic_data, "{name} {rtype}: {}", resolved.output());
            }
        }
        stays_at("UDP+EDNS0+DO", "a.signed.example.", &resolved);
    });
}

#[test]
fn systemd_resolved_asks_over_tls_and_nothing_but_tls() {
    let authority = Authority::new();
    let certified = authority.certify(&["dns.node.example"]);
    inside(&["127.0.0.53"], || {
        let upstream = upstream::start();
        let tls = format!(
            "[server.tls]\nlisten = ['169.254.20.10']\ncertificate = {:?}\nkey = {:?}\n{}",
            certified.certificate,
            certified.key,
            zones(&upstream.address.to_string())
        );
        let zerohop = Zerohop::at(NODE.parse().unwrap(), &tls);
        let files = tempfile::tempdir().unwrap();
        let settings = "DNSOverTLS=yes\nDNSSEC=no";
        let Some(resolved) = start_trusting(Some(&authority), settings, "", "one.own.example.", &files) else { return };
        for name in
            ["one.own.example.", "many.own.example.", "resolved.plain-60-60.stub.example.", "nobody.own.example."]
        {
            for rtype in [A, AAAA] {
                let straight = Ask::new(name, rtype).tcp(zerohop.address);
                let reply = Ask::new(name, rtype).tcp(STUB.parse().unwrap());
                assert_eq!((reply.rcode(), reply.answers()), (straight.rcode(), straight.answers()), "{name} {rtype}");
            }
        }
        let log = resolved.output();
        assert!(log.contains("Verified we get a response at feature level TLS+EDNS0"), "{log}");
        assert!(!log.contains("degraded feature set"), "{log}");
        let metrics = zerohop.metrics();
        assert!(metrics.sum("zerohop_requests_total", &[("protocol", "tls")]) >= 8);
        assert_eq!(metrics.sum("zerohop_requests_total", &[("protocol", "udp")]), 0);
        assert_eq!(metrics.sum("zerohop_tls_handshake_failures_total", &[]), 0);
    });
}
