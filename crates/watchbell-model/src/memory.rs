//! Durable state that is not durable: the twin for unit tests and the simulator.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{BoxFuture, Change, State, StateError};

/// A [`State`] in memory. It outlives a simulated crash because the world holds it, as a disk would.
#[derive(Debug, Default)]
pub struct MemoryState {
    documents: Mutex<BTreeMap<(String, String), Vec<u8>>>,
    broken: AtomicBool,
    commits: AtomicU64,
}

impl MemoryState {
    /// Nothing kept yet.
    pub fn new() -> MemoryState {
        MemoryState::default()
    }

    /// From now on every commit fails, as on a full disk, or works again.
    pub fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// How many commits were made.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }
}

impl State for MemoryState {
    fn commit(&self, changes: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async move {
            if self.broken.load(Ordering::SeqCst) {
                return Err(StateError { doing: "written", reason: "the disk is full (simulated)".into() });
            }
            if changes.is_empty() {
                return Ok(());
            }
            let mut documents = self.documents.lock().expect("no panic while held");
            for change in changes {
                match change {
                    Change::Put { table, key, value } => documents.insert((table.to_owned(), key), value),
                    Change::Delete { table, key } => documents.remove(&(table.to_owned(), key)),
                };
            }
            self.commits.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    }

    fn get(&self, table: &str, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        let documents = self.documents.lock().expect("no panic while held");
        Ok(documents.get(&(table.to_owned(), key.to_owned())).cloned())
    }

    fn scan(&self, table: &str, from: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        let documents = self.documents.lock().expect("no panic while held");
        let range = documents.range((table.to_owned(), from.to_owned())..);
        let mine = range.take_while(|((have, _), _)| have == table).take(limit);
        Ok(mine.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn scan_back(&self, table: &str, before: Option<&str>, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        let documents = self.documents.lock().expect("no panic while held");
        let end = match before {
            Some(before) => (table.to_owned(), before.to_owned()),
            None => (format!("{table}\0"), String::new()),
        };
        let mine = documents.range(..end).rev().take_while(|((have, _), _)| have == table).take(limit);
        Ok(mine.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
}
