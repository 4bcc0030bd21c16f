//! One group is asked: the best server, then another when it is late or of no help, all of them
//! still listened to; the first good answer wins.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::decision::{Failure, Outcome};
use super::{Forwarder, Plan};
use crate::dns::kept::{Verdict, keep};
use crate::dns::{Moment, Question};
use crate::metrics::Attempt;
use crate::upstream::{Group, Server, Transport, Way, edns};

/// How often a question is sent to one server over UDP (RFC 9520, section 3.1).
const MAX_DATAGRAMS: u32 = 3;
/// How often over a stream, which repeats by itself what is lost: once more, should it be stuck.
const MAX_STREAMS: u32 = 2;

/// After so long without a reply, a packet counts as lost: the server may be sent another, and that
/// is no hedge.
const LOST: Duration = Duration::from_millis(400);

/// A server as one question sees it.
struct Candidate {
    server: Arc<Server>,
    sends: u32,
    /// When it was last sent the question.
    sent: Moment,
    /// It has said that it has no answer; asking again would only say so again.
    failed: bool,
}

/// Why a question is sent again.
#[derive(Clone, Copy)]
enum Cause {
    /// Nobody is asked, or all that were have failed.
    Need,
    /// Whom it was sent to last, then, has not answered within its patience.
    Lateness { of: usize, since: Moment },
}

impl Forwarder {
    pub(super) async fn ask_group(
        &self,
        group: &Group,
        plan: &Plan,
        question: &Question,
        deadline: Instant,
    ) -> Outcome {
        let order = group.order(self.clock.now());
        let mut candidates: Vec<Candidate> = order
            .into_iter()
            .map(|server| Candidate { server, sends: 0, sent: Moment::ORIGIN, failed: false })
            .collect();
        if candidates.is_empty() {
            return Outcome::Failure(Failure::Silent);
        }
        group.hedges.earn();
        let mut running = FuturesUnordered::new();
        let mut failure = None;
        let (mut next_send, mut cause) = (Instant::now(), Cause::Need);
        loop {
            let next = next_candidate(&candidates);
            let none_may_help = candidates.iter().all(|candidate| candidate.failed);
            if none_may_help || next.is_none() && running.is_empty() {
                return Outcome::Failure(failure.unwrap_or(Failure::TimedOut));
            }
            tokio::select! {
                biased;
                Some((index, outcome)) = running.next(), if !running.is_empty() => match outcome {
                    Outcome::Answer(kept) => return Outcome::Answer(kept),
                    Outcome::Failure(reason) => {
                        let candidate: &mut Candidate = &mut candidates[index];
                        candidate.failed = true;
                        failure = failure.max(Some(reason));
                        (next_send, cause) = (Instant::now(), Cause::Need);
                    }
                },
                () = sleep_until(next_send), if next.is_some() => {
                    let Some(index) = next else { continue };
                    let now = self.clock.now();
                    let waited = now.since(candidates[index].sent);
                    if candidates[index].sends > 0 && waited < LOST {
                        next_send = Instant::now() + (LOST - waited);
                        continue;
                    }
                    if let Cause::Lateness { of, since } = cause {
                        // A server that answers others is late and not gone: a hedge. One that is
                        // silent may be gone: a failover, which costs nothing.
                        let health = &candidates[of].server.health;
                        let lost = now.since(since) >= LOST;
                        if health.heard_since(since) && !lost && !group.hedges.take() {
                            next_send += health.patience();
                            continue;
                        }
                        candidates[index].server.series.hedged(of == index);
                    }
                    let candidate = &mut candidates[index];
                    let server = Arc::clone(&candidate.server);
                    if candidate.sends == 0 {
                        server.health.sent(now);
                    }
                    next_send = Instant::now() + server.health.patience() * (1 << candidate.sends);
                    cause = Cause::Lateness { of: index, since: now };
                    (candidate.sends, candidate.sent) = (candidate.sends + 1, now);
                    if candidate.sends == MAX_DATAGRAMS && server.transport == Transport::Udp {
                        running.push(self.attempt(index, Arc::clone(&server), Way::Stream, group, plan, question));
                    }
                    running.push(self.attempt(index, server, Way::Usual, group, plan, question));
                }
                () = sleep_until(deadline) => return Outcome::Failure(failure.unwrap_or(Failure::TimedOut)),
            }
        }
    }

    async fn attempt(
        &self,
        index: usize,
        server: Arc<Server>,
        way: Way,
        group: &Group,
        plan: &Plan,
        question: &Question,
    ) -> (usize, Outcome) {
        (index, self.ask_server(&server, way, group, plan, question).await)
    }

    async fn ask_server(
        &self,
        server: &Arc<Server>,
        way: Way,
        group: &Group,
        plan: &Plan,
        question: &Question,
    ) -> Outcome {
        let mut attempt = Unfinished { server, group, started: Instant::now(), ended: false };
        let reply = match edns::ask(&*self.exchange, server, question, way, || self.clock.now()).await {
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

/// The server to ask next: of those that may still help, the first that was asked least.
fn next_candidate(candidates: &[Candidate]) -> Option<usize> {
    let most = |candidate: &Candidate| match candidate.server.transport {
        Transport::Udp => MAX_DATAGRAMS,
        Transport::Tcp => MAX_STREAMS,
    };
    let open =
        candidates.iter().enumerate().filter(|(_, candidate)| !candidate.failed && candidate.sends < most(candidate));
    open.min_by_key(|(_, candidate)| candidate.sends).map(|(index, _)| index)
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
