//! `nxdomain-cut`: what does not exist has nothing below it (RFC 8020).
//!
//! NXDOMAIN says so of a name, whatever type was asked for: it is kept a second time, under the name
//! alone, where questions for other types and for names below find it. Both are found by the plan's
//! identity, so that a denial never reaches into another zone.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Cached, Keyed, Lookup};
use crate::dns::chain::inherit;
use crate::dns::name::suffixes;
use crate::dns::{Moment, Question, Rcode, RecordType};
use crate::metrics::Source;

use super::in_flight::{Joined, Turn};
use super::{Forwarded, Forwarder, Plan};

impl Forwarder {
    /// Keeps a fresh answer under its name alone, if it denies that name.
    pub(super) fn keep_cut(&self, plan: &Plan, question: &Question, forwarded: &Forwarded, cached: &Cached) {
        let answer = &forwarded.answer;
        // Behind a CNAME it is another name that does not exist; and the DS of a zone's apex was
        // asked of another zone's upstreams than the names below it.
        let denies = answer.rcode() == Rcode::NXDOMAIN && !answer.has_answers() && question.rtype() != RecordType::DS;
        if !plan.nxdomain_cut || !denies {
            return;
        }
        let key = Lookup::new(plan.identity, &question.denial(question.name())).to_key();
        // Found there until the cache has it; of whoever else was as fast, the denial is as good.
        let now = self.clock.now();
        if let Joined::Open(Turn::First(lead)) = self.shared.in_flight.join(&key, now) {
            let record = lead.finish(forwarded);
            // Nobody is given this one when it has run out.
            let cached = Cached::new(Arc::clone(answer), now, cached.expires.since(now), Duration::ZERO);
            self.shared.store.put(key, cached, Box::new(record));
        }
    }

    /// The denial of the question's name, or of a name between it and the zone's.
    pub(super) fn cut(&self, plan: &Plan, question: &Question, now: Moment) -> Option<Forwarded> {
        if !plan.nxdomain_cut {
            return None;
        }
        let zone = plan.zone.wire();
        let within = suffixes(question.name()).take_while(|name| name.len() >= zone.len());
        let (denied, found) = within.map(|name| question.denial(name)).find_map(|denied| {
            let key = Lookup::new(plan.identity, &denied);
            // In this order: what leaves the one is in the other before.
            let found = self.shared.in_flight.answered(&key, now).or_else(|| {
                let cached = self.shared.store.get(&key).filter(|cached| cached.holds(now))?;
                Some(Forwarded::from_cache(&cached))
            })?;
            Some((denied, found))
        })?;
        let answer = match denied.name() == question.name() {
            true => found.answer,
            false => Arc::new(inherit(question, &denied, &found.answer, now).ok()?),
        };
        Some(Forwarded { answer, source: Source::Cache, ..found })
    }
}
