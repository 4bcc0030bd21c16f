//! Questions that could not be answered in the packet's own call: upstream is asked, and CNAMEs
//! out of local data are followed through this server.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Tables;
use super::walk::{End, Walk, walk_from};
use crate::cache::Seen;
use crate::dns::chain::join;
use crate::dns::extended_error;
use crate::dns::{Moment, Question, Rcode, StoredAnswer};
use crate::forward::{Forwarded, Forwarder};
use crate::metrics::Source;
use crate::zone::OwnSource;

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
            OwnSource::Pattern(_) => Self::Pattern,
            _ => Self::Local,
        }
    }
}

impl Resolved {
    /// REFUSED: too many questions wait already; clients with another nameserver go there.
    pub(super) fn overflow() -> Self {
        let answer = Arc::new(StoredAnswer::overflow("too many questions wait for upstreams"));
        Self { answer, hold: Hold::Never, source: Source::Failure }
    }

    /// SERVFAIL, for this once.
    pub(super) fn failure() -> Self {
        let answer = Arc::new(StoredAnswer::bare(Rcode::SERVFAIL, Some(extended_error::OTHER)));
        Self { answer, hold: Hold::Never, source: Source::Failure }
    }
}

/// Finds the answer to a question of this zone, of which `seen` was seen in the cache, if somebody has looked. Without
/// `recursion_desired` nobody is asked: behind an alias the client gets the alias alone.
pub(super) async fn resolve(
    tables: &Tables,
    forwarder: &Rc<Forwarder>,
    zone: usize,
    question: &Question,
    seen: Option<&Seen>,
    recursion_desired: bool,
    now: Moment,
) -> Resolved {
    let walk = walk_from(&tables.zones, Some(zone), question);
    let end = match &walk.end {
        End::TooLong => return Resolved::failure(),
        End::NoZone => None,
        End::Own { answer, source, .. } => {
            Some(Resolved { answer: Arc::clone(answer), hold: Hold::Tables, source: (*source).into() })
        }
        &End::Elsewhere { zone } => {
            let Some(plan) = &tables.forwarding[zone] else { return Resolved::failure() };
            let forwarded = match recursion_desired {
                true => forwarder.answer(plan, walk.question(), seen.filter(|_| walk.aliases.is_empty()), now).await,
                false => match forwarder.recall(plan, walk.question(), now) {
                    Ok(known) => known,
                    Err(_) => return Resolved { hold: Hold::Never, ..join_aliases(&walk, None, now) },
                },
            };
            Some(forwarded.into())
        }
    };
    match end {
        Some(resolved) if walk.aliases.is_empty() => resolved,
        end => join_aliases(&walk, end, forwarder.now()),
    }
}

/// Joins the aliases and what they led to.
fn join_aliases(walk: &Walk<'_>, end: Option<Resolved>, now: Moment) -> Resolved {
    let Some(first) = walk.aliases.first() else { return Resolved::failure() };
    let stale = end.as_ref().is_some_and(|resolved| resolved.source == Source::Stale);
    let source = if stale { Source::Stale } else { first.source.into() };
    let end = match end {
        Some(resolved) if resolved.source == Source::Failure => return resolved,
        other => other,
    };
    let hold = end.as_ref().map_or(Hold::Tables, |resolved| resolved.hold);
    let walked = walk.steps().map(|(question, alias)| (question, &*alias.answer));
    let ended = end.iter().map(|resolved| (walk.question(), &*resolved.answer));
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
