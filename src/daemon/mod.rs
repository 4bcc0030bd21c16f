//! The only room that knows every room: builds them, listens to signals, reloads, and drains.

pub mod build;
mod changes;
mod departures;
mod doors;
mod hosts;
mod listening;
mod log;
mod manager;
mod memory;
pub mod nameservers;
mod position;
mod reload;
mod signals;
mod snapshots;
mod start;
mod status;

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin::Admin;
use crate::admin::control::{Order, Reply, serve_control};
use crate::config::{Config, Files, Loaded, Source};
use crate::handler::Tables;
use crate::listener::{Unanswered, Worker};
use crate::metrics::Registry;
use crate::node::Keeper;
use crate::node::privileges::{self, Confined};
use crate::node::systemd::Passed;
use crate::upstream;

use changes::Watch;
use departures::Departures;
use doors::Doors;
use hosts::Hosts;
use listening::Listening;
use log::Level;
use manager::Manager;
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
    // Before anything else is opened.
    let passed = Passed::find();
    let Loaded { config, warnings } = loaded;
    let level = log::start(&config.log);
    for warning in warnings.iter() {
        tracing::warn!("{}", warning.headline());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let control = config.admin.control.clone();
        let prepared = Prepared::new(source, config, warnings.files())?;
        privileges::override_permissions();
        let manager = Rc::new(Manager::find(&passed, join));
        let position = if join {
            let stands = watch::Sender::new(false);
            let waiting = manager.stand_by(stands.subscribe());
            let joined = Position::join(&control, &mut signals, &stands).await?;
            waiting.abort();
            joined
        } else {
            Some(Position::take(&control)?)
        };
        privileges::read_by_permissions();
        let Some(position) = position else { return Ok(()) };
        let prepared = if position.is_heir() { prepared.brought_up_to_date(&level) } else { prepared };
        let left = manager.receive(passed).await;
        prepared.serve(position, left, level).await?.serve(signals, manager).await
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
    unanswered: Arc<Unanswered>,
    position: Position,
    confined: Confined,
    /// The admin listeners, with those of the instance before.
    admin_listeners: Vec<(SocketAddr, Option<TcpListener>)>,
    level: Level,
}

impl Daemon {
    async fn serve(mut self, mut signals: Signals, manager: Rc<Manager>) -> Result<(), StartError> {
        let (order, mut orders) = mpsc::channel(1);
        let mut doors = Doors::open(Rc::clone(&self.admin), std::mem::take(&mut self.admin_listeners));
        let mut control = JoinSet::new();
        if let Some(seat) = self.position.seat() {
            control.spawn_local(serve_control(seat.listener()?, Rc::clone(&self.admin), order)?);
        }
        self.position.accept().await;
        manager.serves(self.zones(), &self.admin, &self.tables);
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
            drop(self.take_up(&mut hosts, &mut doors, &manager).await);
        }
        let by = loop {
            watch.follow(self.files.paths());
            tokio::select! {
                told = signals.next() => match told {
                    Told::Stop(signal) => break signal,
                    Told::Reload => drop(self.take_up(&mut hosts, &mut doors, &manager).await),
                },
                Some(Order::Reload(tell)) = orders.recv() => {
                    // Whoever asked may not wait for it.
                    let _ = tell.send(self.take_up(&mut hosts, &mut doors, &manager).await);
                }
                () = watch.settled() => {
                    let changed = self.files.changed();
                    let Some(first) = changed.first() else { continue };
                    tracing::info!(file = %first.display(), files = changed.len(), "files have changed");
                    drop(self.take_up(&mut hosts, &mut doors, &manager).await);
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
        let keeps = manager.keeps();
        let what = if keeps { "the next process goes on with it" } else { "answering what is under way" };
        tracing::info!(signal = by, "stopping: {what}");
        self.admin.is_stopping.set(true);
        let lameduck = self.live_config().server.lameduck;
        manager.stops(lameduck + self.live_config().server.drain).await;
        drop(orders);
        if self.admin.succession.has_heir()
            && let Some(cache) = self.snapshots.for_heir().await
        {
            self.admin.succession.bequeath(cache.into());
        }
        // Until somebody else reads, we do.
        let is_succeeded = self.admin.succession.leave().await;
        if is_succeeded {
            doors.close();
            control.abort_all();
        } else {
            if !keeps {
                self.wait_to_be_left(lameduck, &mut signals).await;
            }
            self.keeper.stop_intercepting();
        }
        // What takes long is done here, while we still serve: the kernel needs 15 ms to close a watch, and
        // the cache is put by for the next process.
        drop(watch);
        if keeps && !is_succeeded {
            if let Some(cache) = self.snapshots.for_heir().await {
                manager.leave_cache(&cache).await;
            }
            self.snapshots.write_last().await;
        }
        let clock = self.admin.clock;
        let served_until = clock.now();
        if keeps && !is_succeeded {
            self.unanswered.keep();
        }
        let _ = self.stop.send(true);
        let workers = self.workers;
        // Joining blocks; without an heir the admin listener goes on until it is done.
        let _ = tokio::task::spawn_blocking(|| workers.into_iter().for_each(Worker::join)).await;
        // Somebody may have joined since.
        if self.admin.succession.leave().await {
            manager.forget().await;
            self.position.pass_on();
        } else {
            if keeps {
                let questions = manager.leave(self.unanswered.take_all()).await;
                let after = clock.now().since(served_until);
                tracing::info!(questions, ?after, "questions and sockets are left to the next process");
            }
            self.keeper.leave();
            if !keeps {
                self.snapshots.write_last().await;
            }
        }
        // The kernel takes memory back at once; entry by entry that takes longer than all else at a stop.
        std::mem::forget((Arc::clone(&self.admin.shared), self.tables));
        tracing::info!("stopped");
        Ok(())
    }

    /// Serves on for a while, unless somebody tells us to stop for the second time.
    async fn wait_to_be_left(&self, lameduck: Duration, signals: &mut Signals) {
        let told_again = async { while !matches!(signals.next().await, Told::Stop(_)) {} };
        // Over without an answer is what is usual.
        let _ = timeout(lameduck, told_again).await;
    }

    /// The configuration that the tables are made of.
    fn live_config(&self) -> &Config {
        self.reloaded.as_ref().unwrap_or(&self.config)
    }

    fn zones(&self) -> usize {
        self.live_config().configured_zones().count()
    }

    /// Reads everything again, and says so to the service manager.
    async fn take_up(&mut self, hosts: &mut Hosts, doors: &mut Doors, manager: &Manager) -> Reply {
        manager.reloads().await;
        let reply = self.reload(hosts, doors);
        manager.has_reloaded(reply.done, self.zones(), &self.tables).await;
        reply
    }
}
