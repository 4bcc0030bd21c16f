//! From what the file says to what it means. Every fault is collected on the way; the
//! configuration is worth something only when there is no error among them.

mod except;
mod pattern;
mod reach;
mod records;
mod tls;
mod upstream;
mod zone;

use std::net::SocketAddr;
use std::path::Path;

use super::address::{self, DNS_PORT};
use super::fault::{Message, Report};
use super::file::{self, File};
use super::keys::{self, Key};
use super::special;
use super::text::At;
use super::{Admin, Cache, Config, Log, LogFormat, LogLevel, Server};

/// Understands `file`. The paths in it are relative to `directory`.
pub(super) fn validate(file: &File, directory: &Path, report: &mut Report<'_>) -> Config {
    let server = server(file, report);
    let admin = admin(&file.admin, &server.listen, report);
    let mut upstreams = upstream::Upstreams::read(&file.upstreams, &server.listen, directory, report);
    let drafts = zone::read(&file.zones, &mut upstreams, directory, report);
    let private_reverse = file.server.private_reverse == "local";
    let special = special::zones(drafts.iter().map(|draft| &draft.zone.name), private_reverse);
    if !report.incomplete() {
        upstreams.warn_of_unused(report);
        reach::warn(&drafts, &special, file.zones.last().map_or(0, |zone| zone.span.start), report);
    }
    let upstreams = upstreams.into_groups();
    Config {
        server,
        admin,
        cache: Cache {
            max_bytes: file.cache.max_bytes,
            negative_share: u8::try_from(file.cache.negative_share).unwrap_or_default(),
            prefetch: file.cache.prefetch,
        },
        log: log(file),
        upstreams,
        zones: drafts.into_iter().map(|draft| draft.zone).chain(special).collect(),
    }
}

fn server(file: &File, report: &mut Report<'_>) -> Server {
    let said = &file.server;
    let mut listen = Vec::new();
    for at in said.listen.iter().flatten() {
        let read = address::socket(&at.value, Some(DNS_PORT));
        add_address(read, at, &mut listen, &keys::LISTEN, report);
    }
    if said.listen.as_ref().is_some_and(Vec::is_empty) {
        let remedy = r#"write at least one address, as listen = ["169.254.20.10:53"]"#;
        report.error(said.span.start, &keys::LISTEN.path(), Message::new("the list is empty", remedy));
    }
    let mut ports: Vec<u16> = listen.iter().map(SocketAddr::port).collect();
    ports.sort_unstable();
    ports.dedup();
    for at in &file.intercept {
        match address::ip(&at.value) {
            Ok(ip) => ports.iter().for_each(|port| {
                add_address(Ok(SocketAddr::new(ip, *port)), at, &mut listen, &keys::INTERCEPT, report);
            }),
            Err(message) => report.error(at.span.start, &keys::INTERCEPT.path(), message),
        }
    }
    let mut allow = Vec::new();
    for at in &said.allow {
        match address::prefix(&at.value) {
            Ok(prefix) => allow.push(prefix),
            Err(message) => report.error(at.span.start, &keys::ALLOW.path(), message),
        }
    }
    let cores = || std::thread::available_parallelism().map_or(1, usize::from).min(keys::DEFAULT_WORKERS);
    Server {
        listen,
        workers: said.workers.and_then(|workers| usize::try_from(workers).ok()).unwrap_or_else(cores),
        allow,
        tcp_connections: usize::try_from(said.tcp_connections).unwrap_or(usize::MAX),
        tcp_idle: said.tcp_idle,
        tcp_read: said.tcp_read,
        drain: said.drain,
    }
}

fn admin(said: &file::Admin, dns: &[SocketAddr], report: &mut Report<'_>) -> Admin {
    let mut all = Vec::new();
    let mut listen = None;
    if let Some(at) = said.listen.as_ref().filter(|at| at.value != "off") {
        add_address(address::socket(&at.value, None), at, &mut all, &keys::ADMIN_LISTEN, report);
        listen = all.first().copied();
    }
    for at in &said.metrics_listen {
        add_address(address::socket(&at.value, None), at, &mut all, &keys::METRICS_LISTEN, report);
    }
    let spelled = said.listen.iter().map(|at| (at, &keys::ADMIN_LISTEN));
    for (at, key) in spelled.chain(said.metrics_listen.iter().map(|at| (at, &keys::METRICS_LISTEN))) {
        if at.value.parse().is_ok_and(|address| dns.contains(&address)) {
            let problem = format!("{} is already taken by `server.listen`", at.value);
            report.error(at.span.start, &key.path(), Message::new(problem, "write another port"));
        }
    }
    let metrics_listen = all.split_off(usize::from(listen.is_some()));
    Admin { listen, metrics_listen }
}

/// Adds an address that must not stand twice.
fn add_address(
    read: Result<SocketAddr, Message>,
    at: &At<String>,
    list: &mut Vec<SocketAddr>,
    key: &Key,
    report: &mut Report<'_>,
) {
    match read {
        Ok(address) if list.contains(&address) => {
            report.error(
                at.span.start,
                &key.path(),
                Message::new(format!("{address} stands twice"), "remove one of the two"),
            );
        }
        Ok(address) => list.push(address),
        Err(message) => report.error(at.span.start, &key.path(), message),
    }
}

fn log(file: &File) -> Log {
    Log {
        format: match file.log_format.as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => LogFormat::Auto,
        },
        level: match file.log_level.as_str() {
            "error" => LogLevel::Error,
            "warn" => LogLevel::Warn,
            "debug" => LogLevel::Debug,
            _ => LogLevel::Info,
        },
    }
}
