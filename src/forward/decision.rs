//! Which of several groups' answers is the answer: pure rules, no I/O.

use crate::config::NextOn;
use crate::dns::extended_error::{NETWORK_ERROR, NO_REACHABLE_AUTHORITY};
use crate::dns::kept::{Kept, Verdict};
use crate::dns::{Rcode, StoredAnswer};
use crate::metrics::Source;

use super::Forwarded;

/// What asking one group came to.
#[derive(Debug)]
pub(super) enum Outcome {
    Answer(Kept),
    Failure(Failure),
}

/// What the client is told when nobody has an answer.
pub(super) struct Failed {
    pub(super) answer: StoredAnswer,
    /// Whether any server was asked, so that there is reason not to ask again at once.
    pub(super) was_asked: bool,
}

/// Why a group gave no answer; the later in this list, the more it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    /// No server was asked: there is none, or all have been silent for long.
    Silent,
    /// No server was asked: each has as many questions as it may.
    Full,
    /// Nothing came in time.
    TimedOut,
    /// The network says that no server can be reached.
    Unreachable,
    /// What came cannot be used.
    Unusable,
    /// A server replied, with a code that is no answer.
    Rcode(Rcode),
}

/// The answers so far.
pub(super) struct Tally {
    next_on: NextOn,
    best: Option<Kept>,
    failure: Option<Failure>,
}

impl Tally {
    pub(super) fn new(next_on: NextOn) -> Self {
        Self { next_on, best: None, failure: None }
    }

    /// Takes note of a group's outcome and says whether the next group is to be asked.
    pub(super) fn wants_next(&mut self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Answer(kept) => {
                let wants = self.moves_on(kept.verdict);
                if self.best.as_ref().is_none_or(|best| rank(kept.verdict) > rank(best.verdict)) {
                    self.best = Some(kept);
                }
                wants
            }
            Outcome::Failure(failure) => {
                self.failure = self.failure.max(Some(failure));
                match failure {
                    Failure::Silent | Failure::Full | Failure::TimedOut | Failure::Unreachable => self.next_on.timeout,
                    Failure::Rcode(Rcode::REFUSED) => self.next_on.refused,
                    Failure::Rcode(_) | Failure::Unusable => self.next_on.servfail,
                }
            }
        }
    }

    /// The best answer. A denial that another group might have known better counts only when every
    /// group that was asked has spoken.
    pub(super) fn conclude(self) -> Result<Kept, Failed> {
        let doubtful = |kept: &Kept| self.failure.is_some() && self.moves_on(kept.verdict);
        match self.best {
            Some(ref kept) if doubtful(kept) => {
                let answer = StoredAnswer::bare(Rcode::SERVFAIL, Some(NO_REACHABLE_AUTHORITY));
                Err(Failed { answer, was_asked: true })
            }
            Some(kept) => Ok(kept),
            None => {
                let failure = self.failure.unwrap_or(Failure::TimedOut);
                let was_asked = !matches!(failure, Failure::Silent | Failure::Full);
                Err(Failed { answer: failure.answer(), was_asked })
            }
        }
    }

    fn moves_on(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Nxdomain => self.next_on.nxdomain,
            Verdict::Nodata => self.next_on.nodata,
            _ => false,
        }
    }
}

impl Failure {
    fn answer(self) -> StoredAnswer {
        match self {
            Self::Silent | Self::TimedOut | Self::Unusable => {
                StoredAnswer::bare(Rcode::SERVFAIL, Some(NO_REACHABLE_AUTHORITY))
            }
            Self::Full => StoredAnswer::overflow("too many questions are out to the upstream servers"),
            Self::Unreachable => StoredAnswer::bare(Rcode::SERVFAIL, Some(NETWORK_ERROR)),
            // The client did nothing wrong, and codes above 15 are between us and the server.
            Self::Rcode(rcode) if is_passed_on(rcode) => StoredAnswer::bare(rcode, None),
            Self::Rcode(_) => StoredAnswer::bare(Rcode::SERVFAIL, Some(NO_REACHABLE_AUTHORITY)),
        }
    }
}

/// Failures that a client can make something of.
fn is_passed_on(rcode: Rcode) -> bool {
    matches!(rcode, Rcode::SERVFAIL | Rcode::NOTIMP | Rcode::REFUSED)
}

/// Data over NODATA over NXDOMAIN: who knows more of a name is right.
fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Data => 4,
        Verdict::Incomplete => 3,
        Verdict::Nodata => 2,
        Verdict::Nxdomain => 1,
        Verdict::Lame | Verdict::Failure(_) => 0,
    }
}

