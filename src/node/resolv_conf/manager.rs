//! Who writes /etc/resolv.conf, if somebody does.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::entry::Entry;
use super::root::{Root, leads_to};
use super::text::is_ours;
use super::{RESOLV_CONF, dhclient, network_manager, plain, systemd_resolved};

/// What there is to know about one.
#[derive(Debug)]
pub struct Manager {
    /// How users call it.
    pub name: &'static str,
    /// Whether a file is its work.
    pub(super) wrote: fn(&Root, &Entry) -> bool,
    /// Where it writes the servers that it knows itself, whatever resolv.conf says.
    pub(super) servers: Option<&'static str>,
    /// Whether we are named there as well, once it leaves resolv.conf to us.
    pub(super) names_us: bool,
    /// What makes it leave resolv.conf to us.
    pub(super) leave: Option<Leave>,
}

/// A file that a manager reads, and how.
#[derive(Debug)]
pub(super) struct Leave {
    pub(super) path: &'static str,
    pub(super) mode: u32,
    pub(super) content: fn(IpAddr) -> String,
    /// The command that has it read the file, and what is so until that has been run.
    pub(super) reload: Option<(&'static str, &'static str)>,
}

/// In the order in which they are asked whether a file is theirs; the last one takes every file.
pub(super) static MANAGERS: [&Manager; 4] =
    [&systemd_resolved::MANAGER, &network_manager::MANAGER, &dhclient::MANAGER, &plain::MANAGER];

impl Manager {
    /// Whose work this is.
    pub(super) fn of(root: &Root, resolv_conf: &Entry) -> &'static Self {
        MANAGERS.into_iter().find(|manager| (manager.wrote)(root, resolv_conf)).unwrap_or(&plain::MANAGER)
    }

    /// The command that has it read what we have written or removed, and what is so until then.
    pub fn reload(&self) -> Option<(&'static str, &'static str)> {
        self.leave.as_ref().and_then(|leave| leave.reload)
    }
}

impl Leave {
    pub(super) fn entry(&self, address: IpAddr) -> Entry {
        Entry::File { content: (self.content)(address).into_bytes(), mode: self.mode, owner: None }
    }

    /// Whether the file is there and ours.
    pub(super) fn is_in(&self, root: &Root) -> bool {
        let text = root.read(self.path).unwrap_or_default();
        is_ours(text.strip_prefix(b"#!/bin/sh\n").unwrap_or(&text))
    }
}

/// Where resolv.conf leads, if it is a link.
pub(super) fn target(resolv_conf: &Entry) -> Option<PathBuf> {
    match resolv_conf {
        Entry::Link(target) => Some(leads_to(Path::new(RESOLV_CONF), target)),
        Entry::File { .. } => None,
    }
}

/// Whether resolv.conf is a link into this directory below /run.
pub(super) fn leads_below_run(resolv_conf: &Entry, directory: &str) -> bool {
    let target = target(resolv_conf).unwrap_or_default();
    ["/run", "/var/run"].iter().any(|run| target.starts_with(Path::new(run).join(directory)))
}
