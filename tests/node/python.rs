//! Python with a package of PyPI, in a virtual environment of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use super::process::{find, say_skipped};

/// What pip says when there is nothing to be had, which is nobody's fault.
const NOT_TO_BE_HAD: &[&str] = &["No matching distribution", "Could not find a version"];

/// The interpreter of the virtual environment of `module`, which is kept with what cargo builds.
/// `release` is what pip calls it. `None`, and said, when it cannot be had here.
pub(crate) fn python_with(module: &str, release: &str) -> Option<PathBuf> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(module);
    let python = home.join("bin/python");
    let runs = |python: &Path, code: &str| Command::new(python).args(["-c", code]).output().is_ok_and(is_success);
    if runs(&python, &format!("import {module}")) {
        return Some(python);
    }
    let system = find("python3", "python3-venv")?;
    if !runs(&system, "import sys, venv, ensurepip; assert sys.version_info >= (3, 11)") {
        say_skipped("python3 of at least 3.11 with venv (apt-get install python3-venv)");
        return None;
    }
    let made = Command::new(&system).args(["-m", "venv", "--clear"]).arg(&home).output().unwrap();
    assert!(is_success(made.clone()), "{made:?}");
    let pip = Command::new(&python).args(["-m", "pip", "install", "--quiet", release]).output().unwrap();
    let said = String::from_utf8_lossy(&pip.stderr);
    if NOT_TO_BE_HAD.iter().any(|reason| said.contains(reason)) {
        say_skipped(&format!("{release} (from PyPI, which cannot be reached or does not have it)"));
        return None;
    }
    assert!(pip.status.success(), "pip install {release}: {said}");
    Some(python)
}

#[expect(clippy::needless_pass_by_value, reason = "as `is_ok_and` hands it over")]
fn is_success(output: Output) -> bool {
    output.status.success()
}
