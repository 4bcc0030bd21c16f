//! Zones: their names, what they own, and where their other names are asked.

use std::path::Path;

use foldhash::{HashMap, HashMapExt};

use super::except;
use super::pattern::{self, Matcher};
use super::records::{self, Owned};
use super::upstream::Upstreams;
use crate::config::fault::{Message, Report, Spot};
use crate::config::file;
use crate::config::keys::{self, Key};
use crate::config::table;
use crate::config::text::At;
use crate::config::{Forward, NextOn, OtherTypes, ServeStale, Zone};
use crate::dns::{Name, Rcode, TtlRules};

/// A zone, and where the parts of it were said.
pub(super) struct Draft {
    pub(super) zone: Zone,
    /// One for each of the zone's records.
    pub(super) record_spots: Vec<Spot>,
    pub(super) ptr_offset: usize,
    /// One for each of the zone's patterns: where it stands, and the text its names end with.
    pub(super) suffixes: Vec<(usize, String)>,
    /// One for each name that its `forward` excepts.
    pub(super) except_offsets: Vec<usize>,
}

/// Understands the `[[zone]]` sections.
pub(super) fn read(
    said: &[file::Zone],
    upstreams: &mut Upstreams<'_>,
    directory: &Path,
    report: &mut Report<'_>,
) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut offsets: HashMap<Name, usize> = HashMap::new();
    for section in said {
        let names = names(section, report);
        let forward = forward(section, upstreams, report);
        warn_of_keys_without_effect(section, report);
        let all: Vec<Name> = names.iter().map(|(name, _)| name.clone()).collect();
        let exceptions = except::read(section, &all, report);
        for (name, offset) in names {
            if let Some(first) = offsets.get(&name) {
                let line = report.line_of(&Spot::Config(*first));
                let message = Message::new(format!("the zone {name} stands on {line} already"), "put the two together");
                report.error(offset, "zone.name", message);
                continue;
            }
            offsets.insert(name.clone(), offset);
            let owned = records::read(section, &name, &all, directory, report);
            let matchers = section.matches.iter().filter_map(|said| pattern::read(said, &name, section.ttl, report));
            let matchers: Vec<Matcher> = matchers.collect();
            let within = exceptions.iter().filter(|(except, _)| except.is_within(&name)).cloned();
            let (except, except_offsets) = within.unzip();
            let forward = forward.clone().map(|forward| Forward { except, ..forward });
            drafts.push(Draft { except_offsets, ..draft(section, name, owned, matchers, forward) });
        }
    }
    drafts
}

fn draft(said: &file::Zone, name: Name, owned: Vec<Owned>, matchers: Vec<Matcher>, forward: Option<Forward>) -> Draft {
    let (records, record_spots) = owned.into_iter().map(|owned| (owned.record, owned.spot)).unzip();
    let (patterns, suffixes) =
        matchers.into_iter().map(|matcher| (matcher.pattern, (matcher.offset, matcher.suffix))).unzip();
    let other_types = if said.other_types.value == "forward" { OtherTypes::Forward } else { OtherTypes::Nodata };
    let zone = Zone {
        name,
        records,
        patterns,
        forward,
        ttl: said.ttl,
        ptr: said.ptr.value,
        other_types,
        absent: Rcode::NXDOMAIN,
        special: false,
    };
    Draft { zone, record_spots, ptr_offset: said.ptr.span.start, suffixes, except_offsets: Vec::new() }
}

