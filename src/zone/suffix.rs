//! A hash map keyed by suffixes, and which lengths of suffix are worth a lookup.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Values found by suffix. Keys come from the configuration, so a fast hash is safe.
#[derive(Debug)]
pub(super) struct SuffixMap<K, V> {
    values: HashMap<K, V, foldhash::fast::RandomState>,
    /// Bit n: there is a key of n labels.
    depths: u128,
}

impl<K: Eq + Hash + Borrow<[u8]>, V> SuffixMap<K, V> {
    pub(super) fn new() -> Self {
        Self { values: HashMap::default(), depths: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value under `key`, which has `depth` labels, put there first if need be.
    pub(super) fn entry(&mut self, key: K, depth: usize, default: impl FnOnce() -> V) -> &mut V {
        self.depths |= bit(depth);
        self.values.entry(key).or_insert_with(default)
    }

    /// The value under `key`, which has `depth` labels.
    pub(super) fn get(&self, key: &[u8], depth: usize) -> Option<&V> {
        if self.depths & bit(depth) == 0 { None } else { self.values.get(key) }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.values.values()
    }

    pub(super) fn shrink(&mut self) {
        self.values.shrink_to_fit();
    }
}

/// A name has at most 127 labels; what has more shares the last bit.
fn bit(depth: usize) -> u128 {
    1 << depth.min(127)
}
