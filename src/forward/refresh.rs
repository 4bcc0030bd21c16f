//! Hot answers are asked for again before they run out, while clients still get them from the cache.

use std::rc::Rc;
use std::sync::Arc;

use super::{Forwarder, Plan};
use crate::cache::{Cached, Keyed, Lookup};
use crate::dns::{Moment, Question};

impl Forwarder {
    /// Lets the store know that a question was answered from elsewhere so many times more, and asks
    /// for the answer anew if that is due.
    pub fn touch(self: &Rc<Self>, plan: &Arc<Plan>, question: &Question, times: u32, now: Moment) {
        let key = Lookup::new(plan.identity, question);
        if let Some(cached) = self.shared.store.get(&key) {
            self.note(plan, question, &key, &cached, times, now);
        }
    }

    /// Notes that an answer was found so many times more.
    pub(super) fn note(
        self: &Rc<Self>,
        plan: &Arc<Plan>,
        question: &Question,
        key: &dyn Keyed,
        cached: &Cached,
        times: u32,
        now: Moment,
    ) {
        let hot = cached.found(times);
        // A refresh that failed is in the table of failures, for a second and then twice as long:
        // so refreshes are spaced like any other question that fails.
        if plan.prefetch && hot && cached.is_due(now) && self.shared.failures.get(key, now).is_none() {
            self.refresh(plan, question, key, now);
        }
    }

    fn refresh(self: &Rc<Self>, plan: &Arc<Plan>, question: &Question, key: &dyn Keyed, now: Moment) {
        // With everybody set aside, or no place in the zone, nothing would be sent.
        let is_full = plan.series.in_flight.taken() >= plan.in_flight as u64;
        if is_full || !plan.groups.iter().any(|group| group.has_usable(&plan.zone)) {
            return;
        }
        let Some(lead) = self.shared.in_flight.lead(&key.to_key(), now) else { return };
        // Another worker's refresh may have come to its end since the look into the store.
        let is_due = self.shared.store.get(key).is_some_and(|cached| cached.is_due(now));
        if is_due && self.lead_in_background(plan, question, lead).is_some() {
            self.shared.store.counts().prefetches.add(1);
        }
    }
}
