//! A worker's own memory of finished answers, in front of everything that costs more.
//!
//! It holds whatever the line has answered: cached replies, local records, rendered patterns. One
//! thread uses it, so a hit takes no lock and writes nothing that another core reads.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::dns::{Moment, Question, StoredAnswer};
use crate::metrics::Source;

/// Sets of two slots each. 8,192 slots are more than a node's hot names, and 512 KiB when full.
const SETS: usize = 4096;
/// Larger answers are rare, and few of them would push out many others.
const LARGEST_ANSWER: usize = 4096;
/// A hit asks the store behind once in so many times, so that it learns which entries are hot.
const HITS_PER_TOUCH: u32 = 64;

/// One remembered answer.
#[derive(Clone, Debug)]
pub struct Memory {
    pub answer: Arc<StoredAnswer>,
    /// `None`: as long as the tables it came from are live.
    pub expires: Option<Moment>,
    /// Where the answer counts as coming from when it is given again.
    pub source: Source,
    /// The zone, as an index into the live tables.
    pub zone: usize,
}

#[derive(Debug)]
struct Slot {
    hash: u64,
    key: Box<[u8]>,
    memory: Memory,
    weight: usize,
}

/// See the module's head.
pub struct Front {
    slots: Box<[[Option<Slot>; 2]]>,
    hasher: RandomState,
    /// The generation of the tables that all slots were answered under.
    generation: u64,
    bytes: usize,
    max_bytes: usize,
    hits: u32,
}

/// What a look into the front found.
pub enum Found<'f> {
    Hit {
        memory: &'f Memory,
        /// The store behind should be asked for this question once, only to learn that it is hot.
        touch: bool,
    },
    Miss,
}

impl Front {
    /// A front that keeps at most this many bytes of answers and keys.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            slots: (0..SETS).map(|_| [None, None]).collect(),
            hasher: RandomState::default(),
            generation: 0,
            bytes: 0,
            max_bytes,
            hits: 0,
        }
    }

    /// The answer to `question` that was given under these tables and still holds.
    pub fn find(&mut self, question: &Question, generation: u64, now: Moment) -> Found<'_> {
        self.renew(generation);
        let hash = self.hasher.hash_one(question.key());
        let set = &mut self.slots[set_of(hash)];
        let stands = |slot: &Option<Slot>| slot.as_ref().is_some_and(|slot| slot.holds(hash, question.key()));
        if !stands(&set[0]) {
            if !stands(&set[1]) {
                return Found::Miss;
            }
            // What was asked twice moves up; a flood of new names only ever replaces the second.
            set.swap(0, 1);
        }
        match &set[0] {
            Some(Slot { memory, .. }) if memory.expires.is_none_or(|expires| now < expires) => {
                self.hits = self.hits.wrapping_add(1);
                Found::Hit { memory, touch: memory.source == Source::Cache && self.hits.is_multiple_of(HITS_PER_TOUCH) }
            }
            _ => Found::Miss,
        }
    }

    /// Forgets everything unless it was answered under these tables.
    pub fn renew(&mut self, generation: u64) {
        if generation != self.generation {
            self.clear(generation);
        }
    }

    /// Remembers an answer that was found under these tables.
    pub fn insert(&mut self, question: &Question, generation: u64, memory: Memory) {
        if generation != self.generation || memory.answer.memory() > LARGEST_ANSWER {
            return;
        }
        let hash = self.hasher.hash_one(question.key());
        let set = &mut self.slots[set_of(hash)];
        let same = set.iter().position(|slot| slot.as_ref().is_some_and(|slot| slot.holds(hash, question.key())));
        let place = same.or_else(|| set.iter().position(Option::is_none)).unwrap_or(1);
        // Local answers are shared with the tables; cached ones may outlive their store entry here.
        let held = if memory.expires.is_some() { memory.answer.memory() } else { 0 };
        let slot = Slot { hash, key: question.key().into(), memory, weight: held + question.key().len() };
        let freed = set[place].as_ref().map_or(0, |old| old.weight);
        if self.bytes - freed + slot.weight > self.max_bytes {
            return;
        }
        self.bytes = self.bytes - freed + slot.weight;
        set[place] = Some(slot);
    }

    /// Bytes of answers and keys held now.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn clear(&mut self, generation: u64) {
        for set in &mut self.slots {
            *set = [None, None];
        }
        self.bytes = 0;
        self.generation = generation;
    }
}

impl Slot {
    fn holds(&self, hash: u64, key: &[u8]) -> bool {
        self.hash == hash && *self.key == *key
    }
}

fn set_of(hash: u64) -> usize {
    usize::try_from(hash % SETS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dns::{Name, Rcode, RecordType};

    fn question(text: &str) -> Question {
        let name = Name::from_text(text, &Name::root()).unwrap();
        Question::new(name.wire(), RecordType::A, false, false).unwrap()
    }

    fn memory(expires: Option<Moment>) -> Memory {
        let answer = Arc::new(StoredAnswer::bare(Rcode::NXDOMAIN, None));
        Memory { answer, expires, source: Source::Cache, zone: 0 }
    }

    fn hits(front: &mut Front, name: &str, generation: u64, now: Moment) -> bool {
        matches!(front.find(&question(name), generation, now), Found::Hit { .. })
    }

    fn second(seconds: u64) -> Moment {
        Moment::after_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn an_answer_is_found_until_its_deadline_and_within_its_generation() {
        let mut front = Front::new(1 << 20);
        front.insert(&question("a."), 0, memory(Some(second(10))));
        assert!(hits(&mut front, "A.", 0, second(9)));
        assert!(!hits(&mut front, "b.", 0, second(9)));
        assert!(!hits(&mut front, "a.", 0, second(10)));
        front.insert(&question("a."), 0, memory(None));
        assert!(hits(&mut front, "a.", 0, second(1_000_000)));
        assert!(!hits(&mut front, "a.", 1, second(1)));
        front.insert(&question("a."), 0, memory(None));
        assert!(!hits(&mut front, "a.", 1, second(1)), "an answer of the old tables comes too late");
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let mut front = Front::new(2000);
        for number in 0..1000 {
            front.insert(&question(&format!("n{number}.")), 0, memory(Some(second(10))));
        }
        assert!(front.bytes() <= 2000 && front.bytes() > 1500, "{}", front.bytes());
        assert!(!hits(&mut front, "x.", 1, second(1)));
        assert_eq!(front.bytes(), 0);
    }

    #[test]
    fn a_flood_of_new_names_leaves_what_is_asked_again() {
        let mut front = Front::new(64 << 20);
        let hot: Vec<String> = (0..100).map(|number| format!("hot{number}.")).collect();
        for name in &hot {
            front.insert(&question(name), 0, memory(None));
            assert!(hits(&mut front, name, 0, second(1)));
        }
        for number in 0..100_000 {
            front.insert(&question(&format!("flood{number}.")), 0, memory(None));
        }
        let kept = hot.iter().filter(|name| hits(&mut front, name, 0, second(2))).count();
        assert!(kept >= 95, "{kept} of 100 hot names left");
    }

    #[test]
    fn one_hit_in_sixty_four_touches_the_store() {
        let mut front = Front::new(1 << 20);
        front.insert(&question("a."), 0, memory(None));
        let touches = (0..640)
            .filter(|_| matches!(front.find(&question("a."), 0, second(1)), Found::Hit { touch: true, .. }))
            .count();
        assert_eq!(touches, 10);
    }
}
