//! What the service manager keeps for the next process (FDSTORE=1): our listeners from the start on, so
//! that no end of ours closes a queue; and at a stop what is better read than lost.
//!
//! A listener's name says what and where it is, and is the same in every life. What is in the store by that
//! name is what we listen on: nothing less, and after a reload nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use socket2::{SockRef, Type};
use tokio::net::unix::pipe;
use tokio::time::timeout;

use super::notify::{Notify, is_closed};
use super::passed::Passed;
use crate::listener::hand_over::MOST_DESCRIPTORS;

/// A memory that is larger is not read.
pub(super) const MOST_OCTETS: usize = 64 << 20;
/// Puts descriptors into the store; they are not watched there, since none of ours ends by itself.
const PUT: &str = "FDSTORE=1\nFDPOLL=0\nFDNAME=";
const REMOVE: &str = "FDSTOREREMOVE=1\nFDNAME=";
/// The name of the pipe that shows whether there is a store.
const PROBE: &str = "probe";
/// How long a store that there is not may take to close what it was sent.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// A kernel object, however many descriptors lead to it.
type Object = (u64, u64);

/// See the module's head.
#[derive(Debug, Default)]
pub struct Store {
    /// The listeners in it, by our names.
    ours: BTreeMap<String, BTreeSet<Object>>,
    /// The names of what else is in it.
    memories: BTreeSet<String>,
    /// What the service manager has by names of its own: sockets of a socket unit.
    theirs: BTreeSet<Object>,
}

impl Store {
    /// As the process before has left it.
    pub fn of(passed: &Passed) -> Self {
        let mut store = Self::default();
        for (name, descriptor) in passed.iter() {
            let Some(object) = object(descriptor.as_fd()) else { continue };
            match name_of(descriptor.as_fd()) {
                Some(ours) if ours == name => store.ours.entry(ours).or_default().insert(object),
                Some(_) => store.theirs.insert(object),
                None => store.memories.insert(name.to_owned()),
            };
        }
        store
    }

    /// Whether a process before has listened.
    pub fn has_listeners(&self) -> bool {
        !self.ours.is_empty()
    }

    /// Has all of these in it that are listeners, and nothing else.
    pub async fn keep_only(&mut self, notify: &Notify, listening: &[Rc<OwnedFd>]) {
        let mut wanted: BTreeMap<String, BTreeMap<Object, BorrowedFd<'_>>> = BTreeMap::new();
        for descriptor in listening {
            let descriptor = descriptor.as_fd();
            let Some((name, object)) = name_of(descriptor).zip(object(descriptor)) else { continue };
            if !self.theirs.contains(&object) {
                wanted.entry(name).or_default().insert(object, descriptor);
            }
        }
        let is_wanted = |name: &String, object: &Object| wanted.get(name).is_some_and(|some| some.contains_key(object));
        let has_more = |(name, objects): (&String, &BTreeSet<Object>)| {
            objects.iter().any(|object| !is_wanted(name, object)).then(|| name.clone())
        };
        // Only all of a name can be removed.
        for name in self.ours.iter().filter_map(has_more).collect::<Vec<_>>() {
            self.ours.remove(&name);
            notify.tell(&format!("{REMOVE}{name}")).await;
        }
        for (name, objects) in wanted {
            let have = self.ours.entry(name.clone()).or_default();
            let missing: Vec<_> = objects.into_iter().filter(|(object, _)| !have.contains(object)).collect();
            for some in missing.chunks(MOST_DESCRIPTORS) {
                let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(|(_, descriptor)| *descriptor).collect();
                if notify.tell_with(&format!("{PUT}{name}"), &descriptors).await {
                    have.extend(some.iter().map(|(object, _)| *object));
                }
            }
        }
    }

    /// Adds a memory.
    pub async fn put(&mut self, notify: &Notify, name: &str, memory: &File) {
        if notify.tell_with(&format!("{PUT}{name}"), &[memory.as_fd()]).await {
            self.memories.insert(name.to_owned());
        }
    }

    /// Takes out all memories, once they are read: what ends this process is not to meet the next as well.
    pub async fn forget_memories(&mut self, notify: &Notify) {
        for name in std::mem::take(&mut self.memories) {
            notify.tell(&format!("{REMOVE}{name}")).await;
        }
    }
}

