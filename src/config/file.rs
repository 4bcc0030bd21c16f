//! What the file says, word for word: types and ranges are right, but no name, address or record
//! has been understood yet. Lists keep what was usable; the rest has been reported.

use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, Error};

use super::fault::{Message, Report};
use super::keys::{self, Key, Section};
use super::table::{self, Table};
use super::text::At;

pub(super) struct File {
    pub(super) server: Server,
    pub(super) interface: Option<Interface>,
    pub(super) admin: Admin,
    pub(super) cache: Cache,
    pub(super) log_format: String,
    pub(super) log_level: String,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) zones: Vec<Zone>,
}

pub(super) struct Server {
    pub(super) span: Range<usize>,
    pub(super) listen: Option<Vec<At<String>>>,
    pub(super) workers: Option<u64>,
    pub(super) allow: Vec<At<String>>,
    pub(super) tcp_connections: u64,
    pub(super) tcp_idle: Duration,
    pub(super) tcp_read: Duration,
    pub(super) drain: Duration,
    pub(super) lameduck: Duration,
    pub(super) private_reverse: String,
    pub(super) tls: Option<ServerTls>,
}

pub(super) struct ServerTls {
    pub(super) span: Range<usize>,
    pub(super) listen: Option<Vec<At<String>>>,
    pub(super) certificate: Option<At<String>>,
    pub(super) key: Option<At<String>>,
}

pub(super) struct Interface {
    pub(super) span: Range<usize>,
    pub(super) name: Option<At<String>>,
    pub(super) addresses: Option<Vec<At<String>>>,
    pub(super) intercept: Vec<At<String>>,
    pub(super) remove_on_exit: bool,
}

pub(super) struct Cache {
    pub(super) max_bytes: u64,
    pub(super) negative_share: u64,
    pub(super) prefetch: bool,
    pub(super) persist: Option<At<String>>,
}

pub(super) struct Admin {
    pub(super) listen: Option<At<String>>,
    pub(super) metrics_listen: Vec<At<String>>,
    pub(super) control: Option<At<String>>,
}

pub(super) struct Upstream {
    pub(super) span: Range<usize>,
    pub(super) name: Option<At<String>>,
    pub(super) servers: Option<Vec<At<String>>>,
    pub(super) bootstrap: Option<Vec<At<String>>>,
    pub(super) policy: String,
    pub(super) trust_ad: Option<bool>,
    pub(super) ca: Option<At<String>>,
    pub(super) certificate: Option<At<String>>,
    pub(super) key: Option<At<String>>,
    pub(super) source_port: Option<String>,
    pub(super) case_randomization: bool,
    pub(super) in_flight: u64,
}

pub(super) struct Zone {
    pub(super) span: Range<usize>,
    pub(super) name: Option<At<String>>,
    pub(super) names: Option<Vec<At<String>>>,
    /// Whether `name` and `names` stand in the file, right or wrong.
    pub(super) has: (bool, bool),
    /// Whether there is anything that gives the zone names of its own.
    pub(super) owns: bool,
    pub(super) ttl: u32,
    pub(super) records: Vec<At<String>>,
    pub(super) hosts: Vec<At<String>>,
    pub(super) zone_file: Option<At<String>>,
    pub(super) ptr: At<bool>,
    pub(super) other_types: At<String>,
    pub(super) forward: Option<Vec<At<String>>>,
    /// Whether `forward` stands in the file, right or wrong.
    pub(super) forwards: bool,
    pub(super) in_flight: At<u64>,
    pub(super) next_on: Vec<At<String>>,
    pub(super) min_ttl: At<u32>,
    pub(super) max_ttl: At<u32>,
    pub(super) negative_max_ttl: At<u32>,
    pub(super) except: Vec<At<String>>,
    pub(super) nxdomain_cut: At<bool>,
    pub(super) max_labels: Option<At<u64>>,
    pub(super) serve_stale: ServeStale,
    pub(super) matches: Vec<Match>,
}

pub(super) struct ServeStale {
    /// Where it stands, if it does.
    pub(super) said_at: Option<usize>,
    pub(super) max_age: Duration,
    pub(super) after: Duration,
    pub(super) ttl: u32,
}

pub(super) struct Match {
    pub(super) span: Range<usize>,
    pub(super) pattern: Option<At<String>>,
    pub(super) answer: Option<Vec<At<String>>>,
    pub(super) rcode: Option<At<String>>,
    /// Whether `answer` and `rcode` stand in the file, right or wrong.
    pub(super) has: (bool, bool),
    pub(super) ttl: Option<u32>,
}

