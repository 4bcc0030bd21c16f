//! What root may do beyond other users, and a user by systemd's leave: that in parts, and few of them kept.

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};

/// What lets files be read and written whatever their permissions say.
const OVERRIDES: [Capability; 2] = [Capability::CAP_DAC_OVERRIDE, Capability::CAP_DAC_READ_SEARCH];

/// From here on files are read as their permissions say. What was had may be taken up again.
pub(super) fn rest_overrides() -> Result<(), CapsError> {
    OVERRIDES.into_iter().try_for_each(|capability| caps::drop(None, CapSet::Effective, capability))
}

/// Takes up again what rests.
pub(super) fn take_up() -> Result<(), CapsError> {
    caps::set(None, CapSet::Effective, &caps::read(None, CapSet::Permitted)?)
}

/// Whether we have it, or may take it up.
pub(super) fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Permitted, capability).unwrap_or(false)
}

/// Gives up all but these, of this thread and those that it starts, for good. Returns what is left, by name.
pub(super) fn keep_only(wanted: &[Capability]) -> Result<Vec<String>, CapsError> {
    nix::sys::prctl::set_no_new_privs().map_err(|error| CapsError::from(format!("PR_SET_NO_NEW_PRIVS: {error}")))?;
    let bounding = caps::read(None, CapSet::Bounding)?;
    for capability in bounding.into_iter().filter(|capability| !wanted.contains(capability)) {
        // Without CAP_SETPCAP it stays, and bounds what nothing leads to: no program is run, and none could gain.
        if caps::drop(None, CapSet::Bounding, capability).is_err() {
            break;
        }
    }
    caps::clear(None, CapSet::Ambient)?;
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = permitted.into_iter().filter(|capability| wanted.contains(capability)).collect();
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    let mut names: Vec<String> = kept.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    Ok(names)
}
