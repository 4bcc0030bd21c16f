//! The only room that knows every room: builds them, listens to signals, reloads, and drains.

pub mod build;
mod changes;
mod departures;
mod doors;
mod hosts;
mod listening;
mod log;
mod memory;
pub mod nameservers;
mod position;
mod reload;
mod signals;
mod snapshots;
mod start;

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};

use crate::admin::Admin;
use crate::admin::control::{Order, serve_control};
use crate::config::{Config, Files, Loaded, Source};
use crate::handler::Tables;
use crate::listener::Worker;
use crate::metrics::Registry;
use crate::node::Keeper;
use crate::upstream;

use changes::Watch;
use departures::Departures;
use doors::Doors;
use hosts::Hosts;
use listening::Listening;
use log::Level;
use nameservers::Nameservers;
use position::Position;
use signals::{Signals, Told};
use snapshots::Snapshots;
use start::Prepared;

pub use start::StartError;

/// Serves until SIGTERM or SIGINT, then answers what is under way and returns. To join is to wait
/// first, for as long as another instance serves.
///
/// # Errors
/// [`StartError`] when a listen address or a resource cannot be had. Once it serves, it does not
/// fail.
pub fn run(source: Source, loaded: Loaded, join: bool) -> Result<(), StartError> {
    let Loaded { config, warnings } = loaded;
    let level = log::start(&config.log);
    for warning in warnings.iter() {
        tracing::warn!("{}", warning.headline());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut signals = Signals::listen()?;
        let control = config.admin.control.clone();
        let prepared = Prepared::new(source, config, warnings.files())?;
        let position =
            if join { Position::join(&control, &mut signals).await? } else { Some(Position::take(&control)?) };
        let Some(position) = position else { return Ok(()) };
        let prepared = if position.is_heir() { prepared.brought_up_to_date(&level) } else { prepared };
        prepared.serve(position, level)?.serve(signals).await
    })
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
    listening: Listening,
    departures: Departures,
    admin: Rc<Admin>,
    workers: Vec<Worker>,
    snapshots: Snapshots,
    stop: watch::Sender<bool>,
    position: Position,
    /// The admin listeners, with those of the instance before.
    admin_listeners: Vec<(SocketAddr, Option<TcpListener>)>,
    level: Level,
}

impl Daemon {
    async fn serve(mut self, mut signals: Signals) -> Result<(), StartError> {
        self.snapshots.load(self.position.cache());
        let (order, mut orders) = mpsc::channel(1);
        let mut doors = Doors::open(Rc::clone(&self.admin), std::mem::take(&mut self.admin_listeners));
        let mut control = JoinSet::new();
        if let Some(seat) = self.position.seat() {
            control.spawn_local(serve_control(seat.listener()?, Rc::clone(&self.admin), order)?);
        }
        self.position.accept().await;
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
        let mut watch = Watch::start();
        memory::give_back();
        watch.follow(self.files.paths());
        // While we stood by nobody watched.
        if matches!(self.position, Position::Heir(_)) && !self.files.changed().is_empty() {
            drop(self.reload(&mut hosts, &mut doors));
        }
        let by = loop {
            watch.follow(self.files.paths());
            tokio::select! {
                told = signals.next() => match told {
                    Told::Stop(signal) => break signal,
                    Told::Reload => drop(self.reload(&mut hosts, &mut doors)),
                },
                Some(Order::Reload(tell)) = orders.recv() => {
                    // Whoever asked may not wait for it.
                    let _ = tell.send(self.reload(&mut hosts, &mut doors));
                }
                () = watch.settled() => {
                    let changed = self.files.changed();
                    let Some(first) = changed.first() else { continue };
                    tracing::info!(file = %first.display(), files = changed.len(), "files have changed");
                    drop(self.reload(&mut hosts, &mut doors));
                }
                () = hosts.moved() => self.readdress(&hosts),
                () = self.snapshots.due() => self.snapshots.write(),
                () = self.departures.over() => self.keeper.let_go(&self.departures.ips()),
                () = self.keeper.disturbed() => self.keeper.mend(&self.registry.control),
            }
            exchange.keep_only(self.tables.load().servers());
            self.registry.forget();
            memory::give_back();
        };
        tracing::info!(signal = by, "stopping: answering what is under way");
        drop(orders);
        if self.admin.succession.has_heir()
            && let Some(cache) = self.snapshots.for_heir().await
        {
            self.admin.succession.bequeath(cache.into());
        }
        // Until somebody else reads, we do.
        if self.admin.succession.leave().await {
            doors.close();
            control.abort_all();
        } else {
            self.keeper.stop_intercepting();
        }
        let _ = self.stop.send(true);
        let workers = self.workers;
        // Joining blocks; without an heir the admin listener goes on until it is done.
        let _ = tokio::task::spawn_blocking(|| workers.into_iter().for_each(Worker::join)).await;
        // Somebody may have joined since.
        if self.admin.succession.leave().await {
            self.position.pass_on();
        } else {
            self.keeper.leave();
            self.snapshots.write_last().await;
        }
        tracing::info!("stopped");
        Ok(())
    }
}
