//! What is counted for each upstream server.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::counter::Shared;
use super::histogram::{Histogram, Sum};
use super::occupancy::Occupancy;
use super::outcome::{PROTOCOL_LABELS, PROTOCOLS, RCODE_LABELS, RCODES, protocol_index, rcode_index};
use super::text::{Labels, open_family};
use crate::dns::{Protocol, Rcode};

/// How asking a server once ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It replied, with this code.
    Replied(Rcode),
    /// It said nothing in time.
    TimedOut,
    /// The network said that it cannot be reached, or the connection broke.
    Unreachable,
    /// Its reply could not be read, or refers us elsewhere.
    Unusable,
    /// Another server's answer came first.
    Overtaken,
}

const OTHER_ATTEMPTS: &[&str] = &["timeout", "unreachable", "unusable", "overtaken"];

/// The counters of one server of one upstream, shared by all workers: they change on misses only.
#[derive(Debug)]
pub struct ServerSeries {
    upstream: String,
    server: String,
    queries: [Shared; PROTOCOLS],
    replies: [Shared; RCODES],
    others: [Shared; OTHER_ATTEMPTS.len()],
    duration: Histogram<Shared>,
    hedges: Shared,
    repeats: Shared,
    postponed: Shared,
    probes: Shared,
    loop_checks: Shared,
    looping: AtomicBool,
    silent: AtomicBool,
    /// Questions that are out to it; one that is sent again is still one.
    pub in_flight: Arc<Occupancy>,
}

impl ServerSeries {
    pub fn new(upstream: String, server: String) -> Self {
        Self {
            upstream,
            server,
            queries: Default::default(),
            replies: Default::default(),
            others: Default::default(),
            duration: Histogram::default(),
            hedges: Shared::default(),
            repeats: Shared::default(),
            postponed: Shared::default(),
            probes: Shared::default(),
            loop_checks: Shared::default(),
            looping: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            in_flight: Arc::default(),
        }
    }

    /// The upstream that the server belongs to.
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// Counts one query that was sent.
    pub fn sent(&self, protocol: Protocol) {
        self.queries[protocol_index(protocol)].add(1);
    }

    /// It is asked because an answer is late: its own, which is a repeat, or another server's.
    pub fn hedged(&self, repeat: bool) {
        if repeat { &self.repeats } else { &self.hedges }.add(1);
    }

    /// It was to be asked because another is late, and the allowance for that was used up.
    pub fn postponed(&self) {
        self.postponed.add(1);
    }

    /// Counts one probe that was sent.
    pub fn probed(&self) {
        self.probes.add(1);
    }

    /// Counts one question that tells whether it leads back to us.
    pub fn loop_checked(&self) {
        self.loop_checks.add(1);
    }

    /// Notes whether it does.
    pub fn note_loop(&self, looping: bool) {
        self.looping.store(looping, Relaxed);
    }

    /// Notes whether it is set aside for being silent, and returns whether that is new.
    pub fn note_silent(&self, silent: bool) -> bool {
        self.silent.swap(silent, Relaxed) != silent
    }

    /// Counts how asking ended, `elapsed` after it began.
    pub fn ended(&self, attempt: Attempt, elapsed: Duration) {
        match attempt {
            Attempt::Replied(rcode) => {
                self.replies[rcode_index(rcode)].add(1);
                self.duration.record(elapsed);
            }
            Attempt::TimedOut => self.others[0].add(1),
            Attempt::Unreachable => self.others[1].add(1),
            Attempt::Unusable => self.others[2].add(1),
            Attempt::Overtaken => self.others[3].add(1),
        }
    }
}

/// A family of one series a server: its name, its type, its help and where its value is.
type Single = (&'static str, &'static str, &'static str, fn(&ServerSeries) -> u64);

/// Writes the families of all servers.
pub(super) fn write(out: &mut String, servers: &[&ServerSeries]) -> std::fmt::Result {
    let family = "zerohop_upstream_queries_total";
    open_family(out, family, "counter", "Queries sent to upstream servers, retries included.")?;
    for server in servers {
        for (index, protocol) in PROTOCOL_LABELS.iter().enumerate() {
            let labels = [("upstream", &*server.upstream), ("server", &*server.server), ("protocol", protocol)];
            writeln!(out, "{family}{} {}", Labels::new(&labels).with_none(), server.queries[index].value())?;
        }
    }
    let family = "zerohop_upstream_attempts_total";
    open_family(
        out,
        family,
        "counter",
        "How asking a server ended: a response code, timeout, unreachable, unusable, overtaken.",
    )?;
    for server in servers {
        let outcomes = RCODE_LABELS.iter().zip(&server.replies).chain(OTHER_ATTEMPTS.iter().zip(&server.others));
        for (outcome, counter) in outcomes {
            let labels = [("upstream", &*server.upstream), ("server", &*server.server), ("outcome", outcome)];
            writeln!(out, "{family}{} {}", Labels::new(&labels).with_none(), counter.value())?;
        }
    }
    let single: [Single; 9] = [
        ("zerohop_upstream_hedges_total", "counter", "Queries sent because another server was late.", |s| {
            s.hedges.value()
        }),
        ("zerohop_upstream_repeats_total", "counter", "Queries sent again because the answer was late.", |s| {
            s.repeats.value()
        }),
        (
            "zerohop_upstream_hedges_postponed_total",
            "counter",
            "Hedges not sent yet: the allowance was used up.",
            |s| s.postponed.value(),
        ),
        ("zerohop_upstream_probes_total", "counter", "Probes of a server that was set aside.", |s| s.probes.value()),
        ("zerohop_upstream_up", "gauge", "0 while the server is set aside: nothing came from it for a second.", |s| {
            u64::from(!s.silent.load(Relaxed))
        }),
        ("zerohop_upstream_loop", "gauge", "1 while questions of a zone that it is sent come back to us.", |s| {
            u64::from(s.looping.load(Relaxed))
        }),
        ("zerohop_upstream_loop_checks_total", "counter", "Questions that tell whether it leads back to us.", |s| {
            s.loop_checks.value()
        }),
        ("zerohop_upstream_in_flight", "gauge", "Questions that are out to the server.", |s| s.in_flight.taken()),
        ("zerohop_upstream_overflows_total", "counter", "Questions not sent to it: too many were out.", |s| {
            s.in_flight.overflows()
        }),
    ];
    for (family, kind, help, value) in single {
        open_family(out, family, kind, help)?;
        for server in servers {
            let labels = [("upstream", &*server.upstream), ("server", &*server.server)];
            writeln!(out, "{family}{} {}", Labels::new(&labels).with_none(), value(server))?;
        }
    }
    let family = "zerohop_upstream_duration_seconds";
    open_family(out, family, "histogram", "From a query to the server's reply.")?;
    for server in servers {
        let labels = [("upstream", &*server.upstream), ("server", &*server.server)];
        Sum::of_shared(&server.duration).write(out, family, &Labels::new(&labels))?;
    }
    Ok(())
}
