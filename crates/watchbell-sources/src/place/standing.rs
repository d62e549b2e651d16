//! How places stand, for APIs and pages.

use serde::Serialize;
use watchbell_model::Timestamp;

use super::exchange::RefusedMonitor;

/// Whether a place is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlaceState {
    /// Watchbell itself.
    Here,
    /// Its agent reports.
    Heard,
    /// Nothing was heard yet, and it is not late.
    Expected,
    /// Its agent does not report.
    Silent,
}

/// A place as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct PlaceStatus {
    /// Its name.
    pub name: String,
    /// Whether it is heard.
    pub state: PlaceState,
    /// When its agent was heard last, if it was since the start.
    pub heard_at: Option<Timestamp>,
    /// The agent's release.
    pub version: Option<String>,
    /// How many monitors are probed from there.
    pub monitors: usize,
    /// How old the oldest result was that came last, in seconds.
    pub lag: f64,
    /// How many results wait at the agent.
    pub waiting: u64,
    /// How many results the agent dropped since its start, as its buffer was full.
    pub dropped: u64,
    /// How many seconds the agent's clock is ahead of ours.
    pub clock_ahead: Option<f64>,
    /// Why its own network is down, if it is.
    pub own_network: Option<String>,
    /// Monitors that its agent cannot probe.
    pub refused: Vec<RefusedMonitor>,
}
