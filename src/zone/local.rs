//! The records of a zone, as RFC 1034 (section 4.3.2) and RFC 4592 look names up.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use crate::dns::name::{MAX_NAME, label_count, suffixes};
use crate::dns::stored_answer::{AnswerBuilder, Owner, Section, StoredAnswer, TooLarge};
use crate::dns::{Name, Rcode, Record, RecordType};

use super::suffix::SuffixMap;
use super::{Own, OwnSource, rrset};

const YXDOMAIN: Rcode = Rcode::new(6);

/// All names with records of ours, and the empty non-terminals above them.
#[derive(Debug)]
pub(super) struct Local {
    /// Without records it is empty; else every ancestor of a name up to the apex is in it.
    nodes: SuffixMap<Name, Node>,
    /// Whether any name is a wildcard.
    wildcards: bool,
}

/// What stands at a name.
#[derive(Debug)]
enum Node {
    /// An ordinary name; an empty non-terminal if there are no records.
    Sets(RrSets),
    /// NS records below the apex: here and below, another zone begins.
    Cut(RrSets),
    /// What lies below is redirected.
    Dname(Box<Dname>),
}

/// The records of one name, ordered by type.
#[derive(Debug, Default)]
pub(super) struct RrSets(Box<[RrSet]>);

/// All records of one name and type.
#[derive(Debug)]
pub(super) struct RrSet {
    rtype: RecordType,
    pub(super) answer: Arc<StoredAnswer>,
    /// Of a CNAME.
    target: Option<Box<Name>>,
}

/// A DNAME record, and the other records of its name.
#[derive(Debug)]
pub(super) struct Dname {
    owner: Name,
    sets: RrSets,
    ttl: u32,
    target: Name,
}

/// What a lookup comes to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'l> {
    /// The name has records.
    Sets(&'l RrSets),
    /// The wildcard below the name's last so many labels has records for it.
    Wildcard {
        sets: &'l RrSets,
        labels: usize,
    },
    /// The name is a zone cut.
    Cut(&'l RrSets),
    /// The name is below a zone cut.
    BelowCut,
    /// The name is below a DNAME.
    Dname(&'l Dname),
    EmptyNonTerminal,
    Nothing,
}

impl RrSets {
    pub(super) fn get(&self, rtype: RecordType) -> Option<&RrSet> {
        self.0.iter().find(|set| set.rtype == rtype)
    }

    /// The CNAME record, and the name it leads to.
    pub(super) fn alias(&self) -> Option<(&Arc<StoredAnswer>, &Name)> {
        self.0.iter().find_map(|set| Some((&set.answer, &**set.target.as_ref()?)))
    }
}

impl Local {
    /// Builds all answers. `implied` records yield to `records` of the same name.
    ///
    /// # Errors
    /// The owner and type whose records do not fit into one message.
    pub(super) fn build(apex: &Name, records: &[&Record], implied: &[&Record]) -> Result<Self, (Name, RecordType)> {
        let mut nodes = SuffixMap::new();
        let mut wildcards = false;
        let beside: &[&Record] = if implied.is_empty() { &[] } else { records };
        let explicit: HashSet<&Name> = beside.iter().map(|record| &record.owner).collect();
        let implied = implied.iter().filter(|record| !explicit.contains(&record.owner));
        let mut sorted: Vec<&Record> = records.iter().chain(implied).copied().collect();
        // Stable, so that records of one set keep the order of the file.
        sorted.sort_by(|a, b| (&a.owner, a.rtype).cmp(&(&b.owner, b.rtype)));

        let redirects = |record: &&&Record| match record.rtype {
            RecordType::DNAME => true,
            RecordType::NS => record.owner != *apex,
            _ => false,
        };
        let redirected: HashSet<&[u8]> = sorted.iter().filter(redirects).map(|record| record.owner.wire()).collect();
        let mut answers = Answers::default();
        for group in sorted.chunk_by(|a, b| a.owner == b.owner) {
            let owner = &group[0].owner;
            // RFC 6672, section 2.4, and RFC 1034, section 4.2.1: what lies below a DNAME or a zone
            // cut is not seen, were it even glue.
            let depth_of_apex = label_count(apex.wire());
            let depth = label_count(owner.wire());
            let ancestors = || suffixes(owner.wire()).skip(1).take(depth.saturating_sub(depth_of_apex));
            if !redirected.is_empty() && ancestors().any(|ancestor| redirected.contains(ancestor)) {
                continue;
            }
            *nodes.entry(owner.clone(), depth, Node::empty) = node(group, apex, &mut answers)?;
            wildcards |= owner.is_wildcard();
            for (above, ancestor) in ancestors().enumerate() {
                let depth = depth - above - 1;
                // Where one is, those above it are.
                let known = nodes.get(ancestor, depth).is_some();
                let Some(name) = Name::from_wire(ancestor).filter(|_| !known) else { break };
                wildcards |= name.is_wildcard();
                nodes.entry(name, depth, Node::empty);
            }
        }
        nodes.shrink();
        Ok(Self { nodes, wildcards })
    }

    /// Looks up `qname`, which lies within the zone.
    pub(super) fn find(&self, qname: &[u8]) -> Found<'_> {
        if self.nodes.is_empty() {
            return Found::Nothing;
        }
        let depth = label_count(qname);
        let mut above = suffixes(qname).enumerate();
        let closest = above
            .find_map(|(skipped, suffix)| self.nodes.get(suffix, depth - skipped).map(|node| (skipped, suffix, node)));
        match closest {
            None => Found::Nothing,
            Some((0, _, Node::Cut(sets))) => Found::Cut(sets),
            Some((0, _, node)) => node.found(),
            Some((_, _, Node::Cut(_))) => Found::BelowCut,
            Some((_, _, Node::Dname(dname))) => Found::Dname(dname),
            // RFC 4592, section 3.3.1: only the wildcard at the closest encloser applies.
            Some((skipped, encloser, Node::Sets(_))) => self.wildcard(encloser, depth - skipped),
        }
    }

    fn wildcard(&self, encloser: &[u8], depth: usize) -> Found<'_> {
        if !self.wildcards {
            return Found::Nothing;
        }
        let mut name = [0; 2 + MAX_NAME];
        let end = 2 + encloser.len();
        name[..2].copy_from_slice(b"\x01*");
        name[2..end].copy_from_slice(encloser);
        match self.nodes.get(&name[..end], depth + 1).map_or(Found::Nothing, Node::found) {
            Found::Sets(sets) => Found::Wildcard { sets, labels: depth },
            other => other,
        }
    }
}

