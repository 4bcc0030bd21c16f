//! The stage: the real line over upstreams that follow a script, under paused time.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name as ProtoName, RecordType as ProtoType};
use tokio::task::LocalSet;
use zerohop::cache::{Failures, Front, Store};
use zerohop::clock::Clock;
use zerohop::config;
use zerohop::daemon::build::{self, Parts};
use zerohop::daemon::nameservers::Nameservers;
use zerohop::dns::{Name, Protocol};
use zerohop::forward::{Forwarder, Shared};
use zerohop::handler::{Client, Deferred, Handled, Handler, Tables};
use zerohop::metrics::Registry;
use zerohop::upstream::{Exchange, Route, probe, watch_loops};

pub(crate) use crate::answer::Answer;
pub(crate) use crate::reply::reply;
pub(crate) use crate::upstreams::{Act, ID, WITHOUT_EDNS};
use crate::upstreams::{Probed, Upstreams, Watched};

/// Workers, tables and upstreams, as the daemon puts them together.
pub(crate) struct World {
    pub(crate) upstreams: Rc<Upstreams>,
    pub(crate) registry: Arc<Registry>,
    tables: Arc<ArcSwap<Tables>>,
    workers: Vec<RefCell<Handler>>,
    pub(crate) shared: Arc<Shared>,
    clock: Clock,
    /// The name of the readiness check.
    pub(crate) ready: Name,
}

impl World {
    pub(crate) fn new(toml: &str) -> Self {
        Self::with_workers(toml, 1)
    }

    pub(crate) fn with_workers(toml: &str, count: usize) -> Self {
        Self::with_store(toml, count, 1 << 24)
    }

    /// With a cache of so many bytes.
    pub(crate) fn with_store(toml: &str, count: usize, bytes: u64) -> Self {
        let clock = Clock::start();
        let registry = Arc::new(Registry::new(count));
        let tables = Self::tables(toml, None, &registry);
        let ready = tables.ready.clone();
        let tables = Arc::new(ArcSwap::from_pointee(tables));
        let (store, _) = Store::start(bytes, 20).unwrap();
        let (in_flight, loops) = (Arc::default(), Arc::default());
        let shared = Arc::new(Shared { store, failures: Failures::default(), in_flight, loops });
        let upstreams = Rc::new(Upstreams::new(clock));
        let (live, failing) = (Arc::clone(&tables), Arc::clone(&shared));
        let servers = move || live.load().servers().cloned().collect();
        let exchange = Rc::new(Probed(Rc::clone(&upstreams)));
        tokio::task::spawn_local(probe(exchange, clock, servers, move || failing.failures.clear()));
        let (live, exchange) = (Arc::clone(&tables), Rc::new(Watched(Rc::clone(&upstreams))));
        let routes = move |look: &mut dyn FnMut(Route<'_>)| live.load().routes().for_each(look);
        tokio::task::spawn_local(watch_loops(exchange, clock, Arc::clone(&shared.loops), routes));
        let worker = |index: usize| {
            let exchange = Rc::clone(&upstreams) as Rc<dyn Exchange>;
            let forwarder = Rc::new(Forwarder::new(exchange, Arc::clone(&shared), clock));
            let series = Arc::clone(&registry.workers()[index]);
            RefCell::new(Handler::new(index, Arc::clone(&tables), Front::new(1 << 20), forwarder, series, clock))
        };
        let workers = (0..count).map(worker).collect();
        Self { upstreams, registry, tables, workers, shared, clock, ready }
    }

    fn tables(toml: &str, previous: Option<&Tables>, registry: &Registry) -> Tables {
        let toml = format!("[server]\nlisten = ['127.0.0.1:1053']\n{toml}");
        let loaded = config::parse(Path::new("test.toml"), &toml).unwrap_or_else(|faults| panic!("{faults}"));
        let nameservers = Nameservers::read(&loaded.config, &loaded.config.addresses());
        build::tables(Parts { config: &loaded.config, nameservers: &nameservers, registry, previous }).unwrap()
    }

    /// Swaps in another configuration, as a reload does.
    pub(crate) fn reload(&self, toml: &str) {
        self.tables.store(Arc::new(Self::tables(toml, Some(&self.tables.load()), &self.registry)));
    }

    /// Takes the counters out of the live tables, which no configuration can do.
    pub(crate) fn break_tables(&self, toml: &str) {
        let mut tables = Self::tables(toml, Some(&self.tables.load()), &self.registry);
        tables.series.clear();
        self.tables.store(Arc::new(tables));
    }

    /// Says what upstreams do from now on.
    pub(crate) fn script(&self, script: impl Fn(SocketAddr, &str) -> Act + 'static) {
        *self.upstreams.script.borrow_mut() = Some(Box::new(script));
    }

    /// What upstreams were asked since the last time somebody wanted to know.
    pub(crate) fn asked(&self) -> Vec<(SocketAddr, String)> {
        std::mem::take(&mut *self.upstreams.asked.borrow_mut())
    }

    /// How many probes upstreams got since the last time somebody wanted to know.
    pub(crate) fn probes(&self) -> usize {
        self.upstreams.probes.take()
    }

    /// What upstreams say, after half a second, to queries that tell of loops.
    pub(crate) fn says_to_loop_checks(&self, rcode: Option<ResponseCode>) {
        self.upstreams.says_to_loop_checks.set(rcode);
    }

    /// The queries that tell of loops since the last time somebody wanted to know.
    pub(crate) fn loop_checks(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut *self.upstreams.loop_checks.borrow_mut())
    }

