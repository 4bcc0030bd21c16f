//! Time limits for what nearly always ends before them.
//!
//! A timer of the runtime is entered into its wheel, taken out of it again, and wakes the thread that
//! sets it. Here one timer stands for all: it goes off every [`PULSE`] while any limit is set, looks
//! who is due, and goes to rest with the last.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::timeout_at;

use super::Clock;
use crate::dns::Moment;

/// The longest between two looks. Limits that are farther off, as nearly all are, are set without
/// touching the timer; the last look before one is at its very moment.
const PULSE: Duration = Duration::from_millis(10);

/// The limits of one worker.
pub struct Alarms {
    clock: Clock,
    slots: RefCell<Slots>,
    /// When the next look is; `None` at rest.
    next_look: Cell<Option<Moment>>,
    /// The next look has to be sooner.
    sooner: Notify,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

enum Slot {
    Free,
    Set {
        until: Moment,
        waker: Waker,
    },
    /// It is over, and whoever set it has not come for it yet.
    Over,
}

/// A limit that is set; given back when dropped.
struct Alarm<'a> {
    alarms: &'a Alarms,
    index: usize,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        let mut slots = self.alarms.slots.borrow_mut();
        slots.slots[self.index] = Slot::Free;
        slots.free.push(self.index);
    }
}

impl Alarms {
    pub fn new(clock: Clock) -> Rc<Self> {
        Rc::new(Self { clock, slots: RefCell::default(), next_look: Cell::default(), sooner: Notify::new() })
    }

    /// What comes of `future`; `None` when it is not ready by then. To be called within a `LocalSet`.
    pub async fn timeout_at<F: Future + Unpin>(self: &Rc<Self>, until: Moment, future: &mut F) -> Option<F::Output> {
        let mut alarm: Option<Alarm<'_>> = None;
        poll_fn(|context| {
            if let Poll::Ready(output) = Pin::new(&mut *future).poll(context) {
                return Poll::Ready(Some(output));
            }
            match &alarm {
                Some(alarm) if alarm.is_over(context) => return Poll::Ready(None),
                Some(_) => {}
                None => alarm = Some(self.set(until, context.waker().clone())),
            }
            Poll::Pending
        })
        .await
    }

    fn set(self: &Rc<Self>, until: Moment, waker: Waker) -> Alarm<'_> {
        let mut slots = self.slots.borrow_mut();
        let slot = Slot::Set { until, waker };
        let index = match slots.free.pop() {
            Some(index) => {
                slots.slots[index] = slot;
                index
            }
            None => {
                slots.slots.push(slot);
                slots.slots.len() - 1
            }
        };
        match self.next_look.get() {
            None => {
                // Before the task runs, others may be set; it sees them all.
                self.next_look.set(Some(Moment::ORIGIN));
                spawn_local(Rc::clone(self).look());
            }
            Some(next) if until < next => self.sooner.notify_one(),
            Some(_) => {}
        }
        Alarm { alarms: self, index }
    }

    /// Looks who is due, as long as anybody may be.
    async fn look(self: Rc<Self>) {
        loop {
            let now = self.clock.now();
            let next = self.slots.borrow_mut().ring(now).map(|next| next.min(now + PULSE));
            self.next_look.set(next);
            let Some(next) = next else { return };
            // Ended by either.
            let _ = timeout_at(self.clock.instant(next), self.sooner.notified()).await;
        }
    }
}

impl Alarm<'_> {
    fn is_over(&self, context: &mut Context<'_>) -> bool {
        match &mut self.alarms.slots.borrow_mut().slots[self.index] {
            Slot::Set { waker, .. } => {
                waker.clone_from(context.waker());
                false
            }
            Slot::Over | Slot::Free => true,
        }
    }
}

impl Slots {
    /// Wakes those that are due, and returns when the next one is.
    fn ring(&mut self, now: Moment) -> Option<Moment> {
        let mut next: Option<Moment> = None;
        for slot in &mut self.slots {
            let Slot::Set { until, waker } = slot else { continue };
            if *until <= now {
                waker.wake_by_ref();
                *slot = Slot::Over;
            } else {
                next = Some(next.map_or(*until, |next| next.min(*until)));
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::task::LocalSet;
    use tokio::time::{Instant, sleep};

    use super::*;

    fn play<F: Future>(test: impl FnOnce(Clock, Rc<Alarms>) -> F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let clock = Clock::start();
            test(clock, Alarms::new(clock)).await
        })
    }

    #[test]
    fn a_limit_is_kept_to_the_moment_whichever_was_set_first() {
        play(async |clock, alarms: Rc<Alarms>| {
            for order in [[3, 700], [700, 3], [25, 25], [4500, 11]] {
                let began = Instant::now();
                let limit = async |millis| {
                    let until = clock.now() + Duration::from_millis(millis);
                    assert!(alarms.timeout_at(until, &mut pending::<()>()).await.is_none());
                    began.elapsed()
                };
                let (first, second) = tokio::join!(limit(order[0]), limit(order[1]));
                assert_eq!([first, second].map(|took| took.as_millis()), order.map(u128::from));
                // At rest, it is set off anew.
                sleep(Duration::from_secs(1)).await;
                assert_eq!(alarms.next_look.get(), None);
            }
        });
    }

    #[test]
    fn what_is_ready_in_time_is_handed_over_and_leaves_nothing_behind() {
        play(async |clock, alarms: Rc<Alarms>| {
            let until = clock.now() + Duration::from_millis(20);
            assert_eq!(alarms.timeout_at(until, &mut ready(7)).await, Some(7));
            let mut late = Box::pin(sleep(Duration::from_millis(19)));
            assert!(alarms.timeout_at(until, &mut late).await.is_some());
            for _ in 0..100 {
                let until = clock.now() + Duration::from_secs(5);
                let mut never = pending::<()>();
                let given_up = alarms.timeout_at(until, &mut never);
                assert!(tokio::time::timeout(Duration::from_millis(1), given_up).await.is_err());
            }
            let left = |slots: &Slots| (slots.slots.len(), slots.free.len());
            assert_eq!(left(&alarms.slots.borrow()), (1, 1));
            sleep(PULSE * 2).await;
            assert_eq!(alarms.next_look.get(), None);
        });
    }
}
