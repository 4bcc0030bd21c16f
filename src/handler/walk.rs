//! The way of a question through local data: from alias to alias, until a zone answers or somebody
//! has to be asked.

use std::sync::Arc;

use crate::dns::{Question, StoredAnswer};
use crate::zone::{Own, OwnSource, ZoneTable};

/// How many CNAMEs out of local data are followed.
const MAX_ALIASES: usize = 8;

/// The way of a question.
#[derive(Debug)]
pub struct Walk<'q> {
    asked: &'q Question,
    pub aliases: Vec<Alias>,
    pub end: End,
}

/// An alias that was followed.
#[derive(Debug)]
pub struct Alias {
    /// The zone, as an index into the tables.
    pub zone: usize,
    pub answer: Arc<StoredAnswer>,
    pub source: OwnSource,
    /// What is asked next.
    pub next: Question,
}

/// How the way ends, for the last question on it.
#[derive(Debug)]
pub enum End {
    /// A zone has the last word.
    Own { zone: usize, answer: Arc<StoredAnswer>, source: OwnSource },
    /// The zone does not own the name: the cache, then whom the zone forwards to.
    Elsewhere { zone: usize },
    /// The name is in no zone. Of an alias the client gets the CNAME and may ask elsewhere.
    NoZone,
    /// More aliases than are followed, or a loop of them.
    TooLong,
}

impl Walk<'_> {
    /// The last question.
    pub fn question(&self) -> &Question {
        self.aliases.last().map_or(self.asked, |alias| &alias.next)
    }

    /// The aliases, each with the question that led to it.
    pub fn steps(&self) -> impl Iterator<Item = (&Question, &Alias)> + Clone {
        let questions = std::iter::once(self.asked).chain(self.aliases.iter().map(|alias| &alias.next));
        questions.zip(&self.aliases)
    }
}

/// Walks from the question to its end.
pub fn walk<'q>(zones: &ZoneTable, question: &'q Question) -> Walk<'q> {
    walk_from(zones, zones.find(question.name(), question.rtype()), question)
}

/// The same, from the zone that the question belongs to.
pub(super) fn walk_from<'q>(zones: &ZoneTable, first: Option<usize>, asked: &'q Question) -> Walk<'q> {
    let mut walk = Walk { asked, aliases: Vec::new(), end: End::TooLong };
    let mut zone = first;
    while walk.aliases.len() <= MAX_ALIASES {
        let question = walk.question();
        let Some(here) = zone else { return Walk { end: End::NoZone, ..walk } };
        match zones.zone(here).own(question.name(), question.rtype()) {
            Own::Answer { answer, source } => return Walk { end: End::Own { zone: here, answer, source }, ..walk },
            Own::Elsewhere => return Walk { end: End::Elsewhere { zone: here }, ..walk },
            Own::Alias { answer, target, source } => {
                let next = question.renamed(&target);
                zone = zones.find(next.name(), next.rtype());
                walk.aliases.push(Alias { zone: here, answer, source, next });
            }
        }
    }
    walk
}
