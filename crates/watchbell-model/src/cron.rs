//! Cron expressions, as Debian's cron and Healthchecks (by its library cronsim) understand them.
//!
//! Five fields: minute, hour, day of month, month, day of week; with six, the first is the second. Each takes `*`, numbers,
//! ranges `a-b`, steps `/n`, lists, and the names `JAN`…`DEC` and `SUN`…`SAT`; days of the month also `L` (the last) and `LW`
//! (the last from Monday to Friday); days of the week also `FRI#2` (the second Friday) and `5L` (the last Friday). A day must
//! suit both day fields if one of them begins with `*`, else either.
//!
//! Where clocks change, times of day (neither minute nor hour begins with `*`) come once each day: one that is skipped comes
//! at once when the gap ends, one that comes twice counts the first time. Whatever else follows the clock on the wall.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{ToSpan, Zoned};
use serde::{Deserialize, Deserializer, de};

use crate::Timestamp;
use crate::civil::{self, has};

/// How far ahead the next time is looked for.
const YEARS_AHEAD: i16 = 50;
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A cron expression; see the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    last_day: bool,
    last_weekday: bool,
    months: u64,
    /// Sunday is 0, and may be 7 too.
    weekdays: u64,
    /// Of the month: the day of the week, and which of them; `None` is the last.
    nth: Vec<(u32, Option<u32>)>,
    both_days: bool,
    /// Whether it names times of day, which come once a day whatever the clocks do.
    times_of_day: bool,
}

/// Why a text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CronError {
    /// There are not five fields, nor six.
    Fields(usize),
    /// A field cannot be read.
    Field {
        /// Which.
        name: &'static str,
        /// What stands there.
        text: String,
        /// What may.
        range: RangeInclusive<u32>,
    },
    /// No month of those has such a day.
    Never,
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CronError::Fields(found) => write!(
                f,
                "a cron expression has five fields (minute, hour, day of month, month, day of week), and here are {found}"
            ),
            CronError::Field { name, text, range } => {
                write!(f, "`{text}` is no {name}; it is {} to {}", range.start(), range.end())
            }
            CronError::Never => f.write_str("there is no such day in any of those months"),
        }
    }
}

impl std::error::Error for CronError {}

struct Field {
    name: &'static str,
    range: RangeInclusive<u32>,
    names: &'static [&'static str],
    /// What the first of `names` stands for.
    first: u32,
}

const fn field(name: &'static str, least: u32, most: u32) -> Field {
    Field { name, range: least..=most, names: &[], first: 0 }
}

const SECOND: Field = field("second", 0, 59);
const MINUTE: Field = field("minute", 0, 59);
const HOUR: Field = field("hour", 0, 23);
const DAY: Field = field("day of month", 1, 31);
const MONTH: Field = Field { names: &MONTHS, first: 1, ..field("month", 1, 12) };
const WEEKDAY: Field = Field { names: &DAYS, ..field("day of week", 0, 7) };

impl Field {
    fn wrong(&self, text: &str) -> CronError {
        CronError::Field { name: self.name, text: text.to_owned(), range: self.range.clone() }
    }

    fn number(&self, text: &str) -> Result<u32, CronError> {
        if let Some(at) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(self.first + at as u32);
        }
        self.count(text).ok().filter(|number| self.range.contains(number)).ok_or_else(|| self.wrong(text))
    }

    /// A number that counts something else than the field does.
    fn count(&self, text: &str) -> Result<u32, CronError> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).ok_or_else(|| self.wrong(text))
    }

    /// The numbers of a field without commas, as bits.
    fn term(&self, text: &str) -> Result<u64, CronError> {
        let (of, step) = match text.split_once('/') {
            Some((of, step)) => {
                (of, Some(self.count(step).ok().filter(|step| *step > 0).ok_or_else(|| self.wrong(text))?))
            }
            None => (text, None),
        };
        let range = match of.split_once('-') {
            _ if of == "*" => self.range.clone(),
            Some((from, to)) => self.number(from)?..=self.number(to)?,
            None => {
                let one = self.number(of)?;
                one..=(if step.is_some() { *self.range.end() } else { one })
            }
        };
        if range.is_empty() {
            return Err(self.wrong(text));
        }
        // One number and a step go on to the end, even where the one was written as a range.
        let end = if step.is_some() && range.start() == range.end() { *self.range.end() } else { *range.end() };
        let numbers = (*range.start()..=end).step_by(step.unwrap_or(1) as usize);
        Ok(numbers.fold(0, |bits, number| bits | 1 << number))
    }

    fn read(&self, text: &str) -> Result<u64, CronError> {
        text.split(',').try_fold(0, |bits, term| Ok(bits | self.term(term)?))
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Cron, CronError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let (second, fields) = match fields.as_slice() {
            [second, fields @ ..] if fields.len() == 5 => (Some(*second), fields),
            fields => (None, fields),
        };
        let [minute, hour, day, month, weekday] = fields else {
            return Err(CronError::Fields(fields.len()));
        };
        let (mut days, mut last_day, mut last_weekday) = (0, false, false);
        for term in day.split(',') {
            match term.split('/').next().unwrap_or_default() {
                it if it.eq_ignore_ascii_case("l") => last_day = true,
                it if it.eq_ignore_ascii_case("lw") => last_weekday = true,
                _ => days |= DAY.term(term)?,
            }
        }
        let (mut weekdays, mut nth) = (0, Vec::new());
        for term in weekday.split(',') {
            if let Some(of) = term.strip_suffix(['l', 'L']) {
                nth.push((
                    WEEKDAY.count(of).and_then(|_| WEEKDAY.number(of)).map_err(|_| WEEKDAY.wrong(term))? % 7,
                    None,
                ));
            } else if let Some((of, which)) = term.split_once('#') {
                let which = WEEKDAY.count(which).ok().filter(|which| (1..=5).contains(which));
                nth.push((WEEKDAY.number(of)? % 7, Some(which.ok_or_else(|| WEEKDAY.wrong(term))?)));
            } else {
                weekdays |= WEEKDAY.term(term)?;
            }
        }
        let cron = Cron {
            text: text.to_owned(),
            seconds: second.map_or(Ok(1), |second| SECOND.read(second))?,
            minutes: MINUTE.read(minute)?,
            hours: HOUR.read(hour)?,
            days,
            last_day,
            last_weekday,
            months: MONTH.read(month)?,
            weekdays,
            nth,
            both_days: day.starts_with('*') || weekday.starts_with('*'),
            times_of_day: second.is_none() && !minute.starts_with('*') && !hour.starts_with('*'),
        };
        // Of a leap year.
        let has_day = |month| (1..=Date::constant(2024, month, 1).days_in_month()).any(|day| has(cron.days, day));
        let named = cron.last_day || cron.last_weekday || !cron.both_days;
        if named || (1..=12).any(|month| has(cron.months, month) && has_day(month)) {
            Ok(cron)
        } else {
            Err(CronError::Never)
        }
    }
}

