//! The one cache of all zones and workers: moka, bounded in bytes.
//!
//! Denials have a part of it to themselves, so that names that do not exist, of which there is no
//! end, never push out those that do.

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
    parts: Parts,
    queue: SyncSender<Write>,
    counts: Arc<Counts>,
}

type Part = moka::sync::Cache<Key, Cached>;

/// A key is in one of the two, and for a moment in both while its answer changes sides.
#[derive(Clone)]
struct Parts {
    data: Part,
    denials: Part,
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
    /// A store of at most `max_bytes`, of which denials hold `negative_share` percent at most, and
    /// the thread that writes to it. The thread ends when the store is dropped.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(max_bytes: u64, negative_share: u8) -> std::io::Result<(Arc<Self>, JoinHandle<()>)> {
        let counts = Arc::new(Counts::default());
        let for_denials = max_bytes / 100 * u64::from(negative_share.min(100));
        let parts = Parts { data: part(max_bytes - for_denials, &counts), denials: part(for_denials, &counts) };
        let (queue, writes) = sync_channel::<Write>(QUEUE);
        let writer = parts.clone();
        let thread = std::thread::Builder::new().name("cache".to_owned()).spawn(move || {
            let mut untidy = false;
            loop {
                match writes.recv_timeout(if untidy { UPKEEP } else { IDLE }) {
                    Ok(write) => {
                        writer.apply(write);
                        // A full batch between two tidyings, so that a burst does not pay for each.
                        writes.try_iter().take(256).for_each(|write| writer.apply(write));
                        writer.tidy();
                        untidy = true;
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        writer.tidy();
                        untidy = false;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok((Arc::new(Self { parts, queue, counts }), thread))
    }

    /// The answer under `key`, if it still holds.
    pub fn get(&self, key: &[u8], now: Moment) -> Option<Cached> {
        self.parts.get(key).filter(|cached| now < cached.expires)
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
        let Parts { data, denials } = &self.parts;
        (data.entry_count() + denials.entry_count(), data.weighted_size() + denials.weighted_size())
    }
}

impl Parts {
    fn get(&self, key: &[u8]) -> Option<Cached> {
        self.data.get(key).or_else(|| self.denials.get(key))
    }

    fn apply(&self, Write { key, cached, visible }: Write) {
        let (part, other) = match cached.answer.is_denial() {
            true => (&self.denials, &self.data),
            false => (&self.data, &self.denials),
        };
        // What was true until now must not come back when this is gone.
        part.insert(key.clone(), cached);
        other.invalidate(&key);
        drop(visible);
    }

    fn tidy(&self) {
        self.data.run_pending_tasks();
        self.denials.run_pending_tasks();
    }
}

fn part(max_bytes: u64, counts: &Arc<Counts>) -> Part {
    let evicted = Arc::clone(counts);
    moka::sync::Cache::builder()
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
        .build()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::dns::stored_answer::{AnswerBuilder, Owner, Section};
    use crate::dns::{Rcode, RecordType};

    /// Tells when it is dropped.
    struct Told(std::sync::mpsc::Sender<()>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    fn put(store: &Store, key: &[u8], lifetime: u64) {
        put_answer(store, key, lifetime, StoredAnswer::bare(Rcode::NXDOMAIN, None));
    }

    fn put_answer(store: &Store, key: &[u8], lifetime: u64, answer: StoredAnswer) {
        let (sender, receiver) = channel();
        let answer = Arc::new(answer);
        let cached = Cached::new(answer, Moment::default(), Duration::from_secs(lifetime));
        store.put(key.into(), cached, Box::new(Told(sender)));
        receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn an_entry_can_be_found_once_its_writer_is_told_and_until_its_deadline() {
        let (store, _) = Store::start(1 << 20, 20).unwrap();
        put(&store, b"k", 10);
        let at = |seconds| Moment::default() + Duration::from_secs(seconds);
        assert!(store.get(b"k", at(9)).is_some());
        assert!(store.get(b"k", at(10)).is_none());
        assert!(store.get(b"other", at(1)).is_none());
    }

    fn address() -> StoredAnswer {
        let mut builder = AnswerBuilder::new(Rcode::NOERROR);
        builder.push(Section::Answer, Owner::Question, RecordType::A, 300, &[10, 0, 0, 1]).unwrap();
        builder.finish(Some(Moment::default()))
    }

    #[test]
    fn bytes_are_bounded() {
        let (store, _) = Store::start(100_000, 20).unwrap();
        for number in 0..2000u32 {
            put(&store, &number.to_be_bytes(), 1000);
            put_answer(&store, format!("data {number}").as_bytes(), 1000, address());
        }
        let (entries, bytes) = store.size();
        assert!(bytes <= 100_000 && entries < 180, "{entries} entries, {bytes} bytes");
    }

    #[test]
    fn a_flood_of_denials_pushes_out_no_data_and_keeps_to_its_share() {
        let (store, _) = Store::start(100_000, 20).unwrap();
        for number in 0..100 {
            put_answer(&store, format!("data {number}").as_bytes(), 1000, address());
        }
        for number in 0..5000u32 {
            put(&store, &number.to_be_bytes(), 1000);
        }
        let kept =
            (0..100).filter(|number| store.get(format!("data {number}").as_bytes(), Moment::default()).is_some());
        assert_eq!(kept.count(), 100);
        let denials = store.parts.denials.weighted_size();
        assert!((15_000..=20_000).contains(&denials), "{denials} bytes");
    }

    #[test]
    fn an_answer_replaces_a_denial_and_the_other_way_round() {
        let (store, _) = Store::start(1 << 20, 20).unwrap();
        let is_denial = || store.get(b"k", Moment::default()).unwrap().answer.is_denial();
        for _ in 0..2 {
            put(&store, b"k", 10);
            assert!(is_denial());
            put_answer(&store, b"k", 10, address());
            assert!(!is_denial());
        }
    }

    #[test]
    fn the_thread_ends_with_the_store() {
        let (store, thread) = Store::start(1 << 20, 20).unwrap();
        drop(store);
        thread.join().unwrap();
    }
}
