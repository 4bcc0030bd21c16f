//! When an answer is asked for anew although it still holds, so that nobody has to wait for it.

use std::time::Duration;

use crate::dns::Moment;

/// How often an answer has to be found within its life to be hot. Two may be one client that asks
/// again; and what is asked for three times is likely asked for soon after its end, so that the
/// refresh is the question that would have gone upstream anyway.
pub(super) const HOT: u32 = 3;
/// The shortest life that is worth it: of anything shorter the last tenth is over before a second
/// server would be asked (400 ms).
const LEAST_LIFETIME: Duration = Duration::from_secs(5);

/// When the last tenth begins of a life that began at `start`; never, if it is too short.
pub(super) fn due_from(start: Moment, lifetime: Duration) -> Moment {
    if lifetime < LEAST_LIFETIME { Moment::after_origin(Duration::MAX) } else { start + lifetime / 10 * 9 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tenth_of_a_life_that_is_long_enough() {
        let at = |seconds| Moment::ORIGIN + Duration::from_secs(seconds);
        assert_eq!(due_from(at(100), Duration::from_secs(30)), at(127));
        assert!(due_from(at(100), Duration::from_millis(4_999)) > at(1_000_000_000));
    }
}
