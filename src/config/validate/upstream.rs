//! Upstreams: the named ones, and the bare servers that zones forward to.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::tls;
use crate::config::address;
use crate::config::fault::{Message, Report, Spot};
use crate::config::file;
use crate::config::keys;
use crate::config::table;
use crate::config::text::At;
use crate::config::{Policy, SourcePort, Transport, Upstream, UpstreamServer};

/// What is ours, so that asking it would be asking ourselves.
pub(super) struct Own {
    pub(super) listen: Vec<SocketAddr>,
    /// Addresses that `[interface]` has the node keep: ours on every port.
    pub(super) device: Vec<IpAddr>,
}

/// The upstream groups, and what zones have made of them so far.
pub(super) struct Upstreams<'a> {
    groups: Vec<Upstream>,
    /// The named ones by name, the first of each.
    by_name: HashMap<String, usize>,
    /// The bare servers.
    by_server: HashMap<UpstreamServer, usize>,
    /// Where each of the named ones stands; the bare servers follow them in `groups`.
    named_at: Vec<usize>,
    used: Vec<bool>,
    own: &'a Own,
    directory: &'a Path,
}

impl<'a> Upstreams<'a> {
    /// Understands the `[[upstream]]` sections. A server that is one of our own is an error.
    pub(super) fn read(said: &[file::Upstream], own: &'a Own, directory: &'a Path, report: &mut Report<'_>) -> Self {
        let mut upstreams = Self {
            groups: Vec::new(),
            by_name: HashMap::new(),
            by_server: HashMap::new(),
            named_at: Vec::new(),
            used: Vec::new(),
            own,
            directory,
        };
        for group in said {
            upstreams.add_named(group, report);
        }
        upstreams
    }

    /// The index of what one entry of a zone's `forward` names; `None` when it was reported.
    pub(super) fn index_of(&mut self, at: &At<String>, report: &mut Report<'_>) -> Option<usize> {
        if let Some(&index) = self.by_name.get(&at.value) {
            self.used[index] = true;
            return Some(index);
        }
        let path = keys::FORWARD.path();
        if !address::looks_like_server(&at.value) {
            if !report.incomplete() {
                report.error(at.span.start, &path, self.unknown(&at.value));
            }
            return None;
        }
        let server = self.server(at, &path, report)?;
        if is_host(&server) {
            let remedy = "put it into the `servers` of an [[upstream]] with `bootstrap`, and name that one here";
            report.error(at.span.start, &path, Message::new(unresolved(at), remedy));
            return None;
        }
        let tls = is_over_tls(&server).then(|| tls::system(at, &path, report)).flatten();
        if let Some(&index) = self.by_server.get(&server) {
            return Some(index);
        }
        self.by_server.insert(server.clone(), self.groups.len());
        self.groups.push(Upstream {
            name: at.value.clone(),
            servers: vec![server],
            bootstrap: Vec::new(),
            policy: Policy::Fastest,
            trust_ad: None,
            tls,
            source_port: None,
            case_randomization: false,
            in_flight: keys::DEFAULT_SERVER_IN_FLIGHT,
        });
        Some(self.groups.len() - 1)
    }

    pub(super) fn warn_of_unused(&self, report: &mut Report<'_>) {
        for ((group, &offset), used) in self.groups.iter().zip(&self.named_at).zip(&self.used) {
            if !used && !group.name.is_empty() {
                let problem = format!("no zone forwards to {:?}", group.name);
                report.warning(
                    offset,
                    "upstream",
                    Message::new(problem, "name it in a zone's `forward`, or remove it"),
                );
            }
        }
    }

    pub(super) fn into_groups(self) -> Vec<Upstream> {
        self.groups
    }

    fn add_named(&mut self, said: &file::Upstream, report: &mut Report<'_>) {
        let path = keys::SERVERS.path();
        let mut servers = Vec::new();
        let (mut over_tls, mut host) = (None, None);
        for at in said.servers.iter().flatten() {
            let Some(server) = self.server(at, &path, report) else { continue };
            if servers.contains(&server) {
                let problem = format!("the server {:?} stands twice", at.value);
                report.error(at.span.start, &path, Message::new(problem, "remove one of the two"));
            }
            if is_over_tls(&server) {
                over_tls.get_or_insert(at);
            }
            if is_host(&server) {
                host.get_or_insert(at);
            }
            servers.push(server);
        }
        let tls = tls::read(said, over_tls, self.directory, report);
        let bootstrap = self.bootstrap(said, host, report);
        if said.servers.as_ref().is_some_and(Vec::is_empty) {
            let remedy = r#"write at least one, as servers = ["10.96.0.11"]"#;
            report.error(said.span.start, &path, Message::new("the list is empty", remedy));
        }
        let name = said.name.as_ref();
        if let Some(at) = name {
            self.check_name(at, report);
        }
        let policy = match said.policy.as_str() {
            "round-robin" => Policy::RoundRobin,
            "random" => Policy::Random,
            "sequential" => Policy::Sequential,
            _ => Policy::Fastest,
        };
        let source_port = said.source_port.as_ref().map(|word| match word.as_str() {
            "per-query" => SourcePort::PerQuery,
            _ => SourcePort::Shared,
        });
        let case_randomization = said.case_randomization;
        let in_flight = usize::try_from(said.in_flight).unwrap_or(usize::MAX);
        let name = name.map_or_else(String::new, |at| at.value.clone());
        self.by_name.entry(name.clone()).or_insert(self.groups.len());
        self.groups.push(Upstream {
            name,
            servers,
            bootstrap,
            policy,
            trust_ad: said.trust_ad,
            tls,
            source_port,
            case_randomization,
            in_flight,
        });
        self.named_at.push(said.name.as_ref().map_or(said.span.start, |at| at.span.start));
        self.used.push(false);
    }

