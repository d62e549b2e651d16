//! Calendar expressions, as systemd's `OnCalendar=` and Healthchecks (by its library oncalendar) understand them.
//!
//! `DAYS YEAR-MONTH-DAY HOUR:MINUTE:SECOND ZONE`, of which any part may be missing but not all: `Mon..Fri 09:00`,
//! `*-*-01 04:00 Europe/Riga`, `*:0/15`; or a word such as `daily`. A part takes `*`, numbers, ranges `a..b`, steps `/n`
//! and lists; `~` before a day counts from the end of the month. Several lines are several expressions, of which the next
//! time is the soonest. Seconds have no decimals.
//!
//! Where clocks change, a time that is skipped does not come, and one that comes twice counts the first time; what comes
//! every hour follows the clock on the wall, so that it comes in each of the two.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, ToSpan};
use serde::{Deserialize, Deserializer, de};

use crate::Timestamp;
use crate::civil::{self, has};

/// Nothing comes later, as in systemd.
const LAST_YEAR: i16 = 2199;
const FIRST_YEAR: i16 = 1970;
const DAYS: [&str; 7] = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"];
/// The earliest day of a month counted from its end.
const BACK_MAX: u32 = 28;
/// All hours of a day.
const EVERY_HOUR: u64 = (1 << 24) - 1;

/// What words stand for.
const WORDS: [(&str, &str); 9] = [
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
];

/// A calendar expression; see the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnCalendar {
    text: String,
    lines: Vec<Line>,
}

/// One expression. Sets of numbers are bits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// Monday is 0.
    weekdays: u64,
    /// `None` is all.
    years: Option<BTreeSet<i16>>,
    months: u64,
    days: u64,
    /// Days from the end of the month; the last is 1.
    days_back: u64,
    hours: u64,
    minutes: u64,
    seconds: u64,
    zone: Option<TimeZone>,
}

/// Why a text is no calendar expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnCalendarError {
    /// There is nothing, or more than days, a date, a time and a zone.
    Parts(String),
    /// A date or a time has too few or too many fields.
    Shape(String),
    /// A field cannot be read.
    Field {
        /// Which.
        name: &'static str,
        /// What stands there.
        text: String,
        /// What may.
        range: RangeInclusive<u32>,
    },
    /// The day of the week is none; neither is it a time zone.
    Weekday(String),
    /// There is no such day.
    Never,
}

impl fmt::Display for OnCalendarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OnCalendarError::Parts(text) => {
                write!(f, "`{text}` is not of the form `DAYS YEAR-MONTH-DAY HOUR:MINUTE:SECOND ZONE`")
            }
            OnCalendarError::Shape(text) => {
                write!(f, "`{text}` is neither a date `YEAR-MONTH-DAY` nor a time `HOUR:MINUTE:SECOND`")
            }
            OnCalendarError::Field { name, text, range } => {
                write!(f, "`{text}` is no {name}; it is {} to {}", range.start(), range.end())
            }
            OnCalendarError::Weekday(text) => {
                write!(f, "`{text}` is no day of the week, such as `Mon` or `Mon..Fri`, and no time zone")
            }
            OnCalendarError::Never => write!(f, "there is no such day from {FIRST_YEAR} to {LAST_YEAR}"),
        }
    }
}

impl std::error::Error for OnCalendarError {}

/// A field of numbers.
struct Field {
    name: &'static str,
    range: RangeInclusive<u32>,
}

const YEAR: Field = Field { name: "year", range: FIRST_YEAR as u32..=LAST_YEAR as u32 };
const MONTH: Field = Field { name: "month", range: 1..=12 };
const DAY: Field = Field { name: "day of the month", range: 1..=31 };
const HOUR: Field = Field { name: "hour", range: 0..=23 };
const MINUTE: Field = Field { name: "minute", range: 0..=59 };
const SECOND: Field = Field { name: "second", range: 0..=59 };

impl Field {
    fn wrong(&self, text: &str) -> OnCalendarError {
        OnCalendarError::Field { name: self.name, text: text.to_owned(), range: self.range.clone() }
    }

