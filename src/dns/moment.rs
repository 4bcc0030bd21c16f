//! Time as a value: the rooms that decide never read a clock, they are told the moment.

use std::time::Duration;

/// A moment on the monotonic clock, in nanoseconds since an origin that the process chose once.
///
/// 64 bits of nanoseconds last 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The origin itself.
    pub const ORIGIN: Self = Self(0);

    /// When processes begin: a hundred years of 365 days after the origin, so that an answer that has
    /// outlived another process has its moment, too. The longest TTL is 68 years (RFC 2181, section 8).
    pub const START: Self = Self(100 * 365 * 86_400 * 1_000_000_000);

    /// The moment `since_origin` after the origin. Saturates after 584 years.
    pub fn after_origin(since_origin: Duration) -> Self {
        Self(u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long ago `earlier` was; zero if it is still to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// So long before; `None` when that is before the origin.
    pub fn before(self, by: Duration) -> Option<Self> {
        u64::try_from(by.as_nanos()).ok().and_then(|nanos| self.0.checked_sub(nanos)).map(Self)
    }

    /// Whole seconds since `earlier`, as TTLs count them; zero if it is still to come.
    pub fn seconds_since(self, earlier: Self) -> u32 {
        u32::try_from(self.0.saturating_sub(earlier.0) / 1_000_000_000).unwrap_or(u32::MAX)
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_whole_and_never_negative() {
        let start = Moment::after_origin(Duration::from_secs(10));
        assert_eq!((start + Duration::from_millis(999)).seconds_since(start), 0);
        assert_eq!((start + Duration::from_millis(1000)).seconds_since(start), 1);
        assert_eq!(start.seconds_since(start + Duration::from_secs(5)), 0);
    }

    #[test]
    fn a_process_begins_long_enough_after_the_origin_for_every_ttl() {
        let longest = Duration::from_secs(0x7fff_ffff + 7 * 86_400);
        assert_eq!(Moment::START.since(Moment::START.before(longest).unwrap()), longest);
        assert_eq!(Moment::START.before(2 * longest), None);
        assert_eq!(Moment::START.before(Duration::MAX), None);
    }
}
