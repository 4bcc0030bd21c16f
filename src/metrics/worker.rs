//! What is counted for each worker rather than for a zone.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::counter::{Shared, SingleWriter};
use super::text::{Labels, open_family};
use crate::dns::Moment;

/// Why a packet was turned away before any zone was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// No header, or itself a response: dropped.
    NoQuery,
    /// FORMERR.
    Malformed,
    /// NOTIMP: an opcode or type that a forwarder has no use for.
    NotImplemented,
    /// BADVERS: an EDNS version other than 0.
    EdnsVersion,
    /// REFUSED: the client's address is not in `allow`.
    NotAllowed,
    /// REFUSED: a class other than IN.
    Class,
    /// REFUSED: AXFR or IXFR.
    Transfer,
    /// REFUSED: no configured zone covers the name.
    NoZone,
}

const REJECTIONS: &[&str] =
    &["no_query", "malformed", "not_implemented", "edns_version", "not_allowed", "class", "transfer", "no_zone"];

/// How much a worker holds of what is bounded.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Questions of clients that wait for upstreams.
    pub waiting: usize,
    /// Questions that are asked with no client waiting.
    pub background: usize,
    pub upstream_connections: usize,
    pub front_bytes: usize,
}

/// The counters of one worker, which alone writes to them, but for `panics`.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerSeries {
    rejections: [SingleWriter; REJECTIONS.len()],
    ready_checks: SingleWriter,
    loop_checks: SingleWriter,
    truncated: SingleWriter,
    send_failures: SingleWriter,
    overflows: SingleWriter,
    tcp_connections: SingleWriter,
    tcp_refused: SingleWriter,
    tcp_timeouts: SingleWriter,
    tls_handshakes: SingleWriter,
    tls_failures: SingleWriter,
    tcp_full: SingleWriter,
    unanswered_at_stop: SingleWriter,
    upstream_connections_full: SingleWriter,
    gauges: [SingleWriter; 4],
    panics: Shared,
    restarts: Shared,
    /// Nanoseconds since the clock's origin, when the worker last went round its loop.
    beat: AtomicU64,
}

impl WorkerSeries {
    pub fn rejected(&self, rejection: Rejection) {
        self.rejections[rejection as usize].add(1);
    }

    /// The readiness check's own question was answered.
    pub fn ready_check(&self) {
        self.ready_checks.add(1);
    }

    /// A question of our own came back.
    pub fn loop_check(&self) {
        self.loop_checks.add(1);
    }

    /// A reply was cut to the client's size.
    pub fn truncated(&self) {
        self.truncated.add(1);
    }

    /// Replies that the kernel would not take, or whose client has gone.
    pub fn not_sent(&self, replies: u64) {
        self.send_failures.add(replies);
    }

    /// A question was refused because too many wait for upstreams.
    pub fn overflowed(&self) {
        self.overflows.add(1);
    }

    pub fn tcp_accepted(&self) {
        self.tcp_connections.add(1);
    }

    /// A connection beyond the limit was closed.
    pub fn tcp_refused(&self) {
        self.tcp_refused.add(1);
    }

    /// A connection was closed for being idle, or too slow with a message.
    pub fn tcp_timed_out(&self) {
        self.tcp_timeouts.add(1);
    }

    /// A client and we have agreed on keys.
    pub fn tls_agreed(&self) {
        self.tls_handshakes.add(1);
    }

    /// A connection ended, or was too slow, before its handshake was done.
    pub fn tls_failed(&self) {
        self.tls_failures.add(1);
    }

    /// A connection has as many questions waiting as it may: its client is not read from.
    pub fn tcp_filled(&self) {
        self.tcp_full.add(1);
    }

    /// Questions that were still waiting when a stop waited no longer.
    pub fn unanswered_at_stop(&self, questions: u64) {
        self.unanswered_at_stop.add(questions);
    }

    /// A question over a stream found all connections to upstreams taken, or all to its server.
    pub fn upstream_connections_full(&self) {
        self.upstream_connections_full.add(1);
    }

    /// How full the worker is, as it sees itself now and then.
    pub fn load(&self, load: Load) {
        let Load { waiting, background, upstream_connections, front_bytes } = load;
        for (gauge, value) in self.gauges.iter().zip([waiting, background, upstream_connections, front_bytes]) {
            gauge.set(value as u64);
        }
    }

