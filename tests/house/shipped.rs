//! What is installed on nodes: it loads, and its parts fit each other.

use std::fs;
use std::path::{Path, PathBuf};

use zerohop::config::{self, Loaded, USUAL_FILE};

use crate::source;

const UNIT: &str = "systemd/zerohop.service";
/// Where configurations are shipped.
const CONFIGURED: &[&str] = &["packaging", "packaging/kustomize/base", "packaging/kustomize/intercept"];
pub(crate) const BINARY: &str = "/usr/bin/zerohop";

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
    let files = below(CONFIGURED, "toml");
    assert!(files.iter().any(|path| path.ends_with("packaging/zerohop.toml")));
    for path in files {
        parse(&path.display().to_string(), &fs::read_to_string(&path).unwrap());
    }
}

#[test]
fn every_configuration_in_a_document_loads_without_a_warning() {
    for path in below(&[".", "docs", "benches"], "md") {
        for block in source::blocks(&fs::read_to_string(&path).unwrap(), "toml") {
            parse(&path.display().to_string(), &block);
        }
    }
}

#[test]
fn the_unit_starts_the_binary_with_the_usual_file() {
    assert!(source::read(UNIT).contains(&format!("\nExecStart={BINARY} run --config {USUAL_FILE}\n")));
}

#[test]
fn the_image_is_the_binary_with_the_usual_file() {
    let recipe = source::read("packaging/Containerfile");
    assert!(recipe.contains(&format!("\nCOPY zerohop {BINARY}\n")) && recipe.contains(&format!("[\"{BINARY}\"]")));
    assert!(recipe.contains(&format!("\"--config\", \"{USUAL_FILE}\"]")));
    for page in ["packaging/Containerfile", "docs/packages.md", "docs/static-pod.md"] {
        let image = format!("zerohop:{}", env!("CARGO_PKG_VERSION"));
        assert!(source::read(page).contains(&image), "{page} names another image than {image}");
    }
}
