//! One group is asked: the best server, then another when it is late or of no help, all of them
//! still listened to; the first good answer wins.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep_until;

use super::decision::{Failure, Outcome};
use super::round::{Round, Send};
use super::{Forwarder, Plan};
use crate::clock::Clock;
use crate::dns::kept::{Verdict, keep};
use crate::dns::{Moment, Question};
use crate::metrics::Attempt;
use crate::upstream::edns::{self, Tries};
use crate::upstream::{Group, Server, Way};

/// A server that is being asked; with its outcome comes which candidate of the round it is.
type Asking<'a> = Pin<Box<dyn Future<Output = (usize, Outcome)> + 'a>>;

/// What a group is asked.
#[derive(Clone, Copy)]
pub(super) struct Matter<'a> {
    pub(super) group: &'a Group,
    pub(super) plan: &'a Plan,
    pub(super) question: &'a Question,
    pub(super) deadline: Moment,
}

impl Forwarder {
    pub(super) async fn ask_group(&self, matter: Matter<'_>, now: Moment) -> Outcome {
        let Some(mut round) = Round::of(matter.group, &matter.plan.zone, now) else {
            return Outcome::Failure(Failure::Silent);
        };
        let Some(mut asking) = round.due(now).and_then(|send| self.askings(matter, send, now).next()) else {
            return Outcome::Failure(Failure::Full);
        };
        // Nearly always the first server answers in time, and there is nobody else to listen to.
        let until = round.next_send().map_or(matter.deadline, |next| next.min(matter.deadline));
        match self.alarms.timeout_at(until, &mut asking).await {
            Some((_, answer @ Outcome::Answer(_))) => answer,
            Some((from, Outcome::Failure(reason))) => {
                round.failed(from, self.clock.now());
                Box::pin(self.ask_on(round, matter, None, Some(reason))).await
            }
            None => Box::pin(self.ask_on(round, matter, Some(asking), None)).await,
        }
    }

    /// Asks the others as well.
    async fn ask_on<'a>(
        &'a self,
        mut round: Round<'a>,
        matter: Matter<'a>,
        first: Option<Asking<'a>>,
        mut failure: Option<Failure>,
    ) -> Outcome {
        let mut running: FuturesUnordered<Asking<'a>> = first.into_iter().collect();
        loop {
            let next_send = round.next_send();
            if round.is_lost() || running.is_empty() && next_send.is_none() {
                let given_up = if round.is_full() { Failure::Full } else { Failure::TimedOut };
                return Outcome::Failure(failure.unwrap_or(given_up));
            }
            tokio::select! {
                biased;
                Some((from, outcome)) = running.next(), if !running.is_empty() => match outcome {
                    Outcome::Answer(kept) => return Outcome::Answer(kept),
                    Outcome::Failure(reason) => {
                        round.failed(from, self.clock.now());
                        failure = failure.max(Some(reason));
                    }
                },
                () = self.sleep_until(next_send.unwrap_or(matter.deadline)), if next_send.is_some() => {}
                () = self.sleep_until(matter.deadline) => return Outcome::Failure(failure.unwrap_or(Failure::TimedOut)),
            }
            let now = self.clock.now();
            if let Some(send) = round.due(now) {
                running.extend(self.askings(matter, send, now));
            }
        }
    }

    async fn sleep_until(&self, moment: Moment) {
        sleep_until(self.clock.instant(moment)).await;
    }

    /// A server, asked in each of the ways.
    fn askings<'a>(&'a self, matter: Matter<'a>, send: Send, now: Moment) -> impl Iterator<Item = Asking<'a>> {
        let Send { to, server, tries, ways } = send;
        ways.iter().map(move |&way| {
            let (server, tries) = (Arc::clone(&server), Rc::clone(&tries));
            Box::pin(async move { (to, self.ask_server(&server, way, &tries, matter, now).await) }) as Asking<'a>
        })
    }

    async fn ask_server(
        &self,
        server: &Arc<Server>,
        way: Way,
        tries: &Tries,
        matter: Matter<'_>,
        started: Moment,
    ) -> Outcome {
        let Matter { group, plan, question, .. } = matter;
        let mut attempt = Unfinished { server, group, clock: self.clock, started, ended: false };
        let reply = match edns::ask(&*self.exchange, server, question, way, tries, || self.clock.now()).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::debug!(%server, ?question, %error, "upstream cannot be reached");
                server.health.failed(None);
                attempt.end(Attempt::Unreachable, self.clock.now());
                return Outcome::Failure(Failure::Unreachable);
            }
        };
        let now = reply.arrived;
        server.health.heard(now);
        group.hedges.note(true);
        let (attempted, outcome) = match keep(question, &reply.octets, server.trusted, &plan.zone, plan.ttl, now) {
            Err(_) => (Attempt::Unusable, Outcome::Failure(Failure::Unusable)),
            Ok(kept) => {
                let replied = Attempt::Replied(kept.answer.rcode());
                match kept.verdict {
                    Verdict::Failure(rcode) => (replied, Outcome::Failure(Failure::Rcode(rcode))),
                    Verdict::Lame => (Attempt::Unusable, Outcome::Failure(Failure::Unusable)),
                    _ => (replied, Outcome::Answer(kept)),
                }
            }
        };
        match outcome {
            Outcome::Answer(_) => server.health.answered(now.since(started)),
            Outcome::Failure(_) => server.health.failed(None),
        }
        attempt.end(attempted, now);
        outcome
    }
}

/// Counts an attempt when it ends, also when it is given up.
struct Unfinished<'s> {
    server: &'s Server,
    group: &'s Group,
    clock: Clock,
    started: Moment,
    ended: bool,
}

impl Unfinished<'_> {
    fn end(&mut self, attempt: Attempt, now: Moment) {
        self.ended = true;
        self.server.series.ended(attempt, now.since(self.started));
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let now = self.clock.now();
        let waited = now.since(self.started);
        // Late for longer than its patience is a time-out, whoever answered in the end.
        let late = waited >= self.server.health.patience();
        if late {
            self.server.health.failed(Some(waited));
            self.group.hedges.note(false);
        }
        self.end(if late { Attempt::TimedOut } else { Attempt::Overtaken }, now);
    }
}
