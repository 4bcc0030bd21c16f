//! How it is at present.

use serde::Serialize;

use super::entry::Entry;
use super::fault::Fault;
use super::manager::Manager;
use super::plan::look;
use super::root::Root;
use super::text::{is_ours, points_at_us};
use super::{KEPT, RESOLV_CONF, SAVED, kubelet};
use crate::upstream::nameservers;

/// See the module's head.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Whether resolv.conf sends everybody to us.
    pub active: bool,
    /// Whether that is all that there is: nothing is half done, nor has been undone by somebody else.
    pub whole: bool,
    /// Who writes resolv.conf, or did before it was ours.
    pub manager: &'static str,
    /// Who is asked.
    pub nameservers: Vec<String>,
    /// Where those are that were asked before, and who they are.
    pub upstream_file: Option<&'static str>,
    pub upstreams: Vec<String>,
    /// Where what was there is, and what that is.
    pub saved_file: Option<&'static str>,
    pub saved_link: Option<String>,
    /// The file of a manager that has it leave resolv.conf alone.
    pub manager_file: Option<&'static str>,
    /// What the kubelet reads.
    pub kubelet: Option<String>,
    pub warnings: Vec<String>,
}

/// Looks, and changes nothing.
///
/// # Errors
/// When a file cannot be read.
pub fn status(root: &Root) -> Result<Status, Fault> {
    let (current, saved) = (look(root, RESOLV_CONF)?, look(root, SAVED)?);
    let is_ours = current.as_ref().is_some_and(|current| is_ours(current.content()));
    let active = current.as_ref().is_some_and(|current| points_at_us(current.content()));
    let original = if is_ours { saved.as_ref().or(current.as_ref()) } else { current.as_ref() };
    let manager = original.map_or(&super::plain::MANAGER, |original| Manager::of(root, original));
    let told = manager.leave.as_ref().is_none_or(|leave| leave.is_in(root));
    let servers = |path| nameservers(&root.read(path).unwrap_or_default()).iter().map(|s| s.ip().to_string()).collect();
    Ok(Status {
        active,
        whole: if active { saved.is_some() && told } else { saved.is_none() },
        manager: manager.name,
        nameservers: servers(RESOLV_CONF),
        upstream_file: root.exists(KEPT).then_some(KEPT),
        upstreams: servers(KEPT),
        saved_link: saved.as_ref().and_then(|saved| match saved {
            Entry::Link(target) => Some(target.display().to_string()),
            Entry::File { .. } => None,
        }),
        saved_file: saved.map(|_| SAVED),
        manager_file: manager.leave.as_ref().filter(|leave| leave.is_in(root)).map(|leave| leave.path),
        kubelet: kubelet::resolv_conf(root),
        warnings: if active { kubelet::warning(root, manager).into_iter().collect() } else { Vec::new() },
    })
}
