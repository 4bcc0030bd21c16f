//! Histograms with fixed buckets: one addition a sample, no allocation, no growth.

use std::fmt::Write;
use std::time::Duration;

use super::counter::{Shared, SingleWriter};
use super::text::Labels;

/// The upper bound of the first bucket in nanoseconds; each further bound doubles it.
///
/// From the fourth on the bounds are those of CoreDNS (0.25 ms to 8.192 s), so that dashboards
/// carry over; the three below tell a fast hit from a slow one.
const FIRST_BOUND: u64 = 31_250;
/// Bounded buckets: 31.25 us to 8.192 s.
const BOUNDS: usize = 19;

/// A histogram of durations. `C` says who may add to it.
#[derive(Debug, Default)]
pub struct Histogram<C> {
    buckets: [C; BOUNDS + 1],
    nanoseconds: C,
}

/// The bucket whose bound is the first that is not below the sample.
fn bucket(sample: Duration) -> (usize, u64) {
    let nanoseconds = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX);
    let above = nanoseconds.saturating_sub(1) / FIRST_BOUND;
    let index = (u64::BITS - above.leading_zeros()) as usize;
    (index.min(BOUNDS), nanoseconds)
}

impl Histogram<SingleWriter> {
    pub fn record(&self, sample: Duration) {
        let (index, nanoseconds) = bucket(sample);
        self.buckets[index].add(1);
        self.nanoseconds.add(nanoseconds);
    }
}

impl Histogram<Shared> {
    pub fn record(&self, sample: Duration) {
        let (index, nanoseconds) = bucket(sample);
        self.buckets[index].add(1);
        self.nanoseconds.add(nanoseconds);
    }
}

/// Samples of one or more histograms, added up at a scrape.
#[derive(Debug, Default)]
pub struct Sum {
    buckets: [u64; BOUNDS + 1],
    nanoseconds: u64,
}

impl Sum {
    pub fn of_single_writers<'h>(parts: impl Iterator<Item = &'h Histogram<SingleWriter>>) -> Self {
        let mut sum = Self::default();
        for part in parts {
            sum.add(part, SingleWriter::value);
        }
        sum
    }

    pub fn of_shared(histogram: &Histogram<Shared>) -> Self {
        let mut sum = Self::default();
        sum.add(histogram, Shared::value);
        sum
    }

    fn add<C>(&mut self, part: &Histogram<C>, value: impl Fn(&C) -> u64) {
        for (total, bucket) in self.buckets.iter_mut().zip(&part.buckets) {
            *total += value(bucket);
        }
        self.nanoseconds += value(&part.nanoseconds);
    }

    /// Writes the lines of one series in the Prometheus text format.
    pub(super) fn write(&self, out: &mut String, family: &str, labels: &Labels<'_>) -> std::fmt::Result {
        let mut total = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            total += count;
            let bound = match index {
                BOUNDS => "+Inf".to_owned(),
                _ => format_seconds(FIRST_BOUND << index),
            };
            writeln!(out, "{family}_bucket{} {total}", labels.with("le", &bound))?;
        }
        writeln!(out, "{family}_sum{} {}", labels.with_none(), format_seconds(self.nanoseconds))?;
        writeln!(out, "{family}_count{} {total}", labels.with_none())
    }
}

/// Seconds with as many decimals as nanoseconds need, without a detour over floating point.
fn format_seconds(nanoseconds: u64) -> String {
    let text = format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_on_a_bound_belongs_below_it() {
        let index = |nanoseconds| bucket(Duration::from_nanos(nanoseconds)).0;
        assert_eq!(
            [index(0), index(1), index(31_250), index(31_251), index(62_500), index(62_501)],
            [0, 0, 0, 1, 1, 2]
        );
        assert_eq!(index(8_192_000_000), BOUNDS - 1);
        assert_eq!(index(8_192_000_001), BOUNDS);
        assert_eq!(index(u64::MAX), BOUNDS);
    }

    #[test]
    fn buckets_are_cumulative_and_bounds_those_of_coredns() {
        let histogram = Histogram::<SingleWriter>::default();
        histogram.record(Duration::from_micros(200));
        histogram.record(Duration::from_millis(3));
        histogram.record(Duration::from_secs(60));
        let mut out = String::new();
        Sum::of_single_writers(std::iter::once(&histogram))
            .write(&mut out, "x", &Labels::new(&[("zone", ".")]))
            .unwrap();
        for line in [
            "x_bucket{zone=\".\",le=\"0.000125\"} 0",
            "x_bucket{zone=\".\",le=\"0.00025\"} 1",
            "x_bucket{zone=\".\",le=\"0.004\"} 2",
            "x_bucket{zone=\".\",le=\"8.192\"} 2",
            "x_bucket{zone=\".\",le=\"+Inf\"} 3",
            "x_sum{zone=\".\"} 60.0032",
            "x_count{zone=\".\"} 3",
        ] {
            assert!(out.lines().any(|have| have == line), "{line}\n{out}");
        }
    }
}
