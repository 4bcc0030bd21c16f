//! What no question can reach: legal, and hardly what was meant.

use std::net::IpAddr;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use super::except;
use super::zone::Draft;
use crate::config::fault::{Message, Report, Spot};
use crate::config::{Zone, keys};
use crate::dns::name::suffixes;
use crate::dns::{Name, Record, RecordType};

/// Warns; `end` is where a missing zone would be added.
pub(super) fn warn(drafts: &[Draft], special: &[Zone], end: usize, report: &mut Report<'_>) {
    if drafts.iter().all(|draft| draft.zone.name != Name::root()) {
        let problem = "there is no zone \".\": names outside the configured zones are answered REFUSED";
        let remedy = "add [[zone]] with name = \".\" and `forward`, if the node is to resolve other names";
        report.warning(end, "zone", Message::new(problem, remedy));
    }
    let all = drafts.iter().map(|draft| &draft.zone).chain(special);
    let zones = Zones(all.map(|zone| (zone.name.wire(), zone)).collect());
    for draft in drafts {
        records_of_deeper_zones(draft, &zones, report);
        reverse_names(draft, &zones, report);
        patterns(draft, &zones, report);
        except::warn(draft, |name| zones.deeper(name, draft), report);
    }
}

/// The zones by name, in wire form: there may be ten thousand.
struct Zones<'d>(HashMap<&'d [u8], &'d Zone>);

impl<'d> Zones<'d> {
    /// The zone that questions for `name` belong to.
    fn of(&self, name: &Name) -> Option<&'d Zone> {
        suffixes(name.wire()).find_map(|suffix| self.0.get(suffix).copied())
    }

    /// The same, if that is a zone below `draft`.
    fn deeper(&self, name: &Name, draft: &Draft) -> Option<&'d Zone> {
        let (found, own) = (self.of(name)?, &draft.zone.name);
        (found.name != *own && found.name.is_within(own)).then_some(found)
    }
}

/// A question belongs to the zone of the longest name, so that `records` of another are never seen.
fn records_of_deeper_zones(draft: &Draft, zones: &Zones<'_>, report: &mut Report<'_>) {
    for (record, spot) in draft.zone.records.iter().zip(&draft.record_spots) {
        // Files bring delegations and their glue along.
        let Spot::Config(offset) = spot else { continue };
        // The parent is asked for a DS (RFC 4035, section 3.1.4.1).
        if record.rtype == RecordType::DS {
            continue;
        }
        let excepted = draft.zone.forward.iter().flat_map(|forward| &forward.except);
        if let Some(except) = excepted.into_iter().find(|except| record.owner.is_within(except)) {
            let problem = format!("{} is never asked here: `except` has {except}", record.owner);
            report.warning(*offset, &keys::RECORDS.path(), Message::new(problem, "remove one of the two"));
            continue;
        }
        if let Some(deeper) = zones.deeper(&record.owner, draft) {
            let problem = format!("{} is never asked here: it belongs to the zone {}", record.owner, deeper.name);
            let message = if deeper.special {
                let problem = problem + ", which is special: its names stay on the node";
                Message::new(problem, format!("add a [[zone]] of the name {}, with the record", deeper.name))
            } else {
                Message::new(problem, "move the record to that zone")
            };
            report.warning(*offset, &keys::RECORDS.path(), message);
        }
    }
}

fn reverse_names(draft: &Draft, zones: &Zones<'_>, report: &mut Report<'_>) {
    let reverse = draft.zone.records.iter().filter_map(reverse_name);
    let Some(name) = reverse.filter(|_| draft.zone.ptr).find(|name| zones.of(name).is_none()) else { return };
    let problem = format!("no zone covers {name}, so that `ptr` cannot answer it");
    let remedy = r#"add a [[zone]] such as "10.in-addr.arpa", or remove `ptr`"#;
    report.warning(draft.ptr_offset, &keys::PTR.path(), Message::new(problem, remedy));
}

