//! Downtimes that are made while watchbell runs, by whom and why.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use watchbell_model::{Path, Problems, Span, StateError, Timestamp};

use super::{Downtime, DowntimeConfig};
use crate::interval::Intervals;
use crate::matcher::{Difference, MatcherMode, print_matchers};

/// How many downtimes that were made are kept, those that are over and not yet forgotten included.
pub const DOWNTIMES_MAX: usize = 1000;
/// How long one that is over is kept.
pub const DOWNTIME_RETENTION: Span = Span::days(30);

/// A downtime that somebody made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MadeDowntime {
    /// Names it for ever.
    pub id: String,
    /// What it covers, and when.
    pub downtime: DowntimeConfig,
    /// Who made it.
    pub by: String,
    /// Why.
    pub why: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// When somebody ended it, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

impl MadeDowntime {
    /// With matchers that every mode reads alike: what is kept means the same when the mode is another.
    pub(crate) fn settled(mut self, mode: MatcherMode) -> MadeDowntime {
        for text in &mut self.downtime.matchers {
            if Difference::of(text).is_some()
                && let Ok(read) = mode.parse(text)
            {
                *text = print_matchers(&read);
            }
        }
        self
    }
}

/// Why a downtime was not made or ended.
#[derive(Debug, thiserror::Error)]
pub enum DowntimeError {
    /// There is none of that name among those that were made.
    #[error("there is no downtime `{0}`; what stands in the configuration is ended there")]
    Unknown(String),
    /// It is not a sensible downtime; the text says what is wrong and what would be right.
    #[error("{0}")]
    Invalid(String),
    /// It is over already.
    #[error("the downtime `{0}` is over already")]
    Ended(String),
    /// There are too many.
    #[error("there are {DOWNTIMES_MAX} downtimes already")]
    Full,
    /// It could not be kept.
    #[error("the downtime could not be kept")]
    State(#[from] StateError),
}

#[derive(Debug)]
struct Made {
    row: MadeDowntime,
    /// Nothing if it cannot be understood any more, and once it was ended.
    ready: Option<Downtime>,
}

/// All that were made.
#[derive(Debug, Default)]
pub(crate) struct MadeDowntimes(BTreeMap<String, Made>);

impl MadeDowntimes {
    pub(crate) fn insert(&mut self, row: MadeDowntime) {
        let none = Intervals::default();
        let open = row.ended_at.is_none();
        // Whatever the mode was or is: what was made stays what it was (`settled`).
        let (mode, mut unsaid) = (MatcherMode::Fallback, Problems::new());
        let ready = open.then(|| Downtime::compile(&row.downtime, mode, &none, &Path::root(), &mut unsaid));
        self.0.insert(row.id.clone(), Made { row, ready: ready.flatten() });
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// Those that are not ended, ready to be asked.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Downtime> {
        self.0.values().filter_map(|made| made.ready.as_ref())
    }

    /// Each, with what it is asked through.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&MadeDowntime, Option<&Downtime>)> {
        self.0.values().map(|made| (&made.row, made.ready.as_ref()))
    }

    /// What is wrong with one that is to be made, and with making it.
    pub(crate) fn check(
        &self,
        new: &MadeDowntime,
        configured: &[&str],
        mode: MatcherMode,
        intervals: &Intervals,
    ) -> Result<(), DowntimeError> {
        let mut problems = Problems::new();
        let downtime = Downtime::compile(&new.downtime, mode, intervals, &Path::root(), &mut problems);
        let name = new.downtime.name.trim();
        let open = self.0.values().filter(|made| made.row.ended_at.is_none());
        let mut open = open.filter(|made| made.ready.as_ref().is_some_and(|it| it.over_at(new.made_at).is_none()));
        if name.is_empty() {
            problems.error(&Path::root().field("name"), "a downtime needs a name");
        } else if configured.contains(&name) || open.any(|made| made.row.downtime.name == name) {
            problems.error(&Path::root().field("name"), format!("there is a downtime named `{name}` already"));
        }
        if downtime.is_some_and(|it| it.over_at(new.made_at).is_some()) {
            problems.error(&Path::root().field("until"), "it is over already");
        }
        if problems.has_errors() {
            let line = |it: &watchbell_model::Problem| {
                let hint = it.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
                let at = it.path.to_string();
                if at.is_empty() { format!("{}{hint}", it.message) } else { format!("{at}: {}{hint}", it.message) }
            };
            return Err(DowntimeError::Invalid(problems.0.iter().map(line).collect::<Vec<_>>().join("; ")));
        }
        if self.0.len() >= DOWNTIMES_MAX {
            return Err(DowntimeError::Full);
        }
        Ok(())
    }

    /// One as it is when it ends now.
    pub(crate) fn ended(&self, id: &str, now: Timestamp) -> Result<MadeDowntime, DowntimeError> {
        let made = self.0.get(id).ok_or_else(|| DowntimeError::Unknown(id.to_owned()))?;
        if made.row.ended_at.is_some() || made.ready.as_ref().is_some_and(|it| it.over_at(now).is_some()) {
            return Err(DowntimeError::Ended(id.to_owned()));
        }
        Ok(MadeDowntime { ended_at: Some(now), ..made.row.clone() })
    }