    fn check_name(&self, at: &At<String>, report: &mut Report<'_>) {
        let path = keys::UPSTREAM_NAME.path();
        if at.value.is_empty() || at.value.chars().any(|c| c.is_control() || c.is_whitespace()) {
            let problem = format!("{:?} is no name", at.value);
            report.error(at.span.start, &path, Message::new(problem, r#"write one word, as "kube-dns""#));
        } else if let Some(first) = self.by_name.get(&at.value) {
            let line = report.line_of(&Spot::Config(self.named_at[*first]));
            let problem = format!("there is an upstream {:?} already, on {line}", at.value);
            report.error(
                at.span.start,
                &path,
                Message::new(problem, "give it another name, or put the servers together"),
            );
        }
    }

    fn server(&self, at: &At<String>, path: &str, report: &mut Report<'_>) -> Option<UpstreamServer> {
        let server = match address::server(&at.value, self.directory) {
            Ok(server) => server,
            Err(message) => {
                report.error(at.span.start, path, message);
                return None;
            }
        };
        if let UpstreamServer::Address { address, .. } = &server {
            self.check_is_another(*address, at, path, report);
        }
        Some(server)
    }

    fn check_is_another(&self, address: SocketAddr, at: &At<String>, path: &str, report: &mut Report<'_>) {
        let remedy = "write the address of the server behind it; behind an intercepted one, a service of its own";
        if let Some(own) = self.own.listen.iter().find(|own| address::reaches(address, **own)) {
            let problem = format!("{address} is zerohop itself, which listens on {own}");
            report.error(at.span.start, path, Message::new(problem, remedy));
        } else if self.own.device.contains(&address.ip().to_canonical()) {
            let problem = format!("{} is zerohop itself, on every port: [interface] has it", address.ip());
            report.error(at.span.start, path, Message::new(problem, remedy));
        }
    }

    /// Who is asked for the address of `host`, the first one of an upstream.
    fn bootstrap(&self, said: &file::Upstream, host: Option<&At<String>>, report: &mut Report<'_>) -> Vec<SocketAddr> {
        let path = keys::BOOTSTRAP.path();
        let mut servers = Vec::new();
        for at in said.bootstrap.iter().flatten() {
            match address::server_address(&at.value, address::DNS_PORT) {
                Ok(address) => {
                    self.check_is_another(address, at, &path, report);
                    servers.push(address);
                }
                Err(message) => report.error(at.span.start, &path, message),
            }
        }
        match (host, &said.bootstrap) {
            (Some(at), None) => {
                let remedy = r#"name who knows, as bootstrap = ["192.0.2.53"]"#;
                report.error(at.span.start, &keys::SERVERS.path(), Message::new(unresolved(at), remedy));
            }
            (Some(_), Some(said_so)) if said_so.is_empty() => {
                let remedy = r#"write at least one, as bootstrap = ["192.0.2.53"]"#;
                report.error(said.span.start, &path, Message::new("the list is empty", remedy));
            }
            (None, Some(_)) if !report.incomplete() => {
                let at = said.bootstrap.iter().flatten().next().map_or(said.span.start, |at| at.span.start);
                let message = Message::new("has no effect without a host name in `servers`", "remove it");
                report.warning(at, &path, message);
            }
            _ => {}
        }
        servers
    }

    fn unknown(&self, name: &str) -> Message {
        let known: Vec<&str> = self.groups.iter().take(self.named_at.len()).map(|group| group.name.as_str()).collect();
        let remedy = match (table::nearest(name, &known), known.as_slice()) {
            (Some(near), _) => format!("did you mean {near:?}?"),
            (None, []) => "add an [[upstream]] of that name, or write a server's address".to_owned(),
            (None, known) => format!("write one of {}, or a server's address", known.join(", ")),
        };
        Message::new(format!("there is no upstream {name:?}"), remedy)
    }
}

fn is_over_tls(server: &UpstreamServer) -> bool {
    match server {
        UpstreamServer::Address { transport, .. } | UpstreamServer::Host { transport, .. } => {
            matches!(transport, Transport::Tls { .. })
        }
        UpstreamServer::ResolvConf(_) => false,
    }
}

fn is_host(server: &UpstreamServer) -> bool {
    matches!(server, UpstreamServer::Host { .. })
}

fn unresolved(at: &At<String>) -> String {
    format!("{:?} is a host name, and nobody is named who knows its address", at.value)
}
