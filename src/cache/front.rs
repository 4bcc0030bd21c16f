//! A worker's own memory of finished answers, in front of everything that costs more.
//!
//! It holds whatever the line has answered: cached replies, local records, rendered patterns. One
//! thread uses it, so a hit takes no lock and writes nothing that another core reads.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::prefetch::due_from;
use crate::dns::{Moment, Question, StoredAnswer};
use crate::metrics::Source;

/// Sets of four places each: 8,192 answers are more than a node's hot names, and of a thousand next to
/// none finds its set taken by four others.
const SETS: usize = 2048;
const PLACES: usize = 4;
/// Larger answers are rare, and few of them would push out many others.
const LARGEST_ANSWER: usize = 4096;
/// How many sets one insertion looks at for room.
const SETS_PASSED: usize = 32;
/// A hit asks the store behind once in so many times, so that it learns which entries are hot.
const HITS_PER_TOUCH: u32 = 64;
/// How often an answer that is due for a refresh is told of: soon enough for the shortest last tenth,
/// half a second, and for hot names next to nothing.
const TOUCH_INTERVAL: Duration = Duration::from_millis(100);

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

/// Where an answer of a set is. Half of a cache line has a whole set, and 64 KiB have them all, so
/// that to look for a name costs one line of memory that is near.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The upper half of the hash: what has another is another question.
    tag: u32,
    /// Its index among the slots; `u32::MAX` in an empty place.
    slot: u32,
}

const EMPTY: Place = Place { tag: 0, slot: u32::MAX };

#[repr(align(32))]
#[derive(Clone, Debug)]
struct Set([Place; PLACES]);

#[derive(Debug)]
struct Slot {
    key: Box<[u8]>,
    memory: Memory,
    weight: usize,
    /// Whether it was found since the hand last passed.
    used: bool,
    /// Hits that the store behind has not been told of.
    untold: u32,
    /// When the store behind is to be told of the next hit, whatever the number of that is.
    due: Moment,
}

/// See the module's head.
pub struct Front {
    sets: Box<[Set]>,
    /// As many as were ever held at once; those that are free are `None`.
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    hasher: RandomState,
    /// The generation of the tables that all slots were answered under.
    generation: u64,
    bytes: usize,
    max_bytes: usize,
    /// The set that has to make room next.
    hand: usize,
    hits: u32,
}

/// What a look into the front found.
pub enum Found<'f> {
    Hit {
        memory: &'f Memory,
        /// How many hits the store behind should be told of now, so that it learns what is hot and
        /// what is to be refreshed; mostly none.
        touch: u32,
    },
    Miss,
}

impl Front {
    /// A front that keeps at most this many bytes of answers and keys.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            sets: vec![Set([EMPTY; PLACES]); SETS].into(),
            slots: Vec::new(),
            free: Vec::new(),
            hasher: RandomState::default(),
            generation: 0,
            bytes: 0,
            max_bytes,
            hand: 0,
            hits: 0,
        }
    }

    /// The answer to `question` that was given under these tables and still holds.
    pub fn find(&mut self, question: &Question, generation: u64, now: Moment) -> Found<'_> {
        self.renew(generation);
        let (set, tag) = self.set_of(question);
        let Some(place) = self.place_of(set, tag, question) else { return Found::Miss };
        if place > 0 {
            // What is asked again moves up; a flood of new names only ever replaces the last.
            self.sets[set].0.swap(place, place - 1);
        }
        let slot = self.sets[set].0[place.saturating_sub(1)].slot;
        match self.slots.get_mut(slot as usize) {
            Some(Some(slot)) if slot.memory.expires.is_none_or(|expires| now < expires) => {
                if !slot.used {
                    slot.used = true;
                }
                self.hits = self.hits.wrapping_add(1);
                let sampled = self.hits.is_multiple_of(HITS_PER_TOUCH) && slot.memory.source == Source::Cache;
                Found::Hit { touch: slot.touch(sampled, now), memory: &slot.memory }
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
        // Some answers are shared with the tables or the store, and may outlive them here.
        let weight = memory.answer.memory() + question.key().len();
        if weight > self.max_bytes {
            return;
        }
        let (set, tag) = self.set_of(question);
        let place = self.place_of(set, tag, question);
        let place = place.or_else(|| self.sets[set].0.iter().position(|place| place.slot == EMPTY.slot));
        let place = place.unwrap_or(PLACES - 1);
        self.vacate(set, place);
        if self.has_room(weight) {
            self.bytes += weight;
            let (key, due) = (question.key().into(), memory.due());
            let slot = self.store(Slot { key, memory, weight, used: false, untold: 0, due });
            self.sets[set].0[place] = Place { tag, slot };
        }
    }

    /// Puts a slot where there is none, and returns its index.
    fn store(&mut self, slot: Slot) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = Some(slot);
                index
            }
            None => {
                self.slots.push(Some(slot));
                // There are no more slots than places.
                u32::try_from(self.slots.len() - 1).unwrap_or(EMPTY.slot)
            }
        }
    }

    /// Forgets what is at this place, if anything is.
    fn vacate(&mut self, set: usize, place: usize) {
        let Place { slot: index, .. } = std::mem::replace(&mut self.sets[set].0[place], EMPTY);
        if let Some(old) = self.slots.get_mut(index as usize).and_then(Option::take) {
            self.bytes -= old.weight;
            self.free.push(index);
        }
    }

    /// Makes room, if need be, at the cost of what was not found for a whole turn of the hand: what
    /// has run out is never found. Gives up after a few sets, so that no insertion takes long.
    fn has_room(&mut self, weight: usize) -> bool {
        for _ in 0..SETS_PASSED {
            if self.bytes + weight <= self.max_bytes {
                break;
            }
            for place in 0..PLACES {
                let slot = self.sets[self.hand].0[place].slot;
                match self.slots.get_mut(slot as usize) {
                    Some(Some(slot)) if slot.used => slot.used = false,
                    _ => self.vacate(self.hand, place),
                }
            }
            self.hand = (self.hand + 1) % SETS;
        }
        self.bytes + weight <= self.max_bytes
    }

    /// The set that a question belongs to, and its tag there.
    fn set_of(&self, question: &Question) -> (usize, u32) {
        let hash = self.hasher.hash_one(question.key());
        (usize::try_from(hash % SETS as u64).unwrap_or(0), u32::try_from(hash >> 32).unwrap_or(0))
    }

    /// Where in its set an answer to this question is.
    fn place_of(&self, set: usize, tag: u32, question: &Question) -> Option<usize> {
        self.sets[set].0.iter().position(|place| {
            let slot = || self.slots.get(place.slot as usize)?.as_ref();
            place.tag == tag && slot().is_some_and(|slot| *slot.key == *question.key())
        })
    }

    /// Bytes of answers and keys held now.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn clear(&mut self, generation: u64) {
        self.sets.fill(Set([EMPTY; PLACES]));
        self.slots.clear();
        self.free.clear();
        self.bytes = 0;
        self.generation = generation;
    }
}

