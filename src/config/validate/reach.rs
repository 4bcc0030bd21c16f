//! What no question can reach: legal, and hardly what was meant.

use std::net::IpAddr;

use super::zone::Draft;
use crate::config::fault::{Message, Report, Spot};
use crate::config::keys;
use crate::dns::{Name, Record, RecordType};

/// Warns; `end` is where a missing zone would be added.
pub(super) fn warn(drafts: &[Draft], end: usize, report: &mut Report<'_>) {
    if drafts.iter().all(|draft| draft.zone.name != Name::root()) {
        let problem = "there is no zone \".\": names outside the configured zones are answered REFUSED";
        let remedy = "add [[zone]] with name = \".\" and `forward`, if the node is to resolve other names";
        report.warning(end, "zone", Message::new(problem, remedy));
    }
    for draft in drafts {
        records_of_deeper_zones(draft, drafts, report);
        reverse_names(draft, drafts, report);
        for (index, (offset, suffix)) in draft.suffixes.iter().enumerate() {
            pattern(draft, index, *offset, suffix, drafts, report);
        }
    }
}

/// A question belongs to the zone of the longest name, so that `records` of another are never seen.
fn records_of_deeper_zones(draft: &Draft, drafts: &[Draft], report: &mut Report<'_>) {
    for (record, spot) in draft.zone.records.iter().zip(&draft.record_spots) {
        // Files bring delegations and their glue along.
        let Spot::Config(offset) = spot else { continue };
        // The parent is asked for a DS (RFC 4035, section 3.1.4.1).
        if record.rtype == RecordType::DS {
            continue;
        }
        if let Some(deeper) = deeper_zone(&record.owner, draft, drafts) {
            let problem = format!("{} is never asked here: it belongs to the zone {}", record.owner, deeper.zone.name);
            let message = Message::new(problem, "move the record to that zone");
            report.warning(*offset, &keys::RECORDS.path(), message);
        }
    }
}

fn reverse_names(draft: &Draft, drafts: &[Draft], report: &mut Report<'_>) {
    let covered = |name: &Name| drafts.iter().any(|other| name.is_within(&other.zone.name));
    let reverse = draft.zone.records.iter().filter_map(reverse_name);
    let Some(name) = reverse.filter(|_| draft.zone.ptr).find(|name| !covered(name)) else { return };
    let problem = format!("no zone covers {name}, so that `ptr` cannot answer it");
    let remedy = r#"add a [[zone]] such as "10.in-addr.arpa", or remove `ptr`"#;
    report.warning(draft.ptr_offset, &keys::PTR.path(), Message::new(problem, remedy));
}

fn pattern(draft: &Draft, index: usize, offset: usize, suffix: &str, drafts: &[Draft], report: &mut Report<'_>) {
    let path = keys::PATTERN.path();
    let patterns = &draft.zone.patterns;
    let same = patterns[..index].iter().position(|earlier| earlier.regex.as_str() == patterns[index].regex.as_str());
    if let Some(earlier) = same {
        let line = report.line_of(&Spot::Config(draft.suffixes[earlier].0));
        let message = Message::new(format!("the same pattern on {line} is tried first"), "remove one of the two");
        report.warning(offset, &path, message);
    }
    if !can_end(&draft.zone.name, suffix) {
        let problem = format!("no name of the zone {} ends with {suffix:?}", draft.zone.name);
        let remedy = "end the pattern with the zone's name, without a final dot, or move it to its zone";
        report.warning(offset, &path, Message::new(problem, remedy));
        return;
    }
    let Some(above) = name_above(suffix) else { return };
    if let Some(deeper) = deeper_zone(&above, draft, drafts) {
        let problem = format!("every name it matches belongs to the zone {}", deeper.zone.name);
        report.warning(offset, &path, Message::new(problem, "move the pattern to that zone"));
    } else if let Some(wildcard) = covering_wildcard(&above, &draft.zone.records) {
        let problem = format!("every name it matches is answered by the record {wildcard}, which comes first");
        report.warning(offset, &path, Message::new(problem, "remove one of the two"));
    }
}

/// The zone that questions for `name` belong to, if that is one below `draft`.
fn deeper_zone<'d>(name: &Name, draft: &Draft, drafts: &'d [Draft]) -> Option<&'d Draft> {
    let deeper = |other: &&Draft| other.zone.name != draft.zone.name && other.zone.name.is_within(&draft.zone.name);
    drafts.iter().filter(deeper).find(|other| name.is_within(&other.zone.name))
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

/// The wildcard that answers every name below `above`: its parent is the closest encloser of them
/// all, because nothing else is owned on the way down (RFC 4592, section 3.3.1).
fn covering_wildcard<'r>(above: &Name, records: &'r [Record]) -> Option<&'r Name> {
    let owners = || records.iter().map(|record| &record.owner);
    owners().filter(|owner| owner.is_wildcard()).find(|wildcard| {
        let Some(parent) = wildcard.parent().filter(|parent| above.is_within(parent)) else { return false };
        let branch = first_below(&parent, above);
        !owners().any(|owner| owner != *wildcard && *owner != parent && owner.is_within(&branch))
    })
}

/// The child of `parent` that `name` is within; `parent` itself if that is `name`.
fn first_below(parent: &Name, name: &Name) -> Name {
    let mut branch = name.clone();
    while let Some(above) = branch.parent().filter(|above| branch != *parent && above != parent) {
        branch = above;
    }
    branch
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
