//! The one thread that writes: takes all commits that wait, makes them in one transaction, syncs once, answers each.
//!
//! A commit that fails does not fail its neighbours: each has a savepoint, and when the whole transaction cannot be
//! committed each is tried again alone.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, params};
use tokio::sync::oneshot;
use watchbell_model::{Change, Severity, StateError, Timestamp};
use watchbell_runtime::metrics::{Counter, Histogram};
use watchbell_runtime::{Disk, Runtime, disk, fault};

/// How many commits one transaction takes at most.
const GROUP_MAX: usize = 1000;
/// Space kept aside, so that state can still be written on a full disk.
const RESERVE: usize = 4 << 20;
/// How soon after it was used up the reserve is tried again.
const RESERVE_AGAIN: Duration = Duration::from_secs(60);
/// The trouble raised while the reserve is used up.
const TROUBLE: &str = "state/disk-full";

pub(crate) struct Commit {
    pub(crate) changes: Vec<Change>,
    pub(crate) answer: oneshot::Sender<Result<(), StateError>>,
}

pub(crate) struct Writer {
    connection: Connection,
    runtime: Runtime,
    reserve: PathBuf,
    /// When the reserve was given up, if it was.
    reserve_used: Option<Timestamp>,
    commits: Counter,
    failures: Counter,
    seconds: Histogram,
}

impl Writer {
    pub(crate) fn new(runtime: &Runtime, connection: Connection, path: &Path) -> Writer {
        let metrics = &runtime.metrics;
        let mut writer = Writer {
            connection,
            reserve: path.with_file_name("state.reserve"),
            reserve_used: None,
            commits: metrics.counter("watchbell_state_commits_total", "Commits of durable state.", &[]),
            failures: metrics.counter("watchbell_state_commit_failures_total", "Commits that failed.", &[]),
            seconds: metrics.histogram(
                "watchbell_state_transaction_seconds",
                "Time of one transaction, in which all waiting commits are made.",
                &[],
                &[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0],
            ),
            runtime: runtime.clone(),
        };
        if !Disk::Os.exists(&writer.reserve) {
            writer.restore_reserve();
        }
        writer
    }

    /// Works until the last sender is gone and nothing waits.
    pub(crate) fn run(mut self, queue: &Receiver<Commit>) {
        while let Ok(first) = queue.recv() {
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
            let begun = self.runtime.clock.monotonic();
            let mut results = self.make(&group);
            if self.give_up_reserve(&results) {
                results = self.make(&group);
            }
            self.seconds.observe((self.runtime.clock.monotonic() - begun).as_secs_f64());
            for (commit, result) in group.into_iter().zip(results) {
                if result.is_ok() {
                    self.commits.inc()
                } else {
                    self.failures.inc()
                }
                // Whoever waited may be gone; the commit is made all the same.
                let _ = commit
                    .answer
                    .send(result.map_err(|error| StateError { doing: "written", reason: error.to_string() }));
            }
            if self.reserve_used.is_some_and(|since| self.runtime.clock.now() >= since + RESERVE_AGAIN) {
                self.restore_reserve();
            }
        }
    }

    /// All in one transaction, or, if that cannot be committed, each in its own.
    fn make(&mut self, group: &[Commit]) -> Vec<rusqlite::Result<()>> {
        if let Ok(results) = together(&mut self.connection, group) {
            return results;
        }
        let alone = |commit| together(&mut self.connection, std::slice::from_ref(commit));
        group.iter().map(alone).map(|result| result.and_then(|mut results| results.remove(0))).collect()
    }

    /// On a full disk gives the reserved space back; says whether it is worth trying again.
    fn give_up_reserve(&mut self, results: &[rusqlite::Result<()>]) -> bool {
        let full = |result: &rusqlite::Result<()>| {
            result.as_ref().is_err_and(|error| error.sqlite_error_code() == Some(ErrorCode::DiskFull))
        };
        if !results.iter().any(full) || self.reserve_used.is_some() {
            return false;
        }
        self.reserve_used = Some(self.runtime.clock.now());
        let words = "the disk is full; alarms and pages are kept in the space reserved for them";
        self.runtime.troubles.set(TROUBLE, Severity::Critical, words);
        Disk::Os.remove(&self.reserve).is_ok()
    }

