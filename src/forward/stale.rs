//! Answers that have run out, given while no upstream answers (RFC 8767): ask first, and give the
//! stale answer when nothing came for a while, or when asking has failed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_local};

use super::in_flight::Lead;
use super::{BUDGET, Forwarded, Forwarder, Plan};
use crate::cache::{Cached, Keyed, Lookup};
use crate::dns::{Moment, Question};
use crate::metrics::Source;

/// Questions of one worker that are asked with no client waiting. More are not begun: the stale
/// answer is given without asking.
const MOST_IN_BACKGROUND: usize = 1024;

impl Plan {
    /// Whether an answer may still be given now that it has run out.
    pub(super) fn gives_stale(&self, cached: &Cached, now: Moment) -> bool {
        now < cached.expires + self.stale.max_age
    }

    pub(super) fn stale(&self, cached: &Cached) -> Forwarded {
        let answer = Arc::new(cached.answer.stale(self.stale.ttl));
        Forwarded { answer, expires: None, source: Source::Stale }
    }
}

impl Forwarder {
    /// The stale answer to a question that nobody can be asked for.
    pub fn recall_stale(&self, plan: &Plan, question: &Question, now: Moment) -> Option<Forwarded> {
        let cached = self.shared.store.get(&Lookup::new(plan.identity, question))?;
        plan.gives_stale(&cached, now).then(|| plan.stale(&cached))
    }

    /// Questions that are asked with no client waiting.
    pub fn in_background(&self) -> usize {
        // The forwarder itself holds one.
        Rc::strong_count(&self.background) - 1
    }

    /// How long a client waits. Not at all with a stale answer and a failure of late: so the dead
    /// upstream is waited for once, and asked again behind the clients' backs.
    pub(super) fn patience(&self, plan: &Plan, key: &dyn Keyed, has_stale: bool, now: Moment) -> Duration {
        match has_stale {
            false => BUDGET,
            true if self.shared.failures.had(key, now) => Duration::ZERO,
            true => plan.stale.after,
        }
    }

    /// Leads in a task of its own, which goes on when nobody waits for it any more; `None` when
    /// there are too many of them.
    pub(super) fn lead_in_background(
        self: &Rc<Self>,
        plan: &Arc<Plan>,
        question: &Question,
        lead: Lead,
    ) -> Option<JoinHandle<Forwarded>> {
        let Some(place) = (self.in_background() < MOST_IN_BACKGROUND).then(|| Rc::clone(&self.background)) else {
            self.shared.store.counts().background_overflows.add(1);
            return None;
        };
        let now = self.clock.now();
        let (forwarder, plan, question) = (Rc::clone(self), Arc::clone(plan), question.clone());
        Some(spawn_local(async move {
            let forwarded = forwarder.lead(&plan, &question, lead, now).await;
            drop(place);
            forwarded
        }))
    }
}
