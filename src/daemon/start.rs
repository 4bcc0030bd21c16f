//! From a configuration to a daemon that serves.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::build::{self, Parts};
use super::departures::Departures;
use super::listening::{Listening, limits};
use super::log::Level;
use super::manager::Left;
use super::nameservers::Nameservers;
use super::position::Position;
use super::snapshots::Snapshots;
use super::{Daemon, doors};
use crate::admin::Admin;
use crate::admin::control::{SeatError, Succession};
use crate::cache::{Failures, Store};
use crate::clock::Clock;
use crate::config::{Config, Files, Loaded, Source, load};
use crate::forward::Shared;
use crate::handler::Tables;
use crate::listener::{BindError, Connections, Inherited, RollCall, Start, Unanswered, Worker};
use crate::metrics::Registry;
use crate::node::privileges;
use crate::node::{self, Keeper};
use crate::zone::Unfit;

/// What part of the cache's bytes the workers' fronts may hold in all.
const FRONTS_SHARE: u64 = 8;

/// Why the daemon could not start.
#[derive(Debug)]
pub enum StartError {
    /// The device of `[interface]` cannot be as it should be.
    Interface(node::Fault),
    Bind(BindError),
    /// Another instance serves.
    Seat(SeatError),
    /// Records that no message can carry.
    Unfit(Unfit),
    /// The system would not give a thread, a runtime or a signal handler.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(fault) => fault.fmt(f),
            Self::Bind(error) => error.fmt(f),
            Self::Seat(error) => error.fmt(f),
            Self::Unfit(error) => error.fmt(f),
            Self::System(error) => write!(f, "the system is out of a resource: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// All that serving takes but the sockets and threads: everything that may fail has.
pub(super) struct Prepared {
    source: Source,
    config: Config,
    files: Files,
    nameservers: Nameservers,
    clock: Clock,
    registry: Arc<Registry>,
    tables: Arc<ArcSwap<Tables>>,
}

impl Prepared {
    pub(super) fn new(source: Source, mut config: Config, read: &Files) -> Result<Self, StartError> {
        let clock = Clock::start();
        let registry = Arc::new(Registry::new(config.server.workers));
        let nameservers = Nameservers::read(&config, &config.addresses());
        for problem in &nameservers.problems {
            tracing::warn!("{problem}");
        }
        let files = together(read, &nameservers);
        let parts = Parts { config: &config, nameservers: &nameservers, registry: &registry, previous: None };
        let tables = build::tables(parts).map_err(StartError::Unfit)?;
        let tables = Arc::new(ArcSwap::from_pointee(tables));
        config.forget_owned();
        Ok(Self { source, config, files, nameservers, clock, registry, tables })
    }

    /// The same by what is in the files now, for whoever has stood by: so that sockets of addresses that
    /// have come are kept, too. With a fault there it stays as it is, and the reload that follows says why.
    pub(super) fn brought_up_to_date(self, level: &Level) -> Self {
        if self.files.changed().is_empty() {
            return self;
        }
        let Ok(Loaded { config, warnings }) = load(&self.source) else { return self };
        match Self::new(self.source.clone(), config, warnings.files()) {
            Ok(now) if now.nameservers.problems.is_empty() => {
                level.follow(&now.config.log);
                now
            }
            _ => self,
        }
    }

    /// Begins to serve.
    pub(super) async fn serve(self, mut position: Position, left: Left, level: Level) -> Result<Daemon, StartError> {
        let Self { source, config, files, nameservers, clock, registry, tables } = self;
        let mut inherited = position.sockets();
        let is_heir = !inherited.is_empty() || left.has_served;
        if inherited.is_empty() {
            inherited = Inherited::of(left.sockets);
        }
        let server = &config.server;
        let mut keeper = match Keeper::start(config.interface.as_ref(), &registry.control) {
            // What was served before is served on, whatever else fails.
            Err(fault) if is_heir => {
                tracing::error!("the interface is left as it is: {fault}");
                Keeper::none(config.interface.as_ref(), &registry.control)
            }
            started => started.map_err(StartError::Interface)?,
        };
        if is_heir {
            // The sockets are ours, and the rules of the one before go with it.
            keeper.settle(&registry.control);
        }
        let connections = Arc::new(Connections::new(server.tcp_connections));
        let succession = Succession::new(position.seat())?;
        let mut listening = Listening::new(server.workers, limits(&config));
        let (change, mut inherited) = listening.prepare(&config, inherited, is_heir, &succession)?;
        listening.carry_out(change, &config);
        let admin_listeners = doors::addresses(&config).map(|at| (at, inherited.take_tcp(at).pop())).collect();
        for address in inherited.left() {
            tracing::info!(%address, "not in the configuration any more: closed");
        }
        drop(inherited);
        registry.control.certificate_expires(server.tls.as_ref().and_then(|tls| tls.expires));
        let unanswered = Arc::new(Unanswered::of(left.questions));
        // Threads have what the one that starts them has: this stands before the first.
        let confined = privileges::give_up(&config, &registry.control);
        let (store, _) = Store::start(config.cache.max_bytes - fronts(&config), config.cache.negative_share)?;
        let shared =
            Arc::new(Shared { store, failures: Failures::default(), in_flight: Arc::default(), loops: Arc::default() });
        let snapshots =
            Snapshots::new(config.cache.persist.clone(), Arc::clone(&shared.store), clock, Arc::clone(&registry));
        // What was asked meanwhile finds what was known before.
        snapshots.begin(position.cache().or(left.cache)).await;
        let ((stop, stopped), roll_call) = (watch::channel(false), RollCall::default());
        let start = |index: usize| Start {
            index,
            tables: Arc::clone(&tables),
            shared: Arc::clone(&shared),
            series: Arc::clone(&registry.workers()[index]),
            clock,
            front_bytes: usize::try_from(fronts(&config)).unwrap_or(usize::MAX) / server.workers,
            connections: Arc::clone(&connections),
            duty: listening.duty(index),
            roll_call: roll_call.clone(),
            stop: stopped.clone(),
            unanswered: Arc::clone(&unanswered),
        };
        let workers = (0..server.workers).map(|index| Worker::start(start(index))).collect::<io::Result<Vec<_>>>()?;
        if !is_heir {
            keeper.settle(&registry.control);
        }
        let admin = Rc::new(Admin {
            registry: Arc::clone(&registry),
            shared,
            clock,
            roll_call,
            listen: RefCell::new(server.listen.clone()),
            ready: tables.load().ready.clone(),
            connections,
            succession,
            is_stopping: Cell::new(false),
        });
        say_hello(&source, &config, &tables.load());
        Ok(Daemon {
            source,
            config,
            reloaded: None,
            files,
            nameservers,
            keeper,
            registry,
            tables,
            listening,
            admin,
            workers,
            snapshots,
            stop,
            unanswered,
            position,
            confined,
            admin_listeners,
            level,
            departures: Departures::default(),
        })
    }
}

/// The bytes of the workers' own memories.
fn fronts(config: &Config) -> u64 {
    config.cache.max_bytes / FRONTS_SHARE
}

/// The files of a configuration and those of its upstreams.
pub(super) fn together(read: &Files, nameservers: &Nameservers) -> Files {
    let mut files = read.clone();
    files.extend(&nameservers.files);
    files
}

fn say_hello(source: &Source, config: &Config, tables: &Tables) {
    let spelled = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let zones: Vec<String> = config.configured_zones().map(|zone| zone.name.to_string()).collect();
    let mut upstreams: Vec<String> = tables.servers().map(ToString::to_string).collect();
    upstreams.sort_unstable();
    upstreams.dedup();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %source,
        listen = spelled(&config.server.listen),
        tls = config.server.tls.as_ref().map(|tls| spelled(&tls.listen)),
        workers = config.server.workers,
        zones = zones.join(" "),
        upstreams = upstreams.join(" "),
        "serving"
    );
}
