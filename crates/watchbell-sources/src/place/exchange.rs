//! What an agent and its server say to each other: one `POST` with [`Exchange`], answered with [`Answer`].
//!
//! Everything is numbered or said again each time, so that a lost request or answer costs nothing but a repetition.
//! Times of results are ages, so that the agent's clock plays no part in them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use watchbell_model::{Labels, ProbeResult, Timestamp};

use crate::probe::{EgressConfig, OwnNetworkConfig};

/// The version of these documents; another one is refused with words that say which side to renew.
pub const PROTOCOL: u32 = 1;

/// What an agent says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Exchange {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The agent's release.
    pub version: String,
    /// Names this start of the agent.
    pub run: String,
    /// The assignment it works by; 0 for none yet.
    pub assignment: u64,
    /// The number of the first of `entries`; each is one more than the one before.
    pub first: u64,
    /// What was seen, oldest first.
    pub entries: Vec<Entry>,
    /// How many entries wait behind these.
    pub waiting: u64,
    /// How many entries were dropped since its start, as the buffer was full.
    pub dropped: u64,
    /// How far the agent's clock is ahead of the server's, in milliseconds, as far as it could be measured.
    pub ahead_ms: Option<i64>,
    /// Why its own network is down, if it is.
    pub own_network: Option<String>,
    /// Assigned monitors that it cannot probe.
    pub refused: Vec<RefusedMonitor>,
}

/// One thing that was seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// How long ago, when the request was written.
    pub age_ms: u64,
    /// What.
    pub seen: Seen,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Seen {
    /// A probe's outcome.
    Result(ProbeResult),
    /// Samples of a probe: labels, and the value or, for the end of a series, none.
    Samples(Vec<(Labels, Option<f64>)>),
}

/// A monitor that an agent cannot probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RefusedMonitor {
    /// Its name.
    pub monitor: String,
    /// Why.
    pub reason: String,
}

/// What the server answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The name of the place, as the token says.
    pub place: String,
    /// The server's release.
    pub version: String,
    /// Entries with lower numbers are kept; the next exchange begins here.
    pub next: u64,
    /// When the request had come, by the server's clock.
    pub received_at: Timestamp,
    /// When the answer was written.
    pub answered_at: Timestamp,
    /// What to probe from now on, if it is not what the agent works by.
    pub assignment: Option<Assignment>,
    /// Monitors to probe at once, since another place sees them fail.
    pub probe_now: Vec<String>,
}

/// What an agent is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// Its number, which tells it from another one.
    pub id: u64,
    /// Monitors as the configuration has them, secrets included.
    pub monitors: Vec<Value>,
    /// Where they may connect to.
    pub egress: EgressConfig,
    /// What tells whether the agent's own network works.
    pub own_network: OwnNetworkConfig,
}
