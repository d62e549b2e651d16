//! Minutes up and down, by day and by figure. Pure: minutes by stretch and a moment go in.
//!
//! Every minute watchbell writes down of each monitor and heartbeat whether it works (`watchbell_up`), but for those that
//! are in maintenance, of which it writes that (`watchbell_maintenance`). A minute of which nothing is written, since
//! nothing was known or watchbell itself was down, counts neither way. So a figure is `avg_over_time(watchbell_up[30d])`.

use std::ops::Range;

use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde::Serialize;
use watchbell_model::Timestamp;

const MINUTE_MS: i64 = 60_000;
/// How long a stretch is where days begin at whole hours; as long as the store keeps sums of.
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Where they do not: every zone of today begins its days at such a time.
const QUARTER_MS: i64 = 15 * MINUTE_MS;
/// A day is one of trouble, and not of a little trouble, from this share of its known minutes on.
const DOWN_SHARE_MIN: f64 = 0.05;

/// Minutes of a stretch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Minutes {
    pub(super) up: u32,
    pub(super) down: u32,
    pub(super) maintenance: u32,
}

impl Minutes {
    fn plus(self, other: &Minutes) -> Minutes {
        Minutes {
            up: self.up + other.up,
            down: self.down + other.down,
            maintenance: self.maintenance + other.maintenance,
        }
    }

    /// The share of known minutes in which it worked, 0 to 1.
    pub(super) fn share(self) -> Option<f64> {
        let known = self.up + self.down;
        (known > 0).then(|| f64::from(self.up) / f64::from(known))
    }

    /// What a day of these is called.
    pub(super) fn state(self) -> DayState {
        match self.share() {
            None if self.maintenance > 0 => DayState::Maintenance,
            None => DayState::Unknown,
            Some(_) if self.down == 0 => DayState::Up,
            Some(up) if 1.0 - up < DOWN_SHARE_MIN => DayState::Partly,
            Some(_) => DayState::Down,
        }
    }
}

/// What a day is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DayState {
    /// It worked whenever that was known.
    Up,
    /// It was down for less than a twentieth of the time.
    Partly,
    /// It was down for longer.
    Down,
    /// All that is known of the day is maintenance.
    Maintenance,
    /// Nothing is known of the day.
    Unknown,
}

/// What is known of one monitor or heartbeat, stretch by stretch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Past {
    /// How long a stretch is, in milliseconds; they begin at multiples of it.
    pub(super) width: i64,
    /// The number of the first: its beginning divided by the width.
    pub(super) first: i64,
    /// The stretches, one after the other, up to now.
    pub(super) stretches: Vec<Minutes>,
}

impl Past {
    /// From a moment to another; both are taken down to the beginning of a stretch.
    fn sum(&self, from: Timestamp, to: Timestamp) -> Minutes {
        let place = |at: Timestamp| {
            let number = at.as_millis().div_euclid(self.width) - self.first;
            usize::try_from(number).unwrap_or(0).min(self.stretches.len())
        };
        let range: Range<usize> = place(from)..place(to).max(place(from));
        self.stretches[range].iter().fold(Minutes::default(), Minutes::plus)
    }

    /// The days of a zone, oldest first, the last of them today.
    pub(super) fn days(&self, starts: &[Timestamp]) -> Vec<Minutes> {
        starts.windows(2).map(|day| self.sum(day[0], day[1])).collect()
    }

    /// From a moment on.
    pub(super) fn since(&self, from: Timestamp) -> Minutes {
        self.sum(from, Timestamp::MAX)
    }
}

/// When the last days of a zone begin, today's the last but one, then tomorrow's.
pub(super) fn starts(zone: &TimeZone, days: u32, now: Timestamp) -> Vec<Timestamp> {
    let now = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default().to_zoned(zone.clone());
    let today = now.date();
    let start = |ago: i64| {
        let date = today.checked_sub(ago.days()).unwrap_or(today);
        let begin = date.to_zoned(zone.clone()).and_then(|it| it.start_of_day());
        begin.map_or(Timestamp::MIN, |it| Timestamp(it.timestamp().as_millisecond()))
    };
    (-1..i64::from(days)).rev().map(start).collect()
}

/// How long stretches must be so that each of these days is whole ones.
pub(super) fn width(starts: &[Timestamp]) -> i64 {
    if starts.iter().all(|at| at.as_millis().rem_euclid(HOUR_MS) == 0) { HOUR_MS } else { QUARTER_MS }
}

/// When a figure over the last `hours` begins: so many whole hours before the one that is under way.
pub(super) fn figure_from(hours: u32, now: Timestamp) -> Timestamp {
    Timestamp(now.as_millis().div_euclid(HOUR_MS) * HOUR_MS - i64::from(hours) * HOUR_MS)
}

/// A share as people read it; all of it is only said if nothing is lacking.
pub(super) fn percent(share: f64) -> String {
    let hundredths = (share * 10_000.0).floor();
    if share >= 1.0 { "100 %".to_owned() } else { format!("{:.2} %", hundredths / 100.0) }
}

