//! How this instance is succeeded: whoever stands by is given all that we listen on, and told when to
//! serve.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::server::message;
use super::{News, Request, Seat, line};
use crate::listener::hand_over::{MOST_DESCRIPTORS, send};

/// How long a standby may take to take something in, and to begin.
const PATIENCE: Duration = Duration::from_secs(3);

/// See the module's head.
#[derive(Debug)]
pub struct Succession {
    /// The lock and the control socket.
    own: Vec<Rc<OwnedFd>>,
    listeners: Rc<Listeners>,
    /// For one standby. Others wait for it to leave.
    place: Semaphore,
    /// The pid of whoever has the place.
    standby: Cell<Option<u32>>,
    is_leaving: watch::Sender<bool>,
    is_succeeded: Cell<bool>,
    /// The cache, for whoever is told to serve.
    cache: RefCell<Option<Rc<OwnedFd>>>,
}

impl Succession {
    /// Without a seat there is no way to it.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn new(seat: Option<&Seat>) -> io::Result<Self> {
        let own = seat.map(Seat::duplicates).transpose()?;
        Ok(Self {
            own: own.into_iter().flatten().map(Rc::new).collect(),
            listeners: Rc::default(),
            place: Semaphore::new(1),
            standby: Cell::default(),
            is_leaving: watch::Sender::new(false),
            is_succeeded: Cell::default(),
            cache: RefCell::default(),
        })
    }

    /// Has this socket handed over as well, for as long as the offer is kept.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn offer(&self, socket: impl AsFd) -> io::Result<Offer> {
        let descriptor = Rc::new(socket.as_fd().try_clone_to_owned()?);
        self.listeners.change(|open| open.push(Rc::clone(&descriptor)));
        Ok(Offer { descriptor, listeners: Rc::clone(&self.listeners) })
    }

    /// Whether somebody stands by.
    pub fn has_heir(&self) -> bool {
        self.standby.get().is_some()
    }

    /// Has a snapshot of the cache go along when somebody is told to serve.
    pub fn bequeath(&self, cache: OwnedFd) {
        self.cache.replace(Some(Rc::new(cache)));
    }

    /// The listeners that would be handed over.
    pub fn offered(&self) -> Vec<Rc<OwnedFd>> {
        self.listeners.open.borrow().clone()
    }

    /// Lets whoever stands by serve. Returns whether somebody does.
    pub async fn leave(&self) -> bool {
        self.is_leaving.send_replace(true);
        // Free at once when nobody stands by.
        let _place = self.place.acquire().await;
        self.is_succeeded.get()
    }

    /// Serves a standby until one of us ends.
    pub(super) async fn attend(&self, stream: &mut UnixStream, come: &mut Vec<u8>, pid: u32) -> io::Result<()> {
        if let Some(first) = self.standby.get() {
            tell(stream, &News::Wait { pid: first }, &[]).await?;
        }
        let place = tokio::select! {
            place = self.place.acquire() => place,
            // It has nothing to say: it is gone.
            _ = message::<Request>(stream, come) => return Ok(()),
        };
        // Whoever comes after the first is to ask that one.
        if self.is_succeeded.get() {
            return Ok(());
        }
        self.standby.set(Some(pid));
        let ended = self.attend_first(stream, come, pid).await;
        self.standby.set(None);
        drop(place);
        ended
    }

    /// Gives the standby all that there is now, in place of what it was given before.
    async fn hand_over(&self, stream: &UnixStream) -> io::Result<()> {
        let descriptors: Vec<_> = self.own.iter().chain(&*self.listeners.open.borrow()).cloned().collect();
        let mut left = descriptors.len();
        for some in descriptors.chunks(MOST_DESCRIPTORS) {
            left -= some.len();
            let some: Vec<BorrowedFd<'_>> = some.iter().map(|descriptor| descriptor.as_fd()).collect();
            tell(stream, &News::Sockets { left }, &some).await?;
        }
        Ok(())
    }

    async fn attend_first(&self, stream: &mut UnixStream, come: &mut Vec<u8>, pid: u32) -> io::Result<()> {
        let mut changes = self.listeners.changes.subscribe();
        self.hand_over(stream).await?;
        tracing::info!(pid, "a standby has joined");
        let mut is_leaving = self.is_leaving.subscribe();
        loop {
            tokio::select! {
                biased;
                _ = is_leaving.wait_for(|&leaving| leaving) => break,
                _ = message::<Request>(stream, come) => {
                    tracing::info!(pid, "the standby has left");
                    return Ok(());
                }
                // What it has of a socket that is closed here would take in packets that nobody reads.
                _ = changes.changed() => self.hand_over(stream).await?,
            }
        }
        let cache = self.cache.borrow().clone();
        // One that knows of no cache takes it for a socket that is none, and closes it.
        let along: Vec<BorrowedFd<'_>> = cache.iter().map(|cache| cache.as_fd()).collect();
        tell(stream, &News::Serve, &along).await?;
        let serving = timeout(PATIENCE, message(stream, come)).await;
        match serving {
            Ok(Ok(Request::Serving)) => tracing::info!(pid, "the standby serves"),
            Err(_) => tracing::warn!(pid, "the standby was told to serve, and does not say that it does"),
            Ok(_) => {
                tracing::error!(pid, "the standby did not manage to serve");
                return Ok(());
            }
        }
        self.is_succeeded.set(true);
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Listeners {
    open: RefCell<Vec<Rc<OwnedFd>>>,
    changes: watch::Sender<()>,
}

impl Listeners {
    fn change(&self, change: impl FnOnce(&mut Vec<Rc<OwnedFd>>)) {
        change(&mut self.open.borrow_mut());
        self.changes.send_replace(());
    }
}

/// A socket that a standby gets, until this is dropped.
#[derive(Debug)]
pub struct Offer {
    descriptor: Rc<OwnedFd>,
    listeners: Rc<Listeners>,
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.listeners.change(|open| open.retain(|other| !Rc::ptr_eq(other, &self.descriptor)));
    }
}

async fn tell(stream: &UnixStream, news: &News, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let line = line::written(news)?;
    let sending = stream.async_io(Interest::WRITABLE, || send(stream.as_fd(), &line, descriptors));
    timeout(PATIENCE, sending).await?
}
