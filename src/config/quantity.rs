//! Durations and sizes: one reader for each, everywhere.

use std::time::Duration;

use super::fault::Message;

/// Units in milliseconds, longest first, so that a duration is written in the longest that fits.
const DURATION_UNITS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units in octets, largest first.
const SIZE_UNITS: &[(&str, u64)] = &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a duration such as `400ms`, `5s`, `2m`, `1h`, `1d`; a bare number counts seconds.
pub(super) fn duration(text: &str) -> Result<Duration, Message> {
    scaled(text, DURATION_UNITS, 1000).map(Duration::from_millis).ok_or_else(|| {
        Message::new(
            format!("{text:?} is no duration"),
            r#"write whole seconds or a string such as "400ms", "30s" or "1h""#,
        )
    })
}

/// Reads a size such as `64MiB`; a bare number counts octets.
pub(super) fn size(text: &str) -> Result<u64, Message> {
    scaled(text, SIZE_UNITS, 1).ok_or_else(|| {
        Message::new(format!("{text:?} is no size"), r#"write octets or a string such as "64MiB" or "1GiB""#)
    })
}

/// Writes a duration as [`duration`] reads it.
pub(super) fn duration_text(duration: Duration) -> String {
    in_largest_unit(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), DURATION_UNITS, "0s")
}

/// Writes a size as [`size`] reads it.
pub(super) fn size_text(octets: u64) -> String {
    in_largest_unit(octets, SIZE_UNITS, "0B")
}

fn scaled(text: &str, units: &[(&str, u64)], bare: u64) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let scale = if unit.is_empty() { bare } else { units.iter().find(|(name, _)| *name == unit)?.1 };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

fn in_largest_unit(quantity: u64, units: &[(&str, u64)], zero: &str) -> String {
    let fitting = units.iter().find(|(_, scale)| quantity != 0 && quantity.is_multiple_of(*scale));
    fitting.map_or_else(|| zero.to_owned(), |(unit, scale)| format!("{}{unit}", quantity / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, milliseconds) in [
            ("400ms", 400),
            ("5s", 5000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("7", 7000),
            ("0", 0),
        ] {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(milliseconds), "{text}");
        }
        for wrong in ["", "s", "-1s", "1.5s", "1h30m", "5 s", "5S", "ten", "99999999999999999999", "9999999999999999d"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        for text in ["400ms", "5s", "90s", "1h", "1d", "0s"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, octets) in [("1", 1), ("5B", 5), ("2KiB", 2048), ("64MiB", 64 << 20), ("1TiB", 1 << 40)] {
            assert_eq!(size(text).unwrap(), octets, "{text}");
        }
        for wrong in ["", "64MB", "64 MiB", "-1", "1.5GiB", "99999999TiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        for text in ["64MiB", "1TiB", "1025B", "0B"] {
            assert_eq!(size_text(size(text).unwrap()), text);
        }
    }
}
