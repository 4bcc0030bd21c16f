//! What an answer is found by.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;

use crate::dns::Question;

/// Seeded at the start, so that nobody can choose names that meet in one place.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// The identity of a zone's forwarding and the question's own key, hashed once: every table that an
/// answer passes through is looked into by the same number.
///
/// The identity is a part of it: an answer that was got by other rules (another zone, other
/// servers, other TTL bounds) has another key, and is never found after a change of configuration.
pub trait Keyed {
    fn identity(&self) -> u64;
    fn question(&self) -> &[u8];
    fn hashed(&self) -> u64;

    fn to_key(&self) -> Key {
        Key { question: self.question().into(), identity: self.identity(), hashed: self.hashed() }
    }
}

/// An owned key; copies share it.
#[derive(Clone, Debug)]
pub struct Key {
    question: Arc<[u8]>,
    identity: u64,
    hashed: u64,
}

/// A key for looking up.
#[derive(Clone, Copy)]
pub struct Lookup<'q> {
    question: &'q [u8],
    identity: u64,
    hashed: u64,
}

impl<'q> Lookup<'q> {
    pub fn new(identity: u64, question: &'q Question) -> Self {
        Self::of(identity, question.key())
    }

    pub(super) fn of(identity: u64, question: &'q [u8]) -> Self {
        Self { question, identity, hashed: HASHER.hash_one((identity, question)) }
    }
}

impl From<&[u8]> for Key {
    fn from(octets: &[u8]) -> Self {
        Lookup::of(0, octets).to_key()
    }
}

impl Keyed for Key {
    fn identity(&self) -> u64 {
        self.identity
    }

    fn question(&self) -> &[u8] {
        &self.question
    }

    fn hashed(&self) -> u64 {
        self.hashed
    }
}

impl Keyed for Lookup<'_> {
    fn identity(&self) -> u64 {
        self.identity
    }

    fn question(&self) -> &[u8] {
        self.question
    }

    fn hashed(&self) -> u64 {
        self.hashed
    }
}

impl PartialEq for dyn Keyed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.hashed() == other.hashed() && self.identity() == other.identity() && self.question() == other.question()
    }
}

impl Eq for dyn Keyed + '_ {}

impl Hash for dyn Keyed + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hashed());
    }
}

// What is looked up by a buffer has to be found under the owned key: all three go by `Keyed`.

impl<'k> Borrow<dyn Keyed + 'k> for Key {
    fn borrow(&self) -> &(dyn Keyed + 'k) {
        self
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let this: &dyn Keyed = self;
        this == other as &dyn Keyed
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self as &dyn Keyed).hash(state);
    }
}
