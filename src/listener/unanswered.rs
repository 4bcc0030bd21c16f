//! Questions that go from one process to the next without an answer, over UDP.
//!
//! At the start: those of the process before, until a worker takes them. At a stop where somebody keeps
//! them: those that tasks of ours have been dropped with.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::parcel::Question;

/// See the module's head. Shared by all workers; while they serve nobody touches it.
#[derive(Debug, Default)]
pub struct Unanswered {
    questions: Mutex<Vec<Question>>,
    /// Whether what is dropped is kept.
    is_kept: AtomicBool,
}

impl Unanswered {
    /// Those of the process before.
    pub fn of(questions: Vec<Question>) -> Self {
        Self { questions: Mutex::new(questions), is_kept: AtomicBool::new(false) }
    }

    /// From now on workers that are told to stop leave their questions here, and do not wait for answers.
    pub fn keep(&self) {
        self.is_kept.store(true, Ordering::Release);
    }

    pub(super) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Acquire)
    }

    pub(super) fn add(&self, question: Question) {
        self.locked().push(question);
    }

    /// At most so many that came in at this listener.
    pub(super) fn take(&self, listener: SocketAddr, most: usize) -> Vec<Question> {
        self.locked().extract_if(.., |question| question.listener == listener).take(most).collect()
    }

    /// All that there are.
    pub fn take_all(&self) -> Vec<Question> {
        std::mem::take(&mut self.locked())
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Question>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listener_takes_its_own_once() {
        let question = |port: u16| {
            let listener = ([127, 0, 0, 1], port).into();
            Question { listener, client: listener, asked: None, packet: Vec::new() }
        };
        let unanswered = Unanswered::of(vec![question(1), question(2), question(1), question(1)]);
        let ([one, two, three], two_at_most) = ([1, 2, 3].map(|port| ([127, 0, 0, 1], port).into()), 2);
        assert_eq!(unanswered.take(one, two_at_most).len(), 2);
        assert_eq!(unanswered.take(three, two_at_most).len(), 0);
        assert_eq!(unanswered.take(one, two_at_most).len(), 1);
        assert_eq!(unanswered.take(one, two_at_most).len(), 0);
        assert_eq!(unanswered.take_all(), [question(2)]);
        assert_eq!(unanswered.take(two, two_at_most), []);
    }
}
