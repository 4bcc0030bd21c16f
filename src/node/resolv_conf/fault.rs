//! Why nothing more is done, and what to do about it.

use std::fmt;
use std::io;

use super::{KEPT, RESOLV_CONF};

/// See the module's head.
#[derive(Debug)]
pub enum Fault {
    /// There is nothing that could be kept or brought back.
    Absent,
    /// Nobody would be asked by the daemon: here only we are named, or nobody is.
    NoServers { searched: Vec<String> },
    /// A file could not be read, written or removed.
    File { what: &'static str, path: String, error: io::Error },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => {
                write!(f, "there is no {RESOLV_CONF}; write one with the nameservers that are to be asked for the rest")
            }
            Self::NoServers { searched } => write!(
                f,
                "no nameserver but our own is named in {}; write those that are to be asked for the rest into {KEPT}, \
                 as `nameserver` lines, or give --force if the configuration names them all",
                searched.join(" or ")
            ),
            Self::File { what, path, error } => write!(f, "{path} cannot be {what}: {error}; {}", remedy(error)),
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "run it as root, and see with `lsattr` whether the file is immutable",
        io::ErrorKind::ReadOnlyFilesystem => "mount it for writing",
        io::ErrorKind::ResourceBusy => {
            "it is a mount of its own, as in a container: run this on the node, or with --root where its files are \
             mounted"
        }
        _ => "what was there is not lost: run it again, or `zerohop resolv-conf restore`",
    }
}

impl std::error::Error for Fault {}