    fn digits(&self, text: &str) -> Result<u32, OnCalendarError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| plain).ok_or_else(|| self.wrong(text))
    }

    fn number(&self, text: &str) -> Result<u32, OnCalendarError> {
        let number = match self.digits(text)? {
            short @ 0..70 if self.name == YEAR.name => short + 2000,
            short @ 70..100 if self.name == YEAR.name => short + 1900,
            number => number,
        };
        if self.range.contains(&number) { Ok(number) } else { Err(self.wrong(text)) }
    }

    /// The numbers of a field, in order.
    fn read(&self, text: &str) -> Result<BTreeSet<u32>, OnCalendarError> {
        if text == "*" {
            return Ok(self.range.clone().collect());
        }
        let mut all = BTreeSet::new();
        for term in text.split(',') {
            let (of, step) = self.step(term)?;
            let (first, last) = match of.split_once("..") {
                Some((first, last)) => (self.number(first)?, self.number(last)?),
                None => (self.number(of)?, self.number(of)?),
            };
            if last < first {
                return Err(self.wrong(term));
            }
            // One number and a step go on to the end.
            let last = if step.is_some() && first == last { *self.range.end() } else { last };
            all.extend((first..=last).step_by(step.unwrap_or(1) as usize));
        }
        Ok(all)
    }

    /// As [`Field::read`], counted from the end, where the last is 1.
    fn read_back(&self, text: &str) -> Result<BTreeSet<u32>, OnCalendarError> {
        let mut all = BTreeSet::new();
        for term in text.split(',') {
            let (of, step) = self.step(term)?;
            let (early, late) = match of.split_once("..") {
                Some((late, early)) => (self.number(early)?, self.number(late)?),
                None => {
                    let one = self.number(of).ok().filter(|one| *one <= BACK_MAX).ok_or_else(|| self.wrong(term))?;
                    (one, one)
                }
            };
            if early < late {
                return Err(self.wrong(term));
            }
            let late = if step.is_some() && early == late { 1 } else { late };
            all.extend((late..=early).rev().step_by(step.unwrap_or(1) as usize));
        }
        Ok(all)
    }

    fn step<'t>(&self, term: &'t str) -> Result<(&'t str, Option<u32>), OnCalendarError> {
        let Some((of, step)) = term.split_once('/') else { return Ok((term, None)) };
        let step = self.digits(step).ok().filter(|step| *step > 0).ok_or_else(|| self.wrong(term))?;
        Ok((of, Some(step)))
    }
}

fn bits(numbers: BTreeSet<u32>) -> u64 {
    numbers.into_iter().fold(0, |bits, number| bits | 1 << number)
}

fn weekdays(text: &str) -> Result<u64, OnCalendarError> {
    let wrong = || OnCalendarError::Weekday(text.to_owned());
    let day = |name: &str| {
        let name = name.to_ascii_uppercase();
        DAYS.iter().position(|day| *day == name || day[..3] == *name).ok_or_else(wrong)
    };
    let mut all = 0;
    for term in text.strip_suffix(',').unwrap_or(text).split(',') {
        let (first, last) = match term.split_once("..").or_else(|| term.split_once('-')) {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(term)?, day(term)?),
        };
        if last < first {
            return Err(wrong());
        }
        all |= (first..=last).fold(0, |bits, day| bits | 1 << day);
    }
    Ok(all)
}

impl FromStr for Line {
    type Err = OnCalendarError;

    fn from_str(text: &str) -> Result<Line, OnCalendarError> {
        let text = text.trim();
        let (text, zone) = match text.rsplit_once(char::is_whitespace) {
            Some((rest, name)) if name.starts_with(|first: char| first.is_ascii_alphabetic()) => {
                TimeZone::get(name).map_or((text, None), |zone| (rest.trim(), Some(zone)))
            }
            _ => (text, None),
        };
        let word = WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        let text = word.map_or(text, |(_, meaning)| meaning);
        let mut parts: Vec<&str> = text.split_whitespace().collect();
        let mut line = Line {
            weekdays: u64::MAX,
            years: None,
            months: u64::MAX,
            days: u64::MAX,
            days_back: 0,
            hours: 1,
            minutes: 1,
            seconds: 1,
            zone,
        };
        if parts.is_empty() {
            return Err(OnCalendarError::Parts(text.to_owned()));
        }
        if let Some(time) = parts.pop_if(|part| part.contains(':')) {
            let fields: Vec<&str> = time.split(':').collect();
            let (hour, minute, second) = match fields[..] {
                [hour, minute] => (hour, minute, "0"),
                [hour, minute, second] => (hour, minute, second),
                _ => return Err(OnCalendarError::Shape(time.to_owned())),
            };
            line.hours = bits(HOUR.read(hour)?);
            line.minutes = bits(MINUTE.read(minute)?);
            line.seconds = bits(SECOND.read(second)?);
        }
        let is_date =
            |part: &str| part.contains(['-', '~']) && part.starts_with(|c: char| c == '*' || c.is_ascii_digit());
        if let Some(date) = parts.pop_if(|part| is_date(part)) {
            line.read_date(date)?;
        }
        match parts[..] {
            [] => {}
            [days] => line.weekdays = weekdays(days)?,
            _ => return Err(OnCalendarError::Parts(text.to_owned())),
        }
        Ok(line)
    }
}

