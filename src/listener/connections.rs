//! How many TCP connections clients have open, over all workers, and how many they may.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::metrics::{Occupancy, Place};

/// See the module's head.
#[derive(Debug)]
pub struct Connections {
    open: Arc<Occupancy>,
    most: AtomicUsize,
}

impl Connections {
    pub fn new(most: usize) -> Self {
        Self { open: Arc::default(), most: AtomicUsize::new(most) }
    }

    /// From now on so many may be open. Those that are stay.
    pub fn limit(&self, most: usize) {
        self.most.store(most, Relaxed);
    }

    /// Those that are open.
    pub fn open(&self) -> u64 {
        self.open.taken()
    }

    /// One connection's place, given back when dropped. `None` when there are too many.
    pub(super) fn permit(&self) -> Option<Place> {
        self.open.enter(self.most.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_limit_ends_none_and_lets_none_in_until_enough_have_ended() {
        let connections = Connections::new(2);
        let mut open = vec![connections.permit().unwrap(), connections.permit().unwrap()];
        assert!(connections.permit().is_none());
        connections.limit(3);
        open.push(connections.permit().unwrap());
        connections.limit(1);
        assert_eq!(connections.open(), 3);
        while open.pop().is_some() {
            assert_eq!(connections.permit().is_some(), open.is_empty());
        }
        assert_eq!(connections.open(), 0);
    }
}
