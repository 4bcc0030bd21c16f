//! When the cache is written to its file, handed to an heir, and read again.
//!
//! Each of these is a thread of its own, which nobody waits for without bound: a disk that hangs keeps
//! nobody from serving, nor from ending.

mod file;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout};

use crate::cache::Store;
use crate::cache::snapshot::{self, Loaded, Refused, Written};
use crate::clock::{self, Clock};
use crate::dns::Moment;
use crate::metrics::Registry;

/// How often the cache is written: what a crash forgets is what came within that time, and most
/// of what lives longer was there before.
const EVERY: Duration = Duration::from_secs(300);
/// How long a stop waits for the file: with `drain` as it is unless said, both end before systemd's
/// unit of ours has lost its patience (10 s).
const LAST: Duration = Duration::from_secs(2);
/// How long a standby that is to serve is kept waiting for the cache. We serve meanwhile.
const HEIR: Duration = Duration::from_secs(2);
/// How long serving waits until answers are found in a cache that was handed over, which takes some
/// milliseconds. The questions of the queue are that much later, and those of them that were known are not
/// asked upstream.
const FIRST: Duration = Duration::from_millis(30);

/// See the module's head.
pub(super) struct Snapshots {
    path: Option<PathBuf>,
    store: Arc<Store>,
    clock: Clock,
    registry: Arc<Registry>,
    next: Moment,
    /// Ends with the write that is under way.
    writing: Option<oneshot::Receiver<()>>,
}

impl Snapshots {
    pub(super) fn new(path: Option<PathBuf>, store: Arc<Store>, clock: Clock, registry: Arc<Registry>) -> Self {
        Self { path, store, clock, registry, next: clock.now() + EVERY, writing: None }
    }

    /// From now on with this file.
    pub(super) fn follow(&mut self, path: Option<PathBuf>) {
        self.path = path;
    }

    /// Fills the cache: from the one that an instance before has handed over, else from the file. For the
    /// former it waits for a moment; the rest goes on in the background.
    pub(super) async fn begin(&self, handed: Option<File>) {
        self.begin_within(handed, FIRST).await;
    }

    async fn begin_within(&self, handed: Option<File>, most: Duration) {
        let waits = handed.is_some();
        let is_found = self.load(handed);
        if waits {
            // Whether anything is found by then or not, we serve.
            let _ = timeout(most, is_found).await;
        }
    }

    /// Returns what ends when answers are found in what was handed over, or none will be.
    fn load(&self, handed: Option<File>) -> oneshot::Receiver<()> {
        let (found, is_found) = oneshot::channel::<()>();
        let (path, store, clock, registry) =
            (self.path.clone(), Arc::clone(&self.store), self.clock, Arc::clone(&self.registry));
        if handed.is_none() && path.is_none() {
            return is_found;
        }
        spawn("cache-load", move || {
            let load = |file: File, from: &str, found: Option<oneshot::Sender<()>>| {
                let loaded = snapshot::load(&store, clock.now(), clock::date(), file, || drop(found));
                note_loaded(&registry, from, loaded)
            };
            if handed.is_some_and(|file| load(file, "that of the instance before", Some(found))) {
                return;
            }
            let Some(path) = path else { return };
            match file::open(&path) {
                Ok(Some(file)) => drop(load(file, &kept_in(&path), None)),
                Ok(None) => tracing::info!(file = %path.display(), "no cache has been kept yet: it begins empty"),
                Err(unusable) => note_unused(&registry, &kept_in(&path), &unusable.to_string()),
            }
        });
        is_found
    }

    /// Waits until the file should be written. May be dropped and called again.
    pub(super) async fn due(&self) {
        match self.path {
            Some(_) => sleep_until(self.clock.instant(self.next)).await,
            None => std::future::pending().await,
        }
    }

