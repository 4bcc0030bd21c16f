//! How many questions may be sent twice only because an answer is late.
//!
//! Sending again to be faster is for the few. When answers are late because servers or the network
//! are full, it would make things worse: the allowance shrinks as questions get lost.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::Relaxed};

/// What one question earns, of the cost of one hedge: a tenth.
const EARNED: u32 = 100;
const COST: i32 = 1000;
/// The most that is saved up: a hundred hedges.
const MOST: i32 = 100 * COST;
/// Loss is kept in parts of this, …
const WHOLE: u32 = 1 << 16;
/// … and each question weighs one part in so many.
const SMOOTHING: u32 = 64;

/// The allowance of one group of servers, for all workers.
#[derive(Debug)]
pub struct Allowance {
    saved: AtomicI32,
    /// Which part of the questions is lost, smoothed.
    loss: AtomicU32,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { saved: AtomicI32::new(MOST), loss: AtomicU32::new(0) }
    }
}

impl Allowance {
    /// A question was sent for the first time.
    pub fn earn(&self) {
        let delivered = u64::from(WHOLE - self.loss.load(Relaxed));
        // By the square: with half of the questions lost, a quarter is earned.
        let earned = u64::from(EARNED) * delivered * delivered / (u64::from(WHOLE) * u64::from(WHOLE));
        let saved = self.saved.load(Relaxed).saturating_add(i32::try_from(earned).unwrap_or(0));
        self.saved.store(saved.min(MOST), Relaxed);
    }

    /// Whether a question may be sent once more.
    pub fn take(&self) -> bool {
        self.saved.fetch_update(Relaxed, Relaxed, |saved| (saved >= COST).then(|| saved - COST)).is_ok()
    }

    /// Whether sending a question once brought an answer.
    pub fn note(&self, delivered: bool) {
        let old = self.loss.load(Relaxed);
        let target = if delivered { 0 } else { WHOLE };
        self.loss.store(old - old / SMOOTHING + target / SMOOTHING, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(allowance: &Allowance, questions: usize) -> usize {
        (0..questions)
            .filter(|_| {
                allowance.earn();
                allowance.take()
            })
            .count()
    }

    #[test]
    fn a_hundred_at_once_and_then_one_in_ten() {
        let allowance = Allowance::default();
        assert_eq!((0..1000).filter(|_| allowance.take()).count(), 100);
        assert_eq!(taken(&allowance, 1000), 100);
        (0..10_000).for_each(|_| allowance.earn());
        assert_eq!((0..1000).filter(|_| allowance.take()).count(), 100);
    }

    #[test]
    fn it_shrinks_as_questions_get_lost_and_recovers() {
        let allowance = Allowance::default();
        while allowance.take() {}
        (0..1000).for_each(|round| allowance.note(round % 2 == 0));
        let with_loss = taken(&allowance, 1000);
        assert!((15..=35).contains(&with_loss), "{with_loss}");
        (0..1000).for_each(|_| allowance.note(false));
        assert_eq!(taken(&allowance, 1000), 0);
        (0..1000).for_each(|_| allowance.note(true));
        assert!(taken(&allowance, 1000) > 95);
    }
}
