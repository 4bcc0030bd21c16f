//! From a name to its zone: the longest configured suffix.

use std::fmt;

use crate::config;
use crate::dns::name::{label_count, suffixes};
use crate::dns::{Name, RecordType};

use super::suffix::SuffixMap;
use super::{Zone, reverse};

/// All zones, found by suffix. The index of a zone is its place in the configuration.
#[derive(Debug)]
pub struct ZoneTable {
    zones: Box<[Zone]>,
    index: Index,
}

/// The zone of a suffix: of an apex, the zone itself; of a name that a zone excepts, the zone that
/// it belongs to instead, if there is one.
type Index = SuffixMap<Name, Option<usize>>;

/// Records of one owner and type that do not fit into one message of 65,535 octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    pub zone: Name,
    pub owner: Name,
    pub rtype: RecordType,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { zone, owner, rtype } = self;
        write!(f, "zone {zone}: the {rtype} records of {owner} do not fit into one DNS message of 65,535 octets")
    }
}

impl std::error::Error for Unfit {}

impl ZoneTable {
    /// Builds all zones. If two have the same name, the first stands.
    ///
    /// # Errors
    /// The first records that could never be sent.
    pub fn build(zones: &[config::Zone]) -> Result<Self, Unfit> {
        let mut index = SuffixMap::new();
        for (place, zone) in zones.iter().enumerate() {
            index.entry(zone.name.clone(), label_count(zone.name.wire()), || Some(place));
        }
        for except in zones.iter().flat_map(exceptions) {
            let zone = instead(zones, &index, except);
            index.entry(except.clone(), label_count(except.wire()), || zone);
        }
        let reverse = reverse::records(zones, |name| enclosing(&index, name).next().flatten());
        let build = |(zone, reverse): (&config::Zone, _)| {
            Zone::build(zone, reverse).map_err(|(owner, rtype)| Unfit { zone: zone.name.clone(), owner, rtype })
        };
        let zones = zones.iter().zip(reverse.iter().map(Vec::as_slice)).map(build).collect::<Result<_, _>>()?;
        Ok(Self { zones, index })
    }

    /// The zone that answers for `qname` (lower-case wire form): the longest configured suffix on
    /// label boundaries.
    pub fn find(&self, qname: &[u8], rtype: RecordType) -> Option<usize> {
        let mut enclosing = enclosing(&self.index, qname);
        let zone = enclosing.next()??;
        // RFC 4035, section 3.1.4.1: DS records are on the parent's side of a zone cut.
        if rtype == RecordType::DS && self.zones[zone].name.wire() == qname && !self.zones[zone].special {
            return Some(enclosing.next().flatten().unwrap_or(zone));
        }
        Some(zone)
    }

    /// The zone at this index.
    ///
    /// # Panics
    /// For an index that did not come from this table.
    pub fn zone(&self, index: usize) -> &Zone {
        &self.zones[index]
    }

    /// How many zones there are.
    pub fn len(&self) -> usize {
        self.zones.len()
    }

    /// Whether there is no zone.
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }
}

/// The names that a zone excepts.
fn exceptions(zone: &config::Zone) -> impl Iterator<Item = &Name> {
    zone.forward.iter().flat_map(|forward| &forward.except)
}

/// The zone that an excepted name belongs to: the nearest above it that does not except it, too.
fn instead(zones: &[config::Zone], index: &Index, except: &Name) -> Option<usize> {
    let keeps = |&zone: &usize| {
        let zone = zones.get(zone);
        zone.is_some_and(|zone| exceptions(zone).all(|other| !except.is_within(other)))
    };
    enclosing(index, except.wire()).flatten().find(keeps)
}

/// What the index has for `qname` and each name above it, the nearest first.
fn enclosing<'i>(index: &'i Index, qname: &'i [u8]) -> impl Iterator<Item = Option<usize>> + 'i {
    let labels = label_count(qname);
    suffixes(qname).enumerate().filter_map(move |(skipped, suffix)| index.get(suffix, labels - skipped).copied())
}
