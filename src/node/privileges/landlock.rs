//! No program is run, and nothing is written outside of a few directories: Landlock (Linux 5.13). It says
//! nothing of reading.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use landlock::{
    ABI, AccessFs, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, make_bitflags,
};

/// Of what is asked for here, the last was in this one (Linux 6.12). Of an older kernel there is less.
const KNOWN: ABI = ABI::V6;

/// Why nothing is restricted.
#[derive(Debug)]
pub(super) enum Lack {
    /// The kernel does not know it, or it is hidden from us.
    Unknown,
    /// The kernel knows it, and was started without.
    Disabled,
    Failed(RulesetError),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str(
                "this kernel has no Landlock (Linux 5.13), or the seccomp profile of a container hides it: there, allow \
                 landlock_create_ruleset, landlock_add_rule and landlock_restrict_self",
            ),
            Self::Disabled => {
                f.write_str("this kernel was started without Landlock: add `landlock` to `lsm=` of its command line")
            }
            Self::Failed(error) => write!(f, "Landlock: {error}"),
        }
    }
}

/// Restricts this thread and those that it starts, for good. A directory that is missing is not written to,
/// even when it comes. Returns the version of Landlock.
pub(super) fn restrict(writable: &[PathBuf]) -> Result<i32, Lack> {
    let restricted = || {
        let mut rules = Ruleset::default()
            .handle_access(AccessFs::from_write(KNOWN) | AccessFs::Execute)?
            .scope(scopes())?
            .create()?;
        for directory in writable {
            if let Ok(directory) = PathFd::new(directory) {
                rules = rules.add_rule(PathBeneath::new(directory, beneath()))?;
            }
        }
        rules.restrict_self()
    };
    let status = restricted().map_err(Lack::Failed)?;
    match status.landlock {
        LandlockStatus::NotImplemented => Err(Lack::Unknown),
        LandlockStatus::NotEnabled => Err(Lack::Disabled),
        LandlockStatus::Available { .. } if status.ruleset == RulesetStatus::NotEnforced => Err(Lack::Unknown),
        LandlockStatus::Available { effective_abi, kernel_abi } => Ok(kernel_abi.unwrap_or(effective_abi as i32)),
    }
}

/// For files that are written whole beside the old and renamed, the lock, and the control socket. With
/// directories, so that one in the place of a file is told as such.
fn beneath() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{WriteFile | Truncate | RemoveFile | RemoveDir | MakeReg | MakeDir | MakeSock})
}

/// No signals to other processes, and no sockets of theirs without a file: container runtimes have such.
fn scopes() -> BitFlags<Scope> {
    // systemd may wait for news at one.
    let is_notified_so = std::env::var_os("NOTIFY_SOCKET").is_some_and(|path| path.as_bytes().starts_with(b"@"));
    if is_notified_so { Scope::Signal.into() } else { Scope::Signal | Scope::AbstractUnixSocket }
}