impl Memory {
    fn due(&self) -> Moment {
        let never = Moment::after_origin(Duration::MAX);
        let life = self.expires.zip(self.answer.stored_at());
        life.map_or(never, |(expires, start)| due_from(start, expires.since(start)))
    }
}

impl Slot {
    /// Counts a hit, and says how many to tell of now.
    fn touch(&mut self, sampled: bool, now: Moment) -> u32 {
        self.untold = self.untold.saturating_add(1);
        let is_due = self.due <= now;
        if is_due {
            self.due = now + TOUCH_INTERVAL;
        }
        if sampled || is_due { std::mem::take(&mut self.untold) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
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
        let counted: usize = front.slots.iter().flatten().map(|slot| slot.weight).sum();
        assert_eq!(front.bytes(), counted);
        assert!(!hits(&mut front, "x.", 1, second(1)));
        assert_eq!(front.bytes(), 0);
    }

    #[test]
    fn a_thousand_names_find_a_place_each() {
        let mut front = Front::new(64 << 20);
        for number in 0..1000 {
            front.insert(&question(&format!("n{number}.")), 0, memory(None));
        }
        let kept = (0..1000).filter(|number| hits(&mut front, &format!("n{number}."), 0, second(1))).count();
        // A set has room for four; that five of the thousand meet in one happens in one front of four.
        assert!(kept >= 995, "{kept} of 1000 found a place");
    }

    #[test]
    fn what_is_forgotten_makes_room_for_what_comes() {
        let mut front = Front::new(20_000);
        for number in 0..100_000 {
            front.insert(&question(&format!("n{number}.")), 0, memory(None));
        }
        let (held, free) = (front.slots.iter().flatten().count(), front.free.len());
        assert_eq!(held + free, front.slots.len());
        let places = front.sets.iter().flat_map(|set| set.0).filter(|place| place.slot != EMPTY.slot).count();
        assert_eq!(places, held);
        assert!(front.slots.len() < 300, "{} slots", front.slots.len());
    }

    #[test]
    fn what_is_larger_than_the_front_pushes_nothing_out() {
        let mut front = Front::new(200);
        front.insert(&question("a."), 0, memory(None));
        // As often as the hand needs to go all the way round.
        for number in 0..SETS / SETS_PASSED {
            front.insert(&question(&format!("{number}.{}", "long.".repeat(30))), 0, memory(None));
        }
        assert!(hits(&mut front, "a.", 0, second(1)));
    }

    #[test]
    fn a_full_front_gives_up_what_nobody_asks_for() {
        let mut front = Front::new(20_000);
        for number in 0..1000 {
            front.insert(&question(&format!("old{number}.")), 0, memory(Some(second(1))));
        }
        // All of that has run out, and the hand finds nothing worth keeping.
        let mut kept = 0;
        for number in 0..1000 {
            let name = format!("new{number}.");
            front.insert(&question(&name), 0, memory(Some(second(100))));
            kept += usize::from(hits(&mut front, &name, 0, second(2)));
        }
        assert!(kept > 700, "{kept} of 1000 found a place");
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
        // Of two hot names in one set the flood takes one: 1.2 of the hundred on average.
        assert!(kept >= 90, "{kept} of 100 hot names left");
    }

    #[test]
    fn one_hit_in_sixty_four_touches_the_store() {
        let mut front = Front::new(1 << 20);
        front.insert(&question("a."), 0, memory(None));
        let mut touch = || match front.find(&question("a."), 0, second(1)) {
            Found::Hit { touch, .. } => touch,
            Found::Miss => panic!("a miss"),
        };
        let touches: Vec<u32> = (0..640).map(|_| touch()).filter(|&hits| hits > 0).collect();
        assert_eq!(touches, [64; 10]);
    }
}