/// Reads the report's text.
pub(super) fn read(report: &mut Report<'_>) -> File {
    let text = report.text;
    let (root, errors) = DeTable::parse_recoverable(&text.content);
    for error in &errors {
        syntax(error, report);
    }
    let root = root.into_inner();
    for (key, value) in &root {
        let name: &str = key.get_ref();
        match Section::ALL.iter().find(|section| section.path() == name) {
            None => report.error(key.span().start, name, table::unknown_section(name)),
            Some(section) if !section.is_repeated() && !value.get_ref().is_table() => {
                report.error(value.span().start, name, table::no_table(*section));
            }
            Some(_) => {}
        }
    }
    let absent = DeTable::new();
    let single = |section, report: &mut Report<'_>| single(&root, section, &absent, report);
    let log = single(Section::Log, report);
    File {
        server: server(&single(Section::Server, report), report),
        interface: root
            .contains_key(Section::Interface.path())
            .then(|| interface(single(Section::Interface, report), report)),
        admin: admin(&single(Section::Admin, report), report),
        cache: cache(&single(Section::Cache, report), report),
        log_format: word(&log, &keys::LOG_FORMAT, report).value,
        log_level: word(&log, &keys::LOG_LEVEL, report).value,
        upstreams: repeated(&root, Section::Upstream, report, upstream),
        zones: repeated(&root, Section::Zone, report, zone),
    }
}

fn syntax(error: &Error, report: &mut Report<'_>) {
    let remedy = match error.message() {
        "duplicate key" => "keep one of the two, or merge the two sections",
        message if message.contains("string values must be quoted") => "put quotes round it",
        _ => "see https://toml.io for the syntax",
    };
    let offset = error.span().map_or(0, |span| span.start);
    report.syntax(offset, Message::new(error.message(), remedy));
}

/// A section that stands once; an absent one is an empty one.
fn single<'a>(root: &'a DeTable<'a>, section: Section, absent: &'a DeTable<'a>, report: &mut Report<'_>) -> Table<'a> {
    let found = root.get(section.path());
    let entries = found.and_then(|value| value.get_ref().as_table()).unwrap_or(absent);
    let inside: &[&str] = if section == Section::Server { &["tls"] } else { &[] };
    Table::open(section, entries, found.map_or(0..0, toml::Spanned::span), inside, report)
}

fn repeated<T>(
    parent: &DeTable<'_>,
    section: Section,
    report: &mut Report<'_>,
    read: impl Fn(&DeTable<'_>, Range<usize>, &mut Report<'_>) -> T,
) -> Vec<T> {
    Table::tables(parent, section, report).into_iter().map(|(entries, span)| read(entries, span, report)).collect()
}

fn server(table: &Table<'_>, report: &mut Report<'_>) -> Server {
    let mut duration = |key| table.duration(key, report).map_or(Duration::ZERO, |at| at.value);
    Server {
        tcp_idle: duration(&keys::TCP_IDLE),
        tcp_read: duration(&keys::TCP_READ),
        drain: duration(&keys::DRAIN),
        lameduck: duration(&keys::LAMEDUCK),
        private_reverse: word(table, &keys::PRIVATE_REVERSE, report).value,
        span: table.span.clone(),
        listen: table.texts(&keys::LISTEN, report),
        workers: table.number(&keys::WORKERS, report).map(|at| at.value),
        allow: table.texts(&keys::ALLOW, report).unwrap_or_default(),
        tcp_connections: table.number(&keys::TCP_CONNECTIONS, report).map_or(0, |at| at.value),
        tls: server_tls(table.entries, report),
    }
}

fn server_tls(server: &DeTable<'_>, report: &mut Report<'_>) -> Option<ServerTls> {
    let (entries, span) = Table::inner(server, Section::ServerTls, report)?;
    let table = Table::open(Section::ServerTls, entries, span, &[], report);
    Some(ServerTls {
        listen: table.texts(&keys::TLS_LISTEN, report),
        certificate: table.text(&keys::TLS_CERTIFICATE, report),
        key: table.text(&keys::TLS_KEY, report),
        span: table.span,
    })
}

fn interface(table: Table<'_>, report: &mut Report<'_>) -> Interface {
    Interface {
        name: table.text(&keys::INTERFACE_NAME, report),
        addresses: table.texts(&keys::INTERFACE_ADDRESSES, report),
        intercept: table.texts(&keys::INTERCEPT, report).unwrap_or_default(),
        remove_on_exit: table.flag(&keys::REMOVE_ON_EXIT, report).is_some_and(|at| at.value),
        span: table.span,
    }
}

fn admin(table: &Table<'_>, report: &mut Report<'_>) -> Admin {
    Admin {
        listen: table.text(&keys::ADMIN_LISTEN, report),
        metrics_listen: table.texts(&keys::METRICS_LISTEN, report).unwrap_or_default(),
        control: table.text(&keys::CONTROL, report),
    }
}

fn cache(table: &Table<'_>, report: &mut Report<'_>) -> Cache {
    let mut number = |key| table.number(key, report).map_or(0, |at| at.value);
    Cache {
        max_bytes: number(&keys::MAX_BYTES),
        negative_share: number(&keys::NEGATIVE_SHARE),
        prefetch: table.flag(&keys::PREFETCH, report).is_some_and(|at| at.value),
        persist: table.text(&keys::PERSIST, report),
    }
}

