//! When to try again. Pure: `unit` is a random number from 0 to below 1.

use std::time::Duration;

use watchbell_model::Timestamp;
use watchbell_runtime::http;

use crate::RETRY_AFTER_MAX;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// A page is not given up before so many tries, so that a wall clock that jumps ahead gives up nothing.
const ATTEMPTS_MIN: u32 = 5;

/// The wait after the try number `attempts` (from 1): 1 s, doubled each time up to 5 minutes, of which the last half is
/// drawn by chance, so that channels that failed together do not come back together.
pub(crate) fn wait(attempts: u32, unit: f64) -> Duration {
    let full = FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(LONGEST);
    full.mul_f64(0.5 + unit.clamp(0.0, 1.0) / 2.0)
}

/// Whether a page that failed again is given up.
pub(crate) fn is_over(enqueued: Timestamp, now: Timestamp, retry_for: Duration, attempts: u32) -> bool {
    attempts >= ATTEMPTS_MIN && now.since(enqueued) >= retry_for
}

/// A `Retry-After` header; at most [`RETRY_AFTER_MAX`].
pub(crate) fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    http::retry_after(header, now).map(|wait| wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let least: Vec<f64> = (1..=10).map(|attempt| wait(attempt, 0.0).as_secs_f64()).collect();
        assert_eq!(least, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 150.0]);
        assert_eq!(wait(4_000_000_000, 1.0), LONGEST);
    }

    #[test]
    fn a_clock_that_jumps_gives_up_nothing() {
        let (then, day) = (Timestamp(0), Duration::from_secs(86_400));
        assert!(!is_over(then, then + day * 400, day, 1));
        assert!(!is_over(then, then + day / 2, day, 100));
        assert!(is_over(then, then + day, day, 5));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now = Timestamp::parse_rfc3339("2026-11-20T22:00:00Z").unwrap();
        let seconds = |header| retry_after(header, now).map(|it| it.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("Fri, 20 Nov 2026 22:01:30 GMT"), Some(90));
        assert_eq!(seconds("Fri, 20 Nov 2026 21:00:00 GMT"), Some(0));
        assert_eq!(seconds("999999"), Some(3600));
        assert_eq!(seconds("99999999999999999999999"), Some(3600));
        assert_eq!(seconds("Sun, 06 Nov 2094 08:49:37 GMT"), Some(3600));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds(""), None);
    }
}
