//! THE LINE: a packet comes in, one call, a reply goes out.
//!
//! query → zone → local → pattern → cache → forward → response, and one count of what became of
//! it. I/O is outside, time is an argument. What needs an upstream is handed back as
//! [`Deferred`], to be finished by a task of the same worker.

mod gate;
mod resolve;
mod tables;
mod waiting;
pub mod walk;
mod writer;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt;

use crate::cache::{Found, Front, Memory, Seen};
use crate::clock::Clock;
use crate::dns::query::Rejected;
use crate::dns::{Moment, Protocol, Query, Question, Rcode};
use crate::forward::Forwarder;
use crate::metrics::{Load, Rejection, Source, WorkerSeries};
use crate::zone::Own;

use gate::Gate;
use resolve::{Hold, Resolved, resolve};
pub use tables::Tables;
use waiting::Room;
pub use waiting::Waiting;
use walk::{End, walk};
use writer::{Asked, Writer};

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    pub address: IpAddr,
    pub protocol: Protocol,
    /// The listener answers everybody: it is reachable from this host or link only.
    pub welcome: bool,
    /// How long its connection may be idle, in 100 ms (RFC 7828); `None` over UDP.
    pub keepalive: Option<u16>,
}

/// What became of a packet.
pub enum Handled {
    /// A reply of this length has been written.
    Replied(usize),
    /// The reply comes later, from [`Deferred::resolve`].
    Deferred(Box<Deferred>),
    /// There is nothing to answer.
    Dropped,
}

/// One worker's line.
pub struct Handler {
    live: arc_swap::Cache<Arc<ArcSwap<Tables>>, Arc<Tables>>,
    front: Front,
    forwarder: Rc<Forwarder>,
    gate: Gate,
    writer: Writer,
    waiting: Room,
}

impl Handler {
    /// `worker` is this worker's index into all series, which nobody else writes to.
    pub fn new(
        worker: usize,
        live: Arc<ArcSwap<Tables>>,
        front: Front,
        forwarder: Rc<Forwarder>,
        series: Arc<WorkerSeries>,
        clock: Clock,
    ) -> Self {
        let writer = Writer::new(worker, series, clock);
        Self { live: arc_swap::Cache::new(live), front, forwarder, gate: Gate::new(), writer, waiting: Room::default() }
    }

    /// Answers one packet, as far as that needs nobody else. `reply` must have room for 512
    /// octets. A panic on the way is caught, counted, and ends as SERVFAIL.
    pub fn handle(&mut self, packet: &[u8], client: Client, now: Moment, reply: &mut [u8]) -> Handled {
        let line = AssertUnwindSafe(|| self.line(packet, client, now, reply));
        std::panic::catch_unwind(line).unwrap_or_else(|_| {
            self.writer.series.panicked();
            self.apologise(packet, client, now, reply)
        })
    }

    /// SERVFAIL after a panic; with the question, unless reading that was what panicked.
    fn apologise(&mut self, packet: &[u8], client: Client, now: Moment, reply: &mut [u8]) -> Handled {
        let whole = AssertUnwindSafe(|| {
            let query = Query::parse(packet).ok()?;
            let asked = Asked { query: &query, client, received: now };
            Some(self.writer.fixed(&asked, &Resolved::failure().answer, reply))
        });
        let whole = std::panic::catch_unwind(whole).ok().flatten();
        whole.unwrap_or_else(|| self.writer.reject(packet, Rejected::Reply(Rcode::SERVFAIL), reply))
    }

    fn line(&mut self, packet: &[u8], client: Client, now: Moment, reply: &mut [u8]) -> Handled {
        // Looked at where it is: it is large to move.
        let parsed = Query::parse(packet);
        let query = match &parsed {
            Ok(query) => query,
            Err(rejected) => return self.writer.reject(packet, *rejected, reply),
        };
        let tables = self.live.load();
        let question = query.question();
        let asked = Asked { query, client, received: now };
        if let Some((reason, answer)) = self.gate.turns_away(query, client, tables) {
            return self.writer.turn_away(&asked, reason, answer, reply);
        }
        if let Found::Hit { memory, touch } = self.front.find(question, tables.generation, now) {
            if touch > 0 {
                tell(&self.forwarder, tables, question, memory, touch, now);
            }
            let series = &tables.series[memory.zone];
            return Handled::Replied(self.writer.reply_hit(&asked, series, memory, now, reply));
        }
        if let Some(answer) = self.gate.ready(question, tables) {
            return self.writer.ready(&asked, answer, reply);
        }
        if self.forwarder.is_returned(question) {
            self.writer.series.loop_check();
            return Handled::Dropped;
        }
        let Some(zone) = tables.zones.find(question.name(), question.rtype()) else {
            return self.writer.turn_away(&asked, Rejection::NoZone, self.gate.no_zone(), reply);
        };
        let resolved = match own_or_known(&self.gate, &self.forwarder, query, tables, zone, now) {
            Ok(resolved) => resolved,
            Err(seen) => match self.waiting.place() {
                Some(place) => {
                    let (query, received) = (query.detached(), now);
                    let (tables, forwarder) = (Arc::clone(tables), Rc::clone(&self.forwarder));
                    let deferred = Deferred { query, place, client, received, tables, zone, seen, forwarder };
                    return Handled::Deferred(Box::new(deferred));
                }
                None => stale(&self.forwarder, tables, zone, question, now).unwrap_or_else(|| {
                    self.writer.series.overflowed();
                    Resolved::overflow()
                }),
            },
        };
        remember(&mut self.front, question, tables.generation, zone, &resolved);
        let Resolved { answer, source, .. } = resolved;
        Handled::Replied(self.writer.reply(&asked, &tables.series[zone], &answer, source, now, reply))
    }

