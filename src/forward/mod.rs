//! Questions that only an upstream can answer: asked once however many want to know, of one group
//! of servers after the other, within a budget that no client outwaits.

mod asking;
mod cut;
mod decision;
mod in_flight;
mod refresh;
mod round;
mod stale;

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cache::{Cached, Failures, Key, Keyed, Lookup, Seen, Store};
use crate::clock::{Alarms, Clock};
use crate::config::{NextOn, ServeStale};
use crate::dns::kept::Kept;
use crate::dns::{Moment, Name, Question, StoredAnswer, TtlRules};
use crate::metrics::{Source, ZoneSeries};
use crate::upstream::{Exchange, Group, LastUse, Loops};

use asking::Matter;
use decision::{Failed, Outcome, Tally};
pub use in_flight::InFlight;
use in_flight::{Joined, Lead, Turn};

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
    /// The most questions that wait for them at once. Not part of the identity.
    pub in_flight: usize,
    /// Where those are counted.
    pub series: Arc<ZoneSeries>,
    /// When they were last asked.
    pub used: LastUse,
    pub next_on: NextOn,
    pub ttl: TtlRules,
    /// Not part of the identity: it says what is done with an answer, not which one it is.
    pub stale: ServeStale,
    /// Whether hot answers are asked for anew before they run out. Not part of the identity, either.
    pub prefetch: bool,
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

impl Forwarded {
    fn from_cache(cached: &Cached) -> Self {
        Self { answer: Arc::clone(&cached.answer), expires: Some(cached.expires), source: Source::Cache }
    }
}

/// What all workers' forwarders share.
pub struct Shared {
    pub store: Arc<Store>,
    pub failures: Failures,
    pub in_flight: Arc<InFlight>,
    pub loops: Arc<Loops>,
}

/// One worker's way to the upstreams.
pub struct Forwarder {
    exchange: Rc<dyn Exchange>,
    shared: Arc<Shared>,
    clock: Clock,
    alarms: Rc<Alarms>,
    /// Held by each question that is asked with no client waiting.
    background: Rc<()>,
}

impl Forwarder {
    pub fn new(exchange: Rc<dyn Exchange>, shared: Arc<Shared>, clock: Clock) -> Self {
        Self { exchange, shared, clock, alarms: Alarms::new(clock), background: Rc::default() }
    }

    /// The moment by this worker's clock.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Whether this is a question of our own that has come back, and is not to be answered.
    pub fn is_returned(&self, question: &Question) -> bool {
        self.shared.loops.came_back(question.name())
    }

    /// What is known without asking: a cached answer, else a denial that covers the question, else a
    /// failure of the last seconds, instead of which a stale answer is given if there is one.
    ///
    /// # Errors
    /// What was seen in the cache when nothing is known, for [`Self::answer`].
    pub fn recall(self: &Rc<Self>, plan: &Arc<Plan>, question: &Question, now: Moment) -> Result<Forwarded, Seen> {
        let key = Lookup::new(plan.identity, question);
        let seen = self.shared.store.see(&key);
        self.known(plan, question, &key, seen.cached.as_ref(), now).ok_or(seen)
    }

    /// An answer that is on its way into the cache, for somebody who does not wait until it is there.
    pub fn recall_latest(&self, plan: &Plan, question: &Question, now: Moment) -> Option<Forwarded> {
        let latest = self.shared.in_flight.answered(&Lookup::new(plan.identity, question), now)?;
        Some(Forwarded { source: Source::Cache, ..latest })
    }

    fn known(
        self: &Rc<Self>,
        plan: &Arc<Plan>,
        question: &Question,
        key: &dyn Keyed,
        cached: Option<&Cached>,
        now: Moment,
    ) -> Option<Forwarded> {
        if let Some(cached) = cached.filter(|cached| cached.holds(now)) {
            self.note(plan, question, key, cached, 1, now);
            return Some(Forwarded::from_cache(cached));
        }
        if let Some(denied) = self.cut(plan, question, now) {
            return Some(denied);
        }
        let answer = self.shared.failures.get(key, now)?;
        let stale = cached.filter(|cached| plan.gives_stale(cached, now));
        let failure = || Forwarded { answer, expires: None, source: Source::Failure };
        Some(stale.map_or_else(failure, |cached| plan.stale(cached)))
    }

