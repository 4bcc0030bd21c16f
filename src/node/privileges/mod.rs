//! What serving does not take is given up: capabilities, files to write to, system calls.
//!
//! Each is the kernel's own restriction and stands without the others. Where one cannot be had that is said and
//! counted, and keeps nobody from serving. None can be taken back, and all hold for the threads that are
//! started behind.

mod capabilities;
mod landlock;
mod seccomp;

use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use caps::Capability;

use super::Fault;
use crate::config::Config;
use crate::metrics::Control;

/// Has files read as their permissions say, also for root, so that a reload, which cannot do otherwise, may
/// read whatever was read at the start.
pub fn read_by_permissions() {
    // Who has nothing to override with reads so anyway.
    let _ = capabilities::rest_overrides();
}

/// For sockets and directories of another user, which root takes over from an instance of that user's.
pub fn override_permissions() {
    let _ = capabilities::take_up();
}

/// What is left to do.
#[derive(Debug)]
pub struct Confined {
    /// Where files may be written; `None` when their permissions alone say so.
    writable: Option<Vec<PathBuf>>,
    /// Devices could have been set up, and cannot any more.
    gave_up_network: bool,
}

/// A restriction that could not be had.
enum Missing {
    Capabilities(caps::errors::CapsError),
    Landlock(landlock::Lack),
    Seccomp(seccompiler::Error),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capabilities(error) => write!(
                f,
                "capabilities are kept that nothing here needs: the kernel does not let them go ({error}); allow capset \
                 and prctl where system calls are filtered"
            ),
            Self::Landlock(lack) => {
                write!(f, "file permissions alone say what may be written and executed: {lack}")
            }
            Self::Seccomp(error) => write!(
                f,
                "system calls are let through that nothing here needs: the kernel takes no filter ({error}); allow \
                 seccomp where system calls are filtered"
            ),
        }
    }
}

/// Gives up all but what this configuration needs. Files may be written below the directories of the control
/// socket and of the cache's file. For when the sockets are there, and before any other thread is.
pub fn give_up(config: &Config, control: &Control) -> Confined {
    let writable = writable(config);
    if let Some(directory) = config.cache.persist.as_deref().and_then(Path::parent) {
        // What cannot be made is told of when the file is written.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    }
    // To repair; a port below 1024 may come with a reload.
    let wanted: &[Capability] = match config.interface {
        Some(_) => &[Capability::CAP_NET_ADMIN, Capability::CAP_NET_BIND_SERVICE],
        None => &[Capability::CAP_NET_BIND_SERVICE],
    };
    let had_network = capabilities::has(Capability::CAP_NET_ADMIN);
    let kept = said(capabilities::keep_only(wanted).map_err(Missing::Capabilities));
    let landlock = said(landlock::restrict(&writable).map_err(Missing::Landlock));
    // Behind the others, whose calls it refuses.
    let seccomp = said(seccomp::restrict().map_err(Missing::Seccomp));
    let states = [kept.is_some(), landlock.is_some(), seccomp.is_some()];
    for (gauge, is_had) in
        [&control.confined_capabilities, &control.confined_files, &control.confined_calls].iter().zip(states)
    {
        gauge.set(f64::from(u8::from(is_had)));
    }
    let names = kept.map(|names| if names.is_empty() { "none".to_owned() } else { names.join(" ") });
    let directories: Vec<String> = writable.iter().map(|directory| directory.display().to_string()).collect();
    tracing::info!(
        capabilities = names,
        landlock,
        seccomp = seccomp.is_some(),
        writable = landlock.map(|_| directories.join(" ")),
        "confined to what serving takes"
    );
    Confined {
        gave_up_network: had_network && !capabilities::has(Capability::CAP_NET_ADMIN),
        writable: landlock.map(|_| writable.iter().filter_map(|directory| directory.canonicalize().ok()).collect()),
    }
}

impl Confined {
    /// What to say when a reload cannot set the device up.
    pub fn explain(&self, fault: &Fault) -> String {
        match fault {
            Fault::NotAllowed { .. } if self.gave_up_network => {
                format!("{fault}; or start zerohop anew: by a start without [interface] the capability is given up")
            }
            _ => fault.to_string(),
        }
    }

    /// Whether a file may be written there, as far as we know.
    pub fn may_write(&self, file: &Path) -> bool {
        let Some(writable) = &self.writable else { return true };
        // What is missing of its directories would be made.
        let there = file.ancestors().skip(1).find_map(|directory| directory.canonicalize().ok());
        there.is_some_and(|there| writable.iter().any(|directory| there.starts_with(directory)))
    }
}

fn writable(config: &Config) -> Vec<PathBuf> {
    let files = [config.admin.control.path(), config.cache.persist.clone()];
    let mut directories: Vec<PathBuf> = files
        .iter()
        .flatten()
        .filter_map(|file| file.parent())
        .map(|directory| Path::new(".").join(directory))
        .collect();
    directories.dedup();
    directories
}

fn said<T>(had: Result<T, Missing>) -> Option<T> {
    had.inspect_err(|missing| tracing::warn!("{missing}")).ok()
}

#[cfg(test)]
mod tests;