impl Node {
    fn empty() -> Self {
        Self::Sets(RrSets::default())
    }

    /// What a name finds whose records these are.
    fn found(&self) -> Found<'_> {
        match self {
            Self::Sets(sets) if sets.0.is_empty() => Found::EmptyNonTerminal,
            Self::Sets(sets) => Found::Sets(sets),
            Self::Cut(_) => Found::BelowCut,
            Self::Dname(dname) => Found::Sets(&dname.sets),
        }
    }
}

impl Dname {
    /// RFC 6672, section 3.1: the DNAME, and the CNAME that follows from it.
    pub(super) fn synthesise(&self, qname: &[u8], rtype: RecordType) -> Own {
        let labels = &qname[..qname.len() - self.owner.wire().len()];
        let target = Name::from_wire(&[labels, self.target.wire()].concat());
        // RFC 6672, section 2.2: a name that would become too long.
        let rcode = if target.is_some() { Rcode::NOERROR } else { YXDOMAIN };
        let mut builder = AnswerBuilder::new(rcode).authoritative();
        let dname = Owner::Name(self.owner.wire());
        let mut fits = builder.push(Section::Answer, dname, RecordType::DNAME, self.ttl, self.target.wire());
        if let Some(target) = &target {
            let cname = |()| builder.push(Section::Answer, Owner::Question, RecordType::CNAME, self.ttl, target.wire());
            fits = fits.and_then(cname);
        }
        debug_assert_eq!(fits, Ok(()), "three names fit into a message");
        let (answer, source) = (Arc::new(builder.finish(None)), OwnSource::Dname);
        match target {
            Some(target) if rtype != RecordType::CNAME => Own::Alias { answer, target, source },
            _ => Own::Answer { answer, source },
        }
    }
}

/// The answers built so far, by what is in them: they name no owner, so that all names with the
/// same data share one. A block list of a million names has one address.
#[derive(Default)]
struct Answers<'r>(HashMap<Content<'r>, Arc<StoredAnswer>>);

/// Type, TTL and RDATA.
type Content<'r> = (RecordType, u32, Vec<&'r [u8]>);

impl<'r> Answers<'r> {
    /// `records` have one owner and type.
    fn of(&mut self, records: &[&'r Record]) -> Result<Arc<StoredAnswer>, TooLarge> {
        let rtype = records[0].rtype;
        // RFC 2181, section 5.2: one TTL for all.
        let ttl = records.iter().map(|record| record.ttl).min().unwrap_or_default();
        let data: Vec<&[u8]> = records.iter().map(|record| &*record.rdata).collect();
        Ok(Arc::clone(match self.0.entry((rtype, ttl, data)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let answer = rrset::answer(rtype, ttl, &new.key().2)?;
                new.insert(answer)
            }
        }))
    }
}

/// The node of one name. `records` have one owner and are ordered by type.
fn node<'r>(records: &[&'r Record], apex: &Name, answers: &mut Answers<'r>) -> Result<Node, (Name, RecordType)> {
    let owner = &records[0].owner;
    let set = |records: &[&'r Record]| {
        let rtype = records[0].rtype;
        let answer = answers.of(records).map_err(|TooLarge| (owner.clone(), rtype))?;
        let target = if rtype == RecordType::CNAME { Name::from_wire(&records[0].rdata).map(Box::new) } else { None };
        Ok(RrSet { rtype, answer, target })
    };
    let sets = RrSets(records.chunk_by(|a, b| a.rtype == b.rtype).map(set).collect::<Result<_, _>>()?);
    let dname = records.iter().find(|record| record.rtype == RecordType::DNAME);
    if let Some((record, target)) = dname.and_then(|record| Some((record, Name::from_wire(&record.rdata)?))) {
        return Ok(Node::Dname(Box::new(Dname { owner: owner.clone(), sets, ttl: record.ttl, target })));
    }
    let is_cut = owner != apex && sets.get(RecordType::NS).is_some();
    Ok(if is_cut { Node::Cut(sets) } else { Node::Sets(sets) })
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
