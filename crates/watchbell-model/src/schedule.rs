//! When a job is expected to report.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Cron, OnCalendar, Span, Timestamp};

/// A time zone by its name, such as `Europe/Riga`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Zone {
        Zone { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    /// What its clocks show.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

impl Default for Zone {
    fn default() -> Zone {
        Zone::utc()
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Zone, String> {
        if name == "UTC" {
            return Ok(Zone::utc());
        }
        let zone = TimeZone::get(name).map_err(|_| format!("`{name}` is no time zone, such as `Europe/Riga`"))?;
        // The database may be asked in any case; names are shown as it writes them.
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Ok(Zone { name, zone })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Zone, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.name)
    }
}

impl schemars::JsonSchema for Zone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Zone".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "A time zone, such as `Europe/Riga`." })
    }
}

/// When a job is expected to report, counted from its last report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// After so much time.
    Period(Span),
    /// At the next time of a cron expression.
    Cron(Cron, Zone),
    /// At the next time of a calendar expression.
    OnCalendar(OnCalendar, Zone),
}

impl Schedule {
    /// Reads an expression: one line of five fields is cron's, anything else systemd's.
    ///
    /// # Errors
    /// In words, if it is neither.
    pub fn expression(text: &str, zone: Zone) -> Result<Schedule, String> {
        if !text.trim().contains('\n') && text.split_whitespace().count() == 5 {
            text.parse().map(|cron| Schedule::Cron(cron, zone)).map_err(|error: crate::CronError| error.to_string())
        } else {
            let calendar = text.parse().map_err(|error: crate::OnCalendarError| error.to_string())?;
            Ok(Schedule::OnCalendar(calendar, zone))
        }
    }

    /// When the next report is expected after one; `None` if never.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Schedule::Period(period) => Some(after + period.duration()),
            Schedule::Cron(cron, zone) => cron.next(after, zone.zone()),
            Schedule::OnCalendar(calendar, zone) => calendar.next(after, zone.zone()),
        }
    }
}

/// As people read it: `every 5m`, or the expression with its zone.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schedule::Period(period) => write!(f, "every {period}"),
            Schedule::Cron(cron, zone) => write!(f, "{cron} ({zone})"),
            Schedule::OnCalendar(calendar, zone) => write!(f, "{calendar} ({zone})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_fields_on_a_line_are_crons() {
        let kind = |text: &str| match Schedule::expression(text, Zone::utc()) {
            Ok(Schedule::Cron(..)) => "cron".to_owned(),
            Ok(Schedule::OnCalendar(..)) => "calendar".to_owned(),
            Ok(Schedule::Period(_)) => "period".to_owned(),
            Err(why) => why,
        };
        assert_eq!(kind("*/5 * * * *"), "cron");
        assert_eq!(kind("Mon..Fri 09:00"), "calendar");
        assert_eq!(kind("12:00\nMon 18:00 UTC"), "calendar");
        assert_eq!(kind("60 * * * *"), "`60` is no minute; it is 0 to 59");
        assert_eq!(kind("soon"), "`soon` is no day of the week, such as `Mon` or `Mon..Fri`, and no time zone");
    }

    #[test]
    fn zones_are_named_as_the_database_names_them() {
        assert_eq!("europe/riga".parse::<Zone>().unwrap().to_string(), "Europe/Riga");
        assert_eq!(
            "Europe/Nowhere".parse::<Zone>().unwrap_err(),
            "`Europe/Nowhere` is no time zone, such as `Europe/Riga`"
        );
        let schedule = Schedule::expression("0 3 * * *", "Europe/Riga".parse().unwrap()).unwrap();
        let next = schedule.next(Timestamp::parse_rfc3339("2026-07-01T00:00:00Z").unwrap()).unwrap();
        assert_eq!(next.to_string(), "2026-07-02T00:00:00.000Z");
    }
}
