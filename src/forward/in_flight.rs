//! Questions that are being asked upstream right now, so that equal ones are asked once.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::oneshot;

use super::Forwarded;
use crate::cache::Key;

/// Locked on misses only; sixteen locks, so that workers seldom meet at one.
const SHARDS: usize = 16;

/// The questions in flight of all workers.
#[derive(Default)]
pub struct InFlight {
    shards: [Mutex<HashMap<Key, State, RandomState>>; SHARDS],
    hasher: RandomState,
}

enum State {
    Asked(Vec<oneshot::Sender<Forwarded>>),
    /// Answered, and on its way into the cache: kept until it can be found there, so that no equal
    /// question slips between.
    Answered(Forwarded),
}

/// How a question stands to those in flight.
pub(super) enum Joined {
    /// Nobody asks it: the caller does.
    First(Lead),
    /// Somebody asks it already and will share the result. The sender goes without one if that
    /// task dies.
    Behind(oneshot::Receiver<Forwarded>),
    /// It has just been answered.
    Known(Forwarded),
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
}

impl InFlight {
    pub(super) fn join(self: &Arc<Self>, key: &Key) -> Joined {
        let mut shard = self.shard(key);
        match shard.get_mut(key) {
            Some(State::Asked(behind)) => {
                let (sender, receiver) = oneshot::channel();
                behind.push(sender);
                Joined::Behind(receiver)
            }
            Some(State::Answered(forwarded)) => Joined::Known(forwarded.clone()),
            None => {
                shard.insert(key.clone(), State::Asked(Vec::new()));
                Joined::First(Lead { record: Record { in_flight: Arc::clone(self), key: key.clone() } })
            }
        }
    }

    /// Questions in flight now.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, HashMap<Key, State, RandomState>> {
        let index = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// Tells everybody behind. Whoever asks until the record is dropped is told the same.
    pub(super) fn finish(self, forwarded: &Forwarded) -> Record {
        let Self { record } = self;
        let previous =
            record.in_flight.shard(&record.key).insert(record.key.clone(), State::Answered(forwarded.clone()));
        if let Some(State::Asked(behind)) = previous {
            for sender in behind {
                let _ = sender.send(forwarded.clone());
            }
        }
        record
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.in_flight.shard(&self.key).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Rcode, StoredAnswer};
    use crate::metrics::Source;

    fn forwarded() -> Forwarded {
        let answer = Arc::new(StoredAnswer::bare(Rcode::NXDOMAIN, None));
        Forwarded { answer, expires: None, source: Source::Forward }
    }

    #[test]
    fn the_first_asks_those_behind_are_told_and_the_record_stays_until_dropped() {
        let in_flight = Arc::new(InFlight::default());
        let key: Key = b"k"[..].into();
        let Joined::First(lead) = in_flight.join(&key) else { panic!("nobody was first") };
        let Joined::Behind(mut result) = in_flight.join(&key) else { panic!("asked twice") };
        assert!(matches!(in_flight.join(&b"other"[..].into()), Joined::First(_)));
        let record = lead.finish(&forwarded());
        assert!(result.try_recv().is_ok());
        assert!(matches!(in_flight.join(&key), Joined::Known(_)));
        drop(record);
        assert!(matches!(in_flight.join(&key), Joined::First(_)));
    }

    #[test]
    fn those_behind_a_task_that_died_are_let_go() {
        let in_flight = Arc::new(InFlight::default());
        let key: Key = b"k"[..].into();
        let Joined::First(lead) = in_flight.join(&key) else { panic!("nobody was first") };
        let Joined::Behind(mut result) = in_flight.join(&key) else { panic!("asked twice") };
        drop(lead);
        assert_eq!(result.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
        assert!(in_flight.is_empty());
    }
}
