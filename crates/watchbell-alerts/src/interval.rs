//! Time intervals: named stretches of the calendar in which a route speaks, or holds its tongue.
//!
//! Pure: a moment goes in, yes or no comes out. Ranges include both ends, except that times of day end before their end.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use watchbell_model::{Path, Problems, Timestamp};

/// A named stretch of the calendar, for `mute_time_intervals` and `active_time_intervals` of routes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeInterval {
    /// What routes call it.
    pub name: String,
    /// A moment is inside when any of these holds.
    pub time_intervals: Vec<TimeIntervalSpec>,
}

/// One condition on the calendar: a moment is inside when every field that is given holds.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeIntervalSpec {
    /// Times of day; a range over midnight is written as two.
    #[serde(default)]
    pub times: Vec<TimeRange>,
    /// Days of the week: `monday`, `monday:friday`. A range cannot go over Sunday to Monday; the week starts on Sunday.
    #[serde(default)]
    pub weekdays: Vec<RangeText>,
    /// Days of the month: `1`, `1:5`, `-3:-1` for the last three.
    #[serde(default)]
    pub days_of_month: Vec<RangeText>,
    /// Months: `january`, `1`, `may:august`.
    #[serde(default)]
    pub months: Vec<RangeText>,
    /// Years: `2026`, `2026:2028`.
    #[serde(default)]
    pub years: Vec<RangeText>,
    /// Whose clock is meant: a name such as `Europe/Berlin`, `UTC`, or `Local` for this machine's.
    #[serde(default = "utc")]
    pub location: String,
}

/// A stretch of the day.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeRange {
    /// First minute, `HH:MM`.
    pub start_time: String,
    /// The minute before which it ends, `HH:MM`, up to `24:00`.
    pub end_time: String,
}

/// `from`, or `from:to`; a bare number is taken too.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(transparent, inline)]
pub struct RangeText(pub String);

