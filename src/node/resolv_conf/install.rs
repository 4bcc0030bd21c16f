//! The way to the daemon.

use std::net::{IpAddr, SocketAddr};

use super::entry::Entry;
use super::fault::Fault;
use super::kubelet;
use super::manager::Manager;
use super::plan::{Plan, Step, look};
use super::root::Root;
use super::text::{is_ours, keeping, others, pointing_at, unmarked};
use super::{KEPT, RESOLV_CONF, SAVED};

/// What makes the node ask `address`. Of the servers that it asked before, those that reach `own`
/// addresses of the daemon are not kept; with `force` there may be none left.
///
/// What was there is safe before the file that everybody reads is replaced, and that is done before
/// its manager is told: until it has read that, it can at worst write servers of its own.
///
/// # Errors
/// When there is nothing to keep, or a file cannot be read.
pub fn install(root: &Root, address: IpAddr, own: &[SocketAddr], force: bool) -> Result<Plan, Fault> {
    let current = look(root, RESOLV_CONF)?.ok_or(Fault::Absent)?;
    let is_active = is_ours(current.content());
    let saved = if is_active { look(root, SAVED)? } else { None };
    let kept = root.read(KEPT).unwrap_or_default();
    let original = match &saved {
        Some(saved) => saved.clone(),
        None if is_active => Entry::text(unmarked(&kept)),
        None => current,
    };
    let manager = Manager::of(root, &original);
    // Behind a link that leads nowhere there is no setting to keep.
    let before = root.read(RESOLV_CONF).unwrap_or_default();

    let mut steps = Vec::new();
    let is_kept = !others(&kept, own).is_empty();
    // One that a user has written counts.
    if !is_kept || !is_active && is_ours(&kept) {
        match servers(root, manager, &before, own) {
            Some(text) => steps.push(Step::Put(KEPT, Entry::text(text))),
            None if force || is_kept => {}
            None => return Err(Fault::NoServers { searched: searched(manager) }),
        }
    }
    if saved.is_none() && (is_kept || !is_active) {
        steps.push(Step::Put(SAVED, original));
    }
    steps.push(Step::Put(RESOLV_CONF, Entry::text(pointing_at(address, &before))));
    if let Some(leave) = &manager.leave {
        steps.push(Step::Put(leave.path, leave.entry(address)));
    }

    let mut done = vec![format!("{RESOLV_CONF}: asks {address} and nobody else")];
    if is_kept || steps.iter().any(|step| matches!(step, Step::Put(KEPT, _))) {
        done.push(format!("{KEPT}: the nameservers that were asked before"));
    }
    done.push(format!("{SAVED}: what `zerohop resolv-conf restore` brings back"));
    done.extend(manager.reload().map(|(command, until)| format!("now run `{command}`: until then {until}")));
    Ok(Plan { steps, done, warnings: kubelet::warning(root, manager).into_iter().collect(), is_whole: true })
}

/// The file of those that were asked before: the manager knows them better than what it wrote.
fn servers(root: &Root, manager: &Manager, before: &[u8], own: &[SocketAddr]) -> Option<Vec<u8>> {
    let its_own = manager.servers.and_then(|path| root.read(path).ok());
    its_own.and_then(|servers| keeping(&servers, before, own)).or_else(|| keeping(before, before, own))
}

fn searched(manager: &Manager) -> Vec<String> {
    manager.servers.into_iter().chain([RESOLV_CONF]).map(str::to_owned).collect()
}
