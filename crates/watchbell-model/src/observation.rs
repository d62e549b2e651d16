//! What a source saw, for the alarm that judges it the moment it arrives.

use serde::{Deserialize, Serialize};

use crate::{HOME, HeartbeatTerms, Span, Timestamp};

/// A fact from a source, or what a person told it about its heartbeats.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// A monitor probed its target.
    Probe(ProbeResult),
    /// A job reported.
    Ping(Ping),
    /// A heartbeat was made, or something else is expected of it from now on.
    Expected(HeartbeatTerms),
    /// A heartbeat that was made is taken away; its id.
    Dismissed(String),
    /// Nothing is expected of the heartbeat of this id until its next ping, or until it is resumed.
    Paused(String, Timestamp),
    /// A paused heartbeat waits for its first ping again.
    Resumed(String, Timestamp),
    /// Whether an agent of this place is heard; its votes count only while it is.
    Place(String, bool),
    /// A target was scraped, or could not be.
    Scrape(ScrapeResult),
}

/// One probe's outcome. A target that is down is a value, not an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ProbeResult {
    /// The monitor's name.
    pub monitor: String,
    /// The place it was probed from.
    #[serde(default = "home")]
    pub place: String,
    /// When the probe ended.
    pub at: Timestamp,
    /// Whether the target did all that was asked.
    pub success: bool,
    /// How long it took.
    pub duration: Span,
    /// What was seen, in words: `220 mail.example.org ESMTP`, `connection refused`.
    pub message: String,
    /// Seconds spent per phase, in order: `resolve`, `connect`, `tls`, `processing`, `transfer`.
    pub phases: Vec<(String, f64)>,
    /// The certificate that was shown, if one was.
    pub certificate: Option<Certificate>,
}

fn home() -> String {
    HOME.to_owned()
}

/// A certificate chain as a probe saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Certificate {
    /// The earliest end of validity in the chain.
    pub not_after: Timestamp,
    /// The subject of the certificate that ends first.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// SHA-256 of the leaf, in hex: tells a renewed certificate from the old one.
    pub fingerprint: String,
}

/// A sign of life of a scheduled job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Ping {
    /// The heartbeat's id: its name in the configuration, or the UUID of one made elsewhere.
    pub heartbeat: String,
    /// When it arrived.
    pub at: Timestamp,
    /// What it says.
    pub kind: PingKind,
    /// The run it belongs to (`?rid=`).
    pub run: Option<String>,
}

/// What a ping says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PingKind {
    /// The job ended well.
    Success,
    /// The job ended badly.
    Fail,
    /// The job began.
    Start,
    /// The job says something; nothing changes.
    Log,
    /// It does not count: its method or its words are not those that the heartbeat waits for, or it is paused for good.
    #[serde(rename = "ign")]
    Ignored,
}

/// One scrape's outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ScrapeResult {
    /// The scrape job's name.
    pub job: String,
    /// The target's `instance` label.
    pub instance: String,
    /// The address that was scraped.
    pub url: String,
    /// When the scrape began.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Span,
    /// How many samples were kept.
    pub samples: u64,
    /// Why it failed, if it did.
    pub error: Option<String>,
}