    pub(crate) fn get(&self, id: &str) -> Option<&MadeDowntime> {
        self.0.get(id).map(|made| &made.row)
    }

    /// The names of those that are over for long enough to be forgotten.
    pub(crate) fn forgettable(&self, now: Timestamp) -> Vec<String> {
        let over_at = |made: &Made| made.row.ended_at.or_else(|| made.ready.as_ref()?.over_at(now));
        let old = |made: &&Made| over_at(made).is_some_and(|at| now.since(at) > DOWNTIME_RETENTION.duration());
        self.0.values().filter(old).map(|made| made.row.id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(id: &str, json: &str) -> MadeDowntime {
        let downtime = serde_json::from_str(json).expect("a downtime");
        let (by, why) = ("anna".to_owned(), "a new disk".to_owned());
        MadeDowntime { id: id.to_owned(), downtime, by, why, made_at: Timestamp(0), ended_at: None }
    }

    const ONCE: &str =
        r#"{"name": "move", "matchers": ["a=b"], "from": "1970-01-01T01:00", "until": "1970-01-01T02:00"}"#;

    #[test]
    fn a_document_reads_back() {
        let cron = r#"{"name": "backup", "matchers": ["a=b"], "cron": "0 3 * * SUN", "lasts": "2h"}"#;
        let during = r#"{"name": "nights", "matchers": ["a=b"], "during": ["nights"], "time_zone": "Europe/Berlin"}"#;
        for json in [ONCE, cron, during] {
            let row = made("1", json);
            let text = serde_json::to_string(&row).expect("it is JSON");
            assert_eq!(serde_json::from_str::<MadeDowntime>(&text).expect("it reads back"), row);
        }
    }

    /// A tab by the newer reading stays one when the mode is another.
    #[test]
    fn what_readings_differ_in_is_settled_when_it_is_made() {
        let text = r#"{"name": "x", "matchers": ["a=\"b\\tc\"", "a=b"], "from": "1970-01-01", "until": "1970-01-02"}"#;
        let mut all = MadeDowntimes::default();
        for (mode, kept, covered) in [
            (MatcherMode::Utf8Strict, "{a=\"b\tc\"}", "b\tc"),
            (MatcherMode::Classic, "{a=\"b\\\\tc\"}", "b\\tc"),
            (MatcherMode::Fallback, "{a=\"b\\\\tc\"}", "b\\tc"),
        ] {
            let mut row = made("1", text).settled(mode);
            assert_eq!(row.downtime.matchers, [kept, "a=b"], "{mode:?}");
            row.downtime.matchers.pop();
            all.insert(row);
            let ready = all.ready().next().expect("it is understood");
            assert!(ready.covers(&watchbell_model::Labels::from_pairs([("a", covered)])), "{mode:?}");
        }
    }

    #[test]
    fn it_ends_by_itself_or_early_and_is_forgotten_after_a_while() {
        let hour = |hour: i64| Timestamp(hour * 3_600_000);
        let after = |at: Timestamp| Timestamp((at + DOWNTIME_RETENTION.duration()).0 + 1);
        let mut all = MadeDowntimes::default();
        all.insert(made("1", ONCE));
        all.insert(made("2", r#"{"name": "x", "matchers": ["a=b"], "cron": "0 3 * * *", "lasts": "2h"}"#));
        assert_eq!(all.forgettable(Timestamp(after(hour(2)).0 - 1)), Vec::<String>::new());
        assert_eq!(all.forgettable(after(hour(2))), ["1"]);
        assert!(matches!(all.ended("1", hour(2)), Err(DowntimeError::Ended(_))));
        assert!(matches!(all.ended("3", hour(1)), Err(DowntimeError::Unknown(_))));
        let ended = all.ended("2", hour(5)).expect("it comes for ever");
        all.insert(ended);
        assert_eq!((all.ready().count(), all.forgettable(after(hour(5)))), (1, vec!["1".to_owned(), "2".to_owned()]));
        assert!(matches!(all.ended("2", hour(6)), Err(DowntimeError::Ended(_))));
    }

    #[test]
    fn what_is_wrong_with_it_is_said() {
        let mut all = MadeDowntimes::default();
        all.insert(made("1", ONCE));
        let said =
            |json: &str| match all.check(&made("2", json), &["nights"], MatcherMode::Fallback, &Intervals::default()) {
                Ok(()) => "good".to_owned(),
                Err(error) => error.to_string(),
            };
        let with = |name: &str, rest: &str| format!(r#"{{"name": "{name}", "matchers": ["a=b"], {rest}}}"#);
        let times = r#""from": "1970-01-01T01:00", "until": "1970-01-01T02:00""#;
        for (json, words) in [
            (with("other", times), "good"),
            (with(" ", times), "name: a downtime needs a name"),
            (with("move", times), "name: there is a downtime named `move` already"),
            (with("nights", times), "name: there is a downtime named `nights` already"),
            (with("x", r#""from": "1969-01-01", "until": "1969-01-02""#), "until: it is over already"),
            (with("x", r#""lasts": "2h""#), "beside `lasts` it needs `cron`"),
            (with("x", r#""during": ["weekends"]"#), "during[0]: there is no time interval named `weekends`"),
        ] {
            assert!(said(&json).starts_with(words), "{json}: {}", said(&json));
        }
    }
}
