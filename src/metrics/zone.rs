//! What is counted for each configured zone.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use super::counter::SingleWriter;
use super::histogram::{Histogram, Sum};
use super::occupancy::Occupancy;
use super::outcome::{
    Outcome, PROTOCOL_LABELS, PROTOCOLS, RCODE_LABELS, RCODES, SOURCE_LABELS, SOURCES, Source, TYPE_LABELS, TYPES,
    protocol_index, rcode_index,
};
use super::text::{Labels, open_family};

/// The counters of one zone: a block for each worker, which alone writes to it and makes it with the
/// first question. Of ten thousand zones most are never asked for.
#[derive(Debug)]
pub struct ZoneSeries {
    zone: String,
    workers: Box<[OnceLock<Box<Block>>]>,
    /// Questions that wait for upstreams; equal ones are one.
    pub in_flight: Arc<Occupancy>,
}

/// Aligned so that two workers never write to one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Block {
    requests: [[SingleWriter; TYPES]; PROTOCOLS],
    responses: [[SingleWriter; RCODES]; SOURCES],
    cache_misses: SingleWriter,
    duration: Histogram<SingleWriter>,
}

impl ZoneSeries {
    /// All series of the zone, at zero.
    pub fn new(zone: String, workers: usize) -> Self {
        Self { zone, workers: (0..workers).map(|_| OnceLock::new()).collect(), in_flight: Arc::default() }
    }

    /// Counts one answered question. `worker` must be the calling worker's own index.
    pub fn record(&self, worker: usize, outcome: &Outcome) {
        let Some(block) = self.workers.get(worker) else { return };
        let block = block.get_or_init(Box::default);
        block.requests[protocol_index(outcome.protocol)][outcome.type_index()].add(1);
        block.responses[outcome.source_index()][rcode_index(outcome.rcode)].add(1);
        if matches!(outcome.source, Source::Forward | Source::Failure | Source::Stale) {
            block.cache_misses.add(1);
        }
        block.duration.record(outcome.elapsed);
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.workers.iter().filter_map(OnceLock::get).map(AsRef::as_ref)
    }

    fn sum(&self, value: impl Fn(&Block) -> &SingleWriter) -> u64 {
        self.blocks().map(|block| value(block).value()).sum()
    }

    fn hits(&self) -> u64 {
        let rcodes = 0..RCODES;
        rcodes.map(|rcode| self.sum(|block| &block.responses[Source::Cache as usize][rcode])).sum()
    }
}

/// A family of one series a zone: its name, its type, its help and where its value is.
type Single = (&'static str, &'static str, &'static str, fn(&ZoneSeries) -> u64);

/// Writes the families of all zones.
pub(super) fn write(out: &mut String, zones: &[&ZoneSeries]) -> std::fmt::Result {
    open_family(out, "zerohop_requests_total", "counter", "Questions answered, by zone, type and protocol.")?;
    for zone in zones {
        for (protocol, protocol_label) in PROTOCOL_LABELS.iter().enumerate() {
            for (rtype, type_label) in TYPE_LABELS.iter().enumerate() {
                let labels = [("zone", &*zone.zone), ("protocol", protocol_label), ("type", type_label)];
                let value = zone.sum(|block| &block.requests[protocol][rtype]);
                writeln!(out, "zerohop_requests_total{} {value}", Labels::new(&labels).with_none())?;
            }
        }
    }
    open_family(
        out,
        "zerohop_responses_total",
        "counter",
        "Answers, by zone, response code and where they came from.",
    )?;
    for zone in zones {
        for (source, source_label) in SOURCE_LABELS.iter().enumerate() {
            for (rcode, rcode_label) in RCODE_LABELS.iter().enumerate() {
                let labels = [("zone", &*zone.zone), ("rcode", rcode_label), ("source", source_label)];
                let value = zone.sum(|block| &block.responses[source][rcode]);
                writeln!(out, "zerohop_responses_total{} {value}", Labels::new(&labels).with_none())?;
            }
        }
    }
    open_family(out, "zerohop_cache_hits_total", "counter", "Questions answered from the cache, by zone.")?;
    for zone in zones {
        let labels = [("zone", &*zone.zone)];
        writeln!(out, "zerohop_cache_hits_total{} {}", Labels::new(&labels).with_none(), zone.hits())?;
    }
    open_family(out, "zerohop_cache_misses_total", "counter", "Questions that the cache could not answer, by zone.")?;
    for zone in zones {
        let labels = [("zone", &*zone.zone)];
        let value = zone.sum(|block| &block.cache_misses);
        writeln!(out, "zerohop_cache_misses_total{} {value}", Labels::new(&labels).with_none())?;
    }
    let single: [Single; 2] = [
        ("zerohop_zone_in_flight", "gauge", "Questions of the zone that wait for upstreams.", |z| z.in_flight.taken()),
        ("zerohop_zone_overflows_total", "counter", "Questions not asked: too many of the zone waited.", |z| {
            z.in_flight.overflows()
        }),
    ];
    for (family, kind, help, value) in single {
        open_family(out, family, kind, help)?;
        for zone in zones {
            writeln!(out, "{family}{} {}", Labels::new(&[("zone", &*zone.zone)]).with_none(), value(zone))?;
        }
    }
    let family = "zerohop_request_duration_seconds";
    open_family(out, family, "histogram", "From a question's arrival to its answer, by zone.")?;
    for zone in zones {
        let sum = Sum::of_single_writers(zone.blocks().map(|block| &block.duration));
        sum.write(out, family, &Labels::new(&[("zone", &zone.zone)]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dns::{Protocol, Rcode, RecordType};

    #[test]
    fn what_is_never_asked_for_has_no_counters() {
        let series = ZoneSeries::new("example.".to_owned(), 2);
        assert_eq!((series.blocks().count(), series.hits()), (0, 0));
        let outcome = Outcome {
            rtype: RecordType::A,
            protocol: Protocol::Udp,
            rcode: Rcode::NOERROR,
            source: Source::Cache,
            elapsed: Duration::ZERO,
        };
        series.record(1, &outcome);
        series.record(1, &outcome);
        assert_eq!((series.blocks().count(), series.hits()), (1, 2));
    }
}
