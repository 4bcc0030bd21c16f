//! The names a zone owns: from `records`, hosts files and the zone file.

use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;

use foldhash::{HashMap, HashMapExt, HashSet};

use crate::config::fault::{Message, Report, Spot};
use crate::config::file;
use crate::config::keys::{self, Key};
use crate::config::text::{At, Text};
use crate::dns::{Name, Record, RecordType, hosts_text, zone_text};

/// A record and where it was said.
pub(super) struct Owned {
    pub(super) record: Record,
    pub(super) spot: Spot,
    /// Which key brought it.
    key: &'static Key,
}

/// The records of `zone`, which is one of the `names` that the section is about. An identical
/// record counts once.
pub(super) fn read(
    said: &file::Zone,
    zone: &Name,
    names: &[Name],
    directory: &Path,
    report: &mut Report<'_>,
) -> Vec<Owned> {
    let mut found = Vec::new();
    entries(said, zone, &mut found, report);
    if let Some(at) = &said.zone_file {
        zone_file(at, said.ttl, zone, directory, &mut found, report);
    }
    // Said once, whatever the number of names.
    for owned in found.iter().filter(|_| names.first() == Some(zone)) {
        if !names.iter().any(|name| owned.record.owner.is_within(name)) {
            let problem = format!("{} lies outside the zone {zone}", owned.record.owner);
            let remedy = "leave out the final dot to stand below the zone, or move it to its own zone";
            report.error_at(&owned.spot, &owned.key.path(), Message::new(problem, remedy));
        }
    }
    for at in &said.hosts {
        hosts(at, said.ttl, directory, &mut found, report);
    }
    // A record of another name of the section belongs to that one; a hosts file has names of all
    // the world.
    found.retain(|owned| owned.record.owner.is_within(zone));
    let mut first = first_of_each(&found).into_iter();
    found.retain(|_| first.next().unwrap_or(true));
    check_aliases(&found, report);
    check_soa(&found, zone, report);
    found
}

/// For each record whether no identical one stands before it; the TTL makes no difference.
fn first_of_each(found: &[Owned]) -> Vec<bool> {
    let mut seen = HashSet::with_capacity_and_hasher(found.len(), foldhash::fast::RandomState::default());
    found.iter().map(|Owned { record, .. }| seen.insert((&record.owner, record.rtype, &record.rdata))).collect()
}

fn entries(said: &file::Zone, zone: &Name, found: &mut Vec<Owned>, report: &mut Report<'_>) {
    for at in &said.records {
        match zone_text::parse_record(&at.value, zone, said.ttl) {
            Ok(record) => found.push(Owned { record, spot: Spot::Config(at.span.start), key: &keys::RECORDS }),
            Err(fault) => {
                let offset = if fault.line == 1 { report.text.within(at, fault.column) } else { at.span.start };
                report.error(offset, &keys::RECORDS.path(), Message::new(fault.problem, fault.remedy));
            }
        }
    }
}

fn zone_file(
    at: &At<String>,
    ttl: u32,
    zone: &Name,
    directory: &Path,
    found: &mut Vec<Owned>,
    report: &mut Report<'_>,
) {
    let key = &keys::ZONE_FILE;
    let Some(text) = open(at, directory, key, report) else { return };
    let beside = text.file.parent().unwrap_or(directory).to_path_buf();
    let files = report.files();
    let mut include = |path: &str| files.read_text(&beside.join(path)).map_err(|error| error.to_string());
    let parsed = zone_text::parse(&text.content, zone, ttl, &mut include);
    for fault in parsed.faults {
        report.error_in(&text, fault.line, fault.column, &key.path(), Message::new(fault.problem, fault.remedy));
    }
    let owned = |(record, line)| Owned { record, spot: Spot::Line(Rc::clone(&text), line), key };
    found.extend(parsed.records.into_iter().map(owned));
}

fn hosts(at: &At<String>, ttl: u32, directory: &Path, found: &mut Vec<Owned>, report: &mut Report<'_>) {
    let key = &keys::HOSTS;
    let Some(text) = open(at, directory, key, report) else { return };
    let (hosts, faults) = hosts_text::parse(&text.content);
    for fault in faults {
        report.error_in(&text, fault.line, fault.column, &key.path(), Message::new(fault.problem, fault.remedy));
    }
    for host in hosts {
        let (rtype, rdata): (_, Box<[u8]>) = match host.address {
            IpAddr::V4(address) => (RecordType::A, address.octets().into()),
            IpAddr::V6(address) => (RecordType::AAAA, address.octets().into()),
        };
        found.extend(host.names.into_iter().map(|owner| Owned {
            record: Record { owner, rtype, ttl, rdata: rdata.clone() },
            spot: Spot::Line(Rc::clone(&text), host.line),
            key,
        }));
    }
}

fn open(at: &At<String>, directory: &Path, key: &Key, report: &mut Report<'_>) -> Option<Rc<Text>> {
    let path = directory.join(&at.value);
    match report.files().read_text(&path) {
        Ok(content) => Some(Rc::new(Text::new(&path, content))),
        Err(error) => {
            let problem = format!("{} cannot be read: {error}", path.display());
            report.error(at.span.start, &key.path(), Message::new(problem, "name a readable file of UTF-8 text"));
            None
        }
    }
}

/// A CNAME has nothing beside it but what signs it (RFC 2181, section 10.1; RFC 4034, section 4).
fn check_aliases(found: &[Owned], report: &mut Report<'_>) {
    if found.iter().all(|owned| owned.record.rtype != RecordType::CNAME) {
        return;
    }
    let beside_alias = |rtype: RecordType| [RecordType::RRSIG, RecordType::NSEC].contains(&rtype);
    let mut by_owner: HashMap<&Name, Vec<&Owned>> = HashMap::new();
    for owned in found.iter().filter(|owned| !beside_alias(owned.record.rtype)) {
        by_owner.entry(&owned.record.owner).or_default().push(owned);
    }
    for (owner, all) in by_owner {
        let alias = all.iter().find(|owned| owned.record.rtype == RecordType::CNAME);
        let Some((alias, later)) = alias.zip(all.get(1..)) else { continue };
        for owned in later {
            let first =
                report.line_of(if owned.record.rtype == RecordType::CNAME { &all[0].spot } else { &alias.spot });
            let problem = format!("{owner} has a CNAME beside other data; the other record is on {first}");
            report.error_at(
                &owned.spot,
                &owned.key.path(),
                Message::new(problem, "keep the CNAME alone, or the others"),
            );
        }
    }
}

/// One SOA, at the apex (RFC 1035, section 5.2).
fn check_soa(found: &[Owned], zone: &Name, report: &mut Report<'_>) {
    let mut first: Option<&Owned> = None;
    for owned in found.iter().filter(|owned| owned.record.rtype == RecordType::SOA) {
        if owned.record.owner != *zone {
            let problem = format!("an SOA record stands at {}, which is not the zone", owned.record.owner);
            report.error_at(
                &owned.spot,
                &owned.key.path(),
                Message::new(problem, format!("write it at {zone}, or remove it")),
            );
        } else if let Some(first) = first {
            let problem = format!("{zone} has another SOA record on {}", report.line_of(&first.spot));
            report.error_at(&owned.spot, &owned.key.path(), Message::new(problem, "keep one of the two"));
        } else {
            first = Some(owned);
        }
    }
}
