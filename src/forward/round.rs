//! Which server of a group is sent a question, and when: rules only, no I/O.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::dns::{Moment, Name};
use crate::metrics::Place;
use crate::upstream::edns::{MAX_SENDS, Tries};
use crate::upstream::{Group, Server, Transport, Way};

/// How often over a stream, which repeats by itself what is lost: once more, should it be stuck.
const MAX_STREAMS: u32 = 2;
/// After so long without a reply, a packet counts as lost: the server may be sent another, and that
/// is no hedge.
const LOST: Duration = Duration::from_millis(400);

/// The servers of a group as one question sees them.
pub(super) struct Round<'g> {
    group: &'g Group,
    /// In the order they are asked.
    candidates: Vec<Candidate>,
    next_send: Moment,
    cause: Cause,
}

struct Candidate {
    server: Arc<Server>,
    tries: Rc<Tries>,
    /// When it was last sent the question.
    sent: Moment,
    /// It has said that it has no answer; asking again would only say so again.
    failed: bool,
    /// Its place among the questions that are out to the server.
    place: Option<Place>,
}

/// Why the question is sent to the next.
#[derive(Clone, Copy)]
enum Cause {
    /// Nobody has been asked yet, or somebody has failed.
    Need,
    /// Whom it was sent to last, then, has not answered within its patience.
    Lateness { of: usize, since: Moment },
}

/// A question to be sent now.
pub(super) struct Send {
    /// Which candidate it goes to, as [`Round::failed`] is told.
    pub(super) to: usize,
    pub(super) server: Arc<Server>,
    pub(super) tries: Rc<Tries>,
    pub(super) ways: &'static [Way],
}

impl<'g> Round<'g> {
    /// `None` when nobody is to be asked: there is no server, or all are set aside, for being silent
    /// or for leading back to us in this zone.
    pub(super) fn of(group: &'g Group, zone: &Name, now: Moment) -> Option<Self> {
        let candidate =
            |server| Candidate { server, tries: Rc::default(), sent: Moment::ORIGIN, failed: false, place: None };
        let candidates: Vec<Candidate> = group.order(zone, now).into_iter().map(candidate).collect();
        if candidates.is_empty() {
            return None;
        }
        group.hedges.earn();
        Some(Self { group, candidates, next_send: now, cause: Cause::Need })
    }

    /// When to look for the next send; `None` when there will be none.
    pub(super) fn next_send(&self) -> Option<Moment> {
        self.next().map(|_| self.next_send)
    }

    /// Whether every server has said that it has no answer, or has no place left.
    pub(super) fn is_lost(&self) -> bool {
        self.candidates.iter().all(|candidate| candidate.failed)
    }

    /// Whether nobody could be asked, since every server has as many questions as it may.
    pub(super) fn is_full(&self) -> bool {
        self.candidates.iter().all(|candidate| candidate.failed && candidate.tries.sent() == 0)
    }

    /// A server has failed: the next is asked at once.
    pub(super) fn failed(&mut self, candidate: usize, now: Moment) {
        if let Some(candidate) = self.candidates.get_mut(candidate) {
            candidate.failed = true;
            candidate.place = None;
        }
        (self.next_send, self.cause) = (now, Cause::Need);
    }

    /// What is to be sent now. Once only: the next look is at [`Round::next_send`].
    pub(super) fn due(&mut self, now: Moment) -> Option<Send> {
        if self.next_send > now {
            return None;
        }
        let to = self.admitted()?;
        if let Some(pause) = self.postponed(to, now) {
            self.next_send = now + pause;
            let candidate = &mut self.candidates[to];
            candidate.place.take_if(|_| candidate.tries.sent() == 0);
            return None;
        }
        if let Cause::Lateness { of, .. } = self.cause {
            self.candidates[to].server.series.hedged(of == to);
        }
        let candidate = &mut self.candidates[to];
        let server = Arc::clone(&candidate.server);
        if candidate.tries.sent() == 0 {
            server.health.sent(now);
        }
        self.next_send = now + server.health.patience() * (1 << candidate.tries.sent());
        self.cause = Cause::Lateness { of: to, since: now };
        candidate.tries.note();
        candidate.sent = now;
        // The last datagram goes together with a stream, which does not get lost.
        let is_last_datagram = candidate.tries.sent() == MAX_SENDS && matches!(server.transport, Transport::Udp);
        let ways: &[Way] = if is_last_datagram { &[Way::Usual, Way::Stream] } else { &[Way::Usual] };
        Some(Send { to, server, tries: Rc::clone(&candidate.tries), ways })
    }

    /// The server to ask next, with a place among its questions. One that is full counts as failed:
    /// it is slow already, and the next may be faster.
    fn admitted(&mut self) -> Option<usize> {
        loop {
            let to = self.next()?;
            let candidate = &mut self.candidates[to];
            if candidate.place.is_none() {
                candidate.place = candidate.server.series.in_flight.enter(candidate.server.in_flight);
            }
            if candidate.place.is_some() {
                return Some(to);
            }
            candidate.failed = true;
        }
    }

    /// For how long the next send has to wait.
    fn postponed(&self, to: usize, now: Moment) -> Option<Duration> {
        let candidate = &self.candidates[to];
        let waited = now.since(candidate.sent);
        if candidate.tries.sent() > 0 && waited < LOST {
            return Some(LOST - waited);
        }
        let Cause::Lateness { of, since } = self.cause else { return None };
        // A server that answers others is late and not gone: a hedge, of which few are allowed. One
        // that is silent may be gone: a failover, which costs nothing.
        let health = &self.candidates[of].server.health;
        let is_hedge = health.heard_since(since) && now.since(since) < LOST;
        (is_hedge && !self.group.hedges.take()).then(|| {
            candidate.server.series.postponed();
            health.patience()
        })
    }

    /// The server to ask next: of those that may still help, the first that was asked least.
    fn next(&self) -> Option<usize> {
        let most = |candidate: &Candidate| match candidate.server.transport {
            Transport::Udp => MAX_SENDS,
            Transport::Tcp | Transport::Tls(_) => MAX_STREAMS,
        };
        let may_help = |candidate: &Candidate| !candidate.failed && candidate.tries.sent() < most(candidate);
        let open = self.candidates.iter().enumerate().filter(|(_, candidate)| may_help(candidate));
        open.min_by_key(|(_, candidate)| candidate.tries.sent()).map(|(index, _)| index)
    }
}
