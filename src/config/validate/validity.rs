//! How long certificates are good for.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::{DateTime, Decode};

/// Whoever renews certificates does so in the last third of their lives, or a month before the end:
/// what is left over in the last tenth, and in the last two weeks, has been forgotten.
const LAST_TENTH: u32 = 10;
const LAST_DAYS: Duration = Duration::from_secs(14 * DAY);
const DAY: u64 = 86_400;

/// From when until when, since 1970 (RFC 5280, section 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Duration,
    pub(super) not_after: Duration,
}

/// That of the certificate which expires first: from then on the others are worth nothing. `None`
/// when none of them says.
pub(super) fn of_chain(chain: &[CertificateDer<'_>]) -> Option<Validity> {
    chain.iter().filter_map(of).min_by_key(|validity| validity.not_after)
}

fn of(certificate: &CertificateDer<'_>) -> Option<Validity> {
    // Serial numbers and other things that do not matter here are not checked.
    let certificate = CertificateInner::<Raw>::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate().validity();
    Some(Validity {
        not_before: validity.not_before.to_unix_duration(),
        not_after: validity.not_after.to_unix_duration(),
    })
}

impl Validity {
    /// What is to be said of it at this time, if anything.
    pub(super) fn complaint(self, now: UnixTime) -> Option<String> {
        let now = Duration::from_secs(now.as_secs());
        let left = self.not_after.saturating_sub(now);
        let life = self.not_after.saturating_sub(self.not_before);
        if self.not_after < now {
            Some(format!("expired on {}, if the clock is right", date(self.not_after)))
        } else if now < self.not_before {
            Some(format!("becomes valid only on {}, if the clock is right", date(self.not_before)))
        } else if left < LAST_DAYS.min(life / LAST_TENTH) {
            Some(format!("expires on {}", date(self.not_after)))
        } else {
            None
        }
    }
}

fn date(since_1970: Duration) -> String {
    DateTime::from_unix_duration(since_1970)
        .map_or_else(|_| "a day beyond all dates".to_owned(), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_to_expire_is_told_from_what_is_renewed_often() {
        let complaint = |days: f64, now: f64| {
            let at = |days: f64| Duration::from_secs_f64(1e9 + days * 86_400.0);
            let validity = Validity { not_before: at(0.0), not_after: at(days) };
            validity.complaint(UnixTime::since_unix_epoch(at(now)))
        };
        for (days, now) in [(365.0, 0.0), (365.0, 350.9), (90.0, 80.9), (1.0, 0.89), (3650.0, 3635.9)] {
            assert_eq!(complaint(days, now), None, "{days} {now}");
        }
        let end = "2001-09-19T01:46:40Z";
        assert_eq!(complaint(10.0, 9.1).unwrap(), format!("expires on {end}"));
        assert_eq!(complaint(10.0, 10.1).unwrap(), format!("expired on {end}, if the clock is right"));
        assert!(complaint(10.0, -1.0).unwrap().starts_with("becomes valid only on 2001-09-09"));
        for (days, now) in [(365.0, 351.1), (90.0, 81.1), (1.0, 0.91)] {
            assert!(complaint(days, now).is_some(), "{days} {now}");
        }
    }
}
