//! The system calls of a whole life: none that the unit refuses, none that we refuse ourselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use hickory_proto::rr::RecordType::A;
use nix::sys::signal::{Signal, kill};

use super::client::Ask;
use super::harness::Zerohop;
use super::namespace::{NODE, alone};
use super::process::find;

const OWN: &str = "[[zone]]\nname = \"own.example\"\nrecords = [\"a A 10.0.0.1\"]\n";

/// The system calls that a unit lets through.
fn let_through(unit: &str, sets: &str) -> BTreeSet<String> {
    let mut members: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut set = "";
    for line in sets.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if line.starts_with('@') {
            set = line.trim();
        } else if !line.trim().is_empty() {
            members.entry(set).or_default().push(line.trim());
        }
    }
    let expand = |names: &str| {
        let mut open: Vec<&str> = names.split_whitespace().collect();
        let mut calls = BTreeSet::new();
        while let Some(name) = open.pop() {
            match members.get(name) {
                Some(within) => open.extend(within),
                None => drop(calls.insert(name.to_owned())),
            }
        }
        calls
    };
    let mut through = BTreeSet::new();
    for said in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        match said.strip_prefix('~') {
            Some(without) => through = &through - &expand(without),
            None => through.extend(expand(said)),
        }
    }
    // systemd adds what no process begins without.
    through.extend(expand("@default"));
    through
}

#[test]
fn the_unit_and_our_own_filter_let_through_all_that_it_calls() {
    let (Some(strace), Some(analyze)) = (find("strace", "strace"), find("systemd-analyze", "systemd")) else { return };
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/zerohop.service")).unwrap();
    let sets = Command::new(analyze).arg("syscall-filter").output().unwrap();
    let through = let_through(&unit, &String::from_utf8(sets.stdout).unwrap());
    assert!(through.contains("recvmmsg") && through.contains("sendmmsg") && !through.contains("mount"));
    alone(|_| {
        let trace = tempfile::NamedTempFile::new().unwrap();
        let lib = tempfile::tempdir().unwrap();
        let mut command = Command::new(&strace);
        command.env_clear().args(["--follow-forks", "--quiet=all", "--signal=none", "--output"]).arg(trace.path());
        command.arg(env!("CARGO_BIN_EXE_zerohop"));
        let sections = format!(
            "{OWN}[interface]\nname = 'lo'\n[cache]\npersist = '{}'\n[[zone]]\nname = '.'\nforward = ['127.0.0.9']\n",
            lib.path().join("cache").display()
        );
        let mut zerohop = Zerohop::by(command, NODE.parse().unwrap(), &sections);
        let question = Ask::new("a.own.example.", A);
        assert_eq!(question.udp(zerohop.address).data(A), ["10.0.0.1"]);
        assert_eq!(question.tcp(zerohop.address).data(A), ["10.0.0.1"]);
        zerohop.reload(&sections.replace("10.0.0.1", "10.0.0.3"));
        let _heir = zerohop.standby("log-heir");
        // strace passes nothing on: its child is told.
        let traced = fs::read_to_string(trace.path()).unwrap();
        let pid = traced.split_whitespace().next().unwrap().parse().unwrap();
        kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        assert_eq!(zerohop.process.exit_code(), Some(0));
        let traced = fs::read_to_string(trace.path()).unwrap();
        let calls = traced.lines().filter_map(|line| {
            let call = line.split_whitespace().nth(1)?.split_once('(')?.0;
            call.starts_with(|first: char| first.is_ascii_lowercase()).then_some(call)
        });
        let made: BTreeSet<String> = calls.map(str::to_owned).collect();
        for ours in ["capset", "landlock_restrict_self", "seccomp", "memfd_create"] {
            assert!(made.contains(ours), "{made:?}");
        }
        let missing: Vec<&String> = made.difference(&through).collect();
        assert!(missing.is_empty(), "SystemCallFilter= of the unit refuses {missing:?}");
        // Behind the filter nothing is refused that it is for.
        let confined = traced.split_once("landlock_restrict_self").unwrap().1;
        let refused: Vec<&str> =
            confined.lines().filter(|line| line.contains(" EPERM ") || line.contains(" EACCES ")).collect();
        assert!(refused.is_empty(), "{refused:#?}");
    });
}
