//! When ([`Timestamp`]) and how long ([`Span`]).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment: milliseconds since the Unix epoch, UTC, as in Prometheus' wire formats.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Before everything.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// After everything.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// The moment `seconds` after the epoch; fractions below a millisecond are rounded.
    pub fn from_seconds(seconds: f64) -> Timestamp {
        Timestamp((seconds * 1000.0).round() as i64)
    }

    /// Seconds since the epoch, with milliseconds as the fraction.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Milliseconds since the epoch.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Time from `earlier` to here, zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// Reads RFC 3339, such as `2026-11-20T22:27:00.5Z`.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_millisecond()))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// RFC 3339 in UTC with milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        Timestamp::parse_rfc3339(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is not an RFC 3339 time")))
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "format": "date-time",
            "description": "RFC 3339 time in UTC, such as `2026-11-20T22:27:00.000Z`."
        })
    }
}

/// A length of time in Prometheus' notation: `500ms`, `30s`, `5m`, `1h30m`, `1d`, `2w`, `1y`.
///
/// A day is 24 hours and a year 365 days, as in Prometheus.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

/// Why a text is not a [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration; write it as `30s`, `5m`, `1h30m` or `7d`")]
pub struct SpanError(pub String);

const UNITS: [(&str, u64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(Duration::ZERO);

    /// A whole number of milliseconds.
    pub const fn millis(millis: u64) -> Span {
        Span(Duration::from_millis(millis))
    }
    /// A whole number of seconds.
    pub const fn seconds(seconds: u64) -> Span {
        Span(Duration::from_secs(seconds))
    }
    /// A whole number of minutes.
    pub const fn minutes(minutes: u64) -> Span {
        Span(Duration::from_secs(minutes * 60))
    }
    /// A whole number of hours.
    pub const fn hours(hours: u64) -> Span {
        Span(Duration::from_secs(hours * 3600))
    }
    /// A whole number of days of 24 hours.
    pub const fn days(days: u64) -> Span {
        Span(Duration::from_secs(days * 86_400))
    }
    /// The same length as the standard library's type.
    pub const fn duration(self) -> Duration {
        self.0
    }
    /// Whether it has no length.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
    /// In words for a person, at most two units: `3 days 4 hours`, `90 seconds` is `1 minute 30 seconds`.
    pub fn in_words(self) -> String {
        let words = [("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)];
        let mut rest = self.0.as_secs();
        if rest == 0 {
            return format!("{} ms", self.0.as_millis());
        }
        let mut parts = Vec::new();
        for (word, seconds) in words {
            let count = rest / seconds;
            rest %= seconds;
            if count > 0 {
                parts.push(format!("{count} {word}{}", if count == 1 { "" } else { "s" }));
            } else if !parts.is_empty() {
                break;
            }
            if parts.len() == 2 {
                break;
            }
        }
        parts.join(" ")
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Span, SpanError> {
        let refuse = || SpanError(text.to_owned());
        if text == "0" {
            return Ok(Span::ZERO);
        }
        let mut rest = text;
        let mut total: u64 = 0;
        let mut next_unit = 0;
        if rest.is_empty() {
            return Err(refuse());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
            let count: u64 = rest[..digits].parse().map_err(|_| refuse())?;
            let unit = &rest[digits..digits + letters];
            let at = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(refuse)?;
            if at < next_unit {
                return Err(refuse());
            }
            next_unit = at + 1;
            total = count.checked_mul(UNITS[at].1).and_then(|ms| total.checked_add(ms)).ok_or_else(refuse)?;
            rest = &rest[digits + letters..];
        }
        Ok(Span::millis(total))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in UNITS {
            // Weeks and years only when exact, as Prometheus prints them.
            if matches!(unit, "y" | "w") && rest % millis != 0 {
                continue;
            }
            if rest / millis > 0 {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "duration" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print_as_prometheus_does() {
        for (text, printed) in [
            ("1h30m", "1h30m"),
            ("90m", "1h30m"),
            ("7d", "1w"),
            ("8d", "8d"),
            ("500ms", "500ms"),
            ("0", "0s"),
            ("0s", "0s"),
            ("1y", "1y"),
            ("366d", "366d"),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), printed, "{text}");
        }
        for text in ["", "5", "m", "1m1h", "1.5h", "-1s", "5 m", "1h1h", "99999999999999999999y"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!(Span::seconds(90).in_words(), "1 minute 30 seconds");
        assert_eq!(Span::seconds(86_401).in_words(), "1 day");
        assert_eq!(Span::seconds(93_600).in_words(), "1 day 2 hours");
    }

    #[test]
    fn timestamps_print_as_rfc_3339() {
        assert_eq!(Timestamp(1_500).to_string(), "1970-01-01T00:00:01.500Z");
        assert_eq!(Timestamp::parse_rfc3339("1970-01-01T00:00:01.5Z"), Some(Timestamp(1500)));
    }
}
