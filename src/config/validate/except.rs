//! `except`: names within a zone that are not of it.

use super::zone::{Draft, zone_name};
use crate::config::fault::{Message, Report};
use crate::config::file;
use crate::config::{Zone, keys};
use crate::dns::Name;

/// The names that a section with these zone names excepts, each with where it stands.
pub(super) fn read(said: &file::Zone, zones: &[Name], report: &mut Report<'_>) -> Vec<(Name, usize)> {
    let path = keys::EXCEPT.path();
    let mut read: Vec<(Name, usize)> = Vec::new();
    for at in &said.except {
        let name = match zone_name(&at.value) {
            Ok(name) => name,
            Err(message) => {
                report.error(at.span.start, &path, message);
                continue;
            }
        };
        if zones.contains(&name) {
            let problem = format!("{name} is the zone itself");
            let message = Message::new(problem, "name what is below it, or remove the zone");
            report.error(at.span.start, &path, message);
        } else if !zones.is_empty() && zones.iter().all(|zone| !name.is_within(zone)) {
            let zones: Vec<String> = zones.iter().map(ToString::to_string).collect();
            let problem = format!("{name} is not within {}", zones.join(" or "));
            report.error(at.span.start, &path, Message::new(problem, "write the whole name, or remove it"));
        } else if let Some((wider, _)) = read.iter().find(|(other, _)| name.is_within(other)) {
            let problem = format!("{name} is excepted by {wider} already");
            report.warning(at.span.start, &path, Message::new(problem, "remove it"));
        } else {
            read.push((name, at.span.start));
        }
    }
    read
}

/// Warns of exceptions from which nothing follows; `deeper` is the zone that a name belongs to
/// anyway, if that is below the draft's.
pub(super) fn warn<'z>(draft: &Draft, deeper: impl Fn(&Name) -> Option<&'z Zone>, report: &mut Report<'_>) {
    let Some(forward) = &draft.zone.forward else { return };
    for (name, offset) in forward.except.iter().zip(&draft.except_offsets) {
        if let Some(deeper) = deeper(name) {
            let problem = format!("{name} belongs to the zone {} anyway", deeper.name);
            report.warning(*offset, &keys::EXCEPT.path(), Message::new(problem, "remove it"));
        }
    }
}