/// What those are told whose question was being asked by a task that died or hangs.
pub(super) fn leader_lost() -> Forwarded {
    let answer = StoredAnswer::bare(Rcode::SERVFAIL, Some(NO_REACHABLE_AUTHORITY)).into();
    Forwarded { answer, expires: None, source: Source::Failure }
}

/// What those are told whose zone has as many questions waiting as it may.
pub(super) fn zone_is_full() -> Forwarded {
    let answer = StoredAnswer::overflow("too many questions of this zone wait for upstreams").into();
    Forwarded { answer, expires: None, source: Source::Failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: NextOn = NextOn { nxdomain: false, nodata: false, servfail: true, refused: true, timeout: true };
    const ALL: NextOn = NextOn { nxdomain: true, nodata: true, ..DEFAULT };

    fn answer(verdict: Verdict) -> Outcome {
        let rcode = if verdict == Verdict::Nxdomain { Rcode::NXDOMAIN } else { Rcode::NOERROR };
        Outcome::Answer(Kept { answer: StoredAnswer::bare(rcode, None), verdict, lifetime: Some(5) })
    }

    /// Asks groups in turn until the tally is content; the verdict or the failure's rcode and EDE.
    fn conclude(next_on: NextOn, outcomes: Vec<Outcome>) -> Result<Verdict, (Rcode, Option<u16>)> {
        let mut tally = Tally::new(next_on);
        for outcome in outcomes {
            if !tally.wants_next(outcome) {
                break;
            }
        }
        let failed = |failed: Failed| (failed.answer.rcode(), failed.answer.extended_error());
        tally.conclude().map(|kept| kept.verdict).map_err(failed)
    }

    #[test]
    fn by_default_only_failures_move_on() {
        assert_eq!(conclude(DEFAULT, vec![answer(Verdict::Nxdomain), answer(Verdict::Data)]), Ok(Verdict::Nxdomain));
        for failure in [
            Failure::TimedOut,
            Failure::Unreachable,
            Failure::Unusable,
            Failure::Rcode(Rcode::SERVFAIL),
            Failure::Rcode(Rcode::REFUSED),
        ] {
            let outcomes = vec![Outcome::Failure(failure), answer(Verdict::Nxdomain)];
            assert_eq!(conclude(DEFAULT, outcomes), Ok(Verdict::Nxdomain), "{failure:?}");
        }
    }

    #[test]
    fn the_best_of_all_asked_wins() {
        assert_eq!(conclude(ALL, vec![answer(Verdict::Nxdomain), answer(Verdict::Data)]), Ok(Verdict::Data));
        assert_eq!(conclude(ALL, vec![answer(Verdict::Nodata), answer(Verdict::Nxdomain)]), Ok(Verdict::Nodata));
        assert_eq!(conclude(ALL, vec![answer(Verdict::Nxdomain), answer(Verdict::Nxdomain)]), Ok(Verdict::Nxdomain));
    }

    #[test]
    fn a_denial_is_no_truth_while_another_group_is_silent() {
        let doubtful = Err((Rcode::SERVFAIL, Some(22)));
        let silent = || Outcome::Failure(Failure::TimedOut);
        assert_eq!(conclude(ALL, vec![answer(Verdict::Nxdomain), silent()]), doubtful);
        assert_eq!(conclude(ALL, vec![silent(), answer(Verdict::Nodata)]), doubtful);
        assert_eq!(conclude(ALL, vec![silent(), answer(Verdict::Data)]), Ok(Verdict::Data));
    }

    #[test]
    fn a_failure_says_what_it_knows() {
        let alone = |failure| conclude(DEFAULT, vec![Outcome::Failure(failure)]).unwrap_err();
        assert_eq!(alone(Failure::TimedOut), (Rcode::SERVFAIL, Some(22)));
        assert_eq!(alone(Failure::Unreachable), (Rcode::SERVFAIL, Some(23)));
        assert_eq!(alone(Failure::Rcode(Rcode::REFUSED)), (Rcode::REFUSED, None));
        // Behind its four low bits BADVERS would be NOERROR, and 19 NXDOMAIN.
        for rcode in [Rcode::FORMERR, Rcode::BADVERS, Rcode::new(19)] {
            assert_eq!(alone(Failure::Rcode(rcode)), (Rcode::SERVFAIL, Some(22)));
        }
        let both = vec![Outcome::Failure(Failure::Rcode(Rcode::SERVFAIL)), Outcome::Failure(Failure::TimedOut)];
        assert_eq!(conclude(DEFAULT, both), Err((Rcode::SERVFAIL, None)));
    }
}
