//! Alarms: what judges data, and the state it is in.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Labels, RunbookRef, Timestamp};

/// Names an alarm for ever: `monitor/imap`, `certificate/imap`, `heartbeat/backup`, `rule/host/DiskFull`, `composite/shop`, `self/config`.
pub type AlarmId = String;

/// What an alarm says of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    /// The condition does not hold.
    Ok,
    /// The condition holds, for as long as it was asked to.
    Alarm,
    /// There is too little data to say: never heard of, or the judgement itself failed.
    InsufficientData,
}

impl fmt::Display for AlarmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AlarmState::Ok => "OK",
            AlarmState::Alarm => "ALARM",
            AlarmState::InsufficientData => "INSUFFICIENT_DATA",
        })
    }
}

/// What kind of thing an alarm judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlarmKind {
    /// A monitor is down.
    Monitor,
    /// A certificate that a monitor saw is about to expire.
    Certificate,
    /// A scheduled job is silent.
    Heartbeat,
    /// A Prometheus alerting rule.
    Rule,
    /// States of other alarms together.
    Composite,
    /// watchbell itself: a refused configuration, a page given up, a store that failed.
    #[serde(rename = "self")]
    Own,
}

/// How bad it is, as the label `severity` says and routes match.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nobody needs to act.
    Info,
    /// Somebody should look in working hours.
    Warning,
    /// Wake somebody up.
    #[default]
    Critical,
}

impl Severity {
    /// As in the label `severity`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// A change of state, kept as the alarm's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Transition {
    /// Which alarm.
    pub alarm: AlarmId,
    /// Which of its label sets, if it judges many series.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Before.
    pub from: AlarmState,
    /// After.
    pub to: AlarmState,
    /// When it was decided.
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
}

/// One label set of an alarm that is pending or firing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Contributor {
    /// Its alert's labels.
    pub labels: Labels,
    /// Whether it still waits for the rule's `for`.
    pub pending: bool,
    /// Since when the condition holds.
    pub since: Timestamp,
    /// The value that was judged last.
    pub value: Option<f64>,
}

/// An alarm as it stands, for APIs and pages.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AlarmStatus {
    /// Its name for ever.
    pub id: AlarmId,
    /// What it judges.
    pub kind: AlarmKind,
    /// What people call it.
    pub name: String,
    /// What it says.
    pub state: AlarmState,
    /// Since when it says so.
    pub since: Timestamp,
    /// Why, in words.
    pub reason: String,
    /// How bad it is.
    pub severity: String,
    /// The condition, in words or PromQL.
    pub condition: String,
    /// A PromQL expression whose graph shows what is judged.
    pub graph: Option<String>,
    /// The threshold to draw in the graph, in the graph's unit.
    pub threshold: Option<f64>,
    /// Its run book; `None` only for foreign rules, which get a generated page.
    pub runbook: Option<RunbookRef>,
    /// Labels its alerts carry.
    pub labels: Labels,
    /// What is pending or firing.
    pub contributors: Vec<Contributor>,
    /// When it was judged last.
    pub judged_at: Option<Timestamp>,
    /// The last judgement's error, if it failed.
    pub error: Option<String>,
}