    /// How many questions upstreams got over a stream from the start.
    pub(crate) fn streamed(&self) -> usize {
        self.upstreams.streamed.take()
    }

    /// How many questions upstreams got since the last time somebody wanted to know.
    pub(crate) fn asked_count(&self) -> usize {
        self.asked().len()
    }

    /// The same, but for questions put once more without EDNS.
    pub(crate) fn asked_anew(&self) -> usize {
        self.asked().iter().filter(|(_, question)| !question.ends_with(WITHOUT_EDNS)).count()
    }

    /// Asks `name type`, with EDNS.
    pub(crate) async fn ask(&self, question: &str) -> Answer {
        self.ask_worker(0, &packet(question)).await.expect("a reply")
    }

    /// Gives one worker one packet and waits for what comes of it.
    pub(crate) async fn ask_worker(&self, worker: usize, packet: &[u8]) -> Option<Answer> {
        self.ask_over(Protocol::Tcp, worker, packet).await
    }

    /// As [`Self::ask_worker`], over UDP or TCP.
    pub(crate) async fn ask_over(&self, protocol: Protocol, worker: usize, packet: &[u8]) -> Option<Answer> {
        let mut reply = vec![0; 65_535];
        let handled = self.workers[worker].borrow_mut().handle(packet, client(protocol), self.clock.now(), &mut reply);
        let length = match handled {
            Handled::Replied(length) => length,
            Handled::Dropped => return None,
            Handled::Deferred(deferred) => {
                let outcome = deferred.resolve().await;
                self.workers[worker].borrow_mut().finish(&deferred, &outcome, self.clock.now(), &mut reply)
            }
        };
        reply.truncate(length);
        Some(Answer { octets: reply })
    }

    /// Leaves a question that needs an upstream where it is.
    pub(crate) fn defer(&self, packet: &[u8]) -> Box<Deferred> {
        let mut reply = vec![0; 512];
        let handled = self.workers[0].borrow_mut().handle(packet, client(Protocol::Udp), self.clock.now(), &mut reply);
        let Handled::Deferred(deferred) = handled else { panic!("answered at once") };
        deferred
    }

    /// Asks from an address that is not welcome as such, what needs no upstream.
    pub(crate) fn ask_from(&self, address: IpAddr, packet: &[u8]) -> Answer {
        let mut reply = vec![0; 512];
        let client = Client { address, welcome: false, ..client(Protocol::Udp) };
        match self.workers[0].borrow_mut().handle(packet, client, self.clock.now(), &mut reply) {
            Handled::Replied(length) => reply.truncate(length),
            _ => panic!("no reply at once"),
        }
        Answer { octets: reply }
    }

    /// Lets the synchronous part of the line work on a packet that needs no upstream.
    pub(crate) fn hit(&self, packet: &[u8], protocol: Protocol, reply: &mut [u8]) -> usize {
        match self.workers[0].borrow_mut().handle(packet, client(protocol), self.clock.now(), reply) {
            Handled::Replied(length) => length,
            _ => panic!("no hit"),
        }
    }

    /// Waits for the thread that writes to the cache to have written all that it was handed.
    pub(crate) fn settle(&self) {
        self.shared.store.settle();
    }

    /// The value of one series, by the line that names it.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let text = self.registry.render();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no series {series} in\n{text}")).parse().unwrap()
    }
}

fn client(protocol: Protocol) -> Client {
    let keepalive = (protocol == Protocol::Tcp).then_some(100);
    Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), protocol, welcome: true, keepalive }
}

/// A query with RD, EDNS and a fixed ID, spelled as given.
pub(crate) fn packet(question: &str) -> Vec<u8> {
    let (name, rtype) = question.split_once(' ').unwrap();
    let name = ProtoName::from_ascii(name).unwrap();
    let mut message = Message::new(ID, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, ProtoType::from_str(rtype).unwrap()));
    message.set_edns(hickory_proto::op::Edns::new());
    message.to_vec().unwrap()
}

/// Runs a scenario under paused time.
pub(crate) fn play<F: Future>(scenario: impl FnOnce() -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async { scenario().await })
}

/// Lets time pass.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
