//! The one cache of all zones and workers: moka, bounded in bytes.
//!
//! Denials have a part of it to themselves, so that names that do not exist, of which there is no
//! end, never push out those that do.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel, sync_channel};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;
use moka::Expiry;
use moka::notification::RemovalCause;

mod entries;

use super::door::Door;
use super::key::{Key, Keyed};
use super::prefetch::{HOT, due_from};
use super::presence::Presence;
use super::snapshot::Early;
use crate::dns::{Moment, StoredAnswer};
use crate::metrics::counter::Shared;
use crate::metrics::{Occupancy, Place};
pub(super) use entries::Life;

/// Writes that may wait for the cache thread. When more come, answers go uncached and are counted.
const QUEUE: usize = 16_384;
/// How often the cache thread takes in what is there, and lets moka tidy up, while there is something
/// to do. An answer is found by way of its record in flight until then.
const ROUND: Duration = Duration::from_millis(5);
/// How long the idle cache thread sleeps: less than the 300 ms after which moka has whoever looks for
/// something tidy up, which would be a worker.
const IDLE: Duration = Duration::from_millis(200);
/// How long it sleeps with few entries: a node where nothing happens is not to be woken five times a
/// second.
const REST: Duration = Duration::from_secs(2);
/// How many are few: thrown out over a minute at least, they are 400 in that time, which keep a worker for
/// less than half a millisecond.
const FEW: u64 = 10_000;
/// What moka and the allocator need for an entry beside key and answer, in octets: resident memory grew
/// by 590 for each of 20,000 answers of one A record, of which 113 were key and answer, and some room
/// for tables that have just grown.
const OVERHEAD: usize = 512;

/// No entry weighs less.
const LEAST_WEIGHT: u64 = OVERHEAD as u64;

/// By how much the time that an entry stays beyond its TTL differs from key to key, as a part of it:
/// what came in together must not all be thrown out together. A hundred thousand at once hold moka up
/// for a tenth of a second, and whoever looks for something may have to do that.
const JITTER: u32 = 8;
/// It differs as if that time were this at least: by a minute.
const LEAST_TAIL: Duration = Duration::from_secs(8 * 60);

/// An answer in the cache, shared by copying.
#[derive(Clone, Debug)]
pub struct Cached(Arc<Entry>);

/// See [`Cached`].
#[derive(Debug)]
pub struct Entry {
    pub answer: Arc<StoredAnswer>,
    since: Moment,
    /// When its first record runs out. From then on it is stale.
    pub expires: Moment,
    /// When it may go.
    ends: Moment,
    /// How often it was found; fronts tell late.
    finds: AtomicU32,
}

impl std::ops::Deref for Cached {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.0
    }
}

impl Cached {
    /// An answer that holds for `lifetime` from `now`, and stays for `tail` beyond that.
    pub fn new(answer: Arc<StoredAnswer>, now: Moment, lifetime: Duration, tail: Duration) -> Self {
        let expires = now + lifetime;
        Self(Arc::new(Entry { answer, since: now, expires, ends: expires + tail, finds: AtomicU32::new(0) }))
    }
}

impl Entry {
    /// Notes that it was found so many times more, and says whether it is hot.
    pub fn found(&self, times: u32) -> bool {
        self.finds.fetch_add(times, Relaxed).saturating_add(times) >= HOT
    }

