//! A question from a client, and what an upstream has to say about it: the whole line.
//!
//! Input: flags, seconds until the question is asked again, the length of the packet in two
//! octets, the packet, then the upstream's reply as [`wire::reply`] takes it.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tokio::time::Instant;
use zerohop::cache::{Failures, Front, Store};
use zerohop::clock::Clock;
use zerohop::config::{self, Config};
use zerohop::daemon::build::{self, Parts};
use zerohop::daemon::nameservers::Nameservers;
use zerohop::dns::query::Rejected;
use zerohop::dns::{Protocol, Query, Question, Rcode};
use zerohop::forward::{BUDGET, Forwarder, Shared};
use zerohop::handler::{Client, Handled, Handler, Tables};
use zerohop::metrics::Registry;
use zerohop::upstream::{Exchange, ExchangeError, Exchanged, Reply, Server, Way};

use crate::wire::{self, Wire};

const CONFIG: &str = include_str!("handler.toml");

const OVER_TCP: u8 = 0x01;
const STRANGER: u8 = 0x02;
const BARE_ERROR: u8 = 0x04;
const SILENT: u8 = 0x08;
const UNREACHABLE: u8 = 0x10;

/// Every question gets a reply that fits it, in time, now and when it is asked again.
pub fn check(data: &[u8]) {
    let Some((&[flags, seconds, high, low], rest)) = data.split_first_chunk::<4>() else { return };
    let (packet, reply) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes([high, low]))));
    thread_local!(static STAGE: Stage = Stage::new());
    STAGE.with(|stage| stage.play(flags, Duration::from_secs(seconds.into()), packet, reply));
}

/// Upstreams that all say the same.
struct Upstreams {
    clock: Clock,
    flags: Cell<u8>,
    reply: RefCell<Vec<u8>>,
    asked: Cell<bool>,
}

impl Exchange for Upstreams {
    fn exchange<'a>(&'a self, _: &'a Arc<Server>, question: &'a Question, _: Way) -> Exchanged<'a> {
        self.asked.set(true);
        Box::pin(async move {
            let flags = self.flags.get();
            if flags & SILENT != 0 {
                std::future::pending::<()>().await;
            }
            if flags & UNREACHABLE != 0 {
                return Err(ExchangeError::Closed);
            }
            let mut reply = wire::reply(question, &self.reply.borrow());
            // An error may come without its question.
            if flags & BARE_ERROR != 0 && !matches!(reply[3] & 0x0f, 0 | 3) {
                reply.truncate(12);
            }
            Ok(Reply { octets: reply, arrived: self.clock.now() })
        })
    }
}

/// One worker's line, as the daemon puts it together, under time that stands still.
struct Stage {
    runtime: Runtime,
    config: Config,
    registry: Registry,
    live: Arc<ArcSwap<Tables>>,
    upstreams: Rc<Upstreams>,
    handler: RefCell<Handler>,
    clock: Clock,
    generation: Cell<u64>,
}