impl Line {
    fn read_date(&mut self, date: &str) -> Result<(), OnCalendarError> {
        let (before, back) = date.split_once('~').map_or((date, None), |(before, back)| (before, Some(back)));
        let mut fields: Vec<&str> = before.split('-').collect();
        let day = match back {
            Some(_) => None,
            None => fields.pop(),
        };
        let (year, month) = match fields[..] {
            [month] => (None, month),
            [year, month] => (Some(year), month),
            _ => return Err(OnCalendarError::Shape(date.to_owned())),
        };
        if let Some(year) = year.filter(|year| *year != "*") {
            self.years = Some(YEAR.read(year)?.into_iter().map(|year| year as i16).collect());
        }
        self.months = bits(MONTH.read(month)?);
        match (day, back) {
            (Some(day), _) => self.days = bits(DAY.read(day)?),
            (None, back) => (self.days, self.days_back) = (0, bits(DAY.read_back(back.unwrap_or_default())?)),
        }
        Ok(())
    }

    fn next(&self, after: jiff::Timestamp, zone: &TimeZone) -> Option<jiff::Timestamp> {
        let zone = self.zone.as_ref().unwrap_or(zone);
        if self.hours == EVERY_HOUR { self.next_shown(after, zone) } else { self.next_of_days(after, zone) }
    }

    /// The first moment after one at which the clock on the wall shows one of the times.
    fn next_shown(&self, after: jiff::Timestamp, zone: &TimeZone) -> Option<jiff::Timestamp> {
        let mut from = after.checked_add(SignedDuration::from_secs(1)).ok()?;
        loop {
            // As if the clocks never changed again; if they do before that, on from there.
            let offset = zone.to_offset(from);
            let found = offset.to_timestamp(self.next_civil(offset.to_datetime(from))?).ok()?;
            match zone.following(from).next().map(|change| change.timestamp()) {
                Some(change) if change <= found => from = change,
                _ => return Some(found),
            }
        }
    }

    /// The first moment after one at which a day's time comes: once a day, and not on days that skip it.
    fn next_of_days(&self, after: jiff::Timestamp, zone: &TimeZone) -> Option<jiff::Timestamp> {
        let mut from = zone.to_datetime(after);
        loop {
            from = self.next_civil(from.checked_add(1.second()).ok()?)?;
            let ambiguous = zone.to_ambiguous_timestamp(from);
            if matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
                continue;
            }
            let found = ambiguous.compatible().ok()?;
            if found > after {
                return Some(found);
            }
        }
    }

    /// The first time at or after one, on a clock that never changes.
    fn next_civil(&self, from: DateTime) -> Option<DateTime> {
        civil::next([self.hours, self.minutes, self.seconds], from, |day| self.next_day(day))
    }

    fn next_day(&self, from: Date) -> Option<Date> {
        let mut day = from;
        while day.year() <= LAST_YEAR {
            if self.years.as_ref().is_some_and(|years| !years.contains(&day.year())) {
                day = Date::new(day.year() + 1, 1, 1).ok()?;
            } else if !has(self.months, day.month()) {
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
        let back = date.days_in_month() - date.day() + 1;
        has(self.weekdays, date.weekday().to_monday_zero_offset())
            && (has(self.days, date.day()) || has(self.days_back, back))
    }
}

impl FromStr for OnCalendar {
    type Err = OnCalendarError;

    fn from_str(text: &str) -> Result<OnCalendar, OnCalendarError> {
        let lines = text.trim().lines().map(str::parse).collect::<Result<Vec<Line>, _>>()?;
        if lines.is_empty() {
            return Err(OnCalendarError::Parts(text.to_owned()));
        }
        let calendar = OnCalendar { text: text.to_owned(), lines };
        let ever = calendar.next(Timestamp(0), &TimeZone::UTC);
        ever.map(|_| calendar).ok_or(OnCalendarError::Never)
    }
}

impl OnCalendar {
    /// The first time after a moment, where the clocks show `zone` unless the expression names one; `None` if there is none
    /// before the year 2200.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let whole = jiff::Timestamp::from_second(after.0.div_euclid(1000)).ok()?;
        let found = self.lines.iter().filter_map(|line| line.next(whole, zone)).min();
        found.map(|found| Timestamp(found.as_millisecond()))
    }
}

/// As it was written.
impl fmt::Display for OnCalendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for OnCalendar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<OnCalendar, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for OnCalendar {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OnCalendar".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A calendar expression of systemd, such as `Mon..Fri 09:00` or `*-*-01 04:00 Europe/Riga`."
        })
    }
}

#[cfg(test)]
mod tests;
