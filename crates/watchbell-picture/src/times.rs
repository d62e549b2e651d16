//! Where the axis of time has marks, in a zone.

use jiff::tz::TimeZone;
use watchbell_model::Timestamp;

/// Marks at most.
const MARKS_MAX: i64 = 7;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// How far apart they may lie.
const STEPS: [i64; 17] = [
    1000,
    5000,
    15_000,
    30_000,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
];

/// Moments with what is written at them. They are round in the zone as its clocks go at the end.
pub(crate) fn marks(start: Timestamp, end: Timestamp, zone: &TimeZone) -> Vec<(Timestamp, String)> {
    let length = end.0.saturating_sub(start.0).max(1);
    let weeks = || (1..).map(|weeks: i64| weeks * 7 * DAY).find(|step| length / step <= MARKS_MAX);
    let step = STEPS.into_iter().find(|step| length / step <= MARKS_MAX).or_else(weeks).unwrap_or(i64::MAX);
    let offset = jiff::Timestamp::from_millisecond(end.0)
        .map_or(0, |at| i64::from(zone.to_offset_info(at).offset().seconds()) * 1000);
    let first = (start.0.saturating_add(offset)).div_euclid(step).saturating_add(1).saturating_mul(step) - offset;
    let moments = (0..=MARKS_MAX).map(|at| Timestamp(first.saturating_add(at.saturating_mul(step))));
    moments.take_while(|at| *at <= end).map(|at| (at, written(at, step, zone))).collect()
}

fn written(at: Timestamp, step: i64, zone: &TimeZone) -> String {
    match step {
        ..MINUTE => moment(at, "%H:%M:%S", zone),
        MINUTE..DAY => moment(at, "%H:%M", zone),
        _ => moment(at, "%d %b", zone),
    }
}

/// A moment in the zone.
pub(crate) fn moment(at: Timestamp, format: &str, zone: &TimeZone) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.to_zoned(zone.clone()).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(start: &str, length: i64, zone: &str) -> String {
        let start = Timestamp::parse_rfc3339(start).unwrap();
        let marks = marks(start, Timestamp(start.0 + length), &TimeZone::get(zone).unwrap());
        marks.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn moments_are_round_in_the_zone() {
        assert_eq!(check("2026-11-22T06:07:00Z", 3 * HOUR, "UTC"), "06:30 07:00 07:30 08:00 08:30 09:00");
        assert_eq!(check("2026-11-22T06:07:00Z", 2 * HOUR, "Asia/Kolkata"), "12:00 12:30 13:00 13:30");
        assert_eq!(check("2026-11-22T06:07:00Z", 20 * 1000, "UTC"), "06:07:05 06:07:10 06:07:15 06:07:20");
        assert_eq!(check("2026-11-20T06:07:00Z", 3 * DAY, "Europe/Berlin"), "12:00 00:00 12:00 00:00 12:00 00:00");
        assert_eq!(check("2026-11-20T06:07:00Z", 7 * DAY, "UTC"), "21 Nov 22 Nov 23 Nov 24 Nov 25 Nov 26 Nov 27 Nov");
        assert_eq!(check("2026-01-20T06:07:00Z", 300 * DAY, "UTC").split(' ').count() % 2, 0);
    }
}
