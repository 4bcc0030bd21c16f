//! The way back. It needs no configuration and no daemon, for it is there for when they fail.

use super::entry::Entry;
use super::fault::Fault;
use super::manager::{MANAGERS, Manager, target};
use super::plan::{Plan, Step, look};
use super::root::Root;
use super::text::{is_ours, own_addresses, standing_in, unmarked};
use super::{KEPT, RESOLV_CONF, SAVED};
use crate::upstream::nameservers;

/// What brings back the file that was there.
///
/// [`KEPT`] stays: the kubelet or a configuration may name it, and would not start without.
///
/// # Errors
/// When a file cannot be read.
pub fn restore(root: &Root) -> Result<Plan, Fault> {
    let (current, saved) = (look(root, RESOLV_CONF)?, look(root, SAVED)?);
    let leaves = MANAGERS.iter().filter_map(|manager| manager.leave.as_ref());
    let mut steps: Vec<Step> = leaves.filter(|leave| leave.is_in(root)).map(|leave| Step::Remove(leave.path)).collect();
    let (mut done, mut is_whole) = (Vec::new(), true);
    let told = saved.as_ref().map(|saved| Manager::of(root, saved)).and_then(Manager::reload);

    match (current, saved) {
        (Some(current), saved) if !is_ours(current.content()) => {
            if saved.is_some() {
                steps.push(Step::Remove(SAVED));
            }
            done.push(format!("{RESOLV_CONF}: left as it is; it is not zerohop's"));
        }
        (current, Some(saved)) => {
            let ours = current.as_ref().map_or(&[][..], Entry::content);
            match stand_in(root, ours, &saved) {
                None => {
                    steps.extend([Step::Put(RESOLV_CONF, saved), Step::Remove(SAVED)]);
                    done.push(format!("{RESOLV_CONF}: as it was before"));
                }
                Some((nowhere, text)) => {
                    is_whole = false;
                    steps.push(Step::Put(RESOLV_CONF, Entry::text(text)));
                    done.push(format!(
                        "{RESOLV_CONF}: asks the nameservers of {KEPT}; it was a link to {nowhere}, which names \
                         nobody to ask at present"
                    ));
                }
            }
        }
        (Some(_), None) => {
            is_whole = false;
            let kept = root.read(KEPT).unwrap_or_default();
            if nameservers(&kept).is_empty() {
                done.push(format!(
                    "{RESOLV_CONF}: left as it is; {SAVED} and {KEPT} are gone, so write `nameserver` lines into it"
                ));
            } else {
                steps.push(Step::Put(RESOLV_CONF, Entry::text(unmarked(&kept))));
                done.push(format!("{RESOLV_CONF}: asks the nameservers of {KEPT}; {SAVED}, what was there, is gone"));
            }
        }
        (None, None) => {
            is_whole = false;
            done.push(format!("{RESOLV_CONF}: there is none, and none is saved; write one with `nameserver` lines"));
        }
    }
    if let Some((command, until)) = told {
        let again = if is_whole { "" } else { ", then `zerohop resolv-conf restore` again" };
        done.push(format!("now run `{command}`{again}: until then {until}"));
    }
    Ok(Plan { steps, done, warnings: Vec::new(), is_whole })
}

/// Where what was saved leads to and what to write instead, while nobody but us is named there. Its
/// manager has to write that file first.
fn stand_in(root: &Root, ours: &[u8], saved: &Entry) -> Option<(String, Vec<u8>)> {
    let shown = target(saved)?.display().to_string();
    let own = own_addresses(ours);
    let names_others = |text: &[u8]| nameservers(text).iter().any(|server| !own.contains(server));
    if root.read(&shown).is_ok_and(|text| names_others(&text)) {
        return None;
    }
    // Still marked as ours, so that it is replaced when this is run again.
    root.read(KEPT).ok().and_then(|kept| standing_in(&kept, &own)).map(|kept| (shown, kept))
}
