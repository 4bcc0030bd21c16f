//! A worker: one thread, one runtime, its own sockets, its own line.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use super::bind::Listener;
use super::connections::Connections;
use super::context::Context;
use super::post::{Duty, Post, Service};
use super::roll_call::RollCall;
use super::unanswered::Unanswered;
use super::{tcp, udp};
use crate::cache::Front;
use crate::clock::Clock;
use crate::forward::{Forwarder, Shared};
use crate::handler::{Handler, Tables};
use crate::metrics::{Load, WorkerSeries};
use crate::upstream;

/// How long a worker that failed rests before it starts again.
const RESTART_PAUSE: Duration = Duration::from_millis(50);

/// What a worker starts with. All workers share what stands behind an `Arc`.
#[derive(Clone)]
pub struct Start {
    /// Which worker this is, from 0.
    pub index: usize,
    pub tables: Arc<ArcSwap<Tables>>,
    pub shared: Arc<Shared>,
    pub series: Arc<WorkerSeries>,
    pub clock: Clock,
    /// Bytes that this worker's front may hold.
    pub front_bytes: usize,
    /// One permit for each TCP connection, with or without TLS, over all workers.
    pub connections: Arc<Connections>,
    /// What to listen on, as it is now. What is new is taken up, and what is gone ends.
    pub duty: watch::Receiver<Duty>,
    /// Where it shows that it is alive.
    pub roll_call: RollCall,
    /// Becomes true when the worker is to finish what it has and end.
    pub stop: watch::Receiver<bool>,
    /// What the process before did not answer, and what this one leaves.
    pub unanswered: Arc<Unanswered>,
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts a worker. Should its thread panic, it is counted and started again on the sockets that it
    /// has by then.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(start: Start) -> io::Result<Self> {
        let name = format!("worker-{}", start.index);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            loop {
                let start = start.clone();
                let (series, index) = (Arc::clone(&start.series), start.index);
                let run = std::panic::AssertUnwindSafe(|| run(start));
                match std::panic::catch_unwind(run) {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => tracing::error!(worker = index, %error, "worker failed; starting it again"),
                    Err(_) => tracing::error!(worker = index, "worker panicked; starting it again"),
                }
                series.restarted();
                // A cause that stays must not become a busy loop.
                std::thread::park_timeout(RESTART_PAUSE);
            }
        })?;
        Ok(Self { thread })
    }

    /// Waits until the worker has ended.
    pub fn join(self) {
        // The thread catches its own panics.
        let _ = self.thread.join();
    }
}

fn run(start: Start) -> io::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_io().enable_time().build_local(LocalOptions::default())?.block_on(serve(start))
}

async fn serve(start: Start) -> io::Result<()> {
    let (mut duty, mut stop) = (start.duty, start.stop);

    let exchange = Rc::new(upstream::Sockets::new(start.clock, Arc::clone(&start.series)));
    let forwarder = Rc::new(Forwarder::new(Rc::clone(&exchange) as Rc<_>, start.shared, start.clock));
    let front = Front::new(start.front_bytes);
    let series = Arc::clone(&start.series);
    let handler = Handler::new(start.index, Arc::clone(&start.tables), front, forwarder, series, start.clock);
    let (busy, mut idle) = mpsc::channel(1);
    let context = Rc::new(Context {
        handler: RefCell::new(handler),
        series: start.series,
        clock: start.clock,
        connections: start.connections,
        limits: Cell::new(duty.borrow().limits),
        unanswered: start.unanswered,
        reply_buffer: RefCell::default(),
        busy,
    });
    let beat = tokio::task::spawn_local(beat(Rc::downgrade(&context), start.roll_call, start.tables, exchange));
    let mut posts = Posts { served: Vec::new(), loops: JoinSet::new() };
    loop {
        let current = duty.borrow_and_update().clone();
        context.limits.set(current.limits);
        posts.follow(&current.posts, &context)?;
        tokio::select! {
            biased;
            _ = stop.wait_for(|&stop| stop) => break,
            Some(ended) = posts.loops.join_next() => whole(ended)?,
            changed = duty.changed() => if changed.is_err() { break },
        }
    }
    posts.served.clear();
    while let Some(ended) = posts.loops.join_next().await {
        whole(ended)?;
    }
    if context.unanswered.is_kept() {
        // Tasks go with the runtime, and leave their questions.
        return Ok(());
    }
    let (drain, left) = (context.limits.get().drain, Rc::downgrade(&context));
    drop(context);
    // Ends when the last task has dropped its end, which also says that all replies are sent.
    if timeout(drain, idle.recv()).await.is_err()
        && let Some(context) = left.upgrade()
    {
        let unanswered = context.handler.borrow().waiting();
        context.series.unanswered_at_stop(unanswered as u64);
        tracing::warn!(worker = start.index, unanswered, "stopped with questions unanswered: `drain` is over");
    }
    beat.abort();
    Ok(())
}

/// A loop that panicked takes the worker with it, which is started again whole.
fn whole(ended: Result<io::Result<()>, JoinError>) -> io::Result<()> {
    ended.map_err(io::Error::other)?
}

/// The sockets that are served, each by a loop of its own.
struct Posts {
    /// Letting go of the second ends the service of the first.
    served: Vec<(Arc<Post>, watch::Sender<()>)>,
    loops: JoinSet<io::Result<()>>,
}

impl Posts {
    /// Serves these from now on, and no others.
    fn follow(&mut self, posts: &[Arc<Post>], context: &Rc<Context>) -> io::Result<()> {
        self.served.retain(|(served, _)| posts.iter().any(|post| Arc::ptr_eq(post, served)));
        for post in posts {
            if self.served.iter().any(|(served, _)| Arc::ptr_eq(post, served)) {
                continue;
            }
            let (end, service) = Service::begin();
            let (need, context) = (post.need(), Rc::clone(context));
            match post.duplicate()? {
                Listener::Udp(udp) => self.loops.spawn_local(udp::serve(udp, need, service, context)),
                Listener::Tcp(tcp) => self.loops.spawn_local(tcp::serve(tcp, None, need, service, context)),
                Listener::Tls(tcp, config) => {
                    self.loops.spawn_local(tcp::serve(tcp, Some(config.into()), need, service, context))
                }
            };
            self.served.push((Arc::clone(post), end));
        }
        Ok(())
    }
}

/// Shows, whenever it is asked to, that the worker goes round, and lets go of what a reload left out:
/// tables, and sockets towards servers.
async fn beat(
    context: Weak<Context>,
    roll_call: RollCall,
    tables: Arc<ArcSwap<Tables>>,
    exchange: Rc<upstream::Sockets>,
) {
    let (mut heard, mut generation) = (roll_call.heard(), tables.load().generation);
    while let Some(context) = context.upgrade() {
        context.series.beat(context.clock.now());
        context.series.load(Load { upstream_connections: exchange.connections(), ..context.handler.borrow().load() });
        let live = tables.load();
        if live.generation != generation {
            generation = live.generation;
            context.handler.borrow_mut().refresh();
            exchange.keep_only(live.servers());
        }
        drop((live, context));
        roll_call.answered();
        if heard.changed().await.is_err() {
            return;
        }
    }
}
