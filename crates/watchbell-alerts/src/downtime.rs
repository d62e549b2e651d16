//! Downtimes: known periods in which certain alerts must not page. They still measure, and what people know of still ends.
//!
//! Pure: a moment goes in, what is in force comes out. What broke in a downtime and is still broken at its end is told of
//! then; what was told of before and ends meanwhile is told of at once.
//!
//! Those of the configuration and those that are made while watchbell runs (`made`) are the same in all but where they are
//! kept.

mod made;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchbell_model::{Cron, Labels, Matcher, Path, Problems, Span, Timestamp, near_hint};

use crate::config::read_matcher_texts;
use crate::duty::{LOOK_AGAIN, civil, moment};
use crate::interval::Intervals;
use crate::matcher::MatcherMode;

pub(crate) use made::MadeDowntimes;
pub use made::{DOWNTIME_RETENTION, DOWNTIMES_MAX, DowntimeError, MadeDowntime};

/// A known period in which certain alerts page nobody: once (`from` and `until`), in time intervals (`during`), or again and
/// again (`cron` and `lasts`). What is still broken when it ends is told of then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DowntimeConfig {
    /// What it is called; it stands beside the alerts that it covers.
    pub name: String,
    /// Which alerts it covers: all of these must hold, such as `service="db"` or `source="monitor/imap"`.
    pub matchers: Vec<String>,
    /// When it begins, if it is there once: `2026-12-01T22:00`.
    #[serde(default)]
    pub from: Option<String>,
    /// When it ends.
    #[serde(default)]
    pub until: Option<String>,
    /// Names among `time_intervals`: it is in force in any of them.
    #[serde(default)]
    pub during: Vec<String>,
    /// When it begins, again and again: `0 3 * * SUN`.
    #[serde(default)]
    pub cron: Option<Cron>,
    /// How long it lasts then.
    #[serde(default)]
    pub lasts: Option<Span>,
    /// Whose clock `from`, `until` and `cron` mean: a name such as `Europe/Berlin`, `UTC`, or `Local` for this machine's.
    #[serde(default = "crate::interval::utc")]
    pub time_zone: String,
}

/// All of them, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct Downtimes(Vec<Downtime>);

#[derive(Debug)]
pub(crate) struct Downtime {
    pub(crate) config: DowntimeConfig,
    matchers: Vec<Matcher>,
    when: When,
}

#[derive(Debug)]
enum When {
    Once { from: Timestamp, until: Timestamp },
    During(Vec<String>),
    Again { cron: Cron, lasts: Duration, zone: TimeZone },
}

/// The downtimes that are in force at a moment, each with how long it lasts at least.
#[derive(Default)]
pub(crate) struct InForce<'a>(Vec<(&'a Downtime, Duration)>);

impl Downtimes {
    /// Reads all; `path` is their list.
    pub(crate) fn compile(
        configs: &[DowntimeConfig],
        mode: MatcherMode,
        intervals: &Intervals,
        path: &Path,
        problems: &mut Problems,
    ) -> Downtimes {
        let mut names = BTreeSet::new();
        let mut downtimes = Vec::new();
        for (at, config) in configs.iter().enumerate() {
            let path = path.index(at);
            if config.name.trim().is_empty() {
                problems.error(&path.field("name"), "a downtime needs a name");
            } else if !names.insert(&config.name) {
                problems
                    .error(&path.field("name"), format!("there are two downtimes named `{}`", config.name))
                    .hint("give each a name of its own");
            }
            downtimes.extend(Downtime::compile(config, mode, intervals, &path, problems));
        }
        Downtimes(downtimes)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Downtime> {
        self.0.iter()
    }
}

/// Which of these are in force.
pub(crate) fn in_force<'a>(
    downtimes: impl Iterator<Item = &'a Downtime>,
    intervals: &Intervals,
    now: Timestamp,
) -> InForce<'a> {
    InForce(downtimes.filter_map(|it| Some((it, it.when.left(intervals, now)?))).collect())
}

impl InForce<'_> {
    /// Names of those that cover an alert with these labels.
    pub(crate) fn covering(&self, labels: &Labels) -> Vec<String> {
        self.over(labels).map(|(downtime, _)| downtime.config.name.clone()).collect()
    }

    /// How long such an alert is covered at least, if it is.
    pub(crate) fn left(&self, labels: &Labels) -> Option<Duration> {
        self.over(labels).map(|(_, left)| *left).max()
    }

    fn over(&self, labels: &Labels) -> impl Iterator<Item = &(&Downtime, Duration)> {
        self.0.iter().filter(|(downtime, _)| downtime.covers(labels))
    }
}

