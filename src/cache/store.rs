//! The one cache of all zones and workers: moka, bounded in bytes.
//!
//! Denials have a part of it to themselves, so that names that do not exist, of which there is no
//! end, never push out those that do.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use foldhash::fast::RandomState;
use moka::Expiry;
use moka::notification::RemovalCause;

use super::key::Key;
use super::prefetch::{HOT, due_from};
use crate::dns::{Moment, StoredAnswer};
use crate::metrics::counter::Shared;
use crate::metrics::{Occupancy, Place};

/// Writes that may wait for the cache thread. When more come, answers go uncached and are counted.
const QUEUE: usize = 16_384;
/// How often the cache thread lets moka tidy up while there is something to tidy.
const UPKEEP: Duration = Duration::from_millis(10);
/// How long the idle cache thread sleeps: nothing waits for it.
const IDLE: Duration = Duration::from_secs(1);
/// What moka and the allocator need for an entry beside key and answer, in bytes: measured as the
/// growth of resident memory over 100,000 answers of one A record, less their own octets: 512, and 64
/// for the count of finds and what goes with it.
const OVERHEAD: usize = 576;

/// By how much the time that an entry stays beyond its TTL differs from key to key, as a part of it:
/// what came in together must not all be thrown out together, which would hold the cache thread up.
const JITTER: u32 = 8;

/// An answer in the cache.
#[derive(Clone, Debug)]
pub struct Cached {
    pub answer: Arc<StoredAnswer>,
    /// When its first record runs out. From then on it is stale.
    pub expires: Moment,
    lifetime: Duration,
    /// How long it stays when it has run out.
    tail: Duration,
    due: Moment,
    /// How often it was found; fronts tell late.
    finds: Arc<AtomicU32>,
}

impl Cached {
    /// An answer that holds for `lifetime` from `now`, and stays for `tail` beyond that.
    pub fn new(answer: Arc<StoredAnswer>, now: Moment, lifetime: Duration, tail: Duration) -> Self {
        let due = due_from(now, lifetime);
        Self { answer, expires: now + lifetime, lifetime, tail, due, finds: Arc::default() }
    }

    /// Notes that it was found so many times more, and says whether it is hot.
    pub fn found(&self, times: u32) -> bool {
        self.finds.fetch_add(times, Relaxed).saturating_add(times) >= HOT
    }

    /// Whether it is in the last tenth of its life, and should be asked for anew if it is hot.
    pub fn is_due(&self, now: Moment) -> bool {
        self.due <= now && self.holds(now)
    }

    /// Whether it has not run out.
    pub fn holds(&self, now: Moment) -> bool {
        now < self.expires
    }
}

/// A finished exchange on its way into the cache.
struct Write {
    key: Key,
    /// `None`: what was cached is not true any more.
    cached: Option<Cached>,
    /// Dropped once the entry can be found.
    visible: Box<dyn Send>,
}

/// A write in the queue, and its place there.
type Queued = (Write, Place);

/// See the module's head.
pub struct Store {
    parts: Parts,
    queue: SyncSender<Queued>,
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
    /// Answers that were asked for anew before they ran out.
    pub prefetches: Shared,
    /// Questions that were to be asked with no client waiting, and were not: too many were.
    pub background_overflows: Shared,
    /// Writes that wait for the cache thread; beyond them, answers that were not cached.
    pub queue: Arc<Occupancy>,
}

#[derive(Default)]
struct Lifetimes {
    hasher: RandomState,
}

impl Lifetimes {
    fn of(&self, key: &Key, cached: &Cached) -> Option<Duration> {
        let share = u32::try_from(self.hasher.hash_one(key) % 1024).unwrap_or(0);
        Some(cached.lifetime + cached.tail + cached.tail / JITTER / 1024 * share)
    }
}

impl Expiry<Key, Cached> for Lifetimes {
    fn expire_after_create(&self, key: &Key, cached: &Cached, _: std::time::Instant) -> Option<Duration> {
        self.of(key, cached)
    }