/// Minutes as people read them.
pub(super) fn in_words(minutes: u32) -> String {
    let plural = |n: u32, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    match (minutes / 60, minutes % 60) {
        (0, minutes) => plural(minutes, "minute"),
        (hours, 0) => plural(hours, "hour"),
        (hours, minutes) => format!("{} {}", plural(hours, "hour"), plural(minutes, "minute")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect("a time")
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("a zone")
    }

    /// All up from a moment to another, but for what is said.
    fn past(width: i64, from: Timestamp, to: Timestamp, other: &[(&str, Minutes)]) -> Past {
        let first = from.as_millis().div_euclid(width);
        let count = (to.as_millis() - 1).div_euclid(width) - first + 1;
        let whole = Minutes { up: (width / MINUTE_MS) as u32, ..Minutes::default() };
        let mut past = Past { width, first, stretches: vec![whole; count as usize] };
        for (when, minutes) in other {
            past.stretches[(at(when).as_millis().div_euclid(width) - first) as usize] = *minutes;
        }
        past
    }

    #[test]
    fn days_are_those_of_the_zone_across_changes_of_clocks() {
        let berlin = zone("Europe/Berlin");
        let now = at("2026-03-30T10:30:00Z");
        let starts = starts(&berlin, 3, now);
        let expected = ["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"];
        assert_eq!(starts, expected.map(at));
        assert_eq!(width(&starts), HOUR_MS);
        let past = past(HOUR_MS, at("2026-03-01T00:00:00Z"), at("2026-03-30T11:00:00Z"), &[]);
        let up: Vec<u32> = past.days(&starts).iter().map(|day| day.up / 60).collect();
        // The Sunday has 23 hours; today has had as many as there were.
        assert_eq!(up, [24, 23, 13]);
        let autumn = super::starts(&berlin, 2, at("2026-10-25T20:00:00Z"));
        assert_eq!(autumn[2].since(autumn[1]).as_secs() / 3600, 25);
    }

    #[test]
    fn days_that_begin_beside_a_whole_hour_are_looked_at_in_quarters() {
        for (name, expected) in [("UTC", HOUR_MS), ("Asia/Kathmandu", QUARTER_MS), ("Asia/Kolkata", QUARTER_MS)] {
            assert_eq!(width(&starts(&zone(name), 90, at("2026-11-22T09:00:00Z"))), expected, "{name}");
        }
        let kathmandu = zone("Asia/Kathmandu");
        let starts = starts(&kathmandu, 1, at("2026-11-22T09:00:00Z"));
        assert_eq!(starts, [at("2026-11-21T18:15:00Z"), at("2026-11-22T18:15:00Z")]);
        let down = [("2026-11-21T18:00:00Z", Minutes { down: 15, ..Minutes::default() })];
        let past = past(QUARTER_MS, at("2026-11-01T00:00:00Z"), at("2026-11-22T09:00:00Z"), &down);
        assert_eq!(past.days(&starts)[0].down, 0);
    }

    #[test]
    fn gaps_and_maintenance_count_neither_way() {
        let starts = starts(&TimeZone::UTC, 4, at("2026-11-22T00:30:00Z"));
        let mut past = past(
            HOUR_MS,
            at("2026-11-19T00:00:00Z"),
            at("2026-11-22T00:30:00Z"),
            &[
                ("2026-11-19T03:00:00Z", Minutes { up: 30, down: 10, maintenance: 20 }),
                ("2026-11-20T03:00:00Z", Minutes { maintenance: 60, ..Minutes::default() }),
                ("2026-11-22T00:00:00Z", Minutes { up: 20, down: 10, ..Minutes::default() }),
            ],
        );
        for hour in 48..72 {
            past.stretches[hour] = Minutes::default();
        }
        let days = past.days(&starts);
        let shown: Vec<_> = days.iter().map(|day| (day.state(), day.down, day.maintenance, day.share())).collect();
        assert_eq!(
            shown,
            [
                (DayState::Partly, 10, 20, Some(1410.0 / 1420.0)),
                (DayState::Up, 0, 60, Some(1.0)),
                (DayState::Unknown, 0, 0, None),
                (DayState::Down, 10, 0, Some(20.0 / 30.0)),
            ]
        );
        let all = past.since(at("2026-11-19T00:00:00Z"));
        assert_eq!((all.up, all.down, all.maintenance), (1410 + 1380 + 20, 20, 80));
        assert_eq!(Minutes { maintenance: 5, ..Minutes::default() }.state(), DayState::Maintenance);
        // What lies before all that is known is no more than nothing.
        assert_eq!(past.since(at("2020-01-01T00:00:00Z")), all);
        assert_eq!(past.sum(at("2027-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")), Minutes::default());
    }

    #[test]
    fn a_figure_begins_at_a_whole_hour() {
        assert_eq!(figure_from(24, at("2026-11-22T09:17:31Z")), at("2026-11-21T09:00:00Z"));
    }

    #[test]
    fn nothing_is_rounded_up_to_all() {
        assert_eq!(
            [percent(1.0), percent(0.99999), percent(0.98765), percent(0.0)],
            ["100 %", "99.99 %", "98.76 %", "0.00 %"]
        );
        assert_eq!(
            [in_words(1), in_words(59), in_words(60), in_words(125)],
            ["1 minute", "59 minutes", "1 hour", "2 hours 5 minutes"]
        );
    }
}
