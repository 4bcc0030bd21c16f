//! How many questions of one worker wait for upstreams at once.

use std::rc::Rc;

/// Each costs some kilobytes while it waits. With every upstream dead, so many that 900 new names a
/// second can be told so after the whole budget.
const MOST: usize = 4096;

/// Room for questions that wait.
#[derive(Debug, Default)]
pub(super) struct Room {
    taken: Rc<()>,
}

/// A question's place in the room, given back when dropped.
#[derive(Debug)]
pub struct Waiting {
    _taken: Rc<()>,
}

impl Room {
    /// Places taken.
    pub(super) fn taken(&self) -> usize {
        // The room itself holds one.
        Rc::strong_count(&self.taken) - 1
    }

    /// `None` when the room is full.
    pub(super) fn place(&self) -> Option<Waiting> {
        (self.taken() < MOST).then(|| Waiting { _taken: Rc::clone(&self.taken) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let room = Room::default();
        let mut places: Vec<Waiting> = std::iter::from_fn(|| room.place()).collect();
        assert_eq!(places.len(), MOST);
        places.pop();
        assert!(room.place().is_some());
    }
}