    /// Writes the file, in the background.
    pub(super) fn write(&mut self) {
        self.next = self.clock.now() + EVERY;
        let Some(path) = self.path.clone() else { return };
        if let Some(writing) = &mut self.writing
            && writing.try_recv() == Err(oneshot::error::TryRecvError::Empty)
        {
            self.registry.control.snapshots_bad.increment(1);
            tracing::error!(file = %path.display(), "the cache is still being written: is the disk all right?");
            return;
        }
        let (store, clock, registry) = (Arc::clone(&self.store), self.clock, Arc::clone(&self.registry));
        self.writing = spawn("cache-write", move || {
            let written = file::replace(&path, |file| snapshot::write(&store, clock.now(), clock::date(), file));
            note_written(&registry, &path, written);
        });
    }

    /// Writes the file for the last time, and waits for it.
    pub(super) async fn write_last(&mut self) {
        let Some(path) = self.path.clone() else { return };
        let both = async {
            if let Some(writing) = self.writing.take() {
                let _ = writing.await;
            }
            self.write();
            if let Some(writing) = self.writing.take() {
                let _ = writing.await;
            }
        };
        if timeout(LAST, both).await.is_err() {
            tracing::error!(file = %path.display(), "the cache was not written in time: what was written last stays");
        }
    }

    /// The cache as it is, for whoever takes our place; `None` if that would take too long.
    pub(super) async fn for_heir(&self) -> Option<File> {
        let (store, clock) = (Arc::clone(&self.store), self.clock);
        let (tell, told) = oneshot::channel();
        spawn("cache-heir", move || {
            // Whoever waited may have given up.
            let _ = tell.send(snapshot::to_memory(&store, clock.now(), clock::date()));
        });
        match timeout(HEIR, told).await {
            Ok(Ok(Ok((file, Written { entries, octets })))) => {
                tracing::debug!(entries, octets, "the cache goes to the standby");
                Some(file)
            }
            Ok(Ok(Err(error))) => {
                tracing::error!("the cache does not go to the next process: {error}");
                None
            }
            Ok(Err(_)) | Err(_) => {
                tracing::error!("the cache does not go to the next process: it took too long");
                None
            }
        }
    }
}

/// Has a thread do it. What is returned ends when it has.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Option<oneshot::Receiver<()>> {
    let (tell, told) = oneshot::channel();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        work();
        drop(tell);
    });
    thread.map_err(|error| tracing::error!("no thread for the cache's snapshot: {error}")).ok().map(|_| told)
}

/// Whether it was of use.
fn note_loaded(registry: &Registry, from: &str, loaded: Result<Loaded, Refused>) -> bool {
    match loaded {
        Ok(Loaded { entries, over, unfit, age }) => {
            registry.control.cache_restored.increment(entries);
            if age.is_none() {
                tracing::warn!("the clock has gone back, and nobody knows how old is {from}: it counts as stale");
            }
            if unfit > 0 {
                tracing::warn!(entries = unfit, "some of {from} is not what zerohop keeps, and is left out");
            }
            if entries + over > 0 {
                let seconds = age.unwrap_or_default().as_secs();
                tracing::info!(entries, over, seconds, "the cache begins with {from}");
            }
            true
        }
        Err(refused) => {
            note_unused(registry, from, &refused.to_string());
            false
        }
    }
}

fn kept_in(path: &Path) -> String {
    format!("what was kept in {}", path.display())
}

fn note_unused(registry: &Registry, from: &str, why: &str) {
    registry.control.snapshots_refused.increment(1);
    tracing::error!("the cache begins without {from}: {why}");
}

fn note_written(registry: &Registry, path: &Path, written: io::Result<Written>) {
    let control = &registry.control;
    match written {
        Ok(Written { entries, octets }) => {
            control.snapshots_good.increment(1);
            control.snapshot_written.set(clock::date().as_secs_f64());
            tracing::debug!(file = %path.display(), entries, octets, "the cache is written");
        }
        Err(error) => {
            control.snapshots_bad.increment(1);
            tracing::error!("{}", unwritten(path, &error));
        }
    }
}

fn unwritten(path: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "give the user that serves a directory that it may write to"
        }
        _ => "name another file in `persist` of [cache]",
    };
    format!("the cache cannot be written to {}: {error}; {remedy}", path.display())
}

#[cfg(test)]
mod tests;
