//! What clients see while something happens: questions over UDP at an even rate, half of them answered from
//! the cache and half asked upstream, and many clients over TCP.

use std::io::{Write, stderr};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use hickory_proto::rr::RecordType::A;

use super::client::{Ask, read_framed};
use super::harness::http;
use super::load::{Load, Seen, run_while};
use super::recorder::{Asked, Recorder};
use super::wait::{PATIENCE, until};

/// How long the upstream takes for an answer.
const UPSTREAM: Duration = Duration::from_millis(30);
/// Longer than any test, so that nothing is asked again for its age.
const TTL: u32 = 3600;
/// Questions a second of each kind.
const RATE: u32 = 500;
/// Questions of each kind for each time that something happens.
pub(crate) const EACH: u16 = 500;
const TCP_CLIENTS: usize = 50;
/// Between two questions of one client over TCP.
const TCP_PAUSE: Duration = Duration::from_millis(100);
/// Names that are in the cache are below this one, and others are not.
const WARM: &str = "warm.example.";
/// What may have been on its way when a process died: what the upstream had for 30 ms, on a machine that has
/// other work to do.
const UNDER_WAY: u16 = 60;

/// A slow server, which counts what is asked that should have been in the cache.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    asked_again: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let asked_again: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&asked_again);
        let recorder = Recorder::scripted(move |asked: Asked| {
            count.fetch_add(usize::from(asked.query.queries[0].name().to_ascii().ends_with(WARM)), Relaxed);
            thread::spawn(move || {
                thread::park_timeout(UPSTREAM);
                asked.answer_a([192, 0, 2, 1], TTL);
            });
        });
        Self { address: recorder.address, asked_again }
    }

    /// How many of the names that are to be in the cache were asked so far.
    pub(crate) fn asked_again(&self) -> usize {
        self.asked_again.load(Relaxed)
    }

    /// Asks for all names that a phase of so many questions of each kind asks for, which are in the cache from
    /// then on. Returns how many were not.
    pub(crate) fn warm(&self, server: SocketAddr, count: u16) -> usize {
        let before = self.asked_again();
        let seen = Load::new(count, 2 * RATE).run(server, WARM);
        assert_eq!(seen.failed, Vec::<String>::new());
        self.asked_again() - before
    }
}

/// Waits until whoever serves has read the cache of the one before.
pub(crate) fn until_restored(admin: SocketAddr) {
    until("the cache of the one before", || {
        let (_, metrics) = http(admin, "/metrics")?;
        let line = metrics.lines().find_map(|line| line.strip_prefix("zerohop_cache_restored_total "))?;
        (line != "0").then_some(())
    });
}

/// Where phases happen.
pub(crate) struct Place<'u> {
    /// As the table of docs/restarts.md has it.
    pub(crate) name: &'static str,
    pub(crate) server: SocketAddr,
    pub(crate) upstream: &'u Upstream,
}

/// A phase that is going on.
pub(crate) struct Going<'l> {
    loads: &'l [Load; 2],
    /// What had been sent of both before a death and behind it.
    deaths: Vec<[[u16; 2]; 2]>,
}

impl Going<'_> {
    /// Something dies.
    pub(crate) fn dies(&mut self, kill: impl FnOnce()) {
        let before = [0, 1].map(|kind: usize| self.loads[kind].sent());
        kill();
        self.deaths.push([before, [0, 1].map(|kind: usize| self.loads[kind].sent())]);
    }
}

/// What was seen.
pub(crate) struct Phase {
    pub(crate) hits: Seen,
    pub(crate) misses: Seen,
    deaths: Vec<[[u16; 2]; 2]>,
    /// Questions that had been in the cache and were asked upstream.
    pub(crate) cold: usize,
    over_tcp: usize,
    reconnections: usize,
    times: u16,
    count: u16,
}

/// How many of each kind a phase has in which something happens so often, with so many for each time.
pub(crate) fn questions(times: u16, each: u16) -> u16 {
    // Behind the last time, too, to show what that loses.
    (times + 1) * each
}

