//! The text of a configuration.

use std::path::Path;

use zerohop::config::{Faults, parse};
use zerohop::daemon::build::{self, Parts};
use zerohop::daemon::nameservers::Nameservers;
use zerohop::metrics::Registry;

use crate::lies_within;

/// Files that never end, or that wait for somebody: not for a fuzzer to name.
const NOT_TO_BE_READ: &[&str] = &["dev", "proc", "sys", "stdin", "\\u", "\\U", "\\x"];

/// Every fault points into the file, and can be shown. What has no error can be built.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if NOT_TO_BE_READ.iter().any(|word| text.contains(word)) {
        return;
    }
    let label = Path::new("/nonexistent/zerohop.toml");
    match parse(label, text) {
        Ok(loaded) => {
            assert_eq!(loaded.warnings.errors(), 0);
            inspect(label, text, &loaded.warnings);
            // Records that do not fit into a message are the one thing left to fail.
            let (config, nameservers, registry) = (&loaded.config, &Nameservers::default(), &Registry::new(1));
            let _ = build::tables(Parts { config, nameservers, registry, previous: None });
        }
        Err(faults) => {
            assert!(faults.errors() > 0);
            inspect(label, text, &faults);
        }
    }
}

fn inspect(label: &Path, text: &str, faults: &Faults) {
    let shown = faults.to_string();
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{shown:?}");
    for fault in faults.iter() {
        assert!(!fault.problem.is_empty() && !fault.remedy.is_empty());
        if &*fault.file == label {
            let place = fault.place.as_ref().expect("a place");
            assert!(lies_within(text, place.line, place.column), "{fault:?}");
        }
    }
}
