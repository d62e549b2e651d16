//! Heartbeats as they stand.

use serde::{Deserialize, Serialize};

use crate::{Labels, Schedule, Span, Timestamp};

/// What is expected of a job that somebody made while watchbell ran, by an API or by its first ping.
#[derive(Clone, Debug, PartialEq)]
pub struct HeartbeatTerms {
    /// Names it for ever; the alarm is `heartbeat/<id>`.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// When it reports.
    pub schedule: Schedule,
    /// Time allowed on top, and how long a run may take.
    pub grace: Span,
    /// While it is paused, a ping does not set it going again.
    pub manual_resume: bool,
    /// Labels of its alerts.
    pub labels: Labels,
    /// What the job does.
    pub description: String,
}

/// A change of standing, as Healthchecks calls it: what downtime is counted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flip {
    /// When; of a job that was missed, the end of its grace.
    pub at: Timestamp,
    /// `new`, `up`, `down` or `paused`.
    pub from: HeartbeatState,
    /// Likewise.
    pub to: HeartbeatState,
}

/// Where a heartbeat stands (Healthchecks' words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeartbeatState {
    /// Never pinged.
    New,
    /// Pinged in time.
    Up,
    /// The period is over, the grace is not.
    Late,
    /// Missed, or the job said it failed.
    Down,
    /// Not expected to ping.
    Paused,
}

/// A heartbeat as it stands, for APIs and pages.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HeartbeatStatus {
    /// Its name in the alarm `heartbeat/<id>`: the name in the configuration, or the UUID of one made elsewhere.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Where it stands now.
    pub state: HeartbeatState,
    /// Whether a run has started and not ended.
    pub started: bool,
    /// When that run started.
    pub last_start: Option<Timestamp>,
    /// The last success or failure.
    pub last_ping: Option<Timestamp>,
    /// When the next sign of life is due.
    pub next_ping: Option<Timestamp>,
    /// When it alarms unless a sign of life comes.
    pub deadline: Option<Timestamp>,
    /// When the job reports, in words: `every 5m`, or an expression and its time zone.
    pub schedule: String,
    /// How often the job reports; with an expression, the time between two times to come.
    pub period: Span,
    /// Time allowed on top.
    pub grace: Span,
    /// How long the last run took, if it reported its start.
    pub last_duration: Option<Span>,
}
