//! From configuration to live tables.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::quality::FixedState;
use rand::RngExt;

use crate::config::{self, Config, Forward, SourcePort, UpstreamServer};
use crate::dns::Name;
use crate::forward::Plan;
use crate::handler::Tables;
use crate::metrics::{Registry, ZoneSeries};
use crate::upstream::{Group, LastUse, Server, Tls, Transport, UdpHabits};
use crate::zone::{Unfit, ZoneTable};

use super::nameservers::Nameservers;

/// The label of the zones that nobody configured; no name in full ends so.
const SPECIAL: &str = "special";

/// Servers by how the configuration spells them: of the previous tables, and those built so far.
/// What is known of a server is shared by all groups that it is in, and outlives reloads; so do
/// its connections, as long as its certificates are the same.
type Known = HashMap<String, Arc<Server>>;

/// What tables are built from.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    pub config: &'a Config,
    /// Those of this configuration's files.
    pub nameservers: &'a Nameservers,
    pub registry: &'a Registry,
    /// The tables before, if there were any: servers that they had keep what is known of them.
    pub previous: Option<&'a Tables>,
}

/// Builds everything that a reload replaces, as the generation that follows.
///
/// # Errors
/// [`Unfit`] when records do not fit into a message.
pub fn tables(parts: Parts<'_>) -> Result<Tables, Unfit> {
    let zones = Arc::new(ZoneTable::build(&parts.config.zones)?);
    Ok(around(zones, parts))
}

/// As [`tables`], with the zones of this configuration, which are built already.
pub(super) fn around(zones: Arc<ZoneTable>, parts: Parts<'_>) -> Tables {
    let Parts { config, nameservers, registry, previous } = parts;
    let known = previous.into_iter().flat_map(Tables::servers);
    let mut known: Known = known.map(|server| (server.to_string(), Arc::clone(server))).collect();
    let groups: Vec<Arc<Group>> =
        config.upstreams.iter().map(|upstream| group(upstream, nameservers, &mut known, registry)).collect();
    let series: Vec<_> = config.zones.iter().map(|zone| registry.zone(&label(zone))).collect();
    let plan = |(zone, series): (&config::Zone, &Arc<ZoneSeries>)| {
        let forward = zone.forward.as_ref()?;
        Some(Arc::new(Plan {
            identity: identity(zone, forward, config, nameservers),
            zone: zone.name.clone(),
            groups: forward.groups.iter().filter_map(|&index| groups.get(index).cloned()).collect(),
            in_flight: forward.in_flight,
            series: Arc::clone(series),
            used: LastUse::default(),
            next_on: forward.next_on,
            ttl: forward.ttl,
            stale: forward.stale,
            prefetch: config.cache.prefetch,
            nxdomain_cut: forward.nxdomain_cut,
        }))
    };
    Tables {
        generation: previous.map_or(1, |previous| previous.generation + 1),
        zones,
        forwarding: config.zones.iter().zip(&series).map(plan).collect(),
        series,
        allow: config.server.allow.clone(),
        ready: previous.map_or_else(secret_name, |previous| previous.ready.clone()),
    }
}

/// What a zone's series are labelled with. The special zones share one label: they are many, and
/// mostly never asked.
fn label(zone: &config::Zone) -> String {
    if zone.special { SPECIAL.to_owned() } else { zone.name.to_string() }
}

/// The keys whose change a reload cannot carry out.
pub(super) fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let device = |config: &Config| config.interface.as_ref().map(|interface| interface.name.clone());
    let changes = [
        // Each has a front, counters and sockets of its own from the start.
        ("server.workers", old.server.workers != new.server.workers),
        // The addresses would have to be on both devices at once.
        ("interface.name", device(old).zip(device(new)).is_some_and(|(old, new)| old != new)),
        // A standby and the lock go with it.
        ("admin.control", old.admin.control != new.admin.control),
        // moka has its size from the start.
        ("cache.max-bytes", old.cache.max_bytes != new.cache.max_bytes),
        ("cache.negative-share", old.cache.negative_share != new.cache.negative_share),
        ("log.format", old.log.format != new.log.format),
    ];
    changes.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}