impl<'de> Deserialize<'de> for RangeText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RangeText, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = RangeText;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a range such as `1:5` or `monday:friday`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<RangeText, E> {
                Ok(RangeText(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<RangeText, E> {
                Ok(RangeText(number.to_string()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<RangeText, E> {
                Ok(RangeText(number.to_string()))
            }
        }
        from.deserialize_any(Text)
    }
}

pub(crate) fn utc() -> String {
    "UTC".to_owned()
}

/// All intervals of a configuration, ready to be asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Intervals(BTreeMap<String, Vec<Spec>>);

#[derive(Debug, Clone)]
struct Spec {
    times: Vec<(i32, i32)>,
    weekdays: Vec<(i32, i32)>,
    days_of_month: Vec<(i32, i32)>,
    months: Vec<(i32, i32)>,
    years: Vec<(i32, i32)>,
    zone: TimeZone,
}

impl Intervals {
    /// Reads all; what cannot be read is a problem and is left out.
    pub(crate) fn compile(configs: &[TimeInterval], path: &Path, problems: &mut Problems) -> Intervals {
        let mut intervals = Intervals::default();
        for (at, config) in configs.iter().enumerate() {
            let path = path.index(at);
            if config.name.is_empty() {
                problems.error(&path.field("name"), "a time interval needs a name");
            }
            let specs = config.time_intervals.iter().enumerate();
            let specs = specs.map(|(at, spec)| Spec::compile(spec, &path.field("time_intervals").index(at), problems));
            if intervals.0.insert(config.name.clone(), specs.collect()).is_some() {
                let message = format!("there are two time intervals named `{}`", config.name);
                problems.error(&path.field("name"), message).hint("give each a name of its own");
            }
        }
        intervals
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether the moment is inside the interval of that name; an unknown name is never.
    pub(crate) fn contains(&self, name: &str, now: Timestamp) -> bool {
        self.0.get(name).is_some_and(|specs| specs.iter().any(|spec| spec.contains(now)))
    }
}

impl Spec {
    fn compile(config: &TimeIntervalSpec, path: &Path, problems: &mut Problems) -> Spec {
        let mut ranges = |field: &str, texts: &[RangeText], read: fn(&str) -> Result<(i32, i32), String>| {
            let mut ranges = Vec::new();
            for (at, RangeText(text)) in texts.iter().enumerate() {
                match read(text) {
                    Ok(range) => ranges.push(range),
                    Err(reason) => {
                        problems.error(&path.field(field).index(at), format!("`{text}`: {reason}"));
                    }
                }
            }
            ranges
        };
        let weekdays = ranges("weekdays", &config.weekdays, |text| between(text, weekday, "start"));
        let days_of_month = ranges("days_of_month", &config.days_of_month, days);
        let months = ranges("months", &config.months, |text| between(text, month, "start"));
        let years = ranges("years", &config.years, |text| between(text, year, "start"));
        let mut times = Vec::new();
        for (at, time) in config.times.iter().enumerate() {
            let path = path.field("times").index(at);
            match (minute(&time.start_time), minute(&time.end_time)) {
                (Some(start), Some(end)) if start < end => times.push((start, end)),
                (Some(_), Some(_)) => problems
                    .error(&path, format!("{} is not before {}", time.start_time, time.end_time))
                    .hint("write a range over midnight as two, such as 22:00 to 24:00 and 00:00 to 06:00"),
                (None, _) => problems
                    .error(&path.field("start_time"), format!("`{}` is not a time of day", time.start_time))
                    .hint("write it as `HH:MM`"),
                (_, None) => problems
                    .error(&path.field("end_time"), format!("`{}` is not a time of day", time.end_time))
                    .hint("write it as `HH:MM`, up to `24:00`"),
            }
        }
        let zone = zone(&config.location, &path.field("location"), problems);
        Spec { times, weekdays, days_of_month, months, years, zone }
    }

    fn contains(&self, now: Timestamp) -> bool {
        let Ok(now) = jiff::Timestamp::from_millisecond(now.as_millis()) else { return false };
        let now = now.to_zoned(self.zone.clone());
        let minute = i32::from(now.hour()) * 60 + i32::from(now.minute());
        let holds = |ranges: &[(i32, i32)], value: i32| {
            ranges.is_empty() || ranges.iter().any(|(from, to)| (*from..=*to).contains(&value))
        };
        let last = i32::from(now.days_in_month());
        let from_start = |day: i32| if day < 0 { last + day + 1 } else { day };
        let of_month: Vec<(i32, i32)> =
            self.days_of_month.iter().map(|(from, to)| (from_start(*from), from_start(*to))).collect();
        (self.times.is_empty() || self.times.iter().any(|(from, to)| (*from..*to).contains(&minute)))
            && holds(&self.weekdays, i32::from(now.weekday().to_sunday_zero_offset()))
            && holds(&of_month, i32::from(now.day()))
            && holds(&self.months, i32::from(now.month()))
            && holds(&self.years, i32::from(now.year()))
    }
}

/// A time zone by its name; one that is not known is a problem, and then UTC.
pub(crate) fn zone(name: &str, path: &Path, problems: &mut Problems) -> TimeZone {
    let zone = match name {
        "Local" => Some(TimeZone::system()),
        "" | "UTC" => Some(TimeZone::UTC),
        name => TimeZone::get(name).ok(),
    };
    zone.unwrap_or_else(|| {
        problems
            .error(path, format!("`{name}` is not a known time zone"))
            .hint("write it as `Europe/Berlin`, `UTC` or `Local`");
        TimeZone::UTC
    })
}

fn between(text: &str, one: fn(&str) -> Result<i32, String>, first: &str) -> Result<(i32, i32), String> {
    let (from, to) = text.split_once(':').unwrap_or((text, text));
    let (from, to) = (one(from.trim())?, one(to.trim())?);
    if from > to { Err(format!("its {first} is after its end")) } else { Ok((from, to)) }
}

fn minute(text: &str) -> Option<i32> {
    let (hour, minute) = text.split_once(':')?;
    let two = |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok());
    let (hour, minute): (i32, i32) = (two(hour)??, two(minute)??);
    ((hour < 24 && minute < 60) || (hour, minute) == (24, 0)).then_some(hour * 60 + minute)
}

fn named(text: &str, names: &[&str]) -> Option<i32> {
    let text = text.to_lowercase();
    names.iter().position(|name| *name == text).and_then(|at| i32::try_from(at).ok())
}

fn weekday(text: &str) -> Result<i32, String> {
    const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    named(text, &DAYS).ok_or_else(|| format!("`{text}` is not a day of the week such as `monday`"))
}

fn month(text: &str) -> Result<i32, String> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let number = text.parse().ok().filter(|number| (1..=12).contains(number));
    let month = named(text, &MONTHS).map(|at| at + 1).or(number);
    month.ok_or_else(|| format!("`{text}` is not a month such as `may` or `5`"))
}

fn year(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a year"))
}

fn days(text: &str) -> Result<(i32, i32), String> {
    let one = |text: &str| {
        let day: Option<i32> = text.trim().parse().ok().filter(|day| (-31..=31).contains(day) && *day != 0);
        day.ok_or_else(|| format!("`{text}` is not a day from 1 to 31, or from -31 to -1 counted from the end"))
    };
    let (from, to) = text.split_once(':').unwrap_or((text, text));
    let (from, to) = (one(from)?, one(to)?);
    if from < 0 && to > 0 {
        return Err("a range that starts from the end of the month must end there too".to_owned());
    }
    // In the longest month; shorter ones are a matter of the moment.
    let true_day = |day: i32| if day < 0 { 32 + day } else { day };
    if true_day(from) > true_day(to) {
        return Err("its start is after its end".to_owned());
    }
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(json: &str, moments: &[&str], expect: Expect) {
        let specs: Vec<TimeIntervalSpec> = serde_json::from_str(json).expect("the case is valid JSON");
        let config = TimeInterval { name: "it".into(), time_intervals: specs };
        let mut problems = Problems::new();
        let intervals = Intervals::compile(&[config], &Path::root().field("time_intervals"), &mut problems);
        let mut text = String::new();
        for problem in problems.0 {
            text += &format!("{}: {}\n", problem.path, problem.message);
        }
        for moment in moments {
            let at = Timestamp::parse_rfc3339(moment).expect("a time");
            text += &format!("{moment} {}\n", if intervals.contains("it", at) { "inside" } else { "outside" });
        }
        expect.assert_eq(&text);
    }

    #[test]
    fn working_hours_end_before_their_end() {
        check(
            r#"[{"times": [{"start_time": "09:00", "end_time": "17:00"}], "weekdays": ["monday:friday"]}]"#,
            &[
                "2026-11-20T08:59:59Z",
                "2026-11-20T09:00:00Z",
                "2026-11-20T16:59:59Z",
                "2026-11-20T17:00:00Z",
                "2026-11-21T12:00:00Z",
            ],
            expect![[r#"
                2026-11-20T08:59:59Z outside
                2026-11-20T09:00:00Z inside
                2026-11-20T16:59:59Z inside
                2026-11-20T17:00:00Z outside
                2026-11-21T12:00:00Z outside
            "#]],
        );
    }

    #[test]
    fn the_clock_is_the_locations() {
        check(
            r#"[{"times": [{"start_time": "22:00", "end_time": "24:00"}], "location": "Europe/Berlin"}]"#,
            &["2026-11-20T20:59:00Z", "2026-11-20T21:00:00Z", "2026-07-20T20:00:00Z", "2026-07-20T22:00:00Z"],
            expect![[r#"
                2026-11-20T20:59:00Z outside
                2026-11-20T21:00:00Z inside
                2026-07-20T20:00:00Z inside
                2026-07-20T22:00:00Z outside
            "#]],
        );
    }

    #[test]
    fn days_count_from_either_end_of_the_month() {
        check(
            r#"[{"days_of_month": ["-3:-1", 1]}, {"days_of_month": ["31"], "months": ["january:march", 12]}]"#,
            &[
                "2028-02-26T12:00:00Z",
                "2028-02-27T12:00:00Z",
                "2028-02-29T12:00:00Z",
                "2028-03-01T12:00:00Z",
                "2028-04-28T12:00:00Z",
                "2028-04-27T12:00:00Z",
            ],
            expect![[r#"
                2028-02-26T12:00:00Z outside
                2028-02-27T12:00:00Z inside
                2028-02-29T12:00:00Z inside
                2028-03-01T12:00:00Z inside
                2028-04-28T12:00:00Z inside
                2028-04-27T12:00:00Z outside
            "#]],
        );
    }

    #[test]
    fn no_condition_is_always_and_none_is_never() {
        check(
            "[{}]",
            &["2026-11-20T20:59:00Z"],
            expect![[r#"
            2026-11-20T20:59:00Z inside
        "#]],
        );
        check(
            "[]",
            &["2026-11-20T20:59:00Z"],
            expect![[r#"
            2026-11-20T20:59:00Z outside
        "#]],
        );
    }

    #[test]
    fn every_problem_is_named() {
        check(
            r#"[{
                "times": [{"start_time": "22:00", "end_time": "06:00"}, {"start_time": "9:00", "end_time": "24:01"}],
                "weekdays": ["friday:monday", "mon"],
                "days_of_month": ["0", "5:1", "-1:5", "-1:-3", "32"],
                "months": ["13", "may:april"],
                "years": ["2028:2026", "x"],
                "location": "Mars/Olympus"
            }]"#,
            &[],
            expect![[r#"
                time_intervals[0].time_intervals[0].weekdays[0]: `friday:monday`: its start is after its end
                time_intervals[0].time_intervals[0].weekdays[1]: `mon`: `mon` is not a day of the week such as `monday`
                time_intervals[0].time_intervals[0].days_of_month[0]: `0`: `0` is not a day from 1 to 31, or from -31 to -1 counted from the end
                time_intervals[0].time_intervals[0].days_of_month[1]: `5:1`: its start is after its end
                time_intervals[0].time_intervals[0].days_of_month[2]: `-1:5`: a range that starts from the end of the month must end there too
                time_intervals[0].time_intervals[0].days_of_month[3]: `-1:-3`: its start is after its end
                time_intervals[0].time_intervals[0].days_of_month[4]: `32`: `32` is not a day from 1 to 31, or from -31 to -1 counted from the end
                time_intervals[0].time_intervals[0].months[0]: `13`: `13` is not a month such as `may` or `5`
                time_intervals[0].time_intervals[0].months[1]: `may:april`: its start is after its end
                time_intervals[0].time_intervals[0].years[0]: `2028:2026`: its start is after its end
                time_intervals[0].time_intervals[0].years[1]: `x`: `x` is not a year
                time_intervals[0].time_intervals[0].times[0]: 22:00 is not before 06:00
                time_intervals[0].time_intervals[0].times[1].start_time: `9:00` is not a time of day
                time_intervals[0].time_intervals[0].location: `Mars/Olympus` is not a known time zone
            "#]],
        );
    }
}
