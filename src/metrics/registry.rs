//! All series there are, and their text.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::{Control, ServerSeries, WorkerSeries, ZoneSeries, process, server, worker, zone};

/// Hands out the series of zones, servers and workers, and renders everything at a scrape.
///
/// Series are found again by their labels, so that a reload does not set a counter back.
pub struct Registry {
    workers: Vec<Arc<WorkerSeries>>,
    labelled: Mutex<Labelled>,
    exporter: PrometheusHandle,
    pub control: Control,
}

#[derive(Default)]
struct Labelled {
    zones: BTreeMap<String, Arc<ZoneSeries>>,
    servers: BTreeMap<(String, String), Arc<ServerSeries>>,
}

impl Registry {
    /// A registry for this many workers.
    pub fn new(workers: usize) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            labelled: Mutex::default(),
            exporter: recorder.handle(),
            control: Control::register(&recorder),
        }
    }

    pub fn workers(&self) -> &[Arc<WorkerSeries>] {
        &self.workers
    }

    /// The series of a configured zone, made at zero when they are new.
    pub fn zone(&self, name: &str) -> Arc<ZoneSeries> {
        let fresh = || Arc::new(ZoneSeries::new(name.to_owned(), self.workers.len()));
        self.lock().zones.entry(name.to_owned()).or_insert_with(fresh).clone()
    }

    /// The series of a server of an upstream, made at zero when they are new.
    pub fn server(&self, upstream: &str, server: &str) -> Arc<ServerSeries> {
        let fresh = || Arc::new(ServerSeries::new(upstream.to_owned(), server.to_owned()));
        self.lock().servers.entry((upstream.to_owned(), server.to_owned())).or_insert_with(fresh).clone()
    }

    /// Everything, in the Prometheus text format. Zones and servers that nobody holds any more
    /// have left the configuration, and leave the text.
    pub fn render(&self) -> String {
        let mut out = self.exporter.render();
        self.forget();
        let labelled = self.lock();
        let zones: Vec<&ZoneSeries> = labelled.zones.values().map(AsRef::as_ref).collect();
        let servers: Vec<&ServerSeries> = labelled.servers.values().map(AsRef::as_ref).collect();
        let workers: Vec<&WorkerSeries> = self.workers.iter().map(AsRef::as_ref).collect();
        // Writing to a String cannot fail.
        let _ = zone::write(&mut out, &zones)
            .and_then(|()| server::write(&mut out, &servers))
            .and_then(|()| worker::write(&mut out, &workers))
            .and_then(|()| process::write(&mut out));
        out
    }

    /// Forgets the series of zones and servers that nobody holds any more. A host may be at other
    /// addresses every few seconds, and nobody may ever scrape.
    pub fn forget(&self) {
        let mut labelled = self.lock();
        labelled.zones.retain(|_, series| Arc::strong_count(series) > 1);
        labelled.servers.retain(|_, series| Arc::strong_count(series) > 1);
    }

    fn lock(&self) -> MutexGuard<'_, Labelled> {
        self.labelled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Attempt, Outcome, Rejection, Source};
    use super::*;
    use crate::dns::{Protocol, Rcode, RecordType};

    #[test]
    fn every_series_stands_at_zero_from_the_start_and_counts_exactly() {
        let registry = Registry::new(2);
        let zone = registry.zone("example.");
        let server = registry.server("kube-dns", "10.96.0.11:53");
        let before = registry.render();
        for line in [
            "zerohop_requests_total{zone=\"example.\",protocol=\"tcp\",type=\"SRV\"} 0",
            "zerohop_responses_total{zone=\"example.\",rcode=\"SERVFAIL\",source=\"failure\"} 0",
            "zerohop_cache_hits_total{zone=\"example.\"} 0",
            "zerohop_request_duration_seconds_count{zone=\"example.\"} 0",
            "zerohop_upstream_attempts_total{upstream=\"kube-dns\",server=\"10.96.0.11:53\",outcome=\"timeout\"} 0",
            "zerohop_rejected_total{reason=\"no_zone\"} 0",
        ] {
            assert!(before.lines().any(|have| have == line), "{line}\n{before}");
        }
        let outcome = Outcome {
            rtype: RecordType::A,
            protocol: Protocol::Udp,
            rcode: Rcode::NXDOMAIN,
            source: Source::Cache,
            elapsed: Duration::from_micros(10),
        };
        zone.record(0, &outcome);
        zone.record(1, &outcome);
        zone.record(1, &Outcome { source: Source::Forward, ..outcome });
        server.sent(Protocol::Udp);
        server.ended(Attempt::Replied(Rcode::NXDOMAIN), Duration::from_millis(1));
        registry.workers()[1].rejected(Rejection::NoZone);
        let after = registry.render();
        for line in [
            "zerohop_requests_total{zone=\"example.\",protocol=\"udp\",type=\"A\"} 3",
            "zerohop_responses_total{zone=\"example.\",rcode=\"NXDOMAIN\",source=\"cache\"} 2",
            "zerohop_cache_hits_total{zone=\"example.\"} 2",
            "zerohop_cache_misses_total{zone=\"example.\"} 1",
            "zerohop_request_duration_seconds_count{zone=\"example.\"} 3",
            "zerohop_upstream_queries_total{upstream=\"kube-dns\",server=\"10.96.0.11:53\",protocol=\"udp\"} 1",
            "zerohop_upstream_attempts_total{upstream=\"kube-dns\",server=\"10.96.0.11:53\",outcome=\"NXDOMAIN\"} 1",
            "zerohop_rejected_total{reason=\"no_zone\"} 1",
        ] {
            assert!(after.lines().any(|have| have == line), "{line}\n{after}");
        }
    }

    #[test]
    fn servers_that_are_elsewhere_are_forgotten_without_a_scrape() {
        let registry = Registry::new(1);
        let stays = registry.server("b", "192.0.2.1:53");
        for last in 2..100 {
            registry.server("b", &format!("192.0.2.{last}:53"));
            registry.forget();
        }
        assert_eq!(registry.lock().servers.len(), 1);
        assert!(Arc::ptr_eq(&stays, &registry.server("b", "192.0.2.1:53")));
    }

    #[test]
    fn series_outlive_a_reload_and_end_with_their_zone() {
        let registry = Registry::new(1);
        let first = registry.zone("example.");
        assert!(Arc::ptr_eq(&first, &registry.zone("example.")));
        drop(first);
        assert!(!registry.render().contains("example."));
    }
}