impl Cron {
    /// The first time after a moment, where the clocks show `zone`; `None` if there is none within fifty years.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = jiff::Timestamp::from_millisecond(after.0).ok()?;
        let found = if self.times_of_day { self.next_time_of_day(start, zone) } else { self.next_shown(start, zone) };
        found.map(|found| Timestamp(found.as_millisecond()))
    }

    fn next_time_of_day(&self, start: jiff::Timestamp, zone: &TimeZone) -> Option<jiff::Timestamp> {
        let mut after = zone.to_datetime(start);
        let last = after.year() + YEARS_AHEAD;
        loop {
            let found =
                self.next_civil(after.checked_add(1.second()).ok()?.with().subsec_nanosecond(0).build().ok()?, last)?;
            let ambiguous = zone.to_ambiguous_timestamp(found);
            let at = match ambiguous.offset() {
                AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.compatible().ok()?,
                // When the gap ends.
                AmbiguousOffset::Gap { .. } => {
                    let within = zone.to_ambiguous_timestamp(found).earlier().ok()?;
                    zone.following(within).next()?.timestamp()
                }
            };
            if at > start {
                return Some(at);
            }
            after = found;
        }
    }

    /// The first time at or after one, on a clock that never changes.
    fn next_civil(&self, from: DateTime, last: i16) -> Option<DateTime> {
        civil::next([self.hours, self.minutes, self.seconds], from, |day| self.next_day(day, last))
    }

    /// The first moment at which the clock on the wall shows one of the times.
    fn next_shown(&self, start: jiff::Timestamp, zone: &TimeZone) -> Option<jiff::Timestamp> {
        let whole = jiff::Timestamp::from_second(start.as_millisecond().div_euclid(1000)).ok()?;
        let mut at = whole.checked_add(1.second()).ok()?.to_zoned(zone.clone());
        let last = at.year() + YEARS_AHEAD;
        loop {
            let day = self.next_day(at.date(), last)?;
            if day != at.date() {
                at = day.to_zoned(zone.clone()).ok()?;
            }
            let wait = if !has(self.hours, at.hour()) {
                3600 - i64::from(at.minute()) * 60 - i64::from(at.second())
            } else if !has(self.minutes, at.minute()) {
                60 - i64::from(at.second())
            } else if !has(self.seconds, at.second()) {
                1
            } else {
                return Some(at.timestamp());
            };
            at = Zoned::new(at.timestamp().checked_add(wait.seconds()).ok()?, zone.clone());
        }
    }

    fn next_day(&self, from: Date, last: i16) -> Option<Date> {
        let mut day = from;
        while day.year() <= last {
            if !has(self.months, day.month()) {
                day = day.last_of_month().tomorrow().ok()?;
            } else if self.is_on(day) {
                return Some(day);
            } else {
                day = day.tomorrow().ok()?;
            }
        }
        None
    }

    fn is_on(&self, date: Date) -> bool {
        let (day, length) = (date.day(), date.days_in_month());
        let last_weekday = || {
            let last = date.last_of_month();
            match last.weekday().to_sunday_zero_offset() {
                0 => length - 2,
                6 => length - 1,
                _ => length,
            }
        };
        let in_month =
            has(self.days, day) || (self.last_day && day == length) || (self.last_weekday && day == last_weekday());
        let weekday = date.weekday().to_sunday_zero_offset();
        let is_nth = |(of, which): &(u32, Option<u32>)| {
            let counts = which.map_or(day + 7 > length, |which| i64::from(day + 6) / 7 == i64::from(which));
            i64::from(*of) == i64::from(weekday) && counts
        };
        let in_week =
            has(self.weekdays, weekday) || (weekday == 0 && has(self.weekdays, 7)) || self.nth.iter().any(is_nth);
        if self.both_days { in_month && in_week } else { in_month || in_week }
    }
}

/// As it was written.
impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for Cron {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Cron, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for Cron {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cron".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "cron",
            "description": "A cron expression: minute, hour, day of month, month, day of week, such as `0 3 * * SUN`."
        })
    }
}

#[cfg(test)]
mod tests;
