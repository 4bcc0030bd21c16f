//! Programs of others that some tests need.

use std::env;
use std::io::{Write, stderr};
use std::process::Command;

/// Whether these programs are there. Without one of them the test is skipped, and says so; in CI
/// that is a failure.
pub(crate) fn have(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !is_there(program)).collect();
    if missing.is_empty() {
        return true;
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(env::var("CI").as_deref() != Ok("true"), "{test} needs {missing:?}, and in CI nothing may be skipped");
    skipped(&format!("{test}: {} not installed", missing.join(", ")));
    false
}

/// Says that something is not tested here. Not through a print macro: the test runner hides those
/// when a test passes.
pub(crate) fn skipped(what: &str) {
    stderr().write_all(format!("SKIPPED {what}\n").as_bytes()).unwrap();
}

fn is_there(program: &str) -> bool {
    Command::new("sh").args(["-c", "command -v \"$0\" >/dev/null", program]).status().unwrap().success()
}
