//! Questions that are being asked upstream right now, so that equal ones are asked once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::oneshot;

use super::Forwarded;
use crate::cache::{Key, Keyed};
use crate::dns::Moment;

/// Locked on misses only; sixteen locks, so that workers seldom meet at one.
const SHARDS: usize = 16;
const SHARD_SHIFT: u32 = u64::BITS - SHARDS.trailing_zeros();

/// The questions in flight of all workers.
#[derive(Default)]
pub struct InFlight {
    shards: [Mutex<HashMap<Key, Entry, RandomState>>; SHARDS],
    askings: AtomicU64,
}

struct Entry {
    /// Which asking this is: a record that is dropped late must not end a newer one.
    number: u64,
    state: State,
}

enum State {
    Asked(Vec<oneshot::Sender<Forwarded>>),
    /// Answered, and on its way into the cache: kept until it can be found there, so that no equal
    /// question slips between.
    Answered(Forwarded),
}

/// How a question stands to those in flight.
pub(super) enum Joined {
    /// It has just been answered.
    Known(Forwarded),
    Open(Turn),
}

/// Whose turn it is to ask a question that has no answer yet.
pub(super) enum Turn {
    /// Nobody asks it: the caller does.
    First(Lead),
    /// Somebody asks it already and will share the result. The sender goes without one if that
    /// task dies.
    Behind(oneshot::Receiver<Forwarded>),
}

/// The right to ask, and the duty to tell. Dropped without [`Lead::finish`], those behind are let
/// go.
pub(super) struct Lead {
    record: Record,
}

/// Takes the question out of flight when dropped.
pub(super) struct Record {
    in_flight: Arc<InFlight>,
    key: Key,
    number: u64,
}

impl InFlight {
    pub(super) fn join(self: &Arc<Self>, key: &Key, now: Moment) -> Joined {
        let mut shard = self.shard(key);
        match shard.get_mut(key).map(|entry| &mut entry.state) {
            Some(State::Asked(behind)) => {
                let (sender, receiver) = oneshot::channel();
                behind.push(sender);
                return Joined::Open(Turn::Behind(receiver));
            }
            Some(State::Answered(forwarded)) if forwarded.expires.is_none_or(|expires| now < expires) => {
                return Joined::Known(forwarded.clone());
            }
            // Nobody, or an answer that ran out before it reached the cache.
            _ => {}
        }
        Joined::Open(Turn::First(self.begin(&mut shard, key)))
    }

    /// The right to ask, unless somebody asks or has just been answered.
    pub(super) fn lead(self: &Arc<Self>, key: &Key, now: Moment) -> Option<Lead> {
        let mut shard = self.shard(key);
        let is_free = match shard.get(key).map(|entry| &entry.state) {
            Some(State::Asked(_)) => false,
            Some(State::Answered(forwarded)) => forwarded.expires.is_some_and(|expires| expires <= now),
            None => true,
        };
        is_free.then(|| self.begin(&mut shard, key))
    }

    fn begin(self: &Arc<Self>, shard: &mut HashMap<Key, Entry, RandomState>, key: &Key) -> Lead {
        let number = self.askings.fetch_add(1, Relaxed);
        shard.insert(key.clone(), Entry { number, state: State::Asked(Vec::new()) });
        Lead { record: Record { in_flight: Arc::clone(self), key: key.clone(), number } }
    }

    /// An answer that is on its way into the cache under this key.
    pub(super) fn answered(&self, key: &dyn Keyed, now: Moment) -> Option<Forwarded> {
        match &self.shard(key).get(key)?.state {
            State::Answered(forwarded) if forwarded.expires.is_some_and(|expires| now < expires) => {
                Some(forwarded.clone())
            }
            _ => None,
        }
    }

    /// Questions in flight now.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &dyn Keyed) -> MutexGuard<'_, HashMap<Key, Entry, RandomState>> {
        // The upper bits: the maps take the lower ones.
        let index = usize::try_from(key.hashed() >> SHARD_SHIFT).unwrap_or(0);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// What is asked.
    pub(super) fn key(&self) -> &Key {
        &self.record.key
    }

    /// Tells everybody behind. Whoever asks until the record is dropped is told the same.
    pub(super) fn finish(self, forwarded: &Forwarded) -> Record {
        let Self { record } = self;
        let answered = Entry { number: record.number, state: State::Answered(forwarded.clone()) };
        let previous = record.in_flight.shard(&record.key).insert(record.key.clone(), answered);
        if let Some(Entry { state: State::Asked(behind), .. }) = previous {
            for sender in behind {
                let _ = sender.send(forwarded.clone());
            }
        }
        record
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let mut shard = self.in_flight.shard(&self.key);
        if shard.get(&self.key).is_some_and(|entry| entry.number == self.number) {
            shard.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dns::{Rcode, StoredAnswer};
    use crate::metrics::Source;

    const NOW: Moment = Moment::ORIGIN;

    fn forwarded() -> Forwarded {
        let answer = Arc::new(StoredAnswer::bare(Rcode::NXDOMAIN, None));
        Forwarded { answer, expires: Some(NOW + Duration::from_secs(1)), source: Source::Forward }
    }

    #[test]
    fn an_answer_that_runs_out_on_its_way_to_the_cache_is_asked_for_again() {
        let in_flight = Arc::new(InFlight::default());
        let key: Key = b"k"[..].into();
        let Joined::Open(Turn::First(lead)) = in_flight.join(&key, NOW) else { panic!("nobody was first") };
        let record = lead.finish(&forwarded());
        let Joined::Open(Turn::First(_second)) = in_flight.join(&key, NOW + Duration::from_secs(1)) else {
            panic!("an answer was given past its end")
        };
        drop(record);
        assert!(matches!(in_flight.join(&key, NOW), Joined::Open(Turn::Behind(_))), "the second asking is still on");
    }

    #[test]
    fn the_first_asks_those_behind_are_told_and_the_record_stays_until_dropped() {
        let in_flight = Arc::new(InFlight::default());
        let key: Key = b"k"[..].into();
        let Joined::Open(Turn::First(lead)) = in_flight.join(&key, NOW) else { panic!("nobody was first") };
        let Joined::Open(Turn::Behind(mut result)) = in_flight.join(&key, NOW) else { panic!("asked twice") };
        assert!(matches!(in_flight.join(&b"other"[..].into(), NOW), Joined::Open(Turn::First(_))));
        assert!(in_flight.lead(&key, NOW).is_none());
        let record = lead.finish(&forwarded());
        assert!(result.try_recv().is_ok());
        assert!(matches!(in_flight.join(&key, NOW), Joined::Known(_)));
        assert!(in_flight.lead(&key, NOW).is_none());
        drop(record);
        assert!(in_flight.lead(&key, NOW).is_some());
        assert!(matches!(in_flight.join(&key, NOW), Joined::Open(Turn::First(_))));
    }

    #[test]
    fn those_behind_a_task_that_died_are_let_go() {
        let in_flight = Arc::new(InFlight::default());
        let key: Key = b"k"[..].into();
        let Joined::Open(Turn::First(lead)) = in_flight.join(&key, NOW) else { panic!("nobody was first") };
        let Joined::Open(Turn::Behind(mut result)) = in_flight.join(&key, NOW) else { panic!("asked twice") };
        drop(lead);
        assert_eq!(result.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
        assert!(in_flight.is_empty());
    }
}