    /// Whether it is in the last tenth of its life, and should be asked for anew if it is hot.
    pub fn is_due(&self, now: Moment) -> bool {
        due_from(self.since, self.expires.since(self.since)) <= now && self.holds(now)
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
    /// Whether what is there stays.
    gives_way: bool,
    /// Dropped once the entry can be found.
    visible: Box<dyn Send>,
}

/// What was found under a key, and when.
pub struct Seen {
    changes: u64,
    pub cached: Option<Cached>,
}

/// What the cache thread has.
struct Writer {
    parts: Parts,
    changes: Arc<AtomicU64>,
    door: Door,
    counts: Arc<Counts>,
}

/// A write in the queue, and its place there if it has to have one.
type Queued = (Write, Option<Place>);

/// See the module's head.
pub struct Store {
    parts: Parts,
    /// How often what can be found has changed.
    changes: Arc<AtomicU64>,
    queue: Sender<Queued>,
    counts: Arc<Counts>,
    thread: Thread,
    /// What is being filled in.
    early: ArcSwapOption<Early>,
    has_early: AtomicBool,
}

type Part = moka::sync::Cache<Key, Cached, RandomState>;

/// A key is in one of the two, and for a moment in both while its answer changes sides.
#[derive(Clone)]
struct Parts {
    data: Part,
    denials: Part,
    presence: Arc<Presence>,
}

/// What operators see of the store.
#[derive(Debug, Default)]
pub struct Counts {
    /// Entries that made room for others, those among them that were not let in.
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
        let (whole, tail) = (cached.ends.since(cached.since), cached.ends.since(cached.expires));
        Some(whole + tail.max(LEAST_TAIL) / JITTER / 1024 * share)
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
        let most_entries = max_bytes / LEAST_WEIGHT;
        let (presence, door) = (Arc::new(Presence::new(most_entries)), Door::new(most_entries));
        let max_bytes = max_bytes.saturating_sub(presence.bytes() + door.bytes());
        let for_denials = max_bytes / 100 * u64::from(negative_share.min(100));
        let part = |bytes| part(bytes, &counts, &presence);
        let parts = Parts { data: part(max_bytes - for_denials), denials: part(for_denials), presence };
        // `send` bounds it. One with a bound of its own has all its room from the start: 2 MB.
        let (queue, writes) = channel::<Queued>();
        let (changes, counted) = (Arc::new(AtomicU64::new(0)), Arc::clone(&counts));
        let mut writer = Writer { parts: parts.clone(), changes: Arc::clone(&changes), door, counts: counted };
        let thread = std::thread::Builder::new().name("cache".to_owned()).spawn(move || {
            loop {
                match writes.recv_timeout(if writer.parts.entries() < FEW { REST } else { IDLE }) {
                    Ok((write, _place)) => writer.apply(write),
                    Err(RecvTimeoutError::Timeout) => {
                        writer.parts.tidy();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                // Asleep, it costs whoever sends nothing; waiting, it would have to be woken each time.
                loop {
                    std::thread::park_timeout(ROUND);
                    let mut idle = true;
                    for (write, _place) in writes.try_iter().take(QUEUE) {
                        idle = false;
                        writer.apply(write);
                    }
                    writer.parts.tidy();
                    if idle {
                        break;
                    }
                }
            }
        })?;
        let (early, has_early) = (ArcSwapOption::empty(), AtomicBool::new(false));
        let store = Self { parts, changes, queue, counts, thread: thread.thread().clone(), early, has_early };
        Ok((Arc::new(store), thread))
    }

    /// The answer under `key`, whether it still holds or not.
    pub fn get(&self, key: &dyn Keyed) -> Option<Cached> {
        self.parts.get(key).or_else(|| self.get_early(key))
    }

    /// What is under `key`, if that may be something else than `seen`.
    pub fn get_changed(&self, key: &dyn Keyed, seen: Option<&Seen>) -> Option<Cached> {
        if let Some(seen) = seen.filter(|seen| seen.changes == self.changes.load(Acquire)) {
            return seen.cached.clone();
        }
        // That it still is not there counts for nothing in what is thrown out for what.
        self.parts.has(key).then(|| self.get(key)).flatten()
    }

    /// Looks under `key`, and remembers when that was.
    pub fn see(&self, key: &dyn Keyed) -> Seen {
        // In this order: what comes in between is looked for again.
        let changes = self.changes.load(Acquire);
        Seen { changes, cached: self.get(key) }
    }

    /// Hands an answer to the cache thread, without waiting. `visible` is dropped when the entry
    /// can be found, or at once when the queue is full.
    pub fn put(&self, key: Key, cached: Cached, visible: Box<dyn Send>) {
        self.send(Write { key, cached: Some(cached), gives_way: false, visible });
    }

    /// Has the cache thread forget what is under `key`, without waiting. `gone` is dropped when that
    /// is done, or at once when the queue is full.
    pub fn remove(&self, key: Key, gone: Box<dyn Send>) {
        self.send(Write { key, cached: None, gives_way: false, visible: gone });
    }

    fn send(&self, write: Write) {
        if let Some(place) = self.counts.queue.enter(QUEUE) {
            // Without a thread, nothing is ever found.
            let _ = self.queue.send((write, Some(place)));
        }
    }

    /// Waits until all that was handed over before can be found.
    pub fn settle(&self) {
        let (held, gone) = sync_channel::<()>(1);
        self.remove(Key::from(&[][..]), Box::new(held));
        self.thread.unpark();
        // Nothing is ever sent: the other end goes away.
        let _ = gone.recv();
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Entries and the bytes they are weighed at, as of the last tidying.
    pub fn size(&self) -> (u64, u64) {
        let Parts { data, denials, .. } = &self.parts;
        (self.parts.entries(), data.weighted_size() + denials.weighted_size())
    }
}

impl Parts {
    fn get(&self, key: &dyn Keyed) -> Option<Cached> {
        if !self.presence.may_have(key) {
            return None;
        }
        self.data.get(key).or_else(|| self.denials.get(key))
    }

    fn has(&self, key: &dyn Keyed) -> bool {
        self.presence.may_have(key) && (self.data.contains_key(key) || self.denials.contains_key(key))
    }

    /// As of the last tidying.
    fn entries(&self) -> u64 {
        self.data.entry_count() + self.denials.entry_count()
    }

    fn tidy(&self) {
        self.data.run_pending_tasks();
        self.denials.run_pending_tasks();
    }
}

impl Writer {
    fn apply(&mut self, Write { key, cached, gives_way, visible }: Write) {
        if gives_way && self.parts.has(&key) {
            return;
        }
        if cached.as_ref().is_none_or(|cached| self.lets_in(&key, cached)) {
            self.change(&key, cached);
        } else {
            self.counts.evictions.add(1);
        }
        drop(visible);
    }

    /// Whether an answer may come in. Once it is half full, moka goes by how often a name was looked for:
    /// of looks for what is not there it hears here alone.
    fn lets_in(&mut self, key: &Key, cached: &Cached) -> bool {
        let Parts { data, denials, presence } = &self.parts;
        let part = if cached.answer.is_denial() { denials } else { data };
        let (max, held) = (part.policy().max_capacity().unwrap_or(u64::MAX), part.weighted_size());
        if held > max / 2 {
            drop(part.get(key));
        }
        held <= max - max / 16 || self.door.knocks_again(key) || presence.may_have(key)
    }

    fn change(&self, key: &Key, cached: Option<Cached>) {
        let Parts { data, denials, presence } = &self.parts;
        // What was true until now must not come back when this is gone.
        let stale = match cached {
            Some(cached) if cached.answer.is_denial() => {
                // Of a value that it replaces, the listener hears.
                presence.enter(key);
                denials.insert(key.clone(), cached);
                &[data][..]
            }
            Some(cached) => {
                presence.enter(key);
                data.insert(key.clone(), cached);
                &[denials][..]
            }
            None => &[data, denials][..],
        };
        // To see that there is nothing costs a third of removing it.
        stale.iter().filter(|part| part.contains_key(key)).for_each(|part| part.invalidate(key));
        self.changes.fetch_add(1, Release);
    }
}

fn part(max_bytes: u64, counts: &Arc<Counts>, presence: &Arc<Presence>) -> Part {
    let (evicted, presence) = (Arc::clone(counts), Arc::clone(presence));
    moka::sync::Cache::builder()
        .max_capacity(max_bytes)
        .weigher(|key: &Key, cached: &Cached| {
            u32::try_from(key.question().len() + cached.answer.memory() + OVERHEAD).unwrap_or(u32::MAX)
        })
        .expire_after(Lifetimes::default())
        .eviction_listener(move |key: Arc<Key>, _, cause| {
            presence.leave(&*key);
            if cause == RemovalCause::Size {
                evicted.evictions.add(1);
            }
        })
        .build_with_hasher(RandomState::default())
}

#[cfg(test)]
mod tests;
