//! The ports between the stages. Data goes one way through them: sources -> store -> alarms -> alerts -> notify.
//!
//! Invariant `no_lost_page`: every port that carries a decision also carries the caller's own state changes (`with`),
//! and the far side commits both at once. So a decision is on disk either together with what follows from it, or not
//! at all, and a crash between two stages has nothing to lose.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;

use crate::{
    Alert, Exemplar, Found, GroupNotification, Labels, Lookup, Matcher, Metadata, Observation, Picture, Rollup, Series,
    Span, Subject, Timestamp,
};

/// A future that a port returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Reads series. A store answers each question its own way; what is written here defines what the answer is.
pub trait Query: Send + Sync {
    /// Series that pass every matcher, with their samples from `start` to `end`, both included; sorted by labels;
    /// series without a sample in the range are left out.
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError>;

    /// As [`Query::select`], one series at a time, so that what one pass needs is never in memory at once. Ends early
    /// when `visit` says so.
    fn each(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        visit: &mut dyn FnMut(Series) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        for series in self.select(matchers, start, end)? {
            if visit(series).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// As [`Query::each`], in batches that several threads may work on at once: `work` is given the place of a batch
    /// among all, and ends it all by saying that it has enough.
    fn batches(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        work: &(dyn Fn(usize, Vec<Series>) -> ControlFlow<()> + Sync),
    ) -> Result<(), QueryError> {
        let mut place = 0;
        self.each(matchers, start, end, &mut |series| {
            place += 1;
            work(place - 1, vec![series])
        })
    }

    /// Series that pass, summed up over windows of `width` (aligned to multiples of it), from copies kept for that
    /// where there are some: a year in little time.
    fn rollup(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        width: Span,
    ) -> Result<Vec<(Labels, Vec<Rollup>)>, QueryError> {
        let mut found = Vec::new();
        self.each(matchers, start, end, &mut |series| {
            let rollups = Rollup::of_series(&series, width);
            if !rollups.is_empty() {
                found.push((series.labels, rollups));
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Label sets, sorted.
    fn series(&self, lookup: &Lookup<'_>) -> Result<Found<Labels>, QueryError> {
        let (mut found, every) = (Vec::new(), [Vec::new()]);
        let sets = if lookup.matchers.is_empty() { &every } else { lookup.matchers };
        for matchers in sets {
            let series = self.select(matchers, lookup.start, lookup.end)?;
            found.extend(series.into_iter().map(|series| series.labels));
        }
        Ok(Found::new(found, lookup.limit))
    }

    /// Label names, sorted.
    fn label_names(&self, lookup: &Lookup<'_>) -> Result<Found<String>, QueryError> {
        let series = self.series(&Lookup { limit: 0, ..*lookup })?.items;
        let names = series.iter().flat_map(|labels| labels.iter().map(|(name, _)| name.to_owned()));
        Ok(Found::new(names, lookup.limit))
    }

    /// Values of a label, sorted.
    fn label_values(&self, name: &str, lookup: &Lookup<'_>) -> Result<Found<String>, QueryError> {
        let series = self.series(&Lookup { limit: 0, ..*lookup })?.items;
        Ok(Found::new(series.iter().filter_map(|labels| labels.get(name).map(str::to_owned)), lookup.limit))
    }

    /// Examples of the series that pass one of the sets of matchers, by series, oldest first.
    fn exemplars(&self, _lookup: &Lookup<'_>) -> Result<Vec<(Labels, Vec<Exemplar>)>, QueryError> {
        Ok(Vec::new())
    }

    /// What metrics are, by name; one that senders disagree about has several. `metric`: only this one.
    fn metadata(&self, _metric: Option<&str>) -> Result<Vec<(String, Vec<Metadata>)>, QueryError> {
        Ok(Vec::new())
    }
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

/// Draws what alerts are about. A picture is beside the page: it never holds one up for long, and never loses one.
pub trait Draw: Send + Sync {
    /// Whether there is a graph of it. Asks no store.
    fn has_graph(&self, subject: &Subject) -> bool;

    /// The graph as it stood at [`Subject::at`]; `None` where there is none, or where it cannot be had within a few
    /// seconds.
    fn draw<'a>(&'a self, subject: &'a Subject) -> BoxFuture<'a, Option<Picture>>;
}