    /// Finds the answer: asks upstream, or waits for whoever is asking the same already. Takes
    /// [`BUDGET`] at most, and always ends with something to tell the client. `seen` is what
    /// [`Self::recall`] has seen of this question, if it was asked.
    ///
    /// Many of these futures wait at once: what is not needed while somebody is asked is in none.
    pub fn answer<'a>(
        self: &'a Rc<Self>,
        plan: &'a Arc<Plan>,
        question: &'a Question,
        seen: Option<&Seen>,
        now: Moment,
    ) -> impl Future<Output = Forwarded> + use<'a> {
        let course = self.course(plan, question, seen, now);
        async move {
            let (stale, forwarded) = match course {
                Course::Known(known) => return known,
                Course::Lead(lead) => return self.lead(plan, question, lead, now).await,
                Course::Behind(stale, patience, result) => (stale, heard(timeout(patience, result).await)),
                Course::Aside(stale, patience, asking) => (stale, heard(timeout(patience, asking).await)),
                Course::Lost(stale) => (stale, decision::leader_lost()),
            };
            match stale {
                Some(cached) if forwarded.source == Source::Failure => plan.stale(&cached),
                _ => forwarded,
            }
        }
    }

    /// What is to be done about a question, now that nothing was known of it.
    fn course(self: &Rc<Self>, plan: &Arc<Plan>, question: &Question, seen: Option<&Seen>, now: Moment) -> Course {
        let key = Lookup::new(plan.identity, question).to_key();
        let turn = match self.shared.in_flight.join(&key, now) {
            Joined::Open(turn) => turn,
            Joined::Known(known) => {
                // On its way to the cache, and as good as found there.
                let source = if known.source == Source::Forward { Source::Cache } else { known.source };
                return Course::Known(Forwarded { source, ..known });
            }
        };
        let cached = self.shared.store.get_changed(&key, seen);
        // It may have come since whoever calls looked.
        if let Some(known) = self.known(plan, question, &key, cached.as_ref(), now) {
            if let Turn::First(lead) = turn {
                drop(lead.finish(&known));
            }
            return Course::Known(known);
        }
        let stale = cached.filter(|cached| plan.gives_stale(cached, now));
        let patience = self.patience(plan, &key, stale.is_some(), now);
        match turn {
            Turn::Behind(result) => Course::Behind(stale, patience, result),
            Turn::First(lead) if stale.is_none() => Course::Lead(lead),
            Turn::First(lead) => match self.lead_in_background(plan, question, lead) {
                Some(asking) => Course::Aside(stale, patience, asking),
                None => Course::Lost(stale),
            },
        }
    }

    /// Asks, tells everybody behind, and hands the answer to the cache.
    #[expect(clippy::manual_async_fn, reason = "an async fn has its arguments twice, and this one waits in thousands")]
    fn lead<'a>(
        &'a self,
        plan: &'a Plan,
        question: &'a Question,
        lead: Lead,
        now: Moment,
    ) -> impl Future<Output = Forwarded> + use<'a> {
        async move {
            let forwarded = self.ask(plan, question, lead.key(), now).await;
            let key = lead.key().clone();
            let record = lead.finish(&forwarded);
            match (forwarded.expires, forwarded.source) {
                (Some(expires), _) => {
                    let now = forwarded.answer.stored_at().unwrap_or(now);
                    let lifetime = expires.since(now);
                    let cached = Cached::new(Arc::clone(&forwarded.answer), now, lifetime, plan.stale.max_age);
                    self.keep_cut(plan, question, &forwarded, &cached);
                    self.shared.store.put(key, cached, Box::new(record));
                }
                (None, source) => {
                    drop(record);
                    // This is for one use, and what was kept is not true any more.
                    if source == Source::Forward && self.shared.store.get(&key).is_some() {
                        self.shared.store.remove(key, Box::new(()));
                    }
                }
            }
            forwarded
        }
    }

    #[expect(clippy::manual_async_fn, reason = "as above")]
    fn ask<'a>(
        &'a self,
        plan: &'a Plan,
        question: &'a Question,
        key: &'a Key,
        mut now: Moment,
    ) -> impl Future<Output = Forwarded> + use<'a> {
        async move {
            let Some(_place) = plan.series.in_flight.enter(plan.in_flight) else { return decision::zone_is_full() };
            plan.used.note(now);
            let deadline = now + BUDGET;
            let mut tally = Tally::new(plan.next_on);
            for (index, group) in plan.groups.iter().enumerate() {
                let is_last = index + 1 == plan.groups.len();
                let share = deadline.since(now) / if is_last { 1 } else { 2 };
                let outcome = self.ask_group(Matter { group, plan, question, deadline: now + share }, now).await;
                now = match &outcome {
                    Outcome::Answer(kept) => kept.answer.stored_at(),
                    Outcome::Failure(_) => None,
                }
                .unwrap_or_else(|| self.clock.now());
                if !tally.wants_next(outcome) {
                    break;
                }
            }
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
}

/// What is done about a question.
enum Course {
    /// Nothing: it has just become known.
    Known(Forwarded),
    /// It is asked.
    Lead(Lead),
    /// Somebody asks it already, and is waited for.
    Behind(Option<Cached>, Duration, oneshot::Receiver<Forwarded>),
    /// It is asked by a task of its own, and that is waited for.
    Aside(Option<Cached>, Duration, JoinHandle<Forwarded>),
    /// Too many are asked so already.
    Lost(Option<Cached>),
}

/// What came of waiting for somebody who asks.
fn heard<E, T>(result: Result<Result<Forwarded, E>, T>) -> Forwarded {
    match result {
        Ok(Ok(forwarded)) => forwarded,
        Ok(Err(_)) | Err(_) => decision::leader_lost(),
    }
}