/// The names a section is about, each with where it stands.
fn names(said: &file::Zone, report: &mut Report<'_>) -> Vec<(Name, usize)> {
    let (key, spelled): (&Key, Vec<&At<String>>) = match said.has {
        (true, true) => {
            let message = Message::new("`name` and `names` both stand here", "keep one of the two");
            report.error(said.span.start, "zone", message);
            return Vec::new();
        }
        (false, false) => {
            if !report.incomplete() {
                let message = Message::new("the zone has no name", r#"add name = "cluster.local", or name = ".""#);
                report.error(said.span.start, "zone", message);
            }
            return Vec::new();
        }
        (true, false) => (&keys::ZONE_NAME, said.name.iter().collect()),
        (false, true) => (&keys::ZONE_NAMES, said.names.iter().flatten().collect()),
    };
    if said.names.as_ref().is_some_and(Vec::is_empty) {
        let message = Message::new("the list is empty", r#"write at least one name, as names = ["cluster.local"]"#);
        report.error(said.span.start, &key.path(), message);
    }
    let mut names = Vec::new();
    for at in spelled {
        match zone_name(&at.value) {
            Ok(name) => names.push((name, at.span.start)),
            Err(message) => report.error(at.span.start, &key.path(), message),
        }
    }
    names
}

pub(super) fn zone_name(text: &str) -> Result<Name, Message> {
    if let Some(suffix) = text.strip_prefix("*.").or_else(|| (text == "*").then_some(".")) {
        let problem = format!("{text:?} is a wildcard, and a zone answers for every name below it anyway");
        return Err(Message::new(problem, format!("write {suffix:?}")));
    }
    if !text.is_ascii() {
        let problem = format!("{text:?} has characters outside ASCII");
        return Err(Message::new(problem, "write its A-labels (RFC 5890), which begin with xn--"));
    }
    if text == "@" || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Message::new(format!("{text:?} is no domain name"), r#"write one, as "cluster.local" or ".""#));
    }
    Name::from_text(text, &Name::root()).map_err(|error| {
        Message::new(format!("{text:?} is no domain name: {error}"), r#"write one, as "cluster.local" or ".""#)
    })
}

fn forward(said: &file::Zone, upstreams: &mut Upstreams<'_>, report: &mut Report<'_>) -> Option<Forward> {
    let path = || keys::FORWARD.path();
    let mut groups = Vec::new();
    for at in said.forward.iter().flatten() {
        match upstreams.index_of(at, report) {
            Some(group) if groups.contains(&group) => {
                let message = Message::new(format!("{:?} stands twice", at.value), "remove one of the two");
                report.error(at.span.start, &path(), message);
            }
            Some(group) => groups.push(group),
            None => {}
        }
    }
    if said.forward.as_ref().is_some_and(Vec::is_empty) {
        let remedy = "name an upstream, or remove the key to answer every name of the zone here";
        report.error(said.span.start, &path(), Message::new("the list is empty", remedy));
    }
    let (min, max) = (&said.min_ttl, &said.max_ttl);
    if min.value > max.value {
        let problem = format!("min-ttl ({} s) is above max-ttl ({} s)", min.value, max.value);
        let offset = if min.given { min.span.start } else { max.span.start };
        report.error(offset, &keys::MIN_TTL.path(), Message::new(problem, "lower the one or raise the other"));
    }
    let ttl = TtlRules { min: min.value, max: max.value, negative_max: said.negative_max_ttl.value };
    let next_on = next_on(&said.next_on, report);
    let stale =
        ServeStale { max_age: said.serve_stale.max_age, after: said.serve_stale.after, ttl: said.serve_stale.ttl };
    let max_labels = said.max_labels.as_ref().and_then(|at| usize::try_from(at.value).ok());
    let nxdomain_cut = said.nxdomain_cut.value;
    let in_flight = usize::try_from(said.in_flight.value).unwrap_or(usize::MAX);
    said.forwards.then_some(Forward {
        groups,
        in_flight,
        next_on,
        ttl,
        except: Vec::new(),
        nxdomain_cut,
        max_labels,
        stale,
    })
}

fn next_on(said: &[At<String>], report: &mut Report<'_>) -> NextOn {
    let mut next_on = NextOn { nxdomain: false, nodata: false, servfail: false, refused: false, timeout: false };
    let keys::Kind::Words(words) = keys::NEXT_ON.kind else { return next_on };
    for at in said {
        match at.value.to_ascii_uppercase().as_str() {
            "NXDOMAIN" => next_on.nxdomain = true,
            "NODATA" => next_on.nodata = true,
            "SERVFAIL" => next_on.servfail = true,
            "REFUSED" => next_on.refused = true,
            "TIMEOUT" => next_on.timeout = true,
            _ => report.error(at.span.start, &keys::NEXT_ON.path(), table::no_such_word(&at.value, words)),
        }
    }
    next_on
}

fn warn_of_keys_without_effect(said: &file::Zone, report: &mut Report<'_>) {
    if report.incomplete() {
        return;
    }
    let next_on = said.next_on.first().filter(|at| at.given).map(|at| at.span.start);
    let given = |given: bool, offset: usize| given.then_some(offset);
    if said.forwards {
        if let (Some(offset), Some(1)) = (next_on, said.forward.as_ref().map(Vec::len)) {
            let message =
                Message::new("there is no second group to go on to", "add one to `forward`, or remove the key");
            report.warning(offset, &keys::NEXT_ON.path(), message);
        }
        return;
    }
    let message = || Message::new("has no effect in a zone without `forward`", "remove it, or add `forward`");
    for (key, offset) in [
        (&keys::NEXT_ON, next_on),
        (&keys::ZONE_IN_FLIGHT, given(said.in_flight.given, said.in_flight.span.start)),
        (&keys::OTHER_TYPES, given(said.other_types.given, said.other_types.span.start)),
        (&keys::MIN_TTL, given(said.min_ttl.given, said.min_ttl.span.start)),
        (&keys::MAX_TTL_KEY, given(said.max_ttl.given, said.max_ttl.span.start)),
        (&keys::NEGATIVE_MAX_TTL, given(said.negative_max_ttl.given, said.negative_max_ttl.span.start)),
        (&keys::EXCEPT, said.except.first().filter(|at| at.given).map(|at| at.span.start)),
        (&keys::NXDOMAIN_CUT, given(said.nxdomain_cut.given, said.nxdomain_cut.span.start)),
        (&keys::MAX_LABELS, said.max_labels.as_ref().map(|at| at.span.start)),
    ] {
        if let Some(offset) = offset {
            report.warning(offset, &key.path(), message());
        }
    }
    if let Some(offset) = said.serve_stale.said_at {
        report.warning(offset, keys::Section::ServeStale.path(), message());
    }
    if !said.owns {
        let problem = "the zone is empty: every name in it is answered NXDOMAIN";
        report.warning(
            said.span.start,
            "zone",
            Message::new(problem, "add `records` or `forward`, if that is not meant"),
        );
    }
}
