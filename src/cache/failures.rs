//! What could not be answered, for seconds (RFC 9520): so that a dead upstream is not asked again
//! by every client, and never instead of an answer that is there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::key::{Key, Keyed};
use crate::dns::{Moment, StoredAnswer};
use crate::metrics::counter::Shared;

/// How long the first failure of a question is remembered.
const FIRST: Duration = Duration::from_secs(1);
/// What repeated failures double up to; RFC 9520, section 3.2, allows five minutes.
const LONGEST: Duration = Duration::from_secs(5);
/// Failures remembered at once. When the table is full, those that have run out make room, and
/// without any the newest is not remembered.
const CAPACITY: usize = 8192;

/// See the module's head. Locked on misses only.
#[derive(Debug, Default)]
pub struct Failures {
    table: Mutex<Table>,
    /// As many as the table has; nearly always none, and then nobody needs the lock.
    count: AtomicUsize,
    dropped: Shared,
}

#[derive(Debug, Default)]
struct Table {
    failures: HashMap<Key, Failure, RandomState>,
    /// Before this a full table has nothing to give up: it is not looked through.
    full_until: Moment,
}

#[derive(Debug)]
struct Failure {
    answer: Arc<StoredAnswer>,
    until: Moment,
    delay: Duration,
}

impl Failures {
    /// The failure that was the last word on this question, while it counts.
    pub fn get(&self, key: &dyn Keyed, now: Moment) -> Option<Arc<StoredAnswer>> {
        let table = self.filled()?;
        table.failures.get(key).filter(|failure| now < failure.until).map(|failure| Arc::clone(&failure.answer))
    }

    /// Whether the last that was heard of this question is a failure: one that counts, or has not
    /// counted for so short a time that another one now would be of the same trouble.
    pub fn had(&self, key: &dyn Keyed, now: Moment) -> bool {
        let Some(table) = self.filled() else { return false };
        table.failures.get(key).is_some_and(|failure| failure.is_recent(now))
    }

    /// Remembers a failure: one second, and twice as long as the last time if it is the same
    /// question again soon after.
    pub fn put(&self, key: Key, answer: Arc<StoredAnswer>, now: Moment) {
        let mut table = self.lock();
        if !table.make_room(now) {
            self.dropped.add(1);
            return;
        }
        let delay = match table.failures.get(&key) {
            Some(last) if last.is_recent(now) => (last.delay * 2).min(LONGEST),
            _ => FIRST,
        };
        table.failures.insert(key, Failure { answer, until: now + delay, delay });
        self.count.store(table.failures.len(), Relaxed);
    }

    /// Failures in the table, those that do not count any more among them.
    pub fn len(&self) -> usize {
        self.lock().failures.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many were not remembered: the table was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.value()
    }

    /// Forgets all failures: whatever caused them may be over.
    pub fn clear(&self) {
        *self.lock() = Table::default();
        self.count.store(0, Relaxed);
    }

    /// Forgets the failure of a question that has been answered.
    pub fn remove(&self, key: &dyn Keyed) {
        if let Some(mut table) = self.filled() {
            table.failures.remove(key);
            self.count.store(table.failures.len(), Relaxed);
        }
    }

    /// The table, unless there is nothing in it.
    fn filled(&self) -> Option<MutexGuard<'_, Table>> {
        (self.count.load(Relaxed) > 0).then(|| self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failure {
    fn is_recent(&self, now: Moment) -> bool {
        now.since(self.until) <= LONGEST
    }
}

impl Table {
    fn make_room(&mut self, now: Moment) -> bool {
        if self.failures.len() < CAPACITY {
            return true;
        }
        if now < self.full_until {
            return false;
        }
        self.failures.retain(|_, failure| now < failure.until);
        self.full_until = self.failures.values().map(|failure| failure.until).min().unwrap_or(now);
        self.failures.len() < CAPACITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Rcode;

    fn key(text: &str) -> Key {
        Key::from(text.as_bytes())
    }

    #[test]
    fn failures_last_one_second_doubling_to_five() {
        let failures = Failures::default();
        let servfail = Arc::new(StoredAnswer::bare(Rcode::SERVFAIL, Some(22)));
        let mut now = Moment::default();
        for seconds in [1, 2, 4, 5, 5] {
            failures.put(key("k"), Arc::clone(&servfail), now);
            let end = now + Duration::from_secs(seconds);
            assert!(failures.get(&key("k"), now + Duration::from_millis(seconds * 1000 - 1)).is_some(), "{seconds}");
            assert!(failures.get(&key("k"), end).is_none(), "{seconds}");
            assert!(failures.had(&key("k"), end + LONGEST) && !failures.had(&key("k"), end + LONGEST * 2), "{seconds}");
            now = end + Duration::from_millis(100);
        }
        failures.put(key("k"), Arc::clone(&servfail), now);
        failures.remove(&key("k"));
        failures.put(key("k"), servfail, now);
        assert!(failures.get(&key("k"), now + Duration::from_secs(1)).is_none(), "it starts over after an answer");
    }

    #[test]
    fn the_table_is_bounded() {
        let failures = Failures::default();
        let servfail = Arc::new(StoredAnswer::bare(Rcode::SERVFAIL, Some(22)));
        for number in 0..CAPACITY as u64 + 10 {
            failures.put(number.to_be_bytes()[..].into(), Arc::clone(&servfail), Moment::default());
        }
        assert_eq!((failures.len(), failures.dropped()), (CAPACITY, 10));
        let later = Moment::default() + Duration::from_secs(2);
        failures.put(b"new"[..].into(), servfail, later);
        assert_eq!(failures.table.lock().unwrap().failures.len(), 1);
    }
}
