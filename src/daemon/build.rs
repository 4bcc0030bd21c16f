//! From configuration to live tables.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::quality::FixedState;
use rand::RngExt;

use crate::config::{self, Config, Forward, Transport, UpstreamServer};
use crate::dns::Name;
use crate::forward::Plan;
use crate::handler::Tables;
use crate::metrics::Registry;
use crate::upstream::{Group, Server, nameservers};
use crate::zone::{Unfit, ZoneTable};

/// The label of the zones that nobody configured; no name in full ends so.
const SPECIAL: &str = "special";
/// The port of resolv.conf's nameservers, which the format cannot name.
const DNS_PORT: u16 = 53;

/// Builds everything that a reload replaces.
///
/// # Errors
/// [`Unfit`] when records do not fit into a message.
pub fn tables(config: &Config, generation: u64, registry: &Registry, ready: Name) -> Result<Tables, Unfit> {
    let zones = ZoneTable::build(&config.zones)?;
    let groups: Vec<Arc<Group>> = config.upstreams.iter().map(|upstream| group(upstream, config, registry)).collect();
    let plan = |zone: &config::Zone| {
        let forward = zone.forward.as_ref()?;
        Some(Plan {
            identity: identity(zone, forward, config),
            zone: zone.name.clone(),
            groups: forward.groups.iter().filter_map(|&index| groups.get(index).cloned()).collect(),
            next_on: forward.next_on,
            ttl: forward.ttl,
        })
    };
    Ok(Tables {
        generation,
        zones,
        forwarding: config.zones.iter().map(plan).collect(),
        series: config.zones.iter().map(|zone| registry.zone(&label(zone))).collect(),
        allow: config.server.allow.clone(),
        ready,
    })
}

/// What a zone's series are labelled with. The special zones share one label: they are many, and
/// mostly never asked.
fn label(zone: &config::Zone) -> String {
    if zone.special { SPECIAL.to_owned() } else { zone.name.to_string() }
}

/// The keys whose change a reload cannot carry out.
pub(super) fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (&old.server, &new.server);
    let changes = [
        ("server.listen", a.listen != b.listen),
        ("server.workers", a.workers != b.workers),
        ("server.tcp-connections", a.tcp_connections != b.tcp_connections),
        ("server.tcp-idle", a.tcp_idle != b.tcp_idle),
        ("server.tcp-read", a.tcp_read != b.tcp_read),
        ("server.drain", a.drain != b.drain),
        ("admin.listen", old.admin.listen != new.admin.listen),
        ("admin.metrics-listen", old.admin.metrics_listen != new.admin.metrics_listen),
        ("cache.max-bytes", old.cache.max_bytes != new.cache.max_bytes),
        ("log.format", old.log.format != new.log.format),
        ("log.level", old.log.level != new.log.level),
    ];
    changes.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}

/// A name that only this process knows, under a top-level domain that cannot exist (RFC 6761,
/// section 6.4).
pub fn secret_name() -> Name {
    let label: [u8; 16] = rand::rng().random();
    let label: String = label.iter().map(|octet| char::from(b'a' + octet % 26)).collect();
    Name::from_text(&format!("{label}.ready.zerohop.invalid."), &Name::root()).unwrap_or_else(|_| Name::root())
}

fn group(upstream: &config::Upstream, config: &Config, registry: &Registry) -> Arc<Group> {
    let server = |transport, address: SocketAddr| {
        let trusted = upstream.trust_ad.unwrap_or_else(|| address.ip().is_loopback());
        let label = match transport {
            Transport::Udp => address.to_string(),
            Transport::Tcp => format!("tcp://{address}"),
        };
        Arc::new(Server { address, transport, trusted, series: registry.server(&upstream.name, &label) })
    };
    let servers = upstream.servers.iter().flat_map(|source| match source {
        UpstreamServer::Address { transport, address } => vec![server(*transport, *address)],
        UpstreamServer::ResolvConf(path) => {
            let addresses = resolv_conf(path, config);
            addresses.into_iter().map(|address| server(Transport::Udp, address)).collect()
        }
    });
    Arc::new(Group::new(upstream.name.clone(), servers.collect(), upstream.policy))
}

/// The nameservers of a file, but for our own listeners: those would make a loop.
fn resolv_conf(path: &std::path::Path, config: &Config) -> Vec<SocketAddr> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "no upstream servers: the file cannot be read");
            return Vec::new();
        }
    };
    let addresses = nameservers(&text).into_iter().map(|address| SocketAddr::new(address, DNS_PORT));
    let (own, others): (Vec<_>, Vec<_>) = addresses.partition(|address| config.server.listen.contains(address));
    for address in own {
        tracing::warn!(file = %path.display(), %address, "left out of the upstreams: it is our own listen address");
    }
    if others.is_empty() {
        tracing::warn!(file = %path.display(), "no upstream servers: the file names none");
    }
    others
}

/// A number that differs whenever a zone's answers may differ: by its name, whom it asks and in
/// what order, and how long answers are kept. The same in every process.
fn identity(zone: &config::Zone, forward: &Forward, config: &Config) -> u64 {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    zone.name.hash(&mut hasher);
    for upstream in forward.groups.iter().filter_map(|&index| config.upstreams.get(index)) {
        upstream.name.hash(&mut hasher);
        for server in &upstream.servers {
            match server {
                UpstreamServer::Address { transport, address } => (transport, address).hash(&mut hasher),
                UpstreamServer::ResolvConf(path) => path.hash(&mut hasher),
            }
        }
        upstream.trust_ad.hash(&mut hasher);
    }
    forward.next_on.hash(&mut hasher);
    forward.ttl.hash(&mut hasher);
    hasher.finish()
}