    /// Writes the reply to a question that was deferred, and returns its length.
    pub fn finish(&mut self, deferred: &Deferred, outcome: &Resolution, now: Moment, reply: &mut [u8]) -> usize {
        let Deferred { query, client, received, tables, zone, .. } = deferred;
        let Resolution { resolved, panicked } = outcome;
        if *panicked {
            self.writer.series.panicked();
        }
        // What was just learned is in the cache. Most names are asked for once: not for their sake
        // are others to leave the front, and this one enters it when it is asked for again.
        let is_new = resolved.source == Source::Forward;
        if !is_new && self.live.load().generation == tables.generation {
            remember(&mut self.front, query.question(), tables.generation, *zone, resolved);
        }
        let asked = Asked { query, client: *client, received: *received };
        self.writer.reply(&asked, &tables.series[*zone], &resolved.answer, resolved.source, now, reply)
    }

    /// Lets go of tables that a reload has replaced, and of what was answered by them. Packets do
    /// the same; this is for a worker that gets none.
    pub fn refresh(&mut self) {
        let generation = self.live.load().generation;
        self.front.renew(generation);
    }

    /// How much is held of what is bounded, but for connections.
    pub fn load(&self) -> Load {
        let (waiting, background) = (self.waiting(), self.forwarder.in_background());
        Load { waiting, background, upstream_connections: 0, front_bytes: self.front.bytes() }
    }

    /// Questions of clients that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.taken()
    }
}

/// What the zone owns, or what was learned lately; else what was seen of it in the cache, when
/// somebody has to be asked.
fn own_or_known(
    gate: &Gate,
    forwarder: &Rc<Forwarder>,
    query: &Query<'_>,
    tables: &Tables,
    zone: usize,
    now: Moment,
) -> Result<Resolved, Option<Seen>> {
    let question = query.question();
    if let Some(any) = gate.minimal_any(question) {
        return Ok(any);
    }
    match tables.zones.zone(zone).own(question.name(), question.rtype()) {
        Own::Answer { answer, source } => Ok(Resolved { answer, hold: Hold::Tables, source: source.into() }),
        Own::Alias { .. } => Err(None),
        Own::Elsewhere => {
            let Some(plan) = &tables.forwarding[zone] else { return Ok(gate.not_asked()) };
            match forwarder.recall(plan, question, now) {
                Ok(known) => Ok(known.into()),
                // Without RD nobody is to be asked (RFC 1034, section 4.3.1).
                Err(_) if !query.recursion_desired() => {
                    Ok(forwarder.recall_latest(plan, question, now).map_or_else(|| gate.not_asked(), Resolved::from))
                }
                Err(seen) => Err(Some(seen)),
            }
        }
    }
}

/// What has run out, for somebody who finds no room to wait.
fn stale(forwarder: &Forwarder, tables: &Tables, zone: usize, question: &Question, now: Moment) -> Option<Resolved> {
    let plan = tables.forwarding[zone].as_ref()?;
    forwarder.recall_stale(plan, question, now).map(Resolved::from)
}

/// Tells of hits in the front whoever can refresh the answer: of an alias out of local data, that of
/// what it leads to.
fn tell(forwarder: &Rc<Forwarder>, tables: &Tables, question: &Question, memory: &Memory, hits: u32, now: Moment) {
    let plan = |zone: usize| tables.forwarding[zone].as_ref();
    if memory.source == Source::Cache {
        if let Some(plan) = plan(memory.zone) {
            forwarder.touch(plan, question, hits, now);
        }
    } else {
        let walk = walk(&tables.zones, question);
        if let End::Elsewhere { zone } = walk.end
            && let Some(plan) = plan(zone)
        {
            forwarder.touch(plan, walk.question(), hits, now);
        }
    }
}

/// Keeps an answer in the front for as long as it holds.
fn remember(front: &mut Front, question: &Question, generation: u64, zone: usize, resolved: &Resolved) {
    let expires = match resolved.hold {
        Hold::Tables => None,
        Hold::Until(deadline) => Some(deadline),
        Hold::Never => return,
    };
    let (answer, source) = (Arc::clone(&resolved.answer), resolved.source);
    front.insert(question, generation, Memory { answer, expires, source, zone });
}

/// A question that waits for an upstream, or for the end of a CNAME chain.
pub struct Deferred {
    query: Query<'static>,
    place: Waiting,
    client: Client,
    received: Moment,
    tables: Arc<Tables>,
    zone: usize,
    /// What was seen of it in the cache.
    seen: Option<Seen>,
    forwarder: Rc<Forwarder>,
}

/// What came of a deferred question, to be written by [`Handler::finish`].
pub struct Resolution {
    resolved: Resolved,
    panicked: bool,
}

impl Deferred {
    /// Finds the answer. Ends within the budget of [`crate::forward::BUDGET`], whatever happens.
    pub async fn resolve(&self) -> Resolution {
        let Self { query, tables, zone, seen, forwarder, received, .. } = self;
        let resolving =
            resolve(tables, forwarder, *zone, query.question(), seen.as_ref(), query.recursion_desired(), *received);
        let caught = AssertUnwindSafe(resolving).catch_unwind().await;
        let panicked = caught.is_err();
        Resolution { resolved: caught.unwrap_or_else(|_| Resolved::failure()), panicked }
    }

    /// Its question, as a packet.
    pub fn packet(&self) -> Vec<u8> {
        self.query.packet()
    }

    /// Its place among the questions that wait, to be held until the reply is sent.
    pub fn into_place(self) -> Waiting {
        self.place
    }
}
