//! Notices when files change, whatever way: written in place, renamed over, behind a link that leads
//! elsewhere, in a directory that is removed and made again, or not there before.
//!
//! What is watched are the directories on the way to each file, for the names that are looked up in
//! them, and the file itself, which may be mounted alone into a container.

#[cfg(test)]
mod tests;
mod way;

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout, timeout_at};

/// Changes that belong together come closer than this.
const SETTLE: Duration = Duration::from_millis(100);
/// After the first change, so long is waited at most for the last.
const LONGEST: Duration = Duration::from_millis(500);
/// How often files are looked at as well: nothing is told of network file systems, and of what is
/// mounted over a directory.
const LOOK: Duration = Duration::from_secs(30);
/// How often they are looked at when nothing at all can be told.
const LOOK_INSTEAD: Duration = Duration::from_secs(2);

const DIRECTORY: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_ONLYDIR);

/// What is looked at under one watch descriptor.
#[derive(Debug)]
enum Watched {
    /// A directory, and which of its names.
    Names(PathBuf, HashSet<OsString>),
    File,
}

/// Watches the files that it was last told of.
#[derive(Debug)]
pub(super) struct Watch {
    /// `None`: the system gives none.
    inotify: Option<AsyncFd<Queue>>,
    watched: HashMap<WatchDescriptor, Watched>,
    /// Something has happened that nobody was told of, or may have before it was watched.
    is_behind: bool,
    /// That there is no room for every directory has been said.
    is_full: bool,
}

#[derive(Debug)]
struct Queue(Inotify);

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watch {
    /// Watches nothing yet. Where the system has nothing left to watch with, that is said, and files
    /// are looked at from time to time.
    pub(super) fn start() -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(io::Error::from);
        #[expect(
            deprecated,
            reason = "its heir wants a promise that nobody else closes the descriptor; it is ours alone"
        )]
        let inotify = inotify.and_then(|inotify| AsyncFd::new(Queue(inotify)));
        if let Err(error) = &inotify {
            tracing::warn!(
                %error,
                "files cannot be watched, and are looked at every {LOOK_INSTEAD:?} instead: \
                 raise fs.inotify.max_user_instances"
            );
        }
        Self { inotify: inotify.ok(), watched: HashMap::new(), is_behind: false, is_full: false }
    }

    /// Watches these files from now on, and no others. What happened to them before, since they were
    /// read, is made good by [`Self::settled`], which returns soon.
    pub(super) fn follow<'p>(&mut self, paths: impl Iterator<Item = &'p Path>) {
        let Some(queue) = &self.inotify else { return };
        let inotify = &queue.get_ref().0;
        let mut watched = HashMap::new();
        let mut full = false;
        let mut add = |path: &Path, flags| match inotify.add_watch(path, flags) {
            Ok(descriptor) => Some(descriptor),
            // Others are about what is no longer there, or may not be seen; it is looked at all the same.
            Err(errno) => {
                full |= errno == Errno::ENOSPC;
                None
            }
        };
        for path in paths {
            let file = way::follow(path, |directory, name| {
                let Some(descriptor) = add(directory, DIRECTORY) else { return };
                let entry =
                    watched.entry(descriptor).or_insert_with(|| Watched::Names(directory.to_owned(), HashSet::new()));
                if let Watched::Names(_, names) = entry {
                    names.insert(name.to_owned());
                }
            });
            if let Some(descriptor) = file.and_then(|file| add(&file, AddWatchFlags::IN_CLOSE_WRITE)) {
                watched.insert(descriptor, Watched::File);
            }
        }
        if full && !std::mem::replace(&mut self.is_full, full) {
            tracing::warn!(
                "not every file can be watched; all are looked at every {LOOK:?}: raise fs.inotify.max_user_watches"
            );
        }
        for descriptor in self.watched.keys().filter(|descriptor| !watched.contains_key(descriptor)) {
            // The kernel has ended it already when its directory is gone.
            let _ = inotify.rm_watch(*descriptor);
        }
        self.is_behind |= watched.keys().any(|descriptor| !self.watched.contains_key(descriptor));
        self.watched = watched;
    }

    /// Waits until something has happened on the way to one of the files, and then nothing for a
    /// moment. Returns from time to time without that: whether a file has changed, its content
    /// tells. May be dropped and called again.
    pub(super) async fn settled(&mut self) {
        if !self.is_behind {
            let look = if self.inotify.is_some() { LOOK } else { LOOK_INSTEAD };
            if timeout(look, self.event()).await.is_err() {
                return;
            }
            self.is_behind = true;
        }
        let latest = Instant::now() + LONGEST;
        while Instant::now() < latest && timeout_at(latest.min(Instant::now() + SETTLE), self.event()).await.is_ok() {}
        self.is_behind = false;
    }

    /// Waits until something happens to a name that is watched.
    async fn event(&self) {
        let Some(queue) = &self.inotify else { return pending().await };
        loop {
            let Ok(mut ready) = queue.readable().await else { return pending().await };
            let events = ready.try_io(|queue| queue.get_ref().0.read_events().map_err(io::Error::from));
            match events {
                Ok(Ok(events)) if events.iter().any(|event| self.is_relevant(event)) => return,
                Ok(Ok(_)) | Err(_) => {}
                // It would fail again at once.
                Ok(Err(_)) => return pending().await,
            }
        }
    }

    fn is_relevant(&self, event: &InotifyEvent) -> bool {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            return true;
        }
        match (self.watched.get(&event.wd), &event.name) {
            (Some(Watched::Names(directory, names)), Some(name)) => {
                let is_new = event.mask.contains(AddWatchFlags::IN_CREATE);
                names.contains(name) && !(is_new && is_being_written(directory, name))
            }
            // A file, or the end of a directory.
            (watched, None) => watched.is_some(),
            (_, Some(_)) => false,
        }
    }
}

/// A file that was made just now is read when it is closed, not while it is half there. One with
/// two names was made elsewhere and linked here, and nobody is going to close it.
fn is_being_written(directory: &Path, name: &OsStr) -> bool {
    std::fs::symlink_metadata(directory.join(name)).is_ok_and(|file| file.is_file() && file.nlink() == 1)
}
