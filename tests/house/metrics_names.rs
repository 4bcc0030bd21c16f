//! What series are called, after the conventions of Prometheus.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use zerohop::metrics::Registry;

use crate::{source, tools};

/// Every label that a series of ours may have; their values come from the configuration or from
/// lists in the metrics room.
const LABELS: &[&str] = &[
    "zone", "type", "protocol", "rcode", "source", "upstream", "server", "outcome", "reason", "result", "version",
    "part", "le",
];

/// A scrape with one of everything.
fn scrape() -> String {
    let registry = Registry::new(1);
    let (_zone, _server) = (registry.zone("example."), registry.server("cloud", "192.0.2.1:53"));
    registry.render()
}

/// Name and kind of each family.
fn families(text: &str) -> Vec<(&str, &str)> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect()
}

#[test]
fn names_have_prefix_unit_and_total() {
    let text = scrape();
    let families = families(&text);
    assert!(families.len() > 20, "{families:?}");
    for (name, kind) in &families {
        assert!(name.starts_with("zerohop_") || name.starts_with("process_"), "{name}: whose is it?");
        assert_eq!(name.ends_with("_total"), *kind == "counter", "{name}: counters, and only they, end in _total");
        let unit = name.trim_end_matches("_total");
        for wrong in ["_ms", "_millis", "_milliseconds", "_microseconds", "_minutes", "_kb", "_mb", "_mib"] {
            assert!(!unit.ends_with(wrong), "{name}: seconds and bytes are the units");
        }
        assert!(*kind != "histogram" || name.ends_with("_seconds"), "{name}: what does it measure?");
    }
    let names: BTreeSet<&str> = families.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), families.len(), "a family stands twice");
}

#[test]
fn every_family_has_help_and_every_label_is_known() {
    let text = scrape();
    let label = regex::Regex::new(r#"[{,]([a-z_]+)=""#).unwrap();
    for (name, _) in families(&text) {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}: what is it?");
    }
    for captures in label.captures_iter(&text) {
        assert!(LABELS.contains(&&captures[1]), "{}: a label that is not in the list", &captures[1]);
    }
}

#[test]
fn promtool_has_nothing_to_say() {
    if !tools::have(&["promtool"]) {
        return;
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(scrape().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_families_that_documents_name_exist() {
    let text = scrape();
    let families = families(&text);
    let name = regex::Regex::new(r"`(zerohop_[a-z_]+)`").unwrap();
    for page in
        ["README.md", "ARCHITECTURE.md", "docs/bounds.md", "docs/interface.md", "docs/loops.md", "docs/privileges.md"]
    {
        for captures in name.captures_iter(&source::read(page)) {
            assert!(families.iter().any(|(family, _)| *family == &captures[1]), "{page} names {}", &captures[1]);
        }
    }
}
