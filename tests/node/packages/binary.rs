//! The static binary: no other file is part of it, nor loaded by it later.

use std::fs;
use std::process::Command;

use hickory_proto::rr::RecordType::A;

use super::super::certificates::Authority;
use super::super::client::{Ask, ask};
use super::super::harness::{Zerohop, http};
use super::super::process::{Process, find, free_address};
use super::super::recorder::Recorder;
use super::super::wait::{PATIENCE, until};
use super::{binary, done};

const LARGEST: u64 = 12 << 20;
/// What glibc reads for names and users, and what it loads for that.
/// And where random numbers would come from if the system call were not found.
const FOREIGN: &[&str] = &[
    "/dev/urandom",
    "/dev/random",
    "nsswitch.conf",
    "libnss",
    "/etc/hosts",
    "/etc/passwd",
    "gconv",
    "libc.so",
    "ld.so.cache",
];

#[test]
#[ignore = "takes the static binary: ci/test --all"]
fn it_is_one_file_of_at_most_12_mib() {
    let (Some(binary), Some(file)) = (binary(), find("file", "file")) else { return };
    let what = done(Command::new(file).arg("--brief").arg(&binary));
    assert!(what.contains("static-pie linked"), "{what}");
    let size = fs::metadata(&binary).unwrap().len();
    assert!(size <= LARGEST, "{size} octets");
}

/// With every kind of upstream, since some of their crates bind or look up what they are given.
#[test]
#[ignore = "takes the static binary: ci/test --all"]
fn it_opens_nothing_of_the_c_library() {
    let (Some(binary), Some(strace)) = (binary(), find("strace", "strace")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let plain = Recorder::scripted(|asked| asked.answer_a([192, 0, 2, 1], 0));
    let zones: String = [
        ("plain", plain.address.to_string()),
        ("tcp", format!("tcp://{}", free_address())),
        ("tls", format!("tls://{}", free_address())),
        ("https", format!("https://{}", free_address())),
        ("quic", format!("quic://{}", free_address())),
        ("host", "host".to_owned()),
    ]
    .map(|(zone, server)| format!("[[zone]]\nname = \"{zone}.example\"\nforward = [\"{server}\"]\n"))
    .concat();
    let host =
        format!("[[upstream]]\nname = \"host\"\nservers = [\"dns.b.example\"]\nbootstrap = [\"{}\"]\n", plain.address);
    let mut command = Command::new(strace);
    // Traced by its grandchild, so that the process that the test ends is zerohop.
    command.env_clear().args(["--daemonize", "--follow-forks", "--trace=open,openat,execve", "--output"]);
    command.arg(&trace).arg(&binary);
    let mut zerohop = Zerohop::by(command, free_address(), &format!("{host}{zones}"));
    for zone in ["plain", "tcp", "tls", "https", "quic", "host"] {
        // Some of them are answered, some fail.
        let reply = Ask::new(&format!("a.{zone}.example."), A).udp_within(PATIENCE, zerohop.address);
        assert!(reply.is_some(), "{zone}");
    }
    zerohop.process.stops();
    let whole = |trace: &String| trace.lines().last().is_some_and(|line| line.ends_with("+++ exited with 0 +++"));
    let trace = until("the whole trace", || fs::read_to_string(&trace).ok().filter(whole));
    assert!(trace.contains("zerohop.toml"), "{trace}");
    for line in trace.lines() {
        assert!(!FOREIGN.iter().any(|name| line.contains(name)), "{line}");
    }
    assert_eq!(trace.matches("execve(").count(), 1, "{trace}");
}

/// Upstreams over TLS and QUIC, and several workers: whatever takes random numbers.
#[test]
#[ignore = "takes the static binary: ci/test --all"]
fn it_serves_in_a_root_of_nothing_else_without_dev() {
    let (Some(binary), Some(chroot)) = (binary(), find("chroot", "coreutils")) else { return };
    let root = tempfile::tempdir().unwrap();
    fs::copy(binary, root.path().join("zerohop")).unwrap();
    let (address, admin) = (free_address(), free_address());
    fs::copy(Authority::new().file(), root.path().join("ca.pem")).unwrap();
    let config = format!(
        "[server]\nlisten = [\"{address}\"]\nworkers = 2\n[admin]\nlisten = \"{admin}\"\ncontrol = \"/control.sock\"\n\
         [[zone]]\nname = \"own.example\"\nrecords = [\"a A 10.0.0.1\"]\n\
         [[upstream]]\nname = \"far\"\nservers = [\"tls://{0}\", \"quic://{0}\"]\nca = \"ca.pem\"\n\
         [[zone]]\nname = \"far.example\"\nforward = [\"far\"]\n",
        free_address()
    );
    fs::write(root.path().join("zerohop.toml"), config).unwrap();
    let run = || {
        let mut command = Command::new(&chroot);
        command.env_clear().arg(root.path()).arg("/zerohop").args(["--config", "/zerohop.toml"]);
        command
    };
    let mut process = Process::start(&mut run(), &root.path().join("log"));
    until("zerohop to be ready", || http(admin, "/ready").filter(|(status, _)| *status == 200));
    assert_eq!(ask(address, "a.own.example.", A).data(A), ["10.0.0.1"]);
    // Nobody is there, which is found out by trying.
    assert!(Ask::new("a.far.example.", A).udp_within(PATIENCE, address).is_some());
    assert_eq!(done(run().arg("reload")), "configuration reloaded\n");
    process.stops();
    let mut there: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["ca.pem", "control.sock.lock", "log", "zerohop", "zerohop.toml"]);
    assert!(!process.output().contains("panicked"), "{}", process.output());
}