impl Stage {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let _inside = runtime.enter();
        let config =
            config::parse(Path::new("handler.toml"), CONFIG).unwrap_or_else(|faults| panic!("{faults}")).config;
        let (clock, registry) = (Clock::start(), Registry::new(1));
        let live = Arc::new(ArcSwap::from_pointee(tables(&config, 0, &registry)));
        let (store, _) = Store::start(1 << 20, 20).expect("a store");
        let shared = Shared { store, failures: Failures::default(), in_flight: Arc::default(), loops: Arc::default() };
        let upstreams =
            Rc::new(Upstreams { clock, flags: Cell::default(), reply: RefCell::default(), asked: Cell::default() });
        let forwarder = Forwarder::new(Rc::clone(&upstreams) as Rc<dyn Exchange>, Arc::new(shared), clock);
        let series = Arc::clone(&registry.workers()[0]);
        let handler = Handler::new(0, Arc::clone(&live), Front::new(1 << 16), Rc::new(forwarder), series, clock);
        drop(_inside);
        let handler = RefCell::new(handler);
        Self { runtime, config, registry, live, upstreams, handler, clock, generation: Cell::new(0) }
    }

    fn play(&self, flags: u8, pause: Duration, packet: &[u8], reply: &[u8]) {
        self.upstreams.flags.set(flags);
        *self.upstreams.reply.borrow_mut() = reply.to_vec();
        if self.upstreams.asked.replace(false) {
            // What the last input left in caches must not answer this one.
            self.generation.set(self.generation.get() + 1);
            self.live.store(Arc::new(tables(&self.config, self.generation.get(), &self.registry)));
        }
        LocalSet::new().block_on(&self.runtime, async {
            let first = self.ask(flags, packet).await;
            tokio::time::advance(pause).await;
            let asked_before = self.upstreams.asked.replace(false);
            let second = self.ask(flags, packet).await;
            if let (Some(first), Some(second)) = (&first, &second)
                && !self.upstreams.asked.get()
            {
                assert_aged(first, second, pause);
            }
            assert_eq!(first.is_some(), second.is_some());
            self.upstreams.asked.set(asked_before || self.upstreams.asked.get());
        });
    }

    async fn ask(&self, flags: u8, packet: &[u8]) -> Option<Wire> {
        let began = Instant::now();
        let protocol = if flags & OVER_TCP == 0 { Protocol::Udp } else { Protocol::Tcp };
        let octet = if flags & STRANGER == 0 { 10 } else { 11 };
        let client = Client {
            address: IpAddr::V4(Ipv4Addr::new(octet, 0, 0, 1)),
            protocol,
            welcome: false,
            keepalive: Some(100),
        };
        let mut out = vec![0; 65_535];
        let handled = self.handler.borrow_mut().handle(packet, client, self.clock.now(), &mut out);
        let length = match handled {
            Handled::Dropped => {
                assert_eq!(Query::parse(packet).err(), Some(Rejected::Drop));
                return None;
            }
            Handled::Replied(length) => length,
            Handled::Deferred(deferred) => {
                assert_eq!(octet, 10, "somebody was asked for a stranger");
                let outcome = deferred.resolve().await;
                self.handler.borrow_mut().finish(&deferred, &outcome, self.clock.now(), &mut out)
            }
        };
        assert!(began.elapsed() <= BUDGET + Duration::from_millis(10), "{:?}", began.elapsed());
        Some(inspect(packet, &out[..length], protocol))
    }
}

fn tables(config: &Config, generation: u64, registry: &Registry) -> Tables {
    let nameservers = &Nameservers::default();
    let mut tables = build::tables(Parts { config, nameservers, registry, previous: None }).expect("tables");
    tables.generation = generation;
    for (zone, plan) in tables.forwarding.iter_mut().enumerate() {
        if let Some(plan) = plan.as_mut().and_then(Arc::get_mut) {
            plan.identity = generation << 8 | zone as u64;
        }
    }
    tables
}

fn inspect(packet: &[u8], reply: &[u8], protocol: Protocol) -> Wire {
    let read = Wire::read(reply);
    assert_eq!(read.id, packet[..2]);
    assert_eq!(read.flags[0] & 0xf9, 0x80 | packet[2] & 0x79, "QR, opcode and RD");
    let query = match Query::parse(packet) {
        Ok(query) => query,
        Err(rejected) => {
            assert_eq!(rejected, Rejected::Reply(Rcode::new(read.rcode())));
            assert!(read.questions.is_empty() && read.records.is_empty());
            return read;
        }
    };
    let name = query.question().name();
    assert!(reply.len() <= protocol.size_limit(&query));
    assert_eq!(read.questions, [&packet[12..12 + name.len() + 4]]);
    assert_eq!(read.opt.is_some(), query.opt().is_some());
    assert!(!read.is_truncated() || protocol == Protocol::Udp);
    assert!(!read.section(3).any(|record| matches!(record.rtype, 24 | 250)), "a signature of somebody else's message");
    if query.question().rtype() == zerohop::dns::RecordType::ANY {
        return read;
    }
    if matches!(read.rcode(), 0 | 3) {
        read.assert_answers(name, query.question().rtype().code());
    }
    read
}

/// Of what was answered twice, nothing has gained time.
fn assert_aged(first: &Wire, second: &Wire, pause: Duration) {
    for record in &second.records {
        let before = first.records.iter().filter(|old| {
            (&old.owner, old.rtype, &old.rdata, old.section)
                == (&record.owner, record.rtype, &record.rdata, record.section)
        });
        if let Some(longest) = before.map(|old| old.ttl).max() {
            assert!(record.ttl <= longest, "{record:?} had {longest} s, {pause:?} ago");
        }
    }
}