/// A name that only this process knows, under a top-level domain that cannot exist (RFC 6761,
/// section 6.4).
fn secret_name() -> Name {
    let label: [u8; 16] = rand::rng().random();
    let label: String = label.iter().map(|octet| char::from(b'a' + octet % 26)).collect();
    Name::from_text(&format!("{label}.ready.zerohop.invalid."), &Name::root()).unwrap_or_else(|_| Name::root())
}

fn group(upstream: &config::Upstream, nameservers: &Nameservers, known: &mut Known, registry: &Registry) -> Arc<Group> {
    let mut server = |transport: Transport, address: SocketAddr| {
        let is_safe = address.ip().is_loopback() || matches!(transport, Transport::Tls(_));
        let trusted = upstream.trust_ad.unwrap_or(is_safe);
        let label = transport.at(address);
        let before = known.get(&label);
        let transport = match (before.map(|server| &server.transport), transport) {
            (Some(Transport::Tls(old)), Transport::Tls(new)) if old.is_as(&new) => Transport::Tls(Arc::clone(old)),
            (_, transport) => transport,
        };
        let health = before.map(|server| Arc::clone(&server.health)).unwrap_or_default();
        let series = registry.server(&upstream.name, &label);
        let mut habits = UdpHabits { random_case: upstream.case_randomization, ..UdpHabits::suiting(address.ip()) };
        if let Some(port) = upstream.source_port {
            habits.port_per_query = port == SourcePort::PerQuery;
        }
        let in_flight = upstream.in_flight;
        let server = Arc::new(Server { address, transport, trusted, health, series, habits, in_flight });
        known.insert(label, Arc::clone(&server));
        server
    };
    let servers = upstream.servers.iter().flat_map(|source| -> Vec<Arc<Server>> {
        match source {
            UpstreamServer::Address { transport, address } => {
                transport_to(transport, upstream).into_iter().map(|transport| server(transport, *address)).collect()
            }
            UpstreamServer::Host { transport, host, port } => {
                let addresses = nameservers.of_host(host, *port, &upstream.bootstrap).into_iter();
                addresses.filter_map(|at| Some(server(transport_to(transport, upstream)?, at))).collect()
            }
            UpstreamServer::ResolvConf(path) => {
                nameservers.of(path).iter().map(|&address| server(Transport::Udp, address)).collect()
            }
        }
    });
    Arc::new(Group::new(upstream.name.clone(), servers.collect(), upstream.policy))
}

/// `None` for TLS of an upstream that has no way to trust anybody, which no configuration is without
/// fault.
fn transport_to(said: &config::Transport, upstream: &config::Upstream) -> Option<Transport> {
    Some(match said {
        config::Transport::Udp => Transport::Udp,
        config::Transport::Tcp => Transport::Tcp,
        config::Transport::Tls { name, over } => {
            Transport::Tls(Arc::new(Tls::new(name.clone(), over.clone(), upstream.tls.clone()?)))
        }
    })
}

/// A number that differs whenever a zone's answers may differ: by its name, whom it asks and in
/// what order, and how long answers are kept. The same in every process. Where a host is by now makes
/// no difference.
fn identity(zone: &config::Zone, forward: &Forward, config: &Config, nameservers: &Nameservers) -> u64 {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    zone.name.hash(&mut hasher);
    for upstream in forward.groups.iter().filter_map(|&index| config.upstreams.get(index)) {
        (&upstream.name, upstream.trust_ad).hash(&mut hasher);
        for server in &upstream.servers {
            match server {
                UpstreamServer::ResolvConf(path) => nameservers.of(path).hash(&mut hasher),
                named => named.hash(&mut hasher),
            }
        }
    }
    forward.next_on.hash(&mut hasher);
    forward.ttl.hash(&mut hasher);
    hasher.finish()
}
