//! Heartbeats as they stand.

use serde::{Deserialize, Serialize};

use crate::{Span, Timestamp};

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
    /// What people call it; also its slug.
    pub name: String,
    /// Where it stands now.
    pub state: HeartbeatState,
    /// Whether a run has started and not ended.
    pub started: bool,
    /// The last success or failure.
    pub last_ping: Option<Timestamp>,
    /// When the next sign of life is due.
    pub next_ping: Option<Timestamp>,
    /// When it alarms unless a sign of life comes.
    pub deadline: Option<Timestamp>,
    /// How often the job reports.
    pub period: Span,
    /// Time allowed on top.
    pub grace: Span,
    /// How long the last run took, if it reported its start.
    pub last_duration: Option<Span>,
}
