//! How full something is that has a bound. The gauge and the bound are one count, so that what
//! operators see is what turned a question away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::counter::Shared;

/// Places that any thread may take. Changes on misses only.
#[derive(Debug, Default)]
pub struct Occupancy {
    taken: AtomicUsize,
    overflows: Shared,
}

/// One of them, given back when dropped.
#[derive(Debug)]
pub struct Place(Arc<Occupancy>);

impl Occupancy {
    /// A place, if fewer than `most` are taken. Else `None`, and it is counted.
    pub fn enter(self: &Arc<Self>, most: usize) -> Option<Place> {
        let enter = |taken: usize| (taken < most).then(|| taken + 1);
        if self.taken.fetch_update(Relaxed, Relaxed, enter).is_err() {
            self.overflows.add(1);
            return None;
        }
        Some(Place(Arc::clone(self)))
    }

    /// Places taken now.
    pub fn taken(&self) -> u64 {
        self.taken.load(Relaxed) as u64
    }

    /// How often there was none left.
    pub fn overflows(&self) -> u64 {
        self.overflows.value()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_given_back_and_missed() {
        let occupancy = Arc::new(Occupancy::default());
        let places: Vec<Place> = (0..3).filter_map(|_| occupancy.enter(2)).collect();
        assert_eq!((places.len(), occupancy.taken(), occupancy.overflows()), (2, 2, 1));
        drop(places);
        assert_eq!(occupancy.taken(), 0);
        assert!(occupancy.enter(1).is_some());
    }
}