fn patterns(draft: &Draft, zones: &Zones<'_>, report: &mut Report<'_>) {
    if draft.zone.patterns.is_empty() {
        return;
    }
    let path = keys::PATTERN.path();
    let owned = OwnedNames::of(&draft.zone.records);
    let mut earlier: HashMap<&str, usize> = HashMap::new();
    for (pattern, (offset, suffix)) in draft.zone.patterns.iter().zip(&draft.suffixes) {
        if let Some(first) = earlier.get(pattern.regex.as_str()) {
            let line = report.line_of(&Spot::Config(*first));
            let message = Message::new(format!("the same pattern on {line} is tried first"), "remove one of the two");
            report.warning(*offset, &path, message);
        } else {
            earlier.insert(pattern.regex.as_str(), *offset);
        }
        if let Some(message) = out_of_reach(draft, suffix, zones, &owned) {
            report.warning(*offset, &path, message);
        }
    }
}

/// Why no question reaches a pattern whose names all end with `suffix`.
fn out_of_reach(draft: &Draft, suffix: &str, zones: &Zones<'_>, owned: &OwnedNames<'_>) -> Option<Message> {
    if !can_end(&draft.zone.name, suffix) {
        let problem = format!("no name of the zone {} ends with {suffix:?}", draft.zone.name);
        let remedy = "end the pattern with the zone's name, without a final dot, or move it to its zone";
        return Some(Message::new(problem, remedy));
    }
    let above = name_above(suffix)?;
    if let Some(deeper) = zones.deeper(&above, draft) {
        let problem = format!("every name it matches belongs to the zone {}", deeper.name);
        return Some(Message::new(problem, "move the pattern to that zone"));
    }
    let wildcard = owned.wildcard_over(&above)?;
    let problem = format!("every name it matches is answered by the record {wildcard}, which comes first");
    Some(Message::new(problem, "remove one of the two"))
}

/// Whether a name within `zone`, as patterns see it, can end with `suffix`.
fn can_end(zone: &Name, suffix: &str) -> bool {
    let zone = zone.to_string();
    let zone = zone.trim_end_matches('.');
    let below = suffix.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || zone.is_empty() || rest.ends_with('.'));
    !suffix.ends_with('.') && (zone.ends_with(suffix) || below)
}

/// The nearest name that is above every name ending with `suffix`.
fn name_above(suffix: &str) -> Option<Name> {
    let (_, above) = suffix.split_once('.')?;
    Name::from_text(above, &Name::root()).ok()
}

/// The names that exist in a zone, empty non-terminals too, in wire form.
struct OwnedNames<'r> {
    names: HashSet<&'r [u8]>,
    /// How many names stand right below each.
    children: HashMap<&'r [u8], usize>,
    /// The wildcards, by the name they stand below.
    wildcards: HashMap<&'r [u8], &'r Name>,
}

impl<'r> OwnedNames<'r> {
    fn of(records: &'r [Record]) -> Self {
        let mut owned = Self { names: HashSet::new(), children: HashMap::new(), wildcards: HashMap::new() };
        for record in records {
            let mut above = suffixes(record.owner.wire()).skip(1);
            for name in suffixes(record.owner.wire()) {
                let parent = above.next().unwrap_or_default();
                if !owned.names.insert(name) {
                    break;
                }
                *owned.children.entry(parent).or_default() += 1;
            }
            if record.owner.is_wildcard() {
                owned.wildcards.entry(&record.owner.wire()[2..]).or_insert(&record.owner);
            }
        }
        owned
    }

    /// The wildcard that answers every name below `above`: what it stands below is the closest
    /// encloser of them all (RFC 4592, section 3.3.1).
    fn wildcard_over(&self, above: &Name) -> Option<&'r Name> {
        let encloser = suffixes(above.wire()).find(|name| self.names.contains(name))?;
        // An owner below `above` itself may be one of the names, or enclose some of them.
        let alone = encloser != above.wire() || self.children.get(encloser) == Some(&1);
        self.wildcards.get(encloser).copied().filter(|_| alone)
    }
}

fn reverse_name(record: &Record) -> Option<Name> {
    let address = match record.rtype {
        RecordType::A => IpAddr::from(<[u8; 4]>::try_from(record.rdata.as_ref()).ok()?),
        RecordType::AAAA => IpAddr::from(<[u8; 16]>::try_from(record.rdata.as_ref()).ok()?),
        _ => return None,
    };
    Name::from_text(&reversed(address), &Name::root()).ok()
}

/// RFC 1035, section 3.5; RFC 3596, section 2.5.
fn reversed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(address) => {
            let digits: String =
                format!("{:032x}", address.to_bits()).chars().rev().flat_map(|digit| [digit, '.']).collect();
            format!("{digits}ip6.arpa.")
        }
    }
}
