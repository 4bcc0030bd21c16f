//! Which zone a name is in, and what we own there: records, wildcards and patterns.
//!
//! All answers but those of patterns and DNAMEs are built once, when the configuration is read; a
//! question then costs a few hash lookups and the clone of an [`Arc`].

mod local;
mod pattern;
mod render;
mod reverse;
mod rrset;
mod soa;
mod suffix;
mod table;

use std::sync::Arc;

use crate::config::{self, Forward, OtherTypes};
use crate::dns::extended_error;
use crate::dns::name::{label_count, suffixes};
use crate::dns::stored_answer::StoredAnswer;
use crate::dns::{Name, Rcode, Record, RecordType};

use local::{Found, Local, RrSets};
use pattern::Patterns;
use soa::Denials;
pub use table::{Unfit, ZoneTable};

/// One zone, ready to answer.
#[derive(Debug)]
pub struct Zone {
    name: Name,
    forward: Option<Forward>,
    /// Whether a type that an owned name lacks is asked upstream.
    forwards_other_types: bool,
    local: Local,
    patterns: Patterns,
    denials: Denials,
    /// What a name answers that is not there, in a zone that is owned whole.
    absent: Arc<StoredAnswer>,
    /// How many labels a name that we do not own may have below the zone.
    max_labels: usize,
    /// Its names never leave: not even the DS of its apex is asked elsewhere.
    special: bool,
}

/// What a zone owns of a question.
#[derive(Debug)]
pub enum Own {
    /// A finished answer: records, NODATA, NXDOMAIN, or a pattern's response code.
    Answer { answer: Arc<StoredAnswer>, source: OwnSource },
    /// A CNAME for the caller to follow. `answer` holds it alone, or behind the DNAME it comes from.
    Alias { answer: Arc<StoredAnswer>, target: Name, source: OwnSource },
    /// Not ours: the cache, then the upstream.
    Elsewhere,
}

/// What owned the name, or why it is known not to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnSource {
    /// Its own records.
    Record,
    /// The wildcard below its last so many labels (RFC 4592).
    Wildcard { labels: usize },
    /// A DNAME above it (RFC 6672).
    Dname,
    /// It has no records, and names below it have.
    EmptyNonTerminal,
    /// It is at or below a zone cut, whose names are not ours.
    Cut,
    /// The zone is ours, and the name is not in it.
    Absent,
    /// The `[[zone.match]]` at this place, from 0.
    Pattern(usize),
    /// It has more labels than any name that the upstream could know.
    TooDeep,
}

impl Zone {
    /// Builds everything that can be answered without a pattern. `reverse` are PTR records that
    /// other records imply; a name with records of its own keeps only those.
    ///
    /// # Errors
    /// The owner and type whose records do not fit into one message.
    fn build(zone: &config::Zone, reverse: &[Record]) -> Result<Self, (Name, RecordType)> {
        let soa = soa::of_zone(zone);
        // A zone that is owned whole has a SOA at its apex (RFC 1034, section 4.2.1); one that only
        // overrides names has what its records say.
        let implied = (zone.forward.is_none() && soa.synthesised).then_some(&soa.record);
        let mut records: Vec<&Record> = zone.records.iter().chain(implied).collect();
        let explicit = records.len();
        records.extend(reverse);
        let denials = Denials::build(&zone.name, &soa.record);
        let absent = if zone.absent == Rcode::NOERROR { &denials.nodata } else { &denials.nxdomain };
        Ok(Self {
            absent: Arc::clone(absent),
            special: zone.special,
            name: zone.name.clone(),
            forward: zone.forward.clone(),
            max_labels: zone.forward.as_ref().and_then(|forward| forward.max_labels).unwrap_or(usize::MAX),
            forwards_other_types: zone.forward.is_some() && zone.other_types == OtherTypes::Forward,
            local: Local::build(&zone.name, &records[..explicit], &records[explicit..])?,
            patterns: Patterns::build(&zone.patterns),
            denials,
        })
    }

    /// The suffix.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where names that are not ours are asked; `None` when we own the whole zone.
    pub fn forward(&self) -> Option<&Forward> {
        self.forward.as_ref()
    }

