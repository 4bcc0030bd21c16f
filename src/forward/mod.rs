//! Questions that only an upstream can answer: asked once however many want to know, of one group
//! of servers after the other, within a budget that no client outwaits.

mod asking;
mod cut;
mod decision;
mod in_flight;
mod round;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::cache::{Cached, Failures, Key, KeyBuffer, Store};
use crate::clock::Clock;
use crate::config::NextOn;
use crate::dns::kept::Kept;
use crate::dns::{Moment, Name, Question, StoredAnswer, TtlRules};
use crate::metrics::Source;
use crate::upstream::{Exchange, Group};

use decision::{Failed, Tally};
pub use in_flight::InFlight;
use in_flight::Joined;

/// The time for one question in all: under the five seconds after which glibc gives up.
pub const BUDGET: Duration = Duration::from_millis(4500);

/// How one zone's questions are forwarded.
#[derive(Debug)]
pub struct Plan {
    /// Changes with everything below: answers got by another plan are never found again.
    pub identity: u64,
    pub zone: Name,
    /// In the order they are asked.
    pub groups: Vec<Arc<Group>>,
    pub next_on: NextOn,
    pub ttl: TtlRules,
    /// Whether an NXDOMAIN answers for all below its name (RFC 8020).
    pub nxdomain_cut: bool,
}

/// What came of forwarding, or of remembering it.
#[derive(Clone, Debug)]
pub struct Forwarded {
    pub answer: Arc<StoredAnswer>,
    /// `None`: for this question only.
    pub expires: Option<Moment>,
    pub source: Source,
}

/// What all workers' forwarders share.
pub struct Shared {
    pub store: Arc<Store>,
    pub failures: Failures,
    pub in_flight: Arc<InFlight>,
}

/// One worker's way to the upstreams.
pub struct Forwarder {
    exchange: Rc<dyn Exchange>,
    shared: Arc<Shared>,
    clock: Clock,
}

impl Forwarder {
    pub fn new(exchange: Rc<dyn Exchange>, shared: Arc<Shared>, clock: Clock) -> Self {
        Self { exchange, shared, clock }
    }

    /// The moment by this worker's clock.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// What is known without asking: a cached answer, else a denial that covers the question, else a
    /// failure of the last seconds.
    pub fn recall(&self, plan: &Plan, question: &Question, now: Moment) -> Option<Forwarded> {
        let key = KeyBuffer::new(plan.identity, question);
        if let Some(cached) = self.shared.store.get(key.as_bytes(), now) {
            return Some(Forwarded { answer: cached.answer, expires: Some(cached.expires), source: Source::Cache });
        }
        if let Some(denied) = self.cut(plan, question, now) {
            return Some(denied);
        }
        let answer = self.shared.failures.get(key.as_bytes(), now)?;
        Some(Forwarded { answer, expires: None, source: Source::Failure })
    }

    /// Lets the store know that a question is being asked often.
    pub fn touch(&self, plan: &Plan, question: &Question, now: Moment) {
        let _ = self.shared.store.get(KeyBuffer::new(plan.identity, question).as_bytes(), now);
    }

    /// Asks upstream, or waits for whoever is asking the same already. Takes [`BUDGET`] at most,
    /// and always ends with something to tell the client.
    pub async fn answer(&self, plan: &Plan, question: &Question) -> Forwarded {
        let key = KeyBuffer::new(plan.identity, question).to_key();
        match self.shared.in_flight.join(&key, self.clock.now()) {
            // On its way to the cache, and as good as found there.
            Joined::Known(known) if known.source == Source::Forward => Forwarded { source: Source::Cache, ..known },
            Joined::Known(known) => known,
            Joined::Behind(result) => match timeout(BUDGET, result).await {
                Ok(Ok(forwarded)) => forwarded,
                Ok(Err(_)) | Err(_) => decision::leader_lost(),
            },
            Joined::First(lead) => {
                // The answer may have come between the caller's look and this one's.
                let forwarded = match self.recall(plan, question, self.clock.now()) {
                    Some(known) => known,
                    None => self.ask(plan, question, &key).await,
                };
                let fresh = forwarded.source == Source::Forward;
                let record = lead.finish(&forwarded);
                match forwarded.expires {
                    Some(expires) if fresh => {
                        let now = self.clock.now();
                        let cached = Cached::new(Arc::clone(&forwarded.answer), now, expires.since(now));
                        self.keep_cut(plan, question, &forwarded, &cached);
                        self.shared.store.put(key, cached, Box::new(record));
                    }
                    _ => drop(record),
                }
                forwarded
            }
        }
    }

    async fn ask(&self, plan: &Plan, question: &Question, key: &Key) -> Forwarded {
        let deadline = Instant::now() + BUDGET;
        let mut tally = Tally::new(plan.next_on);
        for (index, group) in plan.groups.iter().enumerate() {
            let now = Instant::now();
            let is_last = index + 1 == plan.groups.len();
            let share = deadline.saturating_duration_since(now) / if is_last { 1 } else { 2 };
            let outcome = self.ask_group(group, plan, question, now + share).await;
            if !tally.wants_next(outcome) {
                break;
            }
        }
        let now = self.clock.now();
        match tally.conclude() {
            Ok(Kept { answer, lifetime, .. }) => {
                self.shared.failures.remove(key);
                // From its arrival: other groups may have been asked since.
                let arrived = answer.stored_at().unwrap_or(now);
                let expires = lifetime.map(|seconds| arrived + Duration::from_secs(seconds.into()));
                let expires = expires.filter(|expires| now < *expires);
                Forwarded { answer: Arc::new(answer), expires, source: Source::Forward }
            }
            Err(Failed { answer, was_asked }) => {
                let answer = Arc::new(answer);
                if was_asked {
                    self.shared.failures.put(key.clone(), Arc::clone(&answer), now);
                }
                Forwarded { answer, expires: None, source: Source::Failure }
            }
        }
    }
}
