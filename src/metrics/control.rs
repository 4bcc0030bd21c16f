//! What changes seldom: through the `metrics` crate, and so encoded by its exporter.

use metrics::{Counter, Gauge, Recorder, counter, describe_counter, describe_gauge, gauge, with_local_recorder};

/// Handles on the process-wide series. Those that mirror a figure kept elsewhere are set at the
/// scrape.
pub struct Control {
    pub cache_entries: Gauge,
    pub cache_bytes: Gauge,
    pub cache_evictions: Counter,
    /// Answers that were not cached because the queue to the cache was full.
    pub cache_dropped_writes: Counter,
    /// Answers on their way into the cache.
    pub cache_queue: Gauge,
    /// Failures that are remembered, and those that were not since there were too many.
    pub failures: Gauge,
    pub failures_dropped: Counter,
    /// Answers that were asked for anew before they ran out.
    pub cache_prefetches: Counter,
    pub background_overflows: Counter,
    /// Addresses of hosts that were not used: the host has too many.
    pub addresses_unused: Counter,
    /// Answers that came from a snapshot, and snapshots of which none did.
    pub cache_restored: Counter,
    pub snapshots_refused: Counter,
    /// Snapshots that were written to the file, and those that could not be.
    pub snapshots_good: Counter,
    pub snapshots_bad: Counter,
    /// When the file was last written, in seconds since 1970.
    pub snapshot_written: Gauge,
    pub in_flight: Gauge,
    pub tcp_open: Gauge,
    pub reloads_good: Counter,
    pub reloads_bad: Counter,
    /// 1 while the last reload was good.
    pub config_current: Gauge,
    /// 1 while the device of `[interface]` is as it should be, or none is configured.
    pub interface_right: Gauge,
    pub interface_repairs: Counter,
    /// 1 while questions for the addresses of `intercept` are taken.
    pub interception_active: Gauge,
    /// 1 while another instance stands by.
    pub standby: Gauge,
    /// 1 while the kernel holds us to what serving takes: no more capabilities, files and system calls.
    pub confined_capabilities: Gauge,
    pub confined_files: Gauge,
    pub confined_calls: Gauge,
    certificate_expiry: Gauge,
}

impl Control {
    /// Registers every series, at zero.
    pub(super) fn register(recorder: &dyn Recorder) -> Self {
        with_local_recorder(recorder, || {
            describe_gauge!("zerohop_build_info", "1, with the version as a label.");
            gauge!("zerohop_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            describe_gauge!("zerohop_cache_entries", "Answers in the cache.");
            describe_gauge!("zerohop_cache_bytes", "Bytes that the answers in the cache are weighed at.");
            describe_counter!(
                "zerohop_cache_evictions_total",
                "Answers that made room for others, or were not let in for them."
            );
            describe_counter!("zerohop_cache_dropped_writes_total", "Answers not cached: the queue was full.");
            describe_gauge!("zerohop_cache_writes_waiting", "Answers on their way into the cache.");
            describe_gauge!("zerohop_failures", "Failures that are remembered.");
            describe_counter!("zerohop_failures_dropped_total", "Failures not remembered: the table was full.");
            describe_counter!("zerohop_cache_prefetches_total", "Answers asked for anew before they ran out.");
            describe_counter!("zerohop_cache_restored_total", "Answers taken over from snapshots of an earlier cache.");
            describe_counter!(
                "zerohop_cache_snapshots_refused_total",
                "Snapshots found and not used; the log says why."
            );
            describe_counter!("zerohop_cache_snapshots_total", "Writes of the cache to the file `persist`, by result.");
            describe_gauge!(
                "zerohop_cache_snapshot_timestamp_seconds",
                "When the cache was last written to the file `persist`, in Unix time; 0 before."
            );
            describe_counter!(
                "zerohop_background_overflows_total",
                "Questions not asked upstream with no client waiting: too many were."
            );
            describe_counter!(
                "zerohop_upstream_addresses_unused_total",
                "Addresses that an upstream's host was said to have beyond those that are used."
            );
            describe_gauge!("zerohop_questions_in_flight", "Questions being asked upstream.");
            describe_gauge!("zerohop_tcp_connections_open", "TCP connections of clients.");
            describe_counter!("zerohop_reloads_total", "Reloads of the configuration, by result.");
            describe_gauge!("zerohop_config_current", "1 while the configuration file is what is served.");
            describe_gauge!(
                "zerohop_interface_right",
                "1 while the device of [interface] has its addresses and is up; also when none is configured."
            );
            describe_counter!(
                "zerohop_interface_repairs_total",
                "Times that the device of [interface] was put right again."
            );
            describe_gauge!(
                "zerohop_interception_active",
                "1 while questions for the addresses of `intercept` are taken."
            );
            describe_gauge!("zerohop_standby", "1 while another instance stands by to take over.");
            describe_gauge!(
                "zerohop_certificate_expiry_timestamp_seconds",
                "When the certificate shown to clients expires, in Unix time; +Inf when there is none."
            );
            describe_gauge!(
                "zerohop_sandbox",
                "1 where the kernel holds the process to what serving takes: its capabilities, files, system calls."
            );
            let control = Self {
                cache_entries: gauge!("zerohop_cache_entries"),
                cache_bytes: gauge!("zerohop_cache_bytes"),
                cache_evictions: counter!("zerohop_cache_evictions_total"),
                cache_dropped_writes: counter!("zerohop_cache_dropped_writes_total"),
                cache_queue: gauge!("zerohop_cache_writes_waiting"),
                failures: gauge!("zerohop_failures"),
                failures_dropped: counter!("zerohop_failures_dropped_total"),
                cache_prefetches: counter!("zerohop_cache_prefetches_total"),
                background_overflows: counter!("zerohop_background_overflows_total"),
                addresses_unused: counter!("zerohop_upstream_addresses_unused_total"),
                cache_restored: counter!("zerohop_cache_restored_total"),
                snapshots_refused: counter!("zerohop_cache_snapshots_refused_total"),
                snapshots_good: counter!("zerohop_cache_snapshots_total", "result" => "success"),
                snapshots_bad: counter!("zerohop_cache_snapshots_total", "result" => "failure"),
                snapshot_written: gauge!("zerohop_cache_snapshot_timestamp_seconds"),
                in_flight: gauge!("zerohop_questions_in_flight"),
                tcp_open: gauge!("zerohop_tcp_connections_open"),
                reloads_good: counter!("zerohop_reloads_total", "result" => "success"),
                reloads_bad: counter!("zerohop_reloads_total", "result" => "failure"),
                config_current: gauge!("zerohop_config_current"),
                interface_right: gauge!("zerohop_interface_right"),
                interface_repairs: counter!("zerohop_interface_repairs_total"),
                interception_active: gauge!("zerohop_interception_active"),
                standby: gauge!("zerohop_standby"),
                confined_capabilities: gauge!("zerohop_sandbox", "part" => "capabilities"),
                confined_files: gauge!("zerohop_sandbox", "part" => "landlock"),
                confined_calls: gauge!("zerohop_sandbox", "part" => "seccomp"),
                certificate_expiry: gauge!("zerohop_certificate_expiry_timestamp_seconds"),
            };
            control.config_current.set(1.0);
            control.certificate_expires(None);
            control
        })
    }

    /// The certificate that clients are shown expires then, in seconds since 1970; with none, never.
    pub fn certificate_expires(&self, at: Option<u64>) {
        // Exact for 285 million years.
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are below 2^53")]
        self.certificate_expiry.set(at.map_or(f64::INFINITY, |seconds| seconds as f64));
    }
}
