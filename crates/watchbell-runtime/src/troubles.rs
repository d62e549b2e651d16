//! What is wrong with watchbell itself: a board that every stage may write on and the alarms read.
//!
//! This is how a stage late in the way of the data (a page given up, a store that fails) becomes an alarm without
//! knowing the alarms: data still flows one way, the board is a source like any other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use watchbell_model::{Severity, Timestamp};

use crate::Clock;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its name: `config`, `state`, `page-given-up/pushover`.
    pub key: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in words.
    pub summary: String,
    /// Since when.
    pub since: Timestamp,
}

/// The board.
#[derive(Clone)]
pub struct Troubles {
    clock: Clock,
    board: Arc<Mutex<BTreeMap<String, Trouble>>>,
    version: watch::Sender<u64>,
}

/// How many troubles the board holds; further ones are only logged.
const TROUBLES_MAX: usize = 1000;

impl Troubles {
    /// An empty board.
    pub fn new(clock: Clock) -> Troubles {
        Troubles { clock, board: Arc::default(), version: watch::Sender::new(0) }
    }

    /// Says that something is wrong; says it again with new words if need be.
    pub fn set(&self, key: &str, severity: Severity, summary: impl Into<String>) {
        let summary = summary.into();
        let mut board = self.board.lock().expect("no panic while held");
        if let Some(known) = board.get_mut(key) {
            if (known.severity, &known.summary) == (severity, &summary) {
                return;
            }
            (known.severity, known.summary) = (severity, summary);
        } else {
            tracing::warn!(trouble = key, severity = severity.as_str(), "{summary}");
            if board.len() >= TROUBLES_MAX {
                return;
            }
            let since = self.clock.now();
            board.insert(key.to_owned(), Trouble { key: key.to_owned(), severity, summary, since });
        }
        drop(board);
        self.version.send_modify(|version| *version += 1);
    }

    /// Says that it is over.
    pub fn clear(&self, key: &str) {
        if self.board.lock().expect("no panic while held").remove(key).is_some() {
            tracing::info!(trouble = key, "over");
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// Whether this is wrong.
    pub fn has(&self, key: &str) -> bool {
        self.board.lock().expect("no panic while held").contains_key(key)
    }

    /// All that is wrong, in order of keys.
    pub fn list(&self) -> Vec<Trouble> {
        self.board.lock().expect("no panic while held").values().cloned().collect()
    }

    /// A receiver that learns of each change of the board.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}
