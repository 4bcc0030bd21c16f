//! The units of systemd that are shipped.

use std::fs;
use std::process::{Command, Output};

use crate::{source, tools};

const UNITS: &[&str] = &["zerohop.service", "zerohop@.service", "zerohop-restore.service", "zerohop.socket"];
const BINARY: &str = "/usr/bin/zerohop";
/// The most that `systemd-analyze security` may say, in tenths.
const MOST_EXPOSED: &str = "20";

/// Runs it on all units, in a directory where the binary is.
fn analyze(arguments: &[&str]) -> Option<Output> {
    if !tools::have(&["systemd-analyze"]) {
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let written = UNITS.iter().map(|unit| {
        let path = directory.path().join(unit);
        let text = source::read(&format!("systemd/{unit}")).replace(BINARY, env!("CARGO_BIN_EXE_zerohop"));
        fs::write(&path, text).unwrap();
        path
    });
    let paths: Vec<_> = written.collect();
    Some(Command::new("systemd-analyze").args(arguments).args(paths).output().unwrap())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn all_units_that_are_shipped_are_looked_at() {
    let mut there: Vec<String> = fs::read_dir(source::top().join("systemd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".service") || name.ends_with(".socket"))
        .collect();
    let mut known: Vec<&str> = UNITS.to_vec();
    there.sort_unstable();
    known.sort_unstable();
    assert_eq!(there, known);
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    let Some(output) = analyze(&["verify"]) else { return };
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
}

#[test]
fn services_are_exposed_to_little() {
    for unit in UNITS.iter().filter(|unit| unit.ends_with(".service")) {
        if !tools::have(&["systemd-analyze"]) {
            return;
        }
        let path = source::top().join("systemd").join(unit);
        let threshold = format!("--threshold={MOST_EXPOSED}");
        let output =
            Command::new("systemd-analyze").args(["security", "--offline=yes", &threshold]).arg(path).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("Overall exposure level"), "{}", said(&output));
    }
}

#[test]
fn a_service_that_fails_for_good_gives_the_node_its_resolv_conf_back() {
    let (service, restore) = (source::read("systemd/zerohop.service"), source::read("systemd/zerohop-restore.service"));
    assert!(service.contains("\nOnFailure=zerohop-restore.service\n"));
    assert!(restore.contains(&format!("\nExecStart={BINARY} resolv-conf restore --unless-served\n")));
    let number = |key: &str| -> u32 {
        let line = service.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).unwrap();
        line.parse().unwrap_or_else(|_| panic!("{key}={line}"))
    };
    // A start that fails at once, and the pause behind it, have to fit into the interval that often.
    let pause = service.lines().find_map(|line| line.strip_prefix("RestartSec=")?.strip_suffix("ms")).unwrap();
    let pause: u32 = pause.parse().unwrap();
    assert!((pause + 1000) * number("StartLimitBurst") < 1000 * number("StartLimitIntervalSec"));
}

#[test]
fn one_of_a_pair_is_what_a_service_alone_is_but_for_what_it_says() {
    let settings = |unit: &str| -> Vec<String> {
        let text = source::read(&format!("systemd/{unit}"));
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
    };
    let [alone, of_a_pair] = ["zerohop.service", "zerohop@.service"].map(settings);
    let only_in = |these: &[String], those: &[String], sign: &str| -> String {
        these.iter().filter(|line| !those.contains(line)).map(|line| format!("{sign} {line}\n")).collect()
    };
    insta::assert_snapshot!(only_in(&alone, &of_a_pair, "-") + &only_in(&of_a_pair, &alone, "+"), @r"
    - Description=zerohop, DNS that never leaves the node
    - ExecStart=/usr/bin/zerohop run --config /etc/zerohop/zerohop.toml
    - FileDescriptorStoreMax=512
    - ProtectHome=tmpfs
    - ReadOnlyPaths=-/proc/sys
    + Description=zerohop, DNS that never leaves the node (%i of a pair)
    + ExecStart=/usr/bin/zerohop run --join --config /etc/zerohop/zerohop.toml
    + ProtectHome=yes
    + ProtectKernelTunables=yes
    ");
}
