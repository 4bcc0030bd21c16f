//! What is installed on nodes: it loads, and its parts fit each other.

use std::fs;
use std::path::{Path, PathBuf};

use zerohop::config::{self, Loaded, USUAL_FILE};

use crate::source;

const UNIT: &str = "systemd/zerohop.service";
const POD: &str = "static-pod/zerohop.yaml";
const BINARY: &str = "/usr/bin/zerohop";

/// The configuration in `text`, as if it were the node's file.
pub(crate) fn parse(name: &str, text: &str) -> Loaded {
    let loaded = config::parse(Path::new(USUAL_FILE), text).unwrap_or_else(|faults| panic!("{name}:\n{faults}"));
    assert!(loaded.warnings.is_empty(), "{name}:\n{}", loaded.warnings);
    loaded
}

fn below(directories: &[&str], extension: &str) -> Vec<PathBuf> {
    let entries = directories.iter().filter_map(|directory| fs::read_dir(source::top().join(directory)).ok()).flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

#[test]
fn every_shipped_configuration_loads_without_a_warning() {
    let files = below(&["packaging", "systemd", "static-pod", "docs"], "toml");
    assert!(files.iter().any(|path| path.ends_with("packaging/zerohop.toml")));
    for path in files {
        parse(&path.display().to_string(), &fs::read_to_string(&path).unwrap());
    }
}

#[test]
fn every_configuration_in_a_document_loads_without_a_warning() {
    for path in below(&[".", "docs", "packaging", "systemd", "static-pod", "benches"], "md") {
        for block in source::blocks(&fs::read_to_string(&path).unwrap(), "toml") {
            parse(&path.display().to_string(), &block);
        }
    }
}

#[test]
fn unit_and_pod_start_the_binary_with_the_usual_file() {
    let unit = source::read(UNIT);
    assert!(unit.contains(&format!("\nExecStart={BINARY} run --config {USUAL_FILE}\n")));
    let pod = source::read(POD);
    assert!(pod.contains(&format!("command: [\"{BINARY}\"]")));
    assert!(pod.contains(&format!("args: [\"run\", \"--config\", \"{USUAL_FILE}\"]")));
}

#[test]
fn the_pod_fits_the_configuration_that_is_shipped() {
    let config = parse("packaging", &source::read("packaging/zerohop.toml")).config;
    let admin = config.admin.listen.unwrap();
    let pod = source::read(POD);
    for path in ["/ready", "/health"] {
        let probe = format!("httpGet: {{ host: {}, port: {}, path: {path} }}", admin.ip(), admin.port());
        assert!(pod.contains(&probe), "{probe}");
    }
    for listen in config.server.listen {
        for protocol in ["UDP", "TCP"] {
            assert!(pod.contains(&format!("containerPort: {}, protocol: {protocol}", listen.port())));
        }
    }
    let version = format!("image: zerohop:{}\n", env!("CARGO_PKG_VERSION"));
    assert!(pod.contains(&version), "{version}");
    assert!(source::read("static-pod/README.md").contains(&format!("zerohop:{}", env!("CARGO_PKG_VERSION"))));
}