    fn expire_after_update(
        &self,
        key: &Key,
        cached: &Cached,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.of(key, cached)
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
        let (queue, writes) = sync_channel::<Queued>(QUEUE);
        let writer = parts.clone();
        let thread = std::thread::Builder::new().name("cache".to_owned()).spawn(move || {
            let mut untidy = false;
            loop {
                match writes.recv_timeout(if untidy { UPKEEP } else { IDLE }) {
                    Ok((write, _place)) => {
                        writer.apply(write);
                        // A full batch between two tidyings, so that a burst does not pay for each.
                        writes.try_iter().take(256).for_each(|(write, _place)| writer.apply(write));
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

    /// The answer under `key`, whether it still holds or not.
    pub fn get(&self, key: &[u8]) -> Option<Cached> {
        self.parts.get(key)
    }

    /// Hands an answer to the cache thread, without waiting. `visible` is dropped when the entry
    /// can be found, or at once when the queue is full.
    pub fn put(&self, key: Key, cached: Cached, visible: Box<dyn Send>) {
        self.send(Write { key, cached: Some(cached), visible });
    }

    /// Has the cache thread forget what is under `key`, without waiting. `gone` is dropped when that
    /// is done, or at once when the queue is full.
    pub fn remove(&self, key: Key, gone: Box<dyn Send>) {
        self.send(Write { key, cached: None, visible: gone });
    }

    fn send(&self, write: Write) {
        if let Some(place) = self.counts.queue.enter(QUEUE) {
            // There is room for whoever has a place; without a thread, nothing is ever found.
            let _ = self.queue.try_send((write, place));
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
        // What was true until now must not come back when this is gone.
        match cached {
            Some(cached) if cached.answer.is_denial() => {
                self.denials.insert(key.clone(), cached);
                self.data.invalidate(&key);
            }
            Some(cached) => {
                self.data.insert(key.clone(), cached);
                self.denials.invalidate(&key);
            }
            None => {
                self.data.invalidate(&key);
                self.denials.invalidate(&key);
            }
        }
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
        .expire_after(Lifetimes::default())
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
        let cached = Cached::new(answer, Moment::default(), Duration::from_secs(lifetime), Duration::ZERO);
        store.put(key.into(), cached, Box::new(Told(sender)));
        receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn an_entry_can_be_found_once_its_writer_is_told_and_holds_until_its_deadline() {
        let (store, _) = Store::start(1 << 20, 20).unwrap();
        put(&store, b"k", 10);
        let at = |seconds| Moment::default() + Duration::from_secs(seconds);
        let cached = store.get(b"k").unwrap();
        assert!(cached.holds(at(9)) && !cached.holds(at(10)));
        assert!(store.get(b"other").is_none());
        let (sender, receiver) = channel();
        store.remove(b"k"[..].into(), Box::new(Told(sender)));
        receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(store.get(b"k").is_none());
    }

    #[test]
    fn an_entry_stays_at_least_as_long_as_it_is_to_and_an_eighth_longer_at_most() {
        let lifetimes = Lifetimes::default();
        let answer = Arc::new(StoredAnswer::bare(Rcode::NXDOMAIN, None));
        let cached = Cached::new(answer, Moment::default(), Duration::from_secs(20), Duration::from_secs(80));
        let stays: Vec<Duration> =
            (0..1000u32).map(|n| lifetimes.of(&n.to_be_bytes()[..].into(), &cached).unwrap()).collect();
        let (first, last) = (stays.iter().min().unwrap(), stays.iter().max().unwrap());
        assert!(*first >= Duration::from_secs(100) && *first < Duration::from_secs(101), "{first:?}");
        assert!(*last <= Duration::from_secs(110) && *last > Duration::from_secs(109), "{last:?}");
    }

    #[test]
    fn the_queue_is_bounded_and_what_does_not_fit_is_let_go_and_counted() {
        /// Holds the thread that drops it.
        struct Hold(std::sync::mpsc::Receiver<()>);
        impl Drop for Hold {
            fn drop(&mut self) {
                let _ = self.0.recv();
            }
        }
        let (store, _) = Store::start(1 << 20, 20).unwrap();
        let (release, held) = channel();
        store.remove(b"k"[..].into(), Box::new(Hold(held)));
        (1..QUEUE).for_each(|_| store.remove(b"k"[..].into(), Box::new(())));
        let queue = &store.counts().queue;
        assert_eq!((queue.taken(), queue.overflows()), (QUEUE as u64, 0));
        let (sender, receiver) = channel();
        store.remove(b"k"[..].into(), Box::new(Told(sender)));
        assert!(receiver.try_recv().is_ok());
        assert_eq!(queue.overflows(), 1);
        drop(release);
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
        let kept = (0..100).filter(|number| store.get(format!("data {number}").as_bytes()).is_some());
        assert_eq!(kept.count(), 100);
        let denials = store.parts.denials.weighted_size();
        assert!((15_000..=20_000).contains(&denials), "{denials} bytes");
    }

    #[test]
    fn an_answer_replaces_a_denial_and_the_other_way_round() {
        let (store, _) = Store::start(1 << 20, 20).unwrap();
        let is_denial = || store.get(b"k").unwrap().answer.is_denial();
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