/// Whether the service manager keeps descriptors for us: then it does not close the one that it is sent.
/// One that is 254 or newer says so (FDSTORE), older ones do not.
pub async fn is_there(notify: &Notify) -> bool {
    if let Ok(most) = std::env::var("FDSTORE") {
        return most.parse::<u32>().is_ok_and(|most| most > 0);
    }
    let Ok((theirs, ours)) = pipe::pipe() else { return false };
    if !notify.tell_with(&format!("{PUT}{PROBE}"), &[theirs.as_fd()]).await {
        return false;
    }
    drop(theirs);
    let is_there = timeout(PROBE_TIME, is_closed(&ours)).await.is_err();
    notify.tell(&format!("{REMOVE}{PROBE}")).await;
    is_there
}

/// A file without a place in any directory, with these octets.
///
/// # Errors
/// When there is no memory for it.
pub fn memory(name: &str, octets: &[u8]) -> io::Result<File> {
    let mut memory = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
    memory.write_all(octets)?;
    Ok(memory)
}

/// What a listener is called: `udp-169.254.20.10-53`, `tcp-fd00__a-53`. No colon may be in it.
fn name_of(descriptor: BorrowedFd<'_>) -> Option<String> {
    let socket = SockRef::from(&descriptor);
    let kind = match socket.r#type().ok()? {
        Type::DGRAM => "udp",
        Type::STREAM => "tcp",
        _ => return None,
    };
    let address = socket.local_addr().ok()?.as_socket()?;
    let link = match address {
        SocketAddr::V6(v6) if v6.scope_id() > 0 => format!("-link-{}", v6.scope_id()),
        _ => String::new(),
    };
    Some(format!("{kind}-{}{link}-{}", address.ip().to_string().replace(':', "_"), address.port()))
}

fn object(descriptor: BorrowedFd<'_>) -> Option<Object> {
    fstat(descriptor).ok().map(|found| (found.st_dev, found.st_ino))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::listener::hand_over::receive;

    fn shared(socket: impl Into<OwnedFd>) -> Rc<OwnedFd> {
        Rc::new(socket.into())
    }

    /// What was said since: the last line, and how many descriptors came along.
    fn said(manager: &UnixDatagram) -> Vec<(String, usize)> {
        let mut room = [0; 1000];
        let next = || {
            receive(manager.as_fd(), &mut room).ok().map(|(length, some)| {
                let text = std::str::from_utf8(&room[..length]).unwrap();
                (text.replace("FDPOLL=0\n", "").replace("\nFDNAME=", " "), some.len())
            })
        };
        std::iter::from_fn(next).collect()
    }

    #[tokio::test]
    async fn it_has_what_is_listened_on_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::at(path.as_os_str()).unwrap();
        let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0").unwrap());
        let (udp_port, tcp_port) = (udp.local_addr().unwrap().port(), tcp.local_addr().unwrap().port());
        let (udp, tcp) = (shared(udp), shared(tcp));
        let (udp_name, tcp_name) = (format!("udp-127.0.0.1-{udp_port}"), format!("tcp-__1-{tcp_port}"));
        let file = shared(memory("lock", b"").unwrap());

        let mut store = Store::default();
        let again = shared(udp.try_clone().unwrap());
        store.keep_only(&notify, &[Rc::clone(&udp), file, Rc::clone(&tcp), again]).await;
        assert_eq!(said(&manager), [(format!("FDSTORE=1 {tcp_name}"), 1), (format!("FDSTORE=1 {udp_name}"), 1)]);
        store.keep_only(&notify, &[Rc::clone(&udp), Rc::clone(&tcp)]).await;
        assert_eq!(said(&manager), []);

        // The next process: with one of them by another's name, and a memory.
        let own = |descriptor: &Rc<OwnedFd>| Some(descriptor.try_clone().unwrap());
        let left = memory("x", b"").map(OwnedFd::from).ok();
        let passed = Passed::of(vec![own(&udp), own(&tcp), left], &format!("{udp_name}:some.socket:left"));
        let mut store = Store::of(&passed);
        assert!(store.has_listeners());
        store.forget_memories(&notify).await;
        store.keep_only(&notify, &[Rc::clone(&tcp)]).await;
        let removed = |name: &str| (format!("FDSTOREREMOVE=1 {name}"), 0);
        assert_eq!(said(&manager), [removed("left"), removed(&udp_name)]);
        store.keep_only(&notify, &[udp]).await;
        store.keep_only(&notify, &[]).await;
        assert_eq!(said(&manager), [(format!("FDSTORE=1 {udp_name}"), 1), removed(&udp_name)]);
    }

    #[test]
    fn what_is_no_listener_has_no_name() {
        assert_eq!(name_of(memory("x", b"").unwrap().as_fd()), None);
        assert_eq!(name_of(UnixDatagram::unbound().unwrap().as_fd()), None);
    }
}