impl Downtime {
    fn compile(
        config: &DowntimeConfig,
        mode: MatcherMode,
        intervals: &Intervals,
        path: &Path,
        problems: &mut Problems,
    ) -> Option<Downtime> {
        let zone = crate::interval::zone(&config.time_zone, &path.field("time_zone"), problems);
        let matchers = read_matcher_texts(mode, &config.matchers, &path.field("matchers"), problems);
        if config.matchers.is_empty() {
            problems
                .error(&path.field("matchers"), "without matchers it would cover every alert")
                .hint("name those it is meant for, such as `service=\"db\"`; `alertname=~\".+\"` is every one");
        }
        let once = config.from.is_some() || config.until.is_some();
        let again = config.cron.is_some() || config.lasts.is_some();
        if [once, again, !config.during.is_empty()].into_iter().filter(|it| *it).count() != 1 {
            problems
                .error(path, "it is not clear when it is in force")
                .hint("give `from` and `until`, or `during`, or `cron` and `lasts`");
            return None;
        }
        let when = match (&config.from, &config.until, &config.cron, config.lasts) {
            (Some(from), Some(until), ..) => {
                let mut time = |text: &str, field| moment(civil(text, &path.field(field), problems)?, &zone);
                let (from, until) = (time(from, "from"), time(until, "until"));
                let (from, until) = (from?, until?);
                if until <= from {
                    problems.error(&path.field("until"), "it ends before it begins");
                }
                When::Once { from, until }
            }
            (_, _, Some(cron), Some(lasts)) => {
                if lasts.is_zero() {
                    problems.error(&path.field("lasts"), "it ends when it begins").hint("such as `2h`");
                } else if never_ends(cron, lasts.duration(), &zone) {
                    problems
                        .error(&path.field("lasts"), format!("it begins again before {lasts} are over, and never ends"))
                        .hint("shorten it, or begin less often");
                }
                When::Again { cron: cron.clone(), lasts: lasts.duration(), zone }
            }
            _ if !config.during.is_empty() => {
                for (at, name) in config.during.iter().enumerate().filter(|(_, name)| !intervals.has(name)) {
                    problems
                        .error(&path.field("during").index(at), format!("there is no time interval named `{name}`"))
                        .hint(near_hint(name, "time intervals", intervals.names()));
                }
                When::During(config.during.clone())
            }
            _ => {
                let (lacks, beside) = match (config.from.is_some(), config.until.is_some(), config.cron.is_some()) {
                    (true, ..) => ("until", "from"),
                    (_, true, _) => ("from", "until"),
                    (.., true) => ("lasts", "cron"),
                    _ => ("cron", "lasts"),
                };
                problems.error(path, format!("beside `{beside}` it needs `{lacks}`"));
                return None;
            }
        };
        Some(Downtime { config: config.clone(), matchers, when })
    }
}

/// Whether it is in force for more than a week on end.
fn never_ends(cron: &Cron, lasts: Duration, zone: &TimeZone) -> bool {
    let first = cron.next(Timestamp(0), zone);
    let mut starts = std::iter::successors(first, |start| cron.next(*start, zone));
    let Some(mut until) = starts.next().map(|first| first + lasts) else { return false };
    let enough = until + Duration::from_secs(8 * 86_400);
    for start in starts {
        if start > until {
            return false;
        }
        until = start + lasts;
        if start > enough {
            return true;
        }
    }
    false
}

impl Downtime {
    /// Whether it covers an alert with these labels.
    pub(crate) fn covers(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }

    /// Until when it is in force at least, if it is.
    pub(crate) fn until(&self, intervals: &Intervals, now: Timestamp) -> Option<Timestamp> {
        self.when.left(intervals, now).map(|left| now + left)
    }

    /// When it begins next, where that can be said.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.when {
            When::Once { from, .. } => (*from > now).then_some(*from),
            When::During(_) => None,
            When::Again { cron, zone, .. } => cron.next(now, zone),
        }
    }

    /// When it ended for good, if it did.
    fn over_at(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.when {
            When::Once { until, .. } => (*until <= now).then_some(*until),
            When::During(_) | When::Again { .. } => None,
        }
    }
}

impl When {
    /// How long it lasts at least, if it is in force.
    fn left(&self, intervals: &Intervals, now: Timestamp) -> Option<Duration> {
        match self {
            When::Once { from, until } => (*from <= now && now < *until).then(|| until.since(now)),
            When::During(names) => names.iter().any(|name| intervals.contains(name, now)).then_some(LOOK_AGAIN),
            When::Again { cron, lasts, zone } => {
                let mut began = cron.next(now - *lasts, zone).filter(|began| *began <= now)?;
                while let Some(next) = cron.next(began, zone).filter(|next| *next <= now) {
                    began = next;
                }
                Some((began + *lasts).since(now))
            }
        }
    }
}
