//! The one cache of all zones and workers: moka, bounded in bytes.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use moka::Expiry;
use moka::notification::RemovalCause;

use super::key::Key;
use crate::dns::{Moment, StoredAnswer};
use crate::metrics::counter::Shared;

/// Writes that may wait for the cache thread. When more come, answers go uncached and are counted.
const QUEUE: usize = 16_384;
/// How often the cache thread lets moka tidy up while there is something to tidy.
const UPKEEP: Duration = Duration::from_millis(10);
/// How long the idle cache thread sleeps: nothing waits for it.
const IDLE: Duration = Duration::from_secs(1);
/// What moka and the allocator need for an entry beside key and answer, in bytes: measured as the
/// growth of resident memory over 100,000 answers of one A record, less their own octets.
const OVERHEAD: usize = 512;

/// An answer in the cache.
#[derive(Clone, Debug)]
pub struct Cached {
    pub answer: Arc<StoredAnswer>,
    /// When its first record runs out. The entry may be seen a little longer; it no longer counts.
    pub expires: Moment,
    lifetime: Duration,
}

impl Cached {
    /// An answer that holds for `lifetime` from `now`.
    pub fn new(answer: Arc<StoredAnswer>, now: Moment, lifetime: Duration) -> Self {
        Self { answer, expires: now + lifetime, lifetime }
    }
}

/// A finished exchange on its way into the cache.
struct Write {
    key: Key,
    cached: Cached,
    /// Dropped once the entry can be found.
    visible: Box<dyn Send>,
}

/// See the module's head.
pub struct Store {
    entries: moka::sync::Cache<Key, Cached>,
    queue: SyncSender<Write>,
    counts: Arc<Counts>,
}

/// What operators see of the store.
#[derive(Debug, Default)]
pub struct Counts {
    /// Entries that made room for others.
    pub evictions: Shared,
    /// Answers that were not cached because the queue was full.
    pub dropped_writes: Shared,
}

struct Lifetimes;

impl Expiry<Key, Cached> for Lifetimes {
    fn expire_after_create(&self, _: &Key, cached: &Cached, _: std::time::Instant) -> Option<Duration> {
        Some(cached.lifetime)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        cached: &Cached,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(cached.lifetime)
    }
}

impl Store {
    /// A store of at most `max_bytes`, and the thread that writes to it. The thread ends when the
    /// store is dropped.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(max_bytes: u64) -> std::io::Result<(Arc<Self>, JoinHandle<()>)> {
        let counts = Arc::new(Counts::default());
        let evicted = Arc::clone(&counts);
        let entries: moka::sync::Cache<Key, Cached> = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &Key, cached: &Cached| {
                u32::try_from(key.len() + cached.answer.memory() + OVERHEAD).unwrap_or(u32::MAX)
            })
            .expire_after(Lifetimes)
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    evicted.evictions.add(1);
                }
            })
            .build();
        let (queue, writes) = sync_channel::<Write>(QUEUE);
        let writer = entries.clone();
        let thread = std::thread::Builder::new().name("cache".to_owned()).spawn(move || {
            let mut untidy = false;
            loop {
                match writes.recv_timeout(if untidy { UPKEEP } else { IDLE }) {
                    Ok(write) => {
                        apply(&writer, write);
                        // A full batch between two tidyings, so that a burst does not pay for each.
                        writes.try_iter().take(256).for_each(|write| apply(&writer, write));
                        writer.run_pending_tasks();
                        untidy = true;
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        writer.run_pending_tasks();
                        untidy = false;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok((Arc::new(Self { entries, queue, counts }), thread))
    }

    /// The answer under `key`, if it still holds.
    pub fn get(&self, key: &[u8], now: Moment) -> Option<Cached> {
        self.entries.get(key).filter(|cached| now < cached.expires)
    }

    /// Hands an answer to the cache thread, without waiting. `visible` is dropped when the entry
    /// can be found, or at once when the queue is full.
    pub fn put(&self, key: Key, cached: Cached, visible: Box<dyn Send>) {
        match self.queue.try_send(Write { key, cached, visible }) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.counts.dropped_writes.add(1),
        }
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Entries and the bytes they are weighed at, as of the last tidying.
    pub fn size(&self) -> (u64, u64) {
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

fn apply(entries: &moka::sync::Cache<Key, Cached>, write: Write) {
    entries.insert(write.key, write.cached);
    drop(write.visible);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::dns::Rcode;

    /// Tells when it is dropped.
    struct Told(std::sync::mpsc::Sender<()>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    fn put(store: &Store, key: &[u8], lifetime: u64) {
        let (sender, receiver) = channel();
        let answer = Arc::new(StoredAnswer::bare(Rcode::NXDOMAIN, None));
        let cached = Cached::new(answer, Moment::default(), Duration::from_secs(lifetime));
        store.put(key.into(), cached, Box::new(Told(sender)));
        receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn an_entry_can_be_found_once_its_writer_is_told_and_until_its_deadline() {
        let (store, _) = Store::start(1 << 20).unwrap();
        put(&store, b"k", 10);
        let at = |seconds| Moment::default() + Duration::from_secs(seconds);
        assert!(store.get(b"k", at(9)).is_some());
        assert!(store.get(b"k", at(10)).is_none());
        assert!(store.get(b"other", at(1)).is_none());
    }

    #[test]
    fn bytes_are_bounded() {
        let (store, _) = Store::start(100_000).unwrap();
        for number in 0..2000u32 {
            put(&store, &number.to_be_bytes(), 1000);
        }
        let (entries, bytes) = store.size();
        assert!(bytes <= 100_000 && entries < 180, "{entries} entries, {bytes} bytes");
    }

    #[test]
    fn the_thread_ends_with_the_store() {
        let (store, thread) = Store::start(1 << 20).unwrap();
        drop(store);
        thread.join().unwrap();
    }
}