impl Place<'_> {
    /// Has something happen so often, behind as many questions of each kind each time, and says what clients saw,
    /// even when the test passes. What happens is told which time it is.
    pub(crate) fn phase(
        &self,
        (times, what): (u16, &str),
        each: u16,
        mut happens: impl FnMut(&mut Going, u16),
    ) -> Phase {
        let count = questions(times, each);
        let loads = [Load::new(count, RATE), Load::new(count, RATE)];
        // Names that nobody has asked for in another phase.
        let fresh: String = what.chars().filter(char::is_ascii_alphanumeric).collect();
        let zone = format!("{fresh}.example.");
        let (is_over, before) = (AtomicBool::new(false), self.upstream.asked_again());
        let phase = thread::scope(|scope| {
            let over_tcp = [(); TCP_CLIENTS].map(|()| scope.spawn(|| over_tcp(self.server, &is_over)));
            let mut going = Going { loads: &loads, deaths: Vec::new() };
            let mut is_late = false;
            let [hits, misses] = run_while(self.server, [(&loads[0], WARM), (&loads[1], &zone)], || {
                for turn in 1..=times {
                    loads[0].until_sent(turn * each);
                    happens(&mut going, turn);
                }
                is_late = !loads[0].is_going_on();
            });
            is_over.store(true, Relaxed);
            let over_tcp = over_tcp.map(|client| client.join().unwrap());
            assert!(!is_late, "the {what} took longer than the questions");
            assert!(over_tcp.iter().all(|(answered, _)| *answered > 0), "every client was answered: {over_tcp:?}");
            Phase {
                hits,
                misses,
                deaths: going.deaths,
                cold: self.upstream.asked_again() - before,
                over_tcp: over_tcp.iter().map(|(answered, _)| answered).sum(),
                reconnections: over_tcp.iter().map(|(_, connections)| connections - 1).sum(),
                times,
                count,
            }
        });
        phase.report(self.name, what);
        phase
    }
}

/// A client that asks until all is over, and again where its connection ended. Returns how often it was
/// answered, and how many connections it took.
fn over_tcp(server: SocketAddr, is_over: &AtomicBool) -> (usize, usize) {
    let (mut answered, mut connections) = (0, 0);
    while !is_over.load(Relaxed) {
        // Nobody listens for a moment after a death without anybody to keep the socket.
        let Ok(mut stream) = TcpStream::connect(server) else {
            thread::park_timeout(TCP_PAUSE);
            continue;
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        connections += 1;
        while !is_over.load(Relaxed) {
            let question = Ask::new(&format!("n{}.{WARM}", answered % 100), A);
            let sent = stream.write_all(&question.framed());
            let Some(reply) = sent.ok().and_then(|()| read_framed(&mut stream)) else { break };
            let reply = question.check(reply);
            let number = (answered, connections);
            assert_eq!(reply.data(A), ["192.0.2.1"], "{} as {number:?}: {:?}", reply.rcode(), reply.message.edns);
            answered += 1;
            thread::park_timeout(TCP_PAUSE);
        }
    }
    (answered, connections)
}

impl Phase {
    /// Every question was answered, once.
    pub(crate) fn lost_nothing(&self) -> &Self {
        self.hits.lost_nothing(self.count);
        self.misses.lost_nothing(self.count);
        self
    }

    /// The contract with who asks for what is known here, and several times that for a debug build, which takes
    /// as much longer to read the cache of the one before.
    pub(crate) fn was_quick(&self) -> &Self {
        let most = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 50 });
        assert!(self.hits.percentile(99) < most, "{:?}", self.hits.percentile(99));
        self
    }

    /// How long whoever waited longest did, for an answer that came.
    pub(crate) fn longest(&self) -> Duration {
        self.hits.max().max(self.misses.max())
    }

    /// The cache went along: had one of so many begun without, all behind it would have been asked again.
    pub(crate) fn kept_its_cache(&self) {
        let each = usize::from(self.count / self.times);
        assert!(self.cold < each / 2 * usize::from(self.times), "{} of {}", self.cold, self.count);
    }

    /// What got lost was under way when something died.
    pub(crate) fn lost_what_was_under_way(&self) {
        for (kind, seen) in [&self.hits, &self.misses].into_iter().enumerate() {
            for lost in &seen.failed {
                let number = Seen::number(lost);
                let is_near = |[before, behind]: &[[u16; 2]; 2]| {
                    (before[kind].saturating_sub(UNDER_WAY)..=behind[kind]).contains(&number)
                };
                assert!(self.deaths.iter().any(is_near), "{lost}; deaths at {:?}", self.deaths);
            }
            assert!(seen.failed.len() < usize::from(UNDER_WAY) * self.deaths.len(), "{:?}", seen.failed);
        }
    }

    /// A line for the table of docs/restarts.md.
    fn report(&self, place: &str, what: &str) {
        let lost = self.hits.failed.len() + self.misses.failed.len();
        let rate = 100.0 * (1.0 - self.cold as f64 / f64::from(self.count));
        let line = format!(
            "| {place} | {} {what} | {} | {lost} | {:.1?} | {:.0?} | {rate:.1} % | {} / {} |\n",
            self.times,
            2 * usize::from(self.count),
            self.hits.percentile(99),
            self.longest(),
            self.over_tcp,
            self.reconnections,
        );
        stderr().write_all(line.as_bytes()).unwrap();
    }
}