fn upstream(entries: &DeTable<'_>, span: Range<usize>, report: &mut Report<'_>) -> Upstream {
    let table = Table::open(Section::Upstream, entries, span, &[], report);
    Upstream {
        name: table.text(&keys::UPSTREAM_NAME, report),
        servers: table.texts(&keys::SERVERS, report),
        bootstrap: table.texts(&keys::BOOTSTRAP, report),
        policy: word(&table, &keys::POLICY, report).value,
        trust_ad: table.flag(&keys::TRUST_AD, report).map(|at| at.value),
        ca: table.text(&keys::CA, report),
        certificate: table.text(&keys::CERTIFICATE, report),
        key: table.text(&keys::CLIENT_KEY, report),
        source_port: table.word(&keys::SOURCE_PORT, report).map(|at| at.value),
        case_randomization: table.flag(&keys::CASE_RANDOMIZATION, report).is_some_and(|at| at.value),
        in_flight: table.number(&keys::SERVER_IN_FLIGHT, report).map_or(0, |at| at.value),
        span: table.span,
    }
}

fn zone(entries: &DeTable<'_>, span: Range<usize>, report: &mut Report<'_>) -> Zone {
    let table = Table::open(Section::Zone, entries, span, &["match", "serve-stale"], report);
    let nothing = || At { value: 0, span: table.span.clone(), given: false };
    let none = || At { value: 0, span: table.span.clone(), given: false };
    let unset = || At { value: false, span: table.span.clone(), given: false };
    Zone {
        name: table.text(&keys::ZONE_NAME, report),
        names: table.texts(&keys::ZONE_NAMES, report),
        has: (table.has(&keys::ZONE_NAME), table.has(&keys::ZONE_NAMES)),
        owns: [&keys::RECORDS, &keys::HOSTS, &keys::ZONE_FILE].iter().any(|key| table.has(key))
            || entries.contains_key("match"),
        ttl: table.ttl(&keys::ZONE_TTL, report).map_or(0, |at| at.value),
        records: table.texts(&keys::RECORDS, report).unwrap_or_default(),
        hosts: table.texts(&keys::HOSTS, report).unwrap_or_default(),
        zone_file: table.text(&keys::ZONE_FILE, report),
        ptr: table.flag(&keys::PTR, report).unwrap_or_else(unset),
        other_types: word(&table, &keys::OTHER_TYPES, report),
        forward: table.texts(&keys::FORWARD, report),
        forwards: table.has(&keys::FORWARD),
        in_flight: table.number(&keys::ZONE_IN_FLIGHT, report).unwrap_or_else(none),
        next_on: table.texts(&keys::NEXT_ON, report).unwrap_or_default(),
        min_ttl: table.ttl(&keys::MIN_TTL, report).unwrap_or_else(nothing),
        max_ttl: table.ttl(&keys::MAX_TTL_KEY, report).unwrap_or_else(nothing),
        negative_max_ttl: table.ttl(&keys::NEGATIVE_MAX_TTL, report).unwrap_or_else(nothing),
        except: table.texts(&keys::EXCEPT, report).unwrap_or_default(),
        nxdomain_cut: table.flag(&keys::NXDOMAIN_CUT, report).unwrap_or_else(unset),
        max_labels: table.number(&keys::MAX_LABELS, report),
        serve_stale: serve_stale(entries, report),
        matches: repeated(entries, Section::Match, report, pattern),
        span: table.span,
    }
}

fn serve_stale(entries: &DeTable<'_>, report: &mut Report<'_>) -> ServeStale {
    let nothing = DeTable::new();
    let found = Table::inner(entries, Section::ServeStale, report);
    let said_at = found.as_ref().map(|(_, span)| span.start);
    let (entries, span) = found.unwrap_or((&nothing, 0..0));
    let table = Table::open(Section::ServeStale, entries, span, &[], report);
    let mut duration = |key| table.duration(key, report).map_or(Duration::ZERO, |at| at.value);
    ServeStale {
        max_age: duration(&keys::STALE_MAX_AGE),
        after: duration(&keys::STALE_AFTER),
        ttl: table.ttl(&keys::STALE_TTL, report).map_or(0, |at| at.value),
        said_at,
    }
}

fn pattern(entries: &DeTable<'_>, span: Range<usize>, report: &mut Report<'_>) -> Match {
    let table = Table::open(Section::Match, entries, span, &[], report);
    Match {
        pattern: table.text(&keys::PATTERN, report),
        answer: table.texts(&keys::ANSWER, report),
        rcode: table.word(&keys::RCODE, report),
        has: (table.has(&keys::ANSWER), table.has(&keys::RCODE)),
        ttl: table.ttl(&keys::MATCH_TTL, report).map(|at| at.value),
        span: table.span,
    }
}

/// A word that has a default.
fn word(table: &Table<'_>, key: &Key, report: &mut Report<'_>) -> At<String> {
    table.word(key, report).unwrap_or_else(|| At { value: String::new(), span: table.span.clone(), given: false })
}