    /// A panic was caught while a question was worked on.
    pub fn panicked(&self) {
        self.panics.add(1);
    }

    /// The worker's thread ended and was started again.
    pub fn restarted(&self) {
        self.restarts.add(1);
    }

    /// The worker is alive.
    pub fn beat(&self, now: Moment) {
        let since_origin = now.since(Moment::default());
        self.beat.store(u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// When the worker was last seen alive.
    pub fn last_beat(&self) -> Moment {
        Moment::after_origin(Duration::from_nanos(self.beat.load(Relaxed)))
    }
}

/// A family of one series: its name, its help and where its value is.
type Single = (&'static str, &'static str, fn(&WorkerSeries) -> u64);

/// In the order of [`Load`].
const GAUGES: [(&str, &str); 4] = [
    ("zerohop_questions_waiting", "Questions of clients that wait for upstreams, equal ones each."),
    ("zerohop_background_questions", "Questions asked upstream with no client waiting."),
    ("zerohop_upstream_connections", "Connections to upstreams, of all workers."),
    ("zerohop_front_bytes", "Bytes of answers in the workers' own memories."),
];

/// Writes the families of all workers.
pub(super) fn write(out: &mut String, workers: &[&WorkerSeries]) -> std::fmt::Result {
    let family = "zerohop_rejected_total";
    open_family(out, family, "counter", "Packets turned away before any zone was asked, by reason.")?;
    for (index, reason) in REJECTIONS.iter().enumerate() {
        let value: u64 = workers.iter().map(|worker| worker.rejections[index].value()).sum();
        writeln!(out, "{family}{} {value}", Labels::new(&[("reason", reason)]).with_none())?;
    }
    let single: [Single; 15] = [
        ("zerohop_ready_checks_total", "Answers to the readiness check.", |w| w.ready_checks.value()),
        ("zerohop_loop_checks_returned_total", "Questions of our own that came back: a loop.", |w| {
            w.loop_checks.value()
        }),
        ("zerohop_truncated_total", "UDP replies cut to the client's size.", |w| w.truncated.value()),
        ("zerohop_send_failures_total", "Replies that could not be sent.", |w| w.send_failures.value()),
        ("zerohop_overflows_total", "Questions refused: too many waited for upstreams.", |w| w.overflows.value()),
        ("zerohop_tcp_connections_total", "TCP connections accepted.", |w| w.tcp_connections.value()),
        ("zerohop_tcp_refused_total", "TCP connections closed at once: the limit was reached.", |w| {
            w.tcp_refused.value()
        }),
        ("zerohop_tcp_timeouts_total", "TCP connections closed for being idle or too slow.", |w| {
            w.tcp_timeouts.value()
        }),
        ("zerohop_tls_handshakes_total", "TLS handshakes of clients that were completed.", |w| {
            w.tls_handshakes.value()
        }),
        ("zerohop_tls_handshake_failures_total", "TLS handshakes of clients that failed, or took too long.", |w| {
            w.tls_failures.value()
        }),
        (
            "zerohop_tcp_pipelines_full_total",
            "Times a TCP client had too many questions waiting to be read from.",
            |w| w.tcp_full.value(),
        ),
        ("zerohop_stop_unanswered_total", "Questions given up at a stop: `drain` was over.", |w| {
            w.unanswered_at_stop.value()
        }),
        (
            "zerohop_upstream_connections_full_total",
            "Questions that found all connections to upstreams, or to theirs, taken.",
            |w| w.upstream_connections_full.value(),
        ),
        ("zerohop_panics_total", "Panics caught while a question was worked on.", |w| w.panics.value()),
        ("zerohop_worker_restarts_total", "Worker threads that ended and were started again.", |w| w.restarts.value()),
    ];
    for (family, help, value) in single {
        open_family(out, family, "counter", help)?;
        writeln!(out, "{family} {}", workers.iter().map(|worker| value(worker)).sum::<u64>())?;
    }
    for (index, (family, help)) in GAUGES.iter().enumerate() {
        open_family(out, family, "gauge", help)?;
        writeln!(out, "{family} {}", workers.iter().map(|worker| worker.gauges[index].value()).sum::<u64>())?;
    }
    Ok(())
}
