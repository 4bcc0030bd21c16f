//! How many TCP connections clients have open, over all workers, and how many they may.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// See the module's head.
#[derive(Debug)]
pub struct Connections {
    open: AtomicUsize,
    most: AtomicUsize,
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<Connections>);

impl Connections {
    pub fn new(most: usize) -> Self {
        Self { open: AtomicUsize::new(0), most: AtomicUsize::new(most) }
    }

    /// From now on so many may be open. Those that are stay.
    pub fn limit(&self, most: usize) {
        self.most.store(most, Relaxed);
    }

    /// Those that are open.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// `None` when there are too many.
    pub(super) fn permit(self: &Arc<Self>) -> Option<Permit> {
        let most = self.most.load(Relaxed);
        let taken = self.open.fetch_update(Relaxed, Relaxed, |open| (open < most).then_some(open + 1));
        taken.ok().map(|_| Permit(Arc::clone(self)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_limit_ends_none_and_lets_none_in_until_enough_have_ended() {
        let connections = Arc::new(Connections::new(2));
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
