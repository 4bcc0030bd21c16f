//! One group is asked: the best server, then the next when it is silent or of no help, all of them
//! still listened to; the first good answer wins.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::decision::{Failure, Outcome};
use super::{Forwarder, Plan};
use crate::dns::Question;
use crate::dns::kept::{Verdict, keep};
use crate::metrics::Attempt;
use crate::upstream::{Group, Server, edns};

/// How long a silent server is waited for before another is asked too, in the first round; each
/// further round doubles it.
const PATIENCE: Duration = Duration::from_millis(400);
/// How often a question is sent to one server (RFC 9520, section 3.1).
const MAX_SENDS: u32 = 3;

/// A server as one question sees it.
struct Candidate {
    server: Arc<Server>,
    sends: u32,
    /// It has said that it has no answer; asking again would only say so again.
    failed: bool,
}

impl Forwarder {
    pub(super) async fn ask_group(
        &self,
        group: &Group,
        plan: &Plan,
        question: &Question,
        deadline: Instant,
    ) -> Outcome {
        let mut candidates: Vec<Candidate> =
            group.order().into_iter().map(|server| Candidate { server, sends: 0, failed: false }).collect();
        let mut running = FuturesUnordered::new();
        let mut failure = None;
        let mut next_send = Instant::now();
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
                        next_send = Instant::now();
                    }
                },
                () = sleep_until(next_send), if next.is_some() => {
                    let Some(index) = next else { continue };
                    let candidate = &mut candidates[index];
                    next_send += PATIENCE * (1 << candidate.sends);
                    candidate.sends += 1;
                    let server = Arc::clone(&candidate.server);
                    running.push(async move { (index, self.ask_server(&server, plan, question).await) });
                }
                () = sleep_until(deadline) => return Outcome::Failure(failure.unwrap_or(Failure::TimedOut)),
            }
        }
    }

    async fn ask_server(&self, server: &Arc<Server>, plan: &Plan, question: &Question) -> Outcome {
        let mut attempt = Unfinished { server, started: Instant::now(), ended: false };
        let reply = match edns::ask(&*self.exchange, server, question, || self.clock.now()).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::debug!(%server, ?question, %error, "upstream cannot be reached");
                attempt.end(Attempt::Unreachable);
                return Outcome::Failure(Failure::Unreachable);
            }
        };
        let kept = keep(question, &reply, server.trusted, &plan.zone, plan.ttl, self.clock.now());
        match kept {
            Err(_) => {
                attempt.end(Attempt::Unusable);
                Outcome::Failure(Failure::Unusable)
            }
            Ok(kept) => {
                let rcode = kept.answer.rcode();
                attempt.end(if kept.verdict == Verdict::Lame { Attempt::Unusable } else { Attempt::Replied(rcode) });
                match kept.verdict {
                    Verdict::Failure(rcode) => Outcome::Failure(Failure::Rcode(rcode)),
                    Verdict::Lame => Outcome::Failure(Failure::Unusable),
                    _ => Outcome::Answer(kept),
                }
            }
        }
    }
}

/// The server to ask next: of those that may still help, the first that was asked least.
fn next_candidate(candidates: &[Candidate]) -> Option<usize> {
    let open = candidates.iter().enumerate().filter(|(_, candidate)| !candidate.failed && candidate.sends < MAX_SENDS);
    open.min_by_key(|(_, candidate)| candidate.sends).map(|(index, _)| index)
}

/// Counts an attempt when it ends, also when it is given up.
struct Unfinished<'s> {
    server: &'s Server,
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
        if !self.ended {
            // Silent for as long as anybody waits is a time-out, whoever answered in the end.
            let silent = self.started.elapsed() >= PATIENCE;
            self.end(if silent { Attempt::TimedOut } else { Attempt::Overtaken });
        }
    }
}
