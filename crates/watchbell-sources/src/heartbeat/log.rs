//! The pings that a heartbeat got: one document each, the last hundred kept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use watchbell_model::{Change, PingKind, State, StateError, Timestamp};

use super::request::{PingAction, PingRequest};

/// How many pings a heartbeat keeps, as Healthchecks does by default.
pub const LOG_MAX: u64 = 100;

pub(super) const TABLE: &str = "sources.ping";

/// A ping as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingRecord {
    /// Its number, from one; a number is left out where a ping could not be kept.
    pub n: u64,
    /// When it arrived.
    pub at: Timestamp,
    /// What it says.
    pub kind: PingKind,
    /// The exit status it reported, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u8>,
    /// The run it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Such as `GET`; empty of a mail.
    pub method: String,
    /// `http`, `https` or `email`.
    pub scheme: String,
    /// Where it came from.
    pub remote: String,
    /// The client's name of itself.
    pub user_agent: String,
    /// The start of what it sent, as it came: need not be text.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "base64", deserialize_with = "unbase64")]
    pub body: Vec<u8>,
}

impl PingRecord {
    pub(super) fn new(n: u64, at: Timestamp, kind: PingKind, request: PingRequest) -> PingRecord {
        let exit_status = match request.action {
            PingAction::Exit(status) => Some(status),
            _ => None,
        };
        PingRecord {
            n,
            at,
            kind,
            exit_status,
            run: request.run_id,
            method: request.method,
            scheme: request.scheme,
            remote: request.remote,
            user_agent: request.user_agent,
            body: request.body,
        }
    }
}

/// `<heartbeat>/<number>`, the number padded so that keys are in order.
pub(super) fn key(heartbeat: &str, n: u64) -> String {
    format!("{heartbeat}/{n:012}")
}

/// Which pings go when the one with this number comes: the one that is a hundred back, and every hundredth time also
/// those before it, which a commit that failed may have left.
pub(super) fn outlived(n: u64) -> std::ops::RangeInclusive<u64> {
    let last = n.saturating_sub(LOG_MAX);
    let first = if n.is_multiple_of(LOG_MAX) { last.saturating_sub(LOG_MAX) } else { last };
    first.max(1)..=last
}

/// The last pings of a heartbeat, newest first.
pub(super) fn newest(state: &dyn State, heartbeat: &str, limit: usize) -> Result<Vec<PingRecord>, StateError> {
    let prefix = format!("{heartbeat}/");
    // The colon comes after all digits.
    let found = state.scan_back(TABLE, Some(&format!("{prefix}:")), limit.min(LOG_MAX as usize))?;
    let mine = found.into_iter().take_while(|(key, _)| key.starts_with(&prefix));
    mine.map(|(key, document)| {
        serde_json::from_slice(&document)
            .map_err(|error| StateError { doing: "read", reason: format!("the ping `{key}` is damaged: {error}") })
    })
    .collect()
}

/// One ping of a heartbeat.
pub(super) fn one(state: &dyn State, heartbeat: &str, n: u64) -> Result<Option<PingRecord>, StateError> {
    let key = key(heartbeat, n);
    let Some(document) = state.get(TABLE, &key)? else { return Ok(None) };
    let damaged = |error| format!("the ping `{key}` is damaged: {error}");
    serde_json::from_slice(&document).map(Some).map_err(|error| StateError { doing: "read", reason: damaged(error) })
}

/// Takes away all pings of a heartbeat whose last one has this number.
pub(super) fn all_gone(heartbeat: &str, last: u64) -> impl Iterator<Item = Change> {
    // A commit that failed may have left some of the last hundred but one.
    let first = last.saturating_sub(2 * LOG_MAX).max(1);
    (first..=last).map(move |n| Change::delete(TABLE, key(heartbeat, n)))
}

fn base64<S: Serializer>(body: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(body))
}

fn unbase64<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(from)?).map_err(de::Error::custom)
}
