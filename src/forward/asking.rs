//! One group is asked: the best server, then another when it is late or of no help, all of them
//! still listened to; the first good answer wins.

use std::rc::Rc;
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::decision::{Failure, Outcome};
use super::round::{Round, Send};
use super::{Forwarder, Plan};
use crate::dns::Question;
use crate::dns::kept::{Verdict, keep};
use crate::metrics::Attempt;
use crate::upstream::edns::{self, Tries};
use crate::upstream::{Group, Server, Way};

impl Forwarder {
    pub(super) async fn ask_group(
        &self,
        group: &Group,
        plan: &Plan,
        question: &Question,
        deadline: Instant,
    ) -> Outcome {
        let Some(mut round) = Round::of(group, &plan.zone, self.clock.now()) else {
            return Outcome::Failure(Failure::Silent);
        };
        let mut running = FuturesUnordered::new();
        let mut failure = None;
        loop {
            if let Some(Send { to, server, tries, ways }) = round.due(self.clock.now()) {
                running.extend(ways.iter().map(|&way| {
                    let (server, tries) = (Arc::clone(&server), Rc::clone(&tries));
                    async move { (to, self.ask_server(&server, way, &tries, group, plan, question).await) }
                }));
            }
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
                        round.failed(from);
                        failure = failure.max(Some(reason));
                    }
                },
                () = sleep_until(next_send.unwrap_or(deadline)), if next_send.is_some() => {}
                () = sleep_until(deadline) => return Outcome::Failure(failure.unwrap_or(Failure::TimedOut)),
            }
        }
    }

    async fn ask_server(
        &self,
        server: &Arc<Server>,
        way: Way,
        tries: &Tries,
        group: &Group,
        plan: &Plan,
        question: &Question,
    ) -> Outcome {
        let mut attempt = Unfinished { server, group, started: Instant::now(), ended: false };
        let reply = match edns::ask(&*self.exchange, server, question, way, tries, || self.clock.now()).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::debug!(%server, ?question, %error, "upstream cannot be reached");
                server.health.failed(None);
                attempt.end(Attempt::Unreachable);
                return Outcome::Failure(Failure::Unreachable);
            }
        };
        server.health.heard(self.clock.now());
        group.hedges.note(true);
        let (attempted, outcome) = match keep(question, &reply, server.trusted, &plan.zone, plan.ttl, self.clock.now())
        {
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
            Outcome::Answer(_) => server.health.answered(attempt.started.elapsed()),
            Outcome::Failure(_) => server.health.failed(None),
        }
        attempt.end(attempted);
        outcome
    }
}

/// Counts an attempt when it ends, also when it is given up.
struct Unfinished<'s> {
    server: &'s Server,
    group: &'s Group,
    started: Instant,
    ended: bool,
}

impl Unfinished<'_> {
    fn end(&mut self, attempt: Attempt) {
        self.ended = true;
        self.server.series.ended(attempt, self.started.elapsed());
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let waited = self.started.elapsed();
        // Late for longer than its patience is a time-out, whoever answered in the end.
        let late = waited >= self.server.health.patience();
        if late {
            self.server.health.failed(Some(waited));
            self.group.hedges.note(false);
        }
        self.end(if late { Attempt::TimedOut } else { Attempt::Overtaken });
    }
}
