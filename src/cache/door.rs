//! Who is let into a store that is full: whoever comes again. moka would take in every name, weigh it
//! against others and throw it out again, which costs more than all else that a new name costs; and
//! of the names that come once there is no end.

use super::key::Keyed;

/// The most that are known to have knocked.
const MOST: u64 = 1 << 16;

/// See the module's head.
pub(super) struct Door {
    /// Those who knocked lately, by a part of the hash of their key, one for each place; a newcomer takes
    /// the place of whoever had it. Empty until somebody knocks.
    knocked: Vec<u32>,
    places: usize,
}

impl Door {
    /// For a store of at most this many entries.
    pub(super) fn new(entries: u64) -> Self {
        let places = entries.clamp(1, MOST).next_power_of_two();
        Self { knocked: Vec::new(), places: usize::try_from(places).unwrap_or(1) }
    }

    /// The most bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        (self.places * size_of::<u32>()) as u64
    }

    /// Notes that an answer would come in under this key, and says whether one would have lately.
    pub(super) fn knocks_again(&mut self, key: &dyn Keyed) -> bool {
        self.knocked.resize(self.places, 0);
        let hashed = key.hashed();
        let place = usize::try_from(hashed).unwrap_or(0) % self.places;
        // Other bits than those of the place.
        let mark = (hashed >> 32) as u32;
        std::mem::replace(&mut self.knocked[place], mark) == mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Key;

    #[test]
    fn whoever_comes_again_is_known_unless_many_came_between() {
        let mut door = Door::new(5000);
        let key = |number: u32| Key::from(&number.to_be_bytes()[..]);
        assert_eq!((0..100).filter(|&number| door.knocks_again(&key(number))).count(), 0);
        // Two may have shared a place.
        assert!((0..100).filter(|&number| door.knocks_again(&key(number))).count() > 90);
        (1000..200_000).for_each(|number| assert!(!door.knocks_again(&key(number))));
        assert_eq!((0..100).filter(|&number| door.knocks_again(&key(number))).count(), 0);
    }
}
