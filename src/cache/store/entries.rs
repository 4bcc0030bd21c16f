//! What a snapshot takes out of the store, and puts into it.

use std::sync::mpsc::sync_channel;

use super::*;

/// When an entry was made and how long it is there, on no clock in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) struct Life {
    /// For how long it has been there.
    pub(in crate::cache) age: Duration,
    /// How long its answer holds in all.
    pub(in crate::cache) lifetime: Duration,
    /// How long it stays beyond that.
    pub(in crate::cache) tail: Duration,
    /// How often it was found.
    pub(in crate::cache) finds: u32,
}

impl Cached {
    pub(in crate::cache) fn life(&self, now: Moment) -> Life {
        Life {
            age: now.since(self.since),
            lifetime: self.expires.since(self.since),
            tail: self.ends.since(self.expires),
            finds: self.finds.load(Relaxed),
        }
    }

    /// An entry that was made before; `None` if it is over, or so old that it has no moment. moka counts
    /// from when it is put in, and so keeps it longer by its age, as one that nobody is given.
    pub(in crate::cache) fn with_life(answer: StoredAnswer, life: Life, now: Moment) -> Option<Self> {
        let cached = Self::new(Arc::new(answer), now.before(life.age)?, life.lifetime, life.tail);
        cached.finds.store(life.finds, Relaxed);
        (now < cached.ends).then_some(cached)
    }
}

impl Store {
    /// All entries, those that have run out among them, and those that change meanwhile as they were or
    /// as they are. Nobody is kept waiting by it.
    pub(in crate::cache) fn entries(&self) -> impl Iterator<Item = (Arc<Key>, Cached)> + '_ {
        self.parts.data.iter().chain(self.parts.denials.iter())
    }

    /// Has what is looked for be found there, too, until that is nothing any more.
    pub(in crate::cache) fn look_into(&self, early: Option<Arc<Early>>) {
        let has_early = early.is_some();
        self.early.store(early);
        self.has_early.store(has_early, Release);
    }

    /// That of a snapshot which is being filled in.
    pub(super) fn get_early(&self, key: &dyn Keyed) -> Option<Cached> {
        // Of every miss, of which nearly all come when there is none.
        if !self.has_early.load(Acquire) {
            return None;
        }
        self.early.load().as_ref()?.get(key)
    }

    /// Has the cache thread take in entries that are older than whatever is there, which stays. Waits
    /// until it has, so that whoever has more of them never fills the queue.
    pub(in crate::cache) fn restore(&self, entries: impl Iterator<Item = (Key, Cached)>) {
        let (held, gone) = sync_channel::<()>(1);
        for (key, cached) in entries {
            let write = Write { key, cached: Some(cached), gives_way: true, visible: Box::new(held.clone()) };
            // Without a thread, nothing is ever found.
            let _ = self.queue.send((write, None));
        }
        drop(held);
        // A round of the cache thread for each batch would be half of the time.
        self.thread.unpark();
        // Nothing is ever sent: the other ends go away.
        let _ = gone.recv();
    }
}