    /// What we own of this question, without asking anybody. `qname` is a name within the zone, in
    /// lower-case wire form. Allocates only for aliases and for patterns that match.
    pub fn own(&self, qname: &[u8], rtype: RecordType) -> Own {
        let found = self.local.find(qname);
        match found {
            Found::Sets(sets) => return self.of_sets(sets, rtype, OwnSource::Record),
            Found::Wildcard { sets, labels } => return self.of_sets(sets, rtype, OwnSource::Wildcard { labels }),
            Found::Dname(dname) => return dname.synthesise(qname, rtype),
            Found::Cut(sets) if rtype == RecordType::DS => return self.of_sets(sets, rtype, OwnSource::Record),
            Found::EmptyNonTerminal | Found::Cut(_) | Found::BelowCut | Found::Nothing => {}
        }
        if let Some(own) = self.of_patterns(qname, rtype) {
            return own;
        }
        if self.forward.is_some() {
            let denied = matches!(found, Found::Nothing) && self.is_too_deep(qname, rtype);
            let (answer, source) = (&self.denials.nxdomain, OwnSource::TooDeep);
            return if denied { Own::Answer { answer: Arc::clone(answer), source } } else { Own::Elsewhere };
        }
        let (answer, source) = match found {
            Found::EmptyNonTerminal => (&self.denials.nodata, OwnSource::EmptyNonTerminal),
            // No referrals: to those we would have to be the servers of a delegating zone.
            Found::Cut(_) | Found::BelowCut => (&self.denials.refused, OwnSource::Cut),
            _ => (&self.absent, OwnSource::Absent),
        };
        Own::Answer { answer: Arc::clone(answer), source }
    }

    /// Whether a name has more labels than `max-labels` allows. Those in front that begin with an
    /// underscore (RFC 8552) name a service of the name behind them, and do not count.
    fn is_too_deep(&self, qname: &[u8], rtype: RecordType) -> bool {
        // The DS of a deeper zone's apex is asked here, however deep that is.
        if self.max_labels == usize::MAX || rtype == RecordType::DS {
            return false;
        }
        let attributes = suffixes(qname).take_while(|name| name.get(1) == Some(&b'_')).count();
        label_count(qname).saturating_sub(attributes + label_count(self.name.wire())) > self.max_labels
    }

    fn of_sets(&self, sets: &RrSets, rtype: RecordType, source: OwnSource) -> Own {
        if let Some(set) = sets.get(rtype) {
            return Own::Answer { answer: Arc::clone(&set.answer), source };
        }
        if let Some((alias, target)) = sets.alias() {
            return Own::Alias { answer: Arc::clone(alias), target: target.clone(), source };
        }
        self.lacking(source)
    }

    /// The answer for a type that an owned name does not have.
    fn lacking(&self, source: OwnSource) -> Own {
        if self.forwards_other_types {
            return Own::Elsewhere;
        }
        Own::Answer { answer: Arc::clone(&self.denials.nodata), source }
    }

    fn of_patterns(&self, qname: &[u8], rtype: RecordType) -> Option<Own> {
        self.patterns.first(qname, |place, pattern, text| {
            let source = OwnSource::Pattern(place);
            match &pattern.reaction {
                config::Reaction::Rcode(_) if !pattern.regex.is_match(text) => None,
                config::Reaction::Rcode(Rcode::NOERROR) => {
                    Some(Own::Answer { answer: Arc::clone(&self.denials.nodata), source })
                }
                config::Reaction::Rcode(Rcode::NXDOMAIN) => {
                    Some(Own::Answer { answer: Arc::clone(&self.denials.nxdomain), source })
                }
                config::Reaction::Rcode(rcode) => Some(Own::Answer {
                    answer: Arc::new(StoredAnswer::bare(*rcode, Some(extended_error::BLOCKED))),
                    source,
                }),
                config::Reaction::Answer(templates) => {
                    let records = render::expand(templates, &pattern.regex, text, &self.name)?;
                    if let Some(answer) = render::answer(&records, rtype, pattern.ttl)? {
                        return Some(Own::Answer { answer, source });
                    }
                    match render::answer(&records, RecordType::CNAME, pattern.ttl)? {
                        Some(answer) => Some(Own::Alias { target: render::alias_target(&records)?, answer, source }),
                        None => Some(self.lacking(source)),
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod relief_tests;
#[cfg(test)]
mod tests;
