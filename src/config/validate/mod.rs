//! From what the file says to what it means. Every fault is collected on the way; the
//! configuration is worth something only when there is no error among them.

mod except;
mod interface;
mod pattern;
mod pem;
mod reach;
mod records;
mod server;
mod tls;
mod upstream;
mod validity;
mod zone;

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::address;
use super::fault::{Message, Report};
use super::file::{self, File};
use super::keys::{self, Key};
use super::special;
use super::text::At;
use super::{Admin, Cache, Config, Control, Log, LogFormat, LogLevel, Server};

/// Understands `file`. The paths in it are relative to `directory`.
pub(super) fn validate(file: &File, directory: &Path, report: &mut Report<'_>) -> Config {
    let server = server::read(file, directory, report);
    let admin = admin(&file.admin, &server, directory, report);
    let interface = file.interface.as_ref().map(|said| interface::read(said, &server, report));
    let own = upstream::Own {
        listen: server.addresses(),
        device: interface.iter().flat_map(|said| said.addresses.iter().chain(&said.intercept)).copied().collect(),
    };
    let mut upstreams = upstream::Upstreams::read(&file.upstreams, &own, directory, report);
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
        interface,
        admin,
        cache: Cache {
            max_bytes: file.cache.max_bytes,
            negative_share: u8::try_from(file.cache.negative_share).unwrap_or_default(),
            prefetch: file.cache.prefetch,
            persist: file.cache.persist.as_ref().and_then(|said| persist(said, report)),
        },
        log: log(file),
        upstreams,
        zones: drafts.into_iter().map(|draft| draft.zone).chain(special).collect(),
    }
}

fn admin(said: &file::Admin, server: &Server, directory: &Path, report: &mut Report<'_>) -> Admin {
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
        let read = address::socket(&at.value, None);
        check_free(&read, at, (&keys::LISTEN, &server.listen), key, report);
        if let Some(tls) = &server.tls {
            check_free(&read, at, (&keys::TLS_LISTEN, &tls.listen), key, report);
        }
    }
    let metrics_listen = all.split_off(usize::from(listen.is_some()));
    Admin {
        listen,
        metrics_listen,
        control: Control::said(said.control.as_ref().map(|at| at.value.as_str()), directory),
    }
}

/// Adds an address that must not stand twice.
fn add_address<A: PartialEq + Display>(
    read: Result<A, Message>,
    at: &At<String>,
    list: &mut Vec<A>,
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

/// Reports an address that another key has taken.
fn check_free(
    read: &Result<SocketAddr, Message>,
    at: &At<String>,
    (owner, taken): (&Key, &[SocketAddr]),
    key: &Key,
    report: &mut Report<'_>,
) {
    if read.as_ref().is_ok_and(|address| taken.contains(address)) {
        let problem = format!("{} is already taken by `{}`", at.value, owner.path());
        report.error(at.span.start, &key.path(), Message::new(problem, "write another port"));
    }
}

/// No relative path: beside the configuration is no place to write to.
fn persist(said: &At<String>, report: &mut Report<'_>) -> Option<PathBuf> {
    let path = Path::new(&said.value);
    if path.is_absolute() && path.file_name().is_some() && !said.value.ends_with('/') {
        return Some(path.to_owned());
    }
    let problem = format!("{:?} is no absolute path of a file", said.value);
    let remedy = r#"write one that the user that serves may write to, as persist = "/var/lib/zerohop/cache""#;
    report.error(said.span.start, &keys::PERSIST.path(), Message::new(problem, remedy));
    None
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
