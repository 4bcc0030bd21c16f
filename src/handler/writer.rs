//! Writes replies and counts them: the one place where a question's outcome is recorded.

use std::sync::Arc;
use std::time::Duration;

use super::{Client, Handled};
use crate::cache::Memory;
use crate::clock::Clock;
use crate::dns::query::Rejected;
use crate::dns::response::{Terms, is_truncated, write_answer, write_rejection};
use crate::dns::{Moment, Protocol, Query, Rcode, StoredAnswer};
use crate::metrics::{Outcome, Rejection, Source, WorkerSeries, ZoneSeries};

/// A question that gets its reply now.
pub(super) struct Asked<'q> {
    pub(super) query: &'q Query<'q>,
    pub(super) client: Client,
    pub(super) received: Moment,
}

impl Asked<'_> {
    fn terms(&self) -> Terms {
        let Client { protocol, keepalive, .. } = self.client;
        Terms { limit: protocol.size_limit(self.query), keepalive, encrypted: protocol == Protocol::Tls }
    }
}

/// How many hits in a row of one batch count with one reading of the clock: together they take some
/// 2 us, less than a tenth of the histogram's first bucket, and the reading a tenth of a hit.
const HITS_PER_READING: u32 = 8;

/// The latest reading of the clock for a hit.
#[derive(Default)]
struct Reading {
    /// When the batch came that it was for.
    received: Moment,
    at: Moment,
    /// Hits that it still holds for.
    left: u32,
}

pub(super) struct Writer {
    pub(super) worker: usize,
    pub(super) series: Arc<WorkerSeries>,
    clock: Clock,
    /// Where the next run of addresses begins.
    rotation: usize,
    reading: Reading,
}

impl Writer {
    pub(super) fn new(worker: usize, series: Arc<WorkerSeries>, clock: Clock) -> Self {
        Self { worker, series, clock, rotation: 0, reading: Reading::default() }
    }

    /// An answer of the front, which takes next to no time.
    pub(super) fn reply_hit(
        &mut self,
        asked: &Asked<'_>,
        zone: &ZoneSeries,
        memory: &Memory,
        now: Moment,
        out: &mut [u8],
    ) -> usize {
        let Reading { received, left, .. } = self.reading;
        if left == 0 || received != asked.received {
            let at = self.clock.now();
            self.reading = Reading { received: asked.received, at, left: HITS_PER_READING };
        }
        self.reading.left -= 1;
        let elapsed = self.reading.at.since(asked.received);
        self.write(asked, zone, &memory.answer, memory.source, now, elapsed, out)
    }

    /// The answer of a zone.
    pub(super) fn reply(
        &mut self,
        asked: &Asked<'_>,
        zone: &ZoneSeries,
        answer: &StoredAnswer,
        source: Source,
        now: Moment,
        out: &mut [u8],
    ) -> usize {
        self.reading.left = 0;
        let elapsed = self.clock.now().since(asked.received);
        self.write(asked, zone, answer, source, now, elapsed, out)
    }

    #[expect(clippy::too_many_arguments, reason = "what is written, to whom, and how it is counted")]
    fn write(
        &mut self,
        asked: &Asked<'_>,
        zone: &ZoneSeries,
        answer: &StoredAnswer,
        source: Source,
        now: Moment,
        elapsed: Duration,
        out: &mut [u8],
    ) -> usize {
        self.rotation = self.rotation.wrapping_add(1);
        let protocol = asked.client.protocol;
        let length = write_answer(asked.query, answer, now, self.rotation, asked.terms(), out);
        if is_truncated(out) {
            self.series.truncated();
        }
        let rtype = asked.query.question().rtype();
        zone.record(self.worker, &Outcome { rtype, protocol, rcode: answer.rcode(), source, elapsed });
        length
    }

    /// The answer to a question that no zone is asked for.
    pub(super) fn turn_away(
        &self,
        asked: &Asked<'_>,
        reason: Rejection,
        answer: &StoredAnswer,
        out: &mut [u8],
    ) -> Handled {
        self.series.rejected(reason);
        self.fixed(asked, answer, out)
    }

    /// The answer to the readiness check, which is in no zone's series.
    pub(super) fn ready(&self, asked: &Asked<'_>, answer: &StoredAnswer, out: &mut [u8]) -> Handled {
        self.series.ready_check();
        self.fixed(asked, answer, out)
    }

    /// The reaction to a packet that is no query.
    pub(super) fn reject(&self, packet: &[u8], rejected: Rejected, out: &mut [u8]) -> Handled {
        match rejected {
            Rejected::Drop => {
                self.series.rejected(Rejection::NoQuery);
                Handled::Dropped
            }
            Rejected::Reply(rcode) => {
                match rcode {
                    Rcode::FORMERR => self.series.rejected(Rejection::Malformed),
                    Rcode::NOTIMP => self.series.rejected(Rejection::NotImplemented),
                    _ => {}
                }
                Handled::Replied(write_rejection(packet, rcode, out))
            }
        }
    }

    /// An answer that no series of a zone counts.
    pub(super) fn fixed(&self, asked: &Asked<'_>, answer: &StoredAnswer, out: &mut [u8]) -> Handled {
        Handled::Replied(write_answer(asked.query, answer, asked.received, 0, asked.terms(), out))
    }
}
