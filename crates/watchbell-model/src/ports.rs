//! The ports between the stages. Data goes one way through them: sources -> store -> alarms -> alerts -> notify.
//!
//! Invariant `no_lost_page`: every port that carries a decision also carries the caller's own state changes (`with`),
//! and the far side commits both at once. So a decision is on disk either together with what follows from it, or not
//! at all, and a crash between two stages has nothing to lose.

use std::future::Future;
use std::pin::Pin;

use crate::{Alert, GroupNotification, Labels, Matcher, Observation, Point, Series, Timestamp};

/// A future that a port returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes samples in.
pub trait Append: Send + Sync {
    /// Keeps a batch; when it answers, the samples survive `kill -9`.
    ///
    /// Samples that cannot be kept (too old, a second value for one time) are counted in the answer, the rest is kept.
    fn append(&self, batch: Vec<Point>) -> BoxFuture<'_, Result<Appended, AppendError>>;
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Kept.
    pub kept: u64,
    /// Refused: another value for that time is already there.
    pub duplicate: u64,
    /// Refused: older than the window for late samples.
    pub too_old: u64,
    /// Refused: further ahead of our clock than clocks go wrong.
    pub too_new: u64,
    /// Refused: a new series past the named limit.
    pub over_limit: u64,
}

/// Why a batch was not kept at all.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The store is full, read-only or failing; trying again later may help.
    #[error("the store cannot take samples now: {0}")]
    Unavailable(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// Reads series.
pub trait Query: Send + Sync {
    /// Series that pass every matcher, with their samples from `start` to `end`, both included; sorted by labels;
    /// series without a sample in the range are left out.
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError>;

    /// Label sets that pass every matcher and have a sample in the range, sorted.
    fn series(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Labels>, QueryError> {
        Ok(self.select(matchers, start, end)?.into_iter().map(|series| series.labels).collect())
    }

    /// All label names that occur, sorted.
    fn label_names(&self) -> Result<Vec<String>, QueryError>;

    /// All values of a label, sorted.
    fn label_values(&self, name: &str) -> Result<Vec<String>, QueryError>;
}

/// Why series could not be read. Never to be taken for "no data": a failed judgement does not resolve.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// It would load more than is allowed.
    #[error("the query would load more than {limit} samples")]
    TooMany {
        /// The limit that stopped it.
        limit: usize,
    },
    /// The store failed.
    #[error("the store cannot be read: {0}")]
    Unavailable(String),
}

/// A change of durable state: a document under a table and a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a document.
    Put {
        /// Which kind of document.
        table: &'static str,
        /// Its name; documents are ordered by it, byte by byte.
        key: String,
        /// What it says.
        value: Vec<u8>,
    },
    /// Takes a document away.
    Delete {
        /// Which kind of document.
        table: &'static str,
        /// Its name.
        key: String,
    },
}

impl Change {
    /// Sets a document to a value as JSON.
    pub fn put(table: &'static str, key: impl Into<String>, value: &impl serde::Serialize) -> Change {
        let value = serde_json::to_vec(value).expect("our own documents serialise");
        Change::Put { table, key: key.into(), value }
    }

    /// Takes a document away.
    pub fn delete(table: &'static str, key: impl Into<String>) -> Change {
        Change::Delete { table, key: key.into() }
    }
}

/// Keeps what must not be forgotten: alarm states, alerts, heartbeats, the outbox, users.
pub trait State: Send + Sync {
    /// Makes all changes or none; when it answers `Ok`, they survive power loss.
    fn commit(&self, changes: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>>;

    /// A document.
    fn get(&self, table: &str, key: &str) -> Result<Option<Vec<u8>>, StateError>;

    /// Documents whose key is at least `from`, in order of keys, at most `limit`.
    fn scan(&self, table: &str, from: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StateError>;

    /// As [`State::scan`], but downwards: documents whose key is below `before` (`None`: from the last), newest first.
    fn scan_back(&self, table: &str, before: Option<&str>, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StateError>;
}

/// Durable state could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("durable state cannot be {doing}: {reason}")]
pub struct StateError {
    /// `read` or `written`.
    pub doing: &'static str,
    /// What the storage said.
    pub reason: String,
}

/// Takes what sources saw to the alarms that judge it.
pub trait Observe: Send + Sync {
    /// Judges at once; commits `with` together with the alarms' changes.
    fn observe(&self, seen: Vec<Observation>, with: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>>;
}

/// Takes alerts from alarms, or from a foreign sender, to those who decide who should know.
pub trait Raise: Send + Sync {
    /// Merges alerts by their labels; commits `with` together with the alerts.
    ///
    /// Raising the same alert again refreshes it, so callers repeat after a restart without harm.
    fn raise(&self, alerts: Vec<Alert>, with: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>>;
}

/// Takes groups of alerts to those who tell people.
pub trait Deliver: Send + Sync {
    /// Writes each as pages into the outbox; commits `with` together with them. Sending happens afterwards.
    ///
    /// The same receiver, group key and sequence again is one page, not two.
    fn deliver(&self, groups: Vec<GroupNotification>, with: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>>;
}
