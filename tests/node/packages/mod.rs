//! What goes onto nodes, built by packaging/build from the static binary, and used as nodes use it.
//!
//! All of it takes that binary, which `ci/test --all` builds first, and programs that take long.

mod binary;
mod deb;
mod debian;

mod image;
mod manifests;
mod podman;
mod rpm;

pub(crate) use debian::made;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use super::process::{find, skip};

/// The top of the repository.
fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What packaging/static has built; `None`, and said, where it has not.
fn binary() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| top().join("target"), PathBuf::from);
    let binary = target.join(format!("{}-unknown-linux-gnu/release/zerohop", std::env::consts::ARCH));
    if !binary.exists() {
        skip("the static binary (packaging/static)");
        return None;
    }
    Some(binary)
}

/// Has packaging/build build one of its kinds, once, and returns where it is. `None`, and said, without
/// one of the programs that takes, given with what to install.
fn built(kind: &'static str, programs: &[(&str, &str)], pattern: &str) -> Option<PathBuf> {
    static BUILT: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());
    let binary = binary()?;
    for (program, package) in programs {
        find(program, package)?;
    }
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let package = built.entry(kind).or_insert_with(|| {
        done(Command::new(top().join("packaging/build")).arg(kind).env("BINARY", binary));
        let (before, behind) = pattern.split_once('*').unwrap();
        let packages = std::fs::read_dir(top().join("target/packages")).unwrap().map(|entry| entry.unwrap().path());
        let is_it = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(before) && name.ends_with(behind)
        };
        packages.into_iter().find(is_it).expect("packaging/build has built it")
    });
    Some(package.clone())
}

/// Runs a command that must not fail, and returns what it says.
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    said(&output)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}
