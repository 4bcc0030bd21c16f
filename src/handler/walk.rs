//! The way of a question through local data: from alias to alias, until a zone answers or somebody
//! has to be asked.

use std::sync::Arc;

use crate::dns::{Question, StoredAnswer};
use crate::zone::{Own, OwnSource, ZoneTable};

/// How many CNAMEs out of local data are followed.
const MAX_ALIASES: usize = 8;

/// An alias that was followed.
#[derive(Debug)]
pub struct Alias {
    pub question: Question,
    /// The zone, as an index into the tables.
    pub zone: usize,
    pub answer: Arc<StoredAnswer>,
    pub source: OwnSource,
}

/// Where the way ends.
#[derive(Debug)]
pub enum End {
    /// A zone has the last word.
    Own { question: Question, zone: usize, answer: Arc<StoredAnswer>, source: OwnSource },
    /// The zone does not own the name: the cache, then whom the zone forwards to.
    Elsewhere { question: Question, zone: usize },
    /// The name is in no zone. Of an alias the client gets the CNAME and may ask elsewhere.
    NoZone { question: Question },
    /// More aliases than are followed, or a loop of them.
    TooLong,
}

/// Walks from the question to its end.
pub fn walk(zones: &ZoneTable, question: &Question) -> (Vec<Alias>, End) {
    walk_from(zones, zones.find(question.name(), question.rtype()), question)
}

/// The same, from the zone that the question belongs to.
pub(super) fn walk_from(zones: &ZoneTable, first: Option<usize>, question: &Question) -> (Vec<Alias>, End) {
    let mut aliases = Vec::new();
    let (mut question, mut zone) = (question.clone(), first);
    while aliases.len() <= MAX_ALIASES {
        let Some(found) = zone else { return (aliases, End::NoZone { question }) };
        match zones.zone(found).own(question.name(), question.rtype()) {
            Own::Answer { answer, source } => return (aliases, End::Own { question, zone: found, answer, source }),
            Own::Elsewhere => return (aliases, End::Elsewhere { question, zone: found }),
            Own::Alias { answer, target, source } => {
                let next = question.renamed(&target);
                zone = zones.find(next.name(), next.rtype());
                aliases.push(Alias { question: std::mem::replace(&mut question, next), zone: found, answer, source });
            }
        }
    }
    (aliases, End::TooLong)
}
