//! How long to wait before a request is sent again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::{Duration, SystemTime};

/// The wait after attempt number `attempt` (from 0): `first` doubled with every attempt, at most
/// `longest`, of which a random half to whole is taken so that many clients do not return together; or
/// what the server asked for, if that is longer, but again at most `longest`.
pub fn wait(attempt: u32, first: Duration, longest: Duration, asked: Option<Duration>) -> Duration {
    let doubled = first.saturating_mul(2u32.saturating_pow(attempt));
    let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    let own = doubled.min(longest).mul_f64(0.5 + 0.5 * random);
    // A little beyond what was asked, so that all who were told the same do not return at once.
    let asked = asked.map_or(Duration::ZERO, |asked| {
        asked.min(longest) + first.min(longest).mul_f64(0.5 * random)
    });
    own.max(asked)
}

/// A `Retry-After`: seconds, or one of the three date formats of HTTP (RFC 9110, 5.6.7), of which a
/// past one asks for no wait. Nothing if it is neither.
pub fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if header.starts_with(|c: char| c.is_ascii_digit()) {
        let seconds: f64 = header.parse().ok()?;
        return Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let at = httpdate::parse_http_date(header).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_nonsense_is_not() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        let secs = |text| retry_after(text, now).map(|wait| wait.as_secs_f64());
        for (text, expected) in [
            ("120", Some(120.0)),
            (" 1.5 ", Some(1.5)),
            ("0", Some(0.0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7.0)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7.0)),
            ("Sun Nov  6 08:49:37 1994", Some(7.0)),
            ("Tue, 06 Nov 1990 08:49:37 GMT", Some(0.0)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Some(86_407.0)),
            ("Thu, 29 Feb 1996 00:00:00 GMT", Some(41_440_230.0)),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
            ("", None),
            ("12 monkeys", None),
            ("Sun, 06 Nov 1994 25:49:37 GMT", None),
            ("Sun, 06 Now 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", None),
        ] {
            assert_eq!(secs(text), expected, "{text:?}");
        }
        assert_eq!(
            retry_after("99999999999999999999999", now),
            Some(Duration::MAX)
        );
        assert!(retry_after("Fri, 31 Dec 9999 23:59:59 GMT", now).is_some());
    }

    #[test]
    fn waits_grow_are_spread_and_never_exceed_the_longest() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(2));
        for attempt in [0, 1, 2, 3, 40] {
            let whole = first
                .saturating_mul(2u32.saturating_pow(attempt))
                .min(longest);
            let waits: Vec<_> = (0..50)
                .map(|_| wait(attempt, first, longest, None))
                .collect();
            assert!(
                waits
                    .iter()
                    .all(|wait| *wait <= whole && *wait >= whole / 2)
            );
            assert!(waits.iter().any(|wait| *wait != waits[0]));
        }
        let asked = wait(0, first, longest, Some(Duration::from_secs(1)));
        assert!((1.0..1.06).contains(&asked.as_secs_f64()), "{asked:?}");
        let absurd = wait(0, first, longest, Some(Duration::MAX));
        assert!((2.0..2.06).contains(&absurd.as_secs_f64()), "{absurd:?}");
        let impatient = wait(3, first, longest, Some(Duration::ZERO));
        assert!(impatient >= Duration::from_millis(400), "{impatient:?}");
    }
}
