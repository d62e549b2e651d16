//! Durable state in one SQLite file: documents under a table and a key.
//!
//! One thread writes, many commits at a time ([`writer`]); readers have connections of their own and see whatever was
//! acknowledged. SQLite opens its own file, which is why this part has no simulated twin: the simulator takes
//! [`watchbell_model::MemoryState`], and one suite runs over both.
//!
//! Invariant: a commit that was answered with `Ok` survives power loss (`synchronous=FULL`, answered after the sync).

mod open;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, TryLockError};
use std::thread::JoinHandle;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;
use watchbell_model::{BoxFuture, Change, State, StateError};
use watchbell_runtime::{Runtime, thread};

pub use open::StateReport;

use crate::{DataDir, OpenError};
use writer::{Commit, Writer};

/// How many commits may wait for the writer; further ones are refused at once.
pub const COMMITS_WAITING_MAX: usize = 10_000;
/// How many readers work side by side.
const READERS: usize = 3;

/// The state of one watchbell, open.
pub struct SqliteState {
    path: PathBuf,
    queue: Mutex<Option<std::sync::mpsc::SyncSender<Commit>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    readers: Vec<Mutex<Connection>>,
    next_reader: AtomicUsize,
}

impl SqliteState {
    /// Opens `state.db` in the folder, made if need be. A damaged file is set aside, what can be read of it is copied
    /// into a new one, and the report says so.
    pub fn open(runtime: &Runtime, dir: &DataDir) -> Result<(SqliteState, StateReport), OpenError> {
        let path = dir.path().join("state.db");
        let (connection, report) = open::open(&path, runtime.clock.now())?;
        Ok((SqliteState::with(runtime, path, connection)?, report))
    }

    /// Opens the state of a watchbell that may be running, for a command beside it. Nothing is set aside or mended:
    /// that is for the process whose folder it is. `None` if nothing was ever kept there.
    pub fn attach(runtime: &Runtime, dir: &Path) -> Result<Option<SqliteState>, OpenError> {
        let path = dir.join("state.db");
        if !runtime.disk.exists(&path) {
            return Ok(None);
        }
        let connection = open::attach(&path)?;
        SqliteState::with(runtime, path, connection).map(Some)
    }

    fn with(runtime: &Runtime, path: PathBuf, connection: Connection) -> Result<SqliteState, OpenError> {
        let sqlite = |source| OpenError::Sqlite { path: path.clone(), source };
        let readers = (0..READERS)
            .map(|_| open::reader(&path).map(Mutex::new))
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(sqlite)?;
        let writer = Writer::new(runtime, connection, &path);
        let (queue, commits) = std::sync::mpsc::sync_channel(COMMITS_WAITING_MAX);
        let thread =
            thread::spawn("state", move || writer.run(&commits)).map_err(OpenError::io("start a thread for", &path))?;
        Ok(SqliteState {
            path,
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
            readers,
            next_reader: AtomicUsize::new(0),
        })
    }

    /// Waits until everything handed over is committed, then closes; later commits are refused.
    pub fn close(&self) {
        *self.queue.lock().expect("no panic while held") = None;
        if let Some(thread) = self.thread.lock().expect("no panic while held").take() {
            // A panic of the writer was answered to every waiting commit already.
            let _ = thread.join();
        }
    }

    /// Writes a consistent copy while commits go on. Blocks as long as that takes: call it off the async threads.
    pub fn backup(&self, to: &Path) -> Result<(), StateError> {
        // Not a reader's connection: those may write nothing at all, a copy elsewhere included.
        let connection = Connection::open(&self.path).map_err(read_error)?;
        let to = to.to_str().ok_or(StateError { doing: "read", reason: "the backup's name is not UTF-8".into() })?;
        connection.execute("VACUUM INTO ?1", params![to]).map_err(read_error)?;
        Ok(())
    }

    fn read<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StateError> {
        let first = self.next_reader.fetch_add(1, Ordering::Relaxed);
        for at in 0..READERS {
            match self.readers[(first + at) % READERS].try_lock() {
                Ok(reader) => return run(&reader).map_err(read_error),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Poisoned(_)) => panic!("a reader panicked"),
            }
        }
        let reader = self.readers[first % READERS].lock().expect("no panic while held");
        run(&reader).map_err(read_error)
    }

    fn hand_over(&self, commit: Commit) -> Result<(), StateError> {
        let refuse = |reason: &str| Err(StateError { doing: "written", reason: reason.into() });
        match self.queue.lock().expect("no panic while held").as_ref().map(|queue| queue.try_send(commit)) {
            Some(Ok(())) => Ok(()),
            Some(Err(std::sync::mpsc::TrySendError::Full(_))) => refuse("too many commits are waiting"),
            Some(Err(std::sync::mpsc::TrySendError::Disconnected(_))) => refuse("the writer has stopped"),
            None => refuse("it is closed"),
        }
    }
}

impl Drop for SqliteState {
    fn drop(&mut self) {
        self.close();
    }
}

impl State for SqliteState {
    fn commit(&self, changes: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async move {
            if changes.is_empty() {
                return Ok(());
            }
            let (answer, answered) = oneshot::channel();
            self.hand_over(Commit { changes, answer })?;
            answered.await.unwrap_or(Err(StateError { doing: "written", reason: "the writer has stopped".into() }))
        })
    }

    fn get(&self, table: &str, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.read(|reader| {
            let mut find = reader.prepare_cached("SELECT value FROM document WHERE tbl = ?1 AND key = ?2")?;
            find.query_row(params![table, key], |row| row.get(0)).optional()
        })
    }

    fn scan(&self, table: &str, from: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        self.read(|reader| {
            let mut find = reader
                .prepare_cached("SELECT key, value FROM document WHERE tbl = ?1 AND key >= ?2 ORDER BY key LIMIT ?3")?;
            find.query_map(params![table, from, rows(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    fn scan_back(&self, table: &str, before: Option<&str>, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        self.read(|reader| match before {
            Some(before) => {
                let mut find = reader.prepare_cached(
                    "SELECT key, value FROM document WHERE tbl = ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3",
                )?;
                find.query_map(params![table, before, rows(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
            }
            None => {
                let mut find = reader
                    .prepare_cached("SELECT key, value FROM document WHERE tbl = ?1 ORDER BY key DESC LIMIT ?2")?;
                find.query_map(params![table, rows(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
            }
        })
    }
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn read_error(error: rusqlite::Error) -> StateError {
    StateError { doing: "read", reason: error.to_string() }
}
