//! The right to serve with a control socket, and that socket.
//!
//! The right is a lock on a file beside the socket: the kernel gives it back however a process ends,
//! and a process of any user can see that it is held. The file has the pid of whoever serves, and stays:
//! a lock on a file that was removed would lock nobody out.

use std::ffi::OsString;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::FlockArg;
use socket2::{Domain, SockAddr, Socket, Type};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;
/// Digits of a pid, and more.
const PID: u64 = 20;

/// Why there is no seat to be had.
#[derive(Debug)]
pub enum SeatError {
    /// Another instance has it.
    Taken {
        path: PathBuf,
        pid: Option<u32>,
    },
    Failed {
        path: PathBuf,
        what: &'static str,
        error: io::Error,
    },
}

impl fmt::Display for SeatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { path, pid } => {
                let pid = pid.map_or_else(|| "whose pid is not known".to_owned(), |pid| format!("pid {pid}"));
                write!(f, "another instance ({pid}) serves with {}; stop it, ", path.display())?;
                f.write_str("stand by for it with `zerohop run --join`, or write another `control` below [admin]")
            }
            Self::Failed { path, what, error } => write!(f, "{} {what}: {error}", path.display()),
        }
    }
}

/// See the module's head. Dropped, it takes the socket's file away, unless it was passed on.
#[derive(Debug)]
pub struct Seat {
    path: PathBuf,
    lock: File,
    listener: UnixListener,
    is_passed_on: bool,
}

impl Seat {
    /// Takes the seat if nobody has it, in place of whoever died with it.
    ///
    /// # Errors
    /// [`SeatError`] when somebody has it, or it cannot be had.
    pub fn take(path: &Path) -> Result<Self, SeatError> {
        let failed = |what| move |error| SeatError::Failed { path: path.to_owned(), what, error };
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
            made.map_err(failed("cannot be made, since its directory cannot"))?;
        }
        let lock = locked(path)?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("is left from an earlier instance and cannot be removed")(error));
            }
            _ => {}
        }
        let listener = listen(path).map_err(failed("cannot be listened on"))?;
        let seat = Self { path: path.to_owned(), lock, listener, is_passed_on: false };
        seat.sign();
        Ok(seat)
    }

    /// In the place of whoever has sent us these: as long as one process has the lock open, nobody else
    /// gets it.
    pub(super) fn inherited(path: &Path, lock: OwnedFd, listener: OwnedFd) -> Self {
        let seat = Self { path: path.to_owned(), lock: lock.into(), listener: listener.into(), is_passed_on: false };
        seat.sign();
        seat
    }

    /// The lock and the socket, to be sent.
    pub(super) fn duplicates(&self) -> io::Result<[OwnedFd; 2]> {
        Ok([self.lock.try_clone()?.into(), self.listener.try_clone()?.into()])
    }

    /// Somebody else has it now.
    pub fn pass_on(mut self) {
        self.is_passed_on = true;
    }

    /// The socket, to accept connections from.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    /// Says in the lock's file who serves.
    fn sign(&self) {
        let pid = format!("{}\n", std::process::id());
        // It is only for messages.
        let _ = self.lock.set_len(0).and_then(|()| self.lock.write_all_at(pid.as_bytes(), 0));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_passed_on {
            // What stays is replaced by the next one.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn locked(path: &Path) -> Result<File, SeatError> {
    let mut beside = OsString::from(path);
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(&beside);
    // Of another user's it is enough to see whether it is held.
    let open = open.or_else(|error| File::open(&beside).map_err(|_| error));
    let mut file = open.map_err(|error| SeatError::Failed { path: beside.clone(), what: "cannot be opened", error })?;
    #[expect(deprecated, reason = "its heir unlocks for all holders of the descriptor when one of them drops it")]
    match nix::fcntl::flock(file.as_raw_fd(), FlockArg::LockExclusiveNonblock) {
        Ok(()) => Ok(file),
        Err(Errno::EWOULDBLOCK) => {
            let mut text = String::new();
            // Whoever has it may not have written yet.
            let _ = file.by_ref().take(PID).read_to_string(&mut text);
            Err(SeatError::Taken { path: path.to_owned(), pid: text.trim().parse().ok() })
        }
        Err(error) => Err(SeatError::Failed { path: beside, what: "cannot be locked", error: error.into() }),
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Before it has a name: at no moment may others connect.
    let socket = File::from(OwnedFd::from(socket));
    socket.set_permissions(Permissions::from_mode(0o600))?;
    let socket = Socket::from(OwnedFd::from(socket));
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(OwnedFd::from(socket).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_seat_is_taken_once_and_says_by_whom() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run").join("control.sock");
        let seat = Seat::take(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = Seat::take(&path).unwrap_err().to_string();
        insta::assert_snapshot!(
            error.replace(&std::process::id().to_string(), "7").replace(directory.path().to_str().unwrap(), "/run"),
            @"another instance (pid 7) serves with /run/run/control.sock; stop it, stand by for it with `zerohop run --join`, or write another `control` below [admin]"
        );
        UnixStream::connect(&path).unwrap();
        drop(seat);
        assert!(!path.exists());
        Seat::take(&path).unwrap();
    }

    #[test]
    fn the_socket_of_a_dead_process_is_replaced_and_what_cannot_be_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        drop(UnixListener::bind(&path).unwrap());
        UnixStream::connect(&path).unwrap_err();
        let _seat = Seat::take(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        let name = |error: SeatError| error.to_string().replace(directory.path().to_str().unwrap(), "/run");
        let inside = path.join("control.sock");
        insta::assert_snapshot!(name(Seat::take(&inside).unwrap_err()), @"/run/control.sock/control.sock cannot be made, since its directory cannot: File exists (os error 17)");
        let taken = directory.path().join("directory");
        std::fs::create_dir(&taken).unwrap();
        insta::assert_snapshot!(name(Seat::take(&taken).unwrap_err()), @"/run/directory is left from an earlier instance and cannot be removed: Is a directory (os error 21)");
    }
}
