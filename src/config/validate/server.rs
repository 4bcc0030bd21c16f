//! Where questions come in, and from whom.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;

use super::{add_address, check_free, pem, validity};
use crate::config::address::{self, DNS_PORT, TLS_PORT};
use crate::config::fault::{Message, Report};
use crate::config::file::{self, File};
use crate::config::keys;
use crate::config::{Server, ServerTls};

/// Understands `[server]`.
pub(super) fn read(file: &File, directory: &Path, report: &mut Report<'_>) -> Server {
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
    let tls = said.tls.as_ref().and_then(|said| tls(said, &listen, directory, report));
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
        lameduck: said.lameduck,
        tls,
    }
}

/// `dns` are the addresses without TLS. `None` when something was reported.
fn tls(said: &file::ServerTls, dns: &[SocketAddr], directory: &Path, report: &mut Report<'_>) -> Option<ServerTls> {
    let mut listen = Vec::new();
    for at in said.listen.iter().flatten() {
        let read = address::socket(&at.value, Some(TLS_PORT));
        check_free(&read, at, (&keys::LISTEN, dns), &keys::TLS_LISTEN, report);
        add_address(read, at, &mut listen, &keys::TLS_LISTEN, report);
    }
    if said.listen.as_ref().is_some_and(Vec::is_empty) {
        let remedy = r#"write at least one address, as listen = ["169.254.20.10:853"]"#;
        report.error(said.span.start, &keys::TLS_LISTEN.path(), Message::new("the list is empty", remedy));
    }
    let (certificate, key) = (said.certificate.as_ref()?, said.key.as_ref()?);
    let files = pem::Pair { certificate: (certificate, &keys::TLS_CERTIFICATE), key: (key, &keys::TLS_KEY) };
    let identity = pem::certified_key(&files, &ring::default_provider(), directory, report)?;
    let expires = validity::of_chain(&identity.cert).map(|validity| validity.not_after.as_secs());
    Some(ServerTls { listen, identity: Arc::new(identity), expires })
}
