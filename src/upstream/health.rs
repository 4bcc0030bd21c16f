//! What is known of a server from how it has answered: one record for the whole process, that all
//! workers write to on misses. Nothing in it is exact when two write at once, and nothing needs to
//! be.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::edns::EdnsMemory;
use super::loops::{LastUse, Returning};
use crate::dns::Moment;

/// Bounds on how long a server is waited for before another is asked as well.
const LEAST_PATIENCE: Duration = Duration::from_millis(20);
const MOST_PATIENCE: Duration = Duration::from_millis(250);
/// The patience with a server that has not been heard of yet.
const FIRST_PATIENCE: Duration = Duration::from_millis(100);
/// A server is silent when nothing came for so long, which is more than three times the longest
/// patience, …
pub(super) const SILENCE: Duration = Duration::from_secs(1);
/// … and so many questions, at least, wait in vain.
const WAITING: u32 = 3;
/// What a failure counts for, as if the answer had taken so long.
const PENALTY: Duration = MOST_PATIENCE;
/// The weight of a new round trip in the smoothed one: an eighth, as in TCP (RFC 6298, section 2).
const SMOOTHING: u32 = 8;

/// See the module's head. Durations are kept in microseconds, moments in nanoseconds.
#[derive(Debug, Default)]
pub struct Health {
    /// The smoothed round trip; 0 before the first.
    smoothed: AtomicU32,
    /// What 95 of 100 round trips stay below, estimated; 0 before the first.
    slow: AtomicU32,
    /// Questions sent since it was last heard.
    unanswered: AtomicU32,
    /// When the first of them was sent; 0 if there is none.
    silent_since: AtomicU64,
    /// When it was last heard; 0 if never.
    heard: AtomicU64,
    /// It has not answered a probe either.
    silent: AtomicBool,
    /// Whether it is asked with EDNS.
    pub(super) edns: EdnsMemory,
    /// When it was last sent a client's question.
    pub(super) used: LastUse,
    /// The zones it is not asked for, since it asks us.
    pub returning: Returning,
}

impl Health {
    /// A question has been sent to it for the first time.
    pub fn sent(&self, now: Moment) {
        self.used.note(now);
        if self.unanswered.fetch_add(1, Relaxed) == 0 {
            self.silent_since.store(nanos(now), Relaxed);
        }
    }

    /// Something came from it, whatever it was: it lives.
    pub fn heard(&self, now: Moment) {
        self.heard.store(nanos(now), Relaxed);
        self.unanswered.store(0, Relaxed);
        self.silent.store(false, Relaxed);
    }

    /// An answer took this long.
    pub fn answered(&self, took: Duration) {
        self.smooth(took);
        self.estimate(micros(took));
    }

    /// It failed, or gave up no answer for this long until it was no longer waited for.
    pub fn failed(&self, after: Option<Duration>) {
        match after {
            Some(waited) => {
                self.smooth(waited.max(self.round_trip()));
                self.estimate(micros(waited).max(self.slow.load(Relaxed)));
            }
            None => self.smooth(PENALTY),
        }
    }

    /// How long its answers take, smoothed; zero before the first.
    pub fn round_trip(&self) -> Duration {
        Duration::from_micros(self.smoothed.load(Relaxed).into())
    }

    /// How long it is waited for before another is asked as well.
    pub fn patience(&self) -> Duration {
        match self.slow.load(Relaxed) {
            0 => FIRST_PATIENCE,
            slow => Duration::from_micros(slow.into()).clamp(LEAST_PATIENCE, MOST_PATIENCE),
        }
    }

    /// Whether it has been heard after this moment.
    pub fn heard_since(&self, moment: Moment) -> bool {
        self.heard.load(Relaxed) > nanos(moment)
    }

    /// Whether nothing at all has come from it for so long that a probe should tell whether it is
    /// still there: some servers drop single questions, or types.
    pub fn is_suspect(&self, now: Moment) -> bool {
        if self.unanswered.load(Relaxed) < WAITING {
            return false;
        }
        let since = Moment::after_origin(Duration::from_nanos(self.silent_since.load(Relaxed)));
        now.since(since) >= SILENCE
    }

