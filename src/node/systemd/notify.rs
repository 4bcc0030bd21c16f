//! What the service manager is told (sd_notify(3)): datagrams of `NAME=value` lines, with descriptors along.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::time::timeout;

use crate::listener::hand_over::send;

/// Where it listens.
const VARIABLE: &str = "NOTIFY_SOCKET";
/// How long it may take to take a message in, and to say that it has seen to all of them.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way to the service manager.
#[derive(Debug)]
pub struct Notify {
    address: SocketAddr,
    /// Whether it was not told what it was to be told last.
    is_deaf: Cell<bool>,
}

impl Notify {
    /// `None` when nobody wants to be told.
    pub fn find() -> Option<Self> {
        let name = std::env::var_os(VARIABLE)?;
        let found = Self::at(&name);
        if let Err(error) = &found {
            tracing::error!("{VARIABLE} is {}: {error}; the service manager is told nothing", name.display());
        }
        found.ok()
    }

    /// A path, or behind `@` a name without a file.
    ///
    /// # Errors
    /// When it is neither.
    pub fn at(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor a name behind `@`")),
        };
        Ok(Self { address, is_deaf: Cell::new(false) })
    }

    /// Says these lines. That nobody hears them is logged, and no more: we are here for DNS.
    pub async fn tell(&self, lines: &str) {
        self.tell_with(lines, &[]).await;
    }

    /// The same, with descriptors that it may keep. Returns whether it was told.
    pub async fn tell_with(&self, lines: &str, descriptors: &[BorrowedFd<'_>]) -> bool {
        let told = match timeout(PATIENCE, self.send(lines, descriptors)).await {
            Ok(told) => told,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let was_deaf = self.is_deaf.replace(told.is_err());
        if let Some(error) = told.as_ref().err().filter(|_| !was_deaf) {
            let first = lines.lines().next().unwrap_or_default();
            tracing::warn!("the service manager was not told {first}: {error}; nor what follows, until it listens");
        }
        told.is_ok()
    }

    async fn send(&self, lines: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        // Its own for each message: whoever listens there may be another one by now.
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect_addr(&self.address)?;
        match send(socket.as_fd(), lines.as_bytes(), descriptors) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return sent,
        }
        let socket = tokio::net::UnixDatagram::from_std(socket)?;
        socket.async_io(Interest::WRITABLE, || send(socket.as_fd(), lines.as_bytes(), descriptors)).await
    }

    /// Waits until it has seen to all messages so far: it closes what came along with this one.
    pub async fn settled(&self) {
        let Ok((theirs, ours)) = pipe::pipe() else { return };
        if self.tell_with("BARRIER=1", &[theirs.as_fd()]).await {
            drop(theirs);
            if timeout(PATIENCE, is_closed(&ours)).await.is_err() {
                tracing::warn!("the service manager does not say that it has seen to what it was told");
            }
        }
    }
}

/// Returns when nobody has the other end any more.
pub(super) async fn is_closed(end: &pipe::Receiver) {
    while end.readable().await.is_ok() {
        match end.try_read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}

/// How often it wants to hear that we are alive; `None` when it does not.
pub fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok().map(|value| value.parse::<u64>());
    let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == Ok(u64::from(std::process::id())));
    let every = number("WATCHDOG_USEC")?.ok().filter(|&micros| is_meant && micros > 0)?;
    Some(Duration::from_micros(every))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use futures_util::FutureExt;

    use super::super::store::memory;
    use super::*;
    use crate::listener::hand_over::receive;

    fn manager() -> (Notify, UnixDatagram, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        (Notify::at(path.as_os_str()).unwrap(), UnixDatagram::bind(&path).unwrap(), directory)
    }

    #[tokio::test]
    async fn lines_and_descriptors_arrive() {
        let (notify, manager, _directory) = manager();
        notify.tell("READY=1\nSTATUS=serving").await;
        assert!(notify.tell_with("FDSTORE=1", &[memory("a", b"kept").unwrap().as_fd()]).await);
        let mut room = [0; 100];
        let (length, none) = receive(manager.as_fd(), &mut room).unwrap();
        assert_eq!((&room[..length], none.len()), (&b"READY=1\nSTATUS=serving"[..], 0));
        let (length, mut descriptors) = receive(manager.as_fd(), &mut room).unwrap();
        assert_eq!((&room[..length], descriptors.len()), (&b"FDSTORE=1"[..], 1));
        let mut kept = [0; 4];
        std::fs::File::from(descriptors.remove(0)).read_exact_at(&mut kept, 0).unwrap();
        assert_eq!(&kept, b"kept");
    }

    #[tokio::test]
    async fn a_socket_without_a_file_is_as_good() {
        let name = format!("zerohop-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Notify::at(OsStr::new(&format!("@{name}"))).unwrap().tell("READY=1").await;
        let mut room = [0; 100];
        assert_eq!(manager.recv(&mut room).unwrap(), 7);
        assert!(Notify::at(OsStr::new("run/notify")).is_err());
    }

    #[tokio::test]
    async fn settled_is_what_has_been_seen_to() {
        let (notify, manager, _directory) = manager();
        let mut waiting = std::pin::pin!(notify.settled());
        assert!((&mut waiting).now_or_never().is_none());
        let mut room = [0; 100];
        let (length, descriptors) = receive(manager.as_fd(), &mut room).unwrap();
        assert_eq!((&room[..length], descriptors.len()), (&b"BARRIER=1"[..], 1));
        assert!((&mut waiting).now_or_never().is_none());
        drop(descriptors);
        waiting.await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_who_does_not_listen() {
        let (notify, manager, directory) = manager();
        // Until it is full.
        while timeout(Duration::from_millis(1), notify.send("STATUS=more", &[])).await.is_ok() {}
        assert!(!notify.tell_with("READY=1", &[]).await);
        drop((manager, directory));
        assert!(!notify.tell_with("READY=1", &[]).await);
        notify.settled().await;
    }
}
