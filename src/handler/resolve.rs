//! Questions that could not be answered in the packet's own call: upstream is asked, and CNAMEs
//! out of local data are followed through this server.

use std::sync::Arc;
use std::time::Duration;

use super::Tables;
use crate::dns::chain::join;
use crate::dns::extended_error;
use crate::dns::{Moment, Question, Rcode, StoredAnswer};
use crate::forward::{Forwarded, Forwarder};
use crate::metrics::Source;
use crate::zone::{Own, OwnSource};

/// How many CNAMEs out of local data are followed.
const MAX_ALIASES: usize = 8;

/// How long an answer may be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// As long as the tables it came from are live.
    Tables,
    Until(Moment),
    /// For this question only.
    Never,
}

/// A finished answer.
pub(super) struct Resolved {
    pub(super) answer: Arc<StoredAnswer>,
    pub(super) hold: Hold,
    pub(super) source: Source,
}

impl From<Forwarded> for Resolved {
    fn from(forwarded: Forwarded) -> Self {
        let hold = forwarded.expires.map_or(Hold::Never, Hold::Until);
        Self { answer: forwarded.answer, hold, source: forwarded.source }
    }
}

impl From<OwnSource> for Source {
    fn from(source: OwnSource) -> Self {
        match source {
            OwnSource::Record => Self::Local,
            OwnSource::Pattern => Self::Pattern,
        }
    }
}

impl Resolved {
    /// REFUSED: too many questions wait already; clients with another nameserver go there.
    pub(super) fn overflow() -> Self {
        let answer = Arc::new(StoredAnswer::bare(Rcode::REFUSED, Some(extended_error::OTHER)));
        Self { answer, hold: Hold::Never, source: Source::Failure }
    }

    /// SERVFAIL, for this once.
    pub(super) fn failure() -> Self {
        let answer = Arc::new(StoredAnswer::bare(Rcode::SERVFAIL, Some(extended_error::OTHER)));
        Self { answer, hold: Hold::Never, source: Source::Failure }
    }
}

/// Walks from the question through local aliases to an answer.
///
/// Without `recursion_desired` nobody is asked: the client gets the aliases alone.
pub(super) async fn resolve(
    tables: &Tables,
    forwarder: &Forwarder,
    question: &Question,
    recursion_desired: bool,
) -> Resolved {
    let mut aliases: Vec<(Question, Arc<StoredAnswer>, Source)> = Vec::new();
    let mut question = question.clone();
    while aliases.len() <= MAX_ALIASES {
        let Some(zone) = tables.zones.find(question.name(), question.rtype()) else {
            // The target lies in nobody's zone: the client gets the CNAME and may ask elsewhere.
            return finish(&aliases, None, forwarder.now());
        };
        match tables.zones.zone(zone).own(question.name(), question.rtype()) {
            Own::Answer { answer, source } => {
                let resolved = Resolved { answer, hold: Hold::Tables, source: source.into() };
                return finish(&aliases, Some((question, resolved)), forwarder.now());
            }
            Own::Alias { answer, target, source } => {
                let next = question.renamed(&target);
                aliases.push((std::mem::replace(&mut question, next), answer, source.into()));
            }
            Own::Elsewhere => {
                let Some(plan) = &tables.forwarding[zone] else { return Resolved::failure() };
                let forwarded = match forwarder.recall(plan, &question, forwarder.now()) {
                    Some(known) => known,
                    None if !recursion_desired => {
                        return Resolved { hold: Hold::Never, ..finish(&aliases, None, forwarder.now()) };
                    }
                    None => forwarder.answer(plan, &question).await,
                };
                return finish(&aliases, Some((question, forwarded.into())), forwarder.now());
            }
        }
    }
    Resolved::failure()
}

/// Joins the aliases and what they led to.
fn finish(
    aliases: &[(Question, Arc<StoredAnswer>, Source)],
    end: Option<(Question, Resolved)>,
    now: Moment,
) -> Resolved {
    let Some((_, _, source)) = aliases.first() else {
        return end.map_or_else(Resolved::failure, |(_, resolved)| resolved);
    };
    let source = *source;
    let end = match end {
        Some((_, resolved)) if resolved.source == Source::Failure => return resolved,
        other => other,
    };
    let hold = end.as_ref().map_or(Hold::Tables, |(_, resolved)| resolved.hold);
    let walked = aliases.iter().map(|(question, answer, _)| (question, &**answer));
    let ended = end.iter().map(|(question, resolved)| (question, &*resolved.answer));
    match join(walked.chain(ended), now, hold != Hold::Tables) {
        Ok(answer) => {
            // All of it counts down, the aliases out of local data too.
            let hold = match (hold, answer.lowest_ttl()) {
                (Hold::Until(end), Some(ttl)) => Hold::Until(end.min(now + Duration::from_secs(ttl.into()))),
                (hold, _) => hold,
            };
            Resolved { answer: Arc::new(answer), hold, source }
        }
        Err(_) => Resolved::failure(),
    }
}