    /// For how long it cannot become one at least, whatever it is asked. Zero if it is silent.
    pub fn trusted_for(&self, now: Moment) -> Duration {
        match (self.is_silent(), self.unanswered.load(Relaxed)) {
            (true, _) => Duration::ZERO,
            (false, 0) => SILENCE,
            (false, _) => {
                let since = Moment::after_origin(Duration::from_nanos(self.silent_since.load(Relaxed)));
                SILENCE.saturating_sub(now.since(since))
            }
        }
    }

    /// A suspect has not answered a probe: it is no longer asked until it is heard.
    pub fn set_aside(&self) {
        self.silent.store(true, Relaxed);
    }

    /// Whether it is set aside.
    pub fn is_silent(&self) -> bool {
        self.silent.load(Relaxed)
    }

    fn smooth(&self, took: Duration) {
        let old = self.smoothed.load(Relaxed);
        let new = if old == 0 { micros(took) } else { old - old / SMOOTHING + micros(took) / SMOOTHING };
        self.smoothed.store(new.max(1), Relaxed);
    }

    /// A step up is nineteen times as long as one down: the estimate comes to rest where one round
    /// trip in twenty is longer.
    fn estimate(&self, took: u32) {
        let old = self.slow.load(Relaxed);
        let step = (old / 8).max(100);
        let new = match old {
            0 => took.saturating_mul(2),
            _ if took > old => old.saturating_add(step).min(took),
            _ => old.saturating_sub(step / 19).max(took),
        };
        self.slow.store(new.max(1), Relaxed);
    }
}

fn nanos(moment: Moment) -> u64 {
    u64::try_from(moment.since(Moment::ORIGIN).as_nanos()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_origin(Duration::from_millis(millis))
    }

    #[test]
    fn patience_is_what_nearly_all_answers_take_within_bounds() {
        let health = Health::default();
        assert_eq!(health.patience(), FIRST_PATIENCE);
        for round in 0..2000_u64 {
            // 9 of 10 take 10 ms, 1 takes 120.
            health.answered(Duration::from_millis(if round % 10 == 7 { 120 } else { 10 }));
        }
        let patience = health.patience();
        assert!((100..=120).contains(&patience.as_millis()), "{patience:?}");
        (0..2000).for_each(|_| health.answered(Duration::from_millis(1)));
        assert_eq!(health.patience(), LEAST_PATIENCE);
        (0..2000).for_each(|_| health.answered(Duration::from_secs(1)));
        assert_eq!(health.patience(), MOST_PATIENCE);
    }

    #[test]
    fn only_silence_with_several_waiting_makes_a_server_suspect() {
        let health = Health::default();
        health.sent(at(0));
        health.sent(at(100));
        assert!(!health.is_suspect(at(5000)), "two are too few");
        health.sent(at(200));
        assert!(!health.is_suspect(at(999)));
        assert!(health.is_suspect(at(1000)));
        assert_eq!(health.trusted_for(at(1000)), Duration::ZERO);
        health.set_aside();
        assert!(health.is_silent());
        health.heard(at(1001));
        assert_eq!(health.trusted_for(at(1001)), SILENCE);
        assert!(!health.is_silent());
        assert!(!health.is_suspect(at(9000)));
        (0..3).for_each(|_| health.sent(at(9000)));
        assert!(!health.is_suspect(at(9999)));
        assert_eq!(health.trusted_for(at(9600)), Duration::from_millis(400));
        assert!(health.is_suspect(at(10_000)));
    }

    #[test]
    fn failures_make_a_server_the_second_choice() {
        let (good, bad) = (Health::default(), Health::default());
        for health in [&good, &bad] {
            health.answered(Duration::from_millis(1));
        }
        bad.failed(None);
        assert!(bad.round_trip() > 10 * good.round_trip());
        bad.failed(Some(Duration::from_micros(1)));
        assert!(bad.round_trip() > 10 * good.round_trip(), "what was given up early says nothing");
    }
}