    fn restore_reserve(&mut self) {
        // Without room for more than the reserve the disk is as good as full, and the board would say so, and not, by
        // turns.
        let room =
            disk::space(self.reserve.parent().unwrap_or(Path::new("."))).map_or(u64::MAX, |space| space.available);
        if room < 2 * RESERVE as u64 {
            self.reserve_used = Some(self.runtime.clock.now());
            let words = format!("the disk is full: {room} bytes are left for alarms and pages");
            self.runtime.troubles.set(TROUBLE, Severity::Critical, words);
            return;
        }
        match Disk::Os.write_atomic(&self.reserve, &vec![0; RESERVE]) {
            Ok(()) => {
                self.reserve_used = None;
                self.runtime.troubles.clear(TROUBLE);
            }
            Err(error) => {
                self.reserve_used = Some(self.runtime.clock.now());
                let words = format!("no space can be kept aside for alarms and pages: {error}");
                self.runtime.troubles.set(TROUBLE, Severity::Critical, words);
            }
        }
    }
}

/// `Err` if nothing was made at all; otherwise what became of each.
fn together(connection: &mut Connection, group: &[Commit]) -> rusqlite::Result<Vec<rusqlite::Result<()>>> {
    let mut transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut results = Vec::with_capacity(group.len());
    for commit in group {
        let mut savepoint = transaction.savepoint()?;
        let made = apply(&savepoint, &commit.changes);
        if let Err(error) = made {
            if savepoint.is_autocommit() {
                // Of some failures, a full disk among them, SQLite undoes all, the savepoints included.
                return Err(error);
            }
            savepoint.rollback()?;
            savepoint.commit()?;
            results.push(Err(error));
            continue;
        }
        savepoint.commit()?;
        results.push(Ok(()));
    }
    fault::point("store.before_state_commit");
    transaction.commit()?;
    fault::point("store.after_state_commit");
    Ok(results)
}

fn apply(connection: &Connection, changes: &[Change]) -> rusqlite::Result<()> {
    for change in changes {
        match change {
            Change::Put { table, key, value } => connection
                .prepare_cached(
                    "INSERT INTO document(tbl, key, value) VALUES (?1, ?2, ?3)
                     ON CONFLICT(tbl, key) DO UPDATE SET value = excluded.value",
                )?
                .execute(params![table, key, value])?,
            Change::Delete { table, key } => connection
                .prepare_cached("DELETE FROM document WHERE tbl = ?1 AND key = ?2")?
                .execute(params![table, key])?,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_full_disk_the_reserve_is_given_up_and_the_board_says_so() {
        let dir = std::env::temp_dir().join(format!("watchbell-reserve-{}", std::process::id()));
        Disk::Os.create_dir_all(&dir).unwrap();
        let path = dir.join("state.db");
        let (connection, _) = super::super::open::open(&path, Timestamp(0)).unwrap();
        // SQLite then answers as it does on a full disk.
        connection.pragma_update(None, "max_page_count", 3).unwrap();
        let runtime = Runtime::os();
        let writer = Writer::new(&runtime, connection, &path);
        assert_eq!(Disk::Os.len(&dir.join("state.reserve")).unwrap(), RESERVE as u64);

        let (queue, commits) = std::sync::mpsc::channel();
        let mut answers = Vec::new();
        for (key, size) in [("small", 10), ("big", 100_000), ("small again", 10)] {
            let (answer, answered) = oneshot::channel();
            queue
                .send(Commit {
                    changes: vec![Change::Put { table: "t", key: key.into(), value: vec![0; size] }],
                    answer,
                })
                .unwrap();
            answers.push(answered);
        }
        drop(queue);
        writer.run(&commits);
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.blocking_recv().unwrap().err()).collect();
        assert!(answers[0].is_none() && answers[2].is_none(), "{answers:?}");
        assert!(answers[1].as_ref().unwrap().reason.contains("full"), "{answers:?}");
        assert!(!Disk::Os.exists(&dir.join("state.reserve")));
        assert_eq!(runtime.troubles.list()[0].key, TROUBLE);
        Disk::Os.remove_dir_all(&dir).unwrap();
    }
}
