//! One worker's line without sockets, as the benches that measure it put it together.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use zerohop::cache::{Failures, Front, Store};
use zerohop::clock::Clock;
use zerohop::config;
use zerohop::daemon::build::{self, Parts};
use zerohop::daemon::nameservers::Nameservers;
use zerohop::dns::query::write_upstream_query;
use zerohop::dns::{Moment, Name, Protocol, Question, RecordType};
use zerohop::forward::{Forwarder, Shared};
use zerohop::handler::{Client, Handled, Handler};
use zerohop::metrics::Registry;
use zerohop::upstream::{Exchange, Exchanged, Reply, Server, Way};

/// What is asked, by whom it is answered.
pub(crate) const QUESTIONS: [(&str, &str); 4] = [
    ("record", "api.cluster.example.com."),
    ("pattern", "ip-10-0-0-5.nodes.cluster.example.com."),
    ("denial", "nobody.cluster.example.com."),
    ("cached answer", CACHED),
];
/// The one that comes from the upstream.
const CACHED: &str = "www.example.org.";
/// A front with room for all of them, in bytes; none at all finds nothing.
pub(crate) const FRONTS: [(&str, usize); 2] = [("front", 1 << 20), ("no front", 0)];

const CONFIG: &str = r#"
[server]
listen = ["127.0.0.1:1053"]
[[zone]]
name = "cluster.example.com"
records = ["api A 10.0.0.10"]
[[zone.match]]
pattern = '^ip-(\d+)-(\d+)-(\d+)-(\d+)\.nodes\.cluster\.example\.com$'
answer = ["A $1.$2.$3.$4"]
[[zone]]
name = "."
forward = ["192.0.2.1"]
"#;

/// An upstream that answers everything with one A record.
struct OneAddress(Clock);

impl Exchange for OneAddress {
    fn exchange<'a>(&'a self, _: &'a Arc<Server>, question: &'a Question, _: Way) -> Exchanged<'a> {
        let question = Question::new(question.name(), question.rtype(), false, false).unwrap();
        let mut reply = write_upstream_query(&question, 0, 1232);
        // QR and RA; one answer, no OPT.
        (reply[2], reply[3], reply[7], reply[11]) = (0x81, 0x80, 1, 0);
        reply.truncate(12 + question.name().len() + 4);
        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 1, 0x51, 0x80, 0, 4, 10, 0, 0, 1]);
        Box::pin(async { Ok(Reply { octets: reply, arrived: self.0.now() }) })
    }
}

/// One worker's line, as the daemon puts it together.
pub(crate) struct Line {
    handler: Handler,
    /// The moment that all packets come at, as those of a batch do.
    now: Moment,
    reply: Vec<u8>,
}

impl Line {
    /// A line that has learned the cached answer.
    pub(crate) fn new(front_bytes: usize) -> Self {
        let config = config::parse(Path::new("bench.toml"), CONFIG).unwrap().config;
        let (clock, registry) = (Clock::start(), Registry::new(1));
        let (nameservers, registry) = (Nameservers::default(), &registry);
        let parts = Parts { config: &config, nameservers: &nameservers, registry, previous: None };
        let tables = build::tables(parts).unwrap();
        let (store, _) = Store::start(1 << 24, 20).unwrap();
        let shared = Shared { store, failures: Failures::default(), in_flight: Arc::default(), loops: Arc::default() };
        let forwarder = Rc::new(Forwarder::new(Rc::new(OneAddress(clock)), Arc::new(shared), clock));
        let series = Arc::clone(&registry.workers()[0]);
        let live = Arc::new(ArcSwap::from_pointee(tables));
        let handler = Handler::new(0, live, Front::new(front_bytes), forwarder, series, clock);
        let mut line = Self { handler, now: clock.now(), reply: vec![0; 1232] };
        line.learn(&packet(CACHED));
        line
    }

    pub(crate) fn handle(&mut self, packet: &[u8]) -> Handled {
        let client = Client {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            protocol: Protocol::Udp,
            welcome: true,
            keepalive: None,
        };
        self.handler.handle(black_box(packet), client, self.now, &mut self.reply)
    }

    /// Gets an answer from upstream, so that it is known from now on.
    fn learn(&mut self, packet: &[u8]) {
        let Handled::Deferred(deferred) = self.handle(packet) else { panic!("it is known already") };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let outcome = tokio::task::LocalSet::new().block_on(&runtime, deferred.resolve());
        self.handler.finish(&deferred, &outcome, self.now, &mut self.reply);
        // Until the cache thread has taken it in.
        while !matches!(self.handle(packet), Handled::Replied(_)) {
            std::thread::yield_now();
        }
    }
}

/// A question with EDNS.
pub(crate) fn packet(name: &str) -> Vec<u8> {
    let name = Name::from_text(name, &Name::root()).unwrap();
    write_upstream_query(&Question::new(name.wire(), RecordType::A, false, false).unwrap(), 7, 1232)
}
