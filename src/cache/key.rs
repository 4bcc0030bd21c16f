//! What an answer is found by.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;

use crate::dns::Question;
use crate::dns::name::MAX_NAME;

const IDENTITY: usize = size_of::<u64>();
/// Identity, the longest name, type, class and flags.
const LONGEST: usize = IDENTITY + MAX_NAME + 5;

/// Seeded at the start, so that nobody can choose names that meet in one place.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// The identity of a zone's forwarding and the question's own key, hashed once: every table that an
/// answer passes through is looked into by the same number.
///
/// The identity stands in front: an answer that was got by other rules (another zone, other
/// servers, other TTL bounds) has another key, and is never found after a change of configuration.
pub trait Keyed {
    fn octets(&self) -> &[u8];
    fn hashed(&self) -> u64;

    fn to_key(&self) -> Key {
        Key { octets: self.octets().into(), hashed: self.hashed() }
    }
}

/// An owned key; copies share it.
#[derive(Clone, Debug)]
pub struct Key {
    octets: Arc<[u8]>,
    hashed: u64,
}

/// A key on the stack, for looking up.
pub struct KeyBuffer {
    octets: [u8; LONGEST],
    length: usize,
    hashed: u64,
}

impl KeyBuffer {
    pub fn new(identity: u64, question: &Question) -> Self {
        let mut octets = [0; LONGEST];
        let key = question.key();
        let length = IDENTITY + key.len();
        octets[..IDENTITY].copy_from_slice(&identity.to_be_bytes());
        octets[IDENTITY..length].copy_from_slice(key);
        Self { octets, length, hashed: HASHER.hash_one(&octets[..length]) }
    }
}

impl From<&[u8]> for Key {
    fn from(octets: &[u8]) -> Self {
        Self { octets: octets.into(), hashed: HASHER.hash_one(octets) }
    }
}

impl Keyed for Key {
    fn octets(&self) -> &[u8] {
        &self.octets
    }

    fn hashed(&self) -> u64 {
        self.hashed
    }
}

impl Keyed for KeyBuffer {
    fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    fn hashed(&self) -> u64 {
        self.hashed
    }
}

impl PartialEq for dyn Keyed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.hashed() == other.hashed() && self.octets() == other.octets()
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
