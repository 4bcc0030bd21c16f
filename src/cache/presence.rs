//! Which keys are surely not in the store: most questions that miss the front are new, and to find
//! that out costs moka three dependent loads from all over the memory in each of two tables.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::key::Keyed;

/// Counters for each entry that the store has room for: a full store lets a new key pass as one that
/// may be there once in nine times.
const PER_ENTRY: u64 = 8;
/// The most counters: two megabytes. A larger store lets more pass.
const MOST: u64 = 1 << 21;
/// Counters that are made together, when the first of them is needed.
const CHUNK: usize = 4096;
/// A counter that has come so far stays there: it may stand for more.
const FULL: u8 = u8::MAX;

/// How many keys there are of each hash, cut short. Read by all; written by the cache thread alone.
pub(super) struct Presence {
    /// A power of two of them.
    chunks: Box<[OnceLock<Box<[AtomicU8; CHUNK]>>]>,
}

impl Presence {
    /// For a store of at most this many entries.
    pub(super) fn new(entries: u64) -> Self {
        let counters = usize::try_from(entries.saturating_mul(PER_ENTRY).min(MOST)).unwrap_or(CHUNK);
        let chunks = (counters / CHUNK).max(1).next_power_of_two();
        Self { chunks: (0..chunks).map(|_| OnceLock::new()).collect() }
    }

    /// The most bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        (self.chunks.len() * (CHUNK + size_of::<OnceLock<Box<[AtomicU8; CHUNK]>>>())) as u64
    }

    /// Whether it may be there. Surely so, once whoever entered it has said so to whoever asks.
    pub(super) fn may_have(&self, key: &dyn Keyed) -> bool {
        let (chunk, counter) = self.place(key);
        self.chunks[chunk].get().is_some_and(|chunk| chunk[counter].load(Relaxed) > 0)
    }

    /// A key is going to be there.
    pub(super) fn enter(&self, key: &dyn Keyed) {
        self.change(key, |count| count.saturating_add(1));
    }

    /// A key has gone.
    pub(super) fn leave(&self, key: &dyn Keyed) {
        self.change(key, |count| if count == FULL { FULL } else { count.saturating_sub(1) });
    }

    fn change(&self, key: &dyn Keyed, change: impl Fn(u8) -> u8) {
        let (chunk, counter) = self.place(key);
        let counter = &self.chunks[chunk].get_or_init(|| Box::new([const { AtomicU8::new(0) }; CHUNK]))[counter];
        counter.store(change(counter.load(Relaxed)), Relaxed);
    }

    /// The chunk and the counter there. The upper bits of the hash: moka's tables take the lower.
    fn place(&self, key: &dyn Keyed) -> (usize, usize) {
        let hashed = usize::try_from(key.hashed() >> 16).unwrap_or(0);
        (hashed / CHUNK % self.chunks.len(), hashed % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Key;

    fn key(number: u32) -> Key {
        number.to_be_bytes()[..].into()
    }

    #[test]
    fn what_was_entered_may_be_there_until_it_has_left_as_often() {
        let presence = Presence::new(1000);
        (0..1000).for_each(|number| presence.enter(&key(number)));
        presence.enter(&key(7));
        assert!((0..1000).all(|number| presence.may_have(&key(number))));
        (0..1000).for_each(|number| presence.leave(&key(number)));
        assert!(presence.may_have(&key(7)));
        presence.leave(&key(7));
        assert!((0..1000).all(|number| !presence.may_have(&key(number))));
    }

    #[test]
    fn of_keys_that_are_not_there_few_pass() {
        let presence = Presence::new(4096);
        (0..4096).for_each(|number| presence.enter(&key(number)));
        let passed = (10_000..20_000).filter(|&number| presence.may_have(&key(number))).count();
        // One in nine on average.
        assert!((800..1500).contains(&passed), "{passed} of 10,000");
    }

    #[test]
    fn a_counter_that_was_full_never_says_no() {
        let presence = Presence::new(1);
        (0..300).for_each(|_| presence.enter(&key(7)));
        (0..300).for_each(|_| presence.leave(&key(7)));
        assert!(presence.may_have(&key(7)));
    }
}
