//! The only room that knows every room: builds them, listens to signals, reloads, and drains.

pub mod build;
mod changes;
mod hosts;
mod log;
mod memory;
pub mod nameservers;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::LocalSet;

use crate::admin::{self, Admin};
use crate::cache::{Failures, Store};
use crate::clock::Clock;
use crate::config::{Config, Files, Loaded, Source, load};
use crate::forward::Shared;
use crate::handler::Tables;
use crate::listener::{self, BindError, Identity, Limits, Start, Worker};
use crate::metrics::Registry;
use crate::node::{self, Keeper};
use crate::upstream;
use crate::zone::Unfit;

use changes::Watch;
use hosts::Hosts;
use nameservers::Nameservers;

/// What part of the cache's bytes the workers' fronts may hold in all.
const FRONTS_SHARE: u64 = 8;

/// Why the daemon could not start.
#[derive(Debug)]
pub enum StartError {
    /// The device of `[interface]` cannot be as it should be.
    Interface(node::Fault),
    Bind(BindError),
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

/// Serves until SIGTERM or SIGINT, then answers what is under way and returns.
///
/// # Errors
/// [`StartError`] when a listen address or a resource cannot be had. Once it serves, it does not
/// fail.
pub fn run(source: Source, loaded: Loaded) -> Result<(), StartError> {
    let Loaded { config, warnings } = loaded;
    log::start(&config.log);
    for warning in warnings.iter() {
        tracing::warn!("{}", warning.headline());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let daemon = {
        let _inside = runtime.enter();
        Daemon::start(source, config, warnings.files())?
    };
    LocalSet::new().block_on(&runtime, daemon.serve())
}

struct Daemon {
    source: Source,
    /// As at the start, without what the zones own.
    config: Config,
    /// What it goes by since the last reload, if there was one.
    reloaded: Option<Config>,
    /// What was read last, whatever became of it.
    files: Files,
    /// Those that are served.
    nameservers: Nameservers,
    keeper: Keeper,
    registry: Arc<Registry>,
    tables: Arc<ArcSwap<Tables>>,
    /// Who we are to clients over TLS, if we serve any.
    identity: Option<Arc<Identity>>,
    admin: Rc<Admin>,
    workers: Vec<Worker>,
    stop: watch::Sender<bool>,
}

impl Daemon {
    fn start(source: Source, mut config: Config, read: &Files) -> Result<Self, StartError> {
        let clock = Clock::start();
        let registry = Arc::new(Registry::new(config.server.workers));
        let ready = build::secret_name();
        let nameservers = Nameservers::read(&config, &config.addresses());
        for problem in &nameservers.problems {
            tracing::warn!("{problem}");
        }
        let files = together(read, &nameservers);
        let tables =
            build::tables(&config, &nameservers, None, 1, &registry, ready.clone()).map_err(StartError::Unfit)?;
        let tables = Arc::new(ArcSwap::from_pointee(tables));
        config.forget_owned();
        let server = &config.server;
        let fronts = config.cache.max_bytes / FRONTS_SHARE;
        let (store, _) = Store::start(config.cache.max_bytes - fronts, config.cache.negative_share)?;
        let shared =
            Arc::new(Shared { store, failures: Failures::default(), in_flight: Arc::default(), loops: Arc::default() });
        let mut keeper = Keeper::start(config.interface.as_ref(), &registry.control).map_err(StartError::Interface)?;
        let connections = Arc::new(Semaphore::new(server.tcp_connections));
        let mut sockets: Vec<Vec<listener::Sockets>> = (0..server.workers).map(|_| Vec::new()).collect();
        let said = server.listen.iter().map(|&address| (address, "[server] listen"));
        let intercepted = config.intercept_listen().into_iter().map(|address| (address, "[interface] intercept"));
        for (address, key) in said.chain(intercepted) {
            let opened = listener::open(address, server.workers, key).map_err(StartError::Bind)?;
            sockets.iter_mut().zip(opened).for_each(|(worker, socket)| worker.push(socket));
        }
        let identity = server.tls.as_ref().map(|tls| Identity::new(Arc::clone(&tls.identity)));
        if let Some((tls, identity)) = server.tls.as_ref().zip(identity.as_ref()) {
            let over_tls = identity.server_config().map_err(io::Error::other)?;
            for &address in &tls.listen {
                let opened = listener::open_tls(address, server.workers, &over_tls).map_err(StartError::Bind)?;
                sockets.iter_mut().zip(opened).for_each(|(worker, socket)| worker.push(socket));
            }
        }
        registry.control.certificate_expires(server.tls.as_ref().and_then(|tls| tls.expires));
        let (stop, stopped) = watch::channel(false);
        let start = |index: usize| Start {
            index,
            tables: Arc::clone(&tables),
            shared: Arc::clone(&shared),
            series: Arc::clone(&registry.workers()[index]),
            clock,
            front_bytes: usize::try_from(fronts).unwrap_or(usize::MAX) / server.workers,
            connections: Arc::clone(&connections),
            limits: Limits { tcp_idle: server.tcp_idle, tcp_read: server.tcp_read, drain: server.drain },
            stop: stopped.clone(),
        };
        let workers = sockets
            .into_iter()
            .enumerate()
            .map(|(index, sockets)| Worker::start(start(index), sockets))
            .collect::<io::Result<Vec<_>>>()?;
        keeper.settle(&registry.control);
        let admin = Rc::new(Admin {
            registry: Arc::clone(&registry),
            shared,
            clock,
            listen: server.listen.clone(),
            ready,
            connections,
            max_connections: server.tcp_connections,
        });
        say_hello(&source, &config, &tables.load());
        let reloaded = None;
        Ok(Self {
            source,
            config,
            reloaded,
            files,
            nameservers,
            keeper,
            registry,
            tables,
            identity,
            admin,
            workers,
            stop,
        })
    }

    async fn serve(mut self) -> Result<(), StartError> {
        let admin_config = &self.config.admin;
        for &address in admin_config.listen.iter().chain(&admin_config.metrics_listen) {
            tokio::task::spawn_local(admin::serve(address, Rc::clone(&self.admin)));
        }
        let (tables, shared) = (Arc::clone(&self.tables), Arc::clone(&self.admin.shared));
        let servers = move || tables.load().servers().cloned().collect();
        // What failed while they were away may be asked again.
        let back = move || shared.failures.clear();
        // What the main thread asks is not among the workers' questions.
        let exchange = Rc::new(upstream::Sockets::new(self.admin.clock, Arc::default()));
        tokio::task::spawn_local(upstream::probe(Rc::clone(&exchange) as Rc<_>, self.admin.clock, servers, back));
        let (live, loops) = (Arc::clone(&self.tables), Arc::clone(&self.admin.shared.loops));
        let routes = move |look: &mut dyn FnMut(upstream::Route<'_>)| live.load().routes().for_each(look);
        tokio::task::spawn_local(upstream::watch_loops(Rc::clone(&exchange) as Rc<_>, self.admin.clock, loops, routes));
        let mut hosts = Hosts::new(Rc::clone(&exchange) as Rc<_>, self.admin.clock, Arc::clone(&self.registry));
        hosts.follow(&self.config);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut watch = Watch::start();
        memory::give_back();
        let by = loop {
            watch.follow(self.files.paths());
            tokio::select! {
                Some(()) = received(&mut terminate) => break "SIGTERM",
                Some(()) = received(&mut interrupt) => break "SIGINT",
                Some(()) = received(&mut hangup) => self.reload(&mut hosts),
                () = watch.settled() => {
                    let changed = self.files.changed();
                    let Some(first) = changed.first() else { continue };
                    tracing::info!(file = %first.display(), files = changed.len(), "files have changed");
                    self.reload(&mut hosts);
                }
                () = hosts.moved() => self.readdress(&hosts),
                () = self.keeper.disturbed() => self.keeper.mend(&self.registry.control),
            }
            exchange.keep_only(self.tables.load().servers());
            self.registry.forget();
            memory::give_back();
        };
        tracing::info!(signal = by, "stopping: answering what is under way");
        self.keeper.stop_intercepting();
        let _ = self.stop.send(true);
        let workers = self.workers;
        // Joining blocks; the admin listener goes on until it is done.
        let _ = tokio::task::spawn_blocking(|| workers.into_iter().for_each(Worker::join)).await;
        self.keeper.leave();
        tracing::info!("stopped");
        Ok(())
    }

    /// Reads everything again and swaps the tables, or leaves all as it is when there is any fault.
    /// Only a resolv.conf that is of no use holds nothing else up: its last servers stay.
    fn reload(&mut self, hosts: &mut Hosts) {
        let mut loaded = match load(&self.source) {
            Ok(loaded) => loaded,
            Err(faults) => {
                for fault in faults.iter() {
                    tracing::error!("{}", fault.headline());
                }
                self.files = faults.files().clone();
                return self.keep_previous(faults.errors());
            }
        };
        for warning in loaded.warnings.iter() {
            tracing::warn!("{}", warning.headline());
        }
        // A restart takes over new listen addresses; until then those of the start are ours.
        let listen = self.config.addresses();
        let mut nameservers = Nameservers::read(&loaded.config, &listen);
        nameservers.locate(hosts.addresses(), &listen);
        self.files = together(loaded.warnings.files(), &nameservers);
        for problem in &nameservers.problems {
            tracing::error!("{problem}");
        }
        if !nameservers.keep_last_good(&self.nameservers) {
            return self.keep_previous(nameservers.problems.len());
        }
        let previous = self.tables.load();
        let (generation, ready) = (previous.generation + 1, self.admin.ready.clone());
        match build::tables(&loaded.config, &nameservers, Some(&previous), generation, &self.registry, ready) {
            Ok(tables) => self.tables.store(Arc::new(tables)),
            Err(error) => {
                tracing::error!("{error}");
                return self.keep_previous(1);
            }
        }
        let control = &self.registry.control;
        // Without the listeners of a start there is nobody to show a certificate to.
        if let Some((identity, tls)) = self.identity.as_ref().zip(loaded.config.server.tls.as_ref()) {
            identity.become_another(Arc::clone(&tls.identity));
            control.certificate_expires(tls.expires);
        }
        for key in build::needs_restart(&self.config, &loaded.config) {
            tracing::warn!(key, "changed, and takes effect at the next start only");
        }
        let zones = loaded.config.configured_zones().count();
        if nameservers.problems.is_empty() {
            control.reloads_good.increment(1);
            control.config_current.set(1.0);
            tracing::info!(generation, zones, "configuration reloaded");
        } else {
            control.reloads_bad.increment(1);
            control.config_current.set(0.0);
            let files = nameservers.problems.len();
            tracing::error!(generation, zones, files, "configuration reloaded, but for files whose last servers stay");
        }
        hosts.follow(&loaded.config);
        self.nameservers = nameservers;
        loaded.config.forget_owned();
        self.reloaded = Some(loaded.config);
    }

    /// Swaps in tables whose servers are where their hosts are by now.
    fn readdress(&mut self, hosts: &Hosts) {
        self.nameservers.locate(hosts.addresses(), &self.config.addresses());
        let config = self.reloaded.as_ref().unwrap_or(&self.config);
        let tables = self.tables.load();
        let (generation, ready) = (tables.generation + 1, self.admin.ready.clone());
        let zones = Arc::clone(&tables.zones);
        let moved = build::around(zones, config, &self.nameservers, Some(&tables), generation, &self.registry, ready);
        self.tables.store(Arc::new(moved));
        // What failed while they were elsewhere may be asked again.
        self.admin.shared.failures.clear();
    }

    fn keep_previous(&self, faults: usize) {
        tracing::error!(faults, "configuration not reloaded: the previous one goes on");
        self.registry.control.reloads_bad.increment(1);
        self.registry.control.config_current.set(0.0);
    }
}

/// The files of a configuration and those of its upstreams.
fn together(read: &Files, nameservers: &Nameservers) -> Files {
    let mut files = read.clone();
    files.extend(&nameservers.files);
    files
}

/// The next signal; never, when its stream has ended.
async fn received(signal: &mut Signal) -> Option<()> {
    signal.recv().await
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
