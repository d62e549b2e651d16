//! Opening the file: its format, its health, and what to do with a damaged one.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use watchbell_model::Timestamp;
use watchbell_runtime::Disk;

use crate::OpenError;

/// The format this version writes (`docs/formats/state.md`), kept as SQLite's `user_version`.
pub(crate) const FORMAT: u32 = 1;

/// What was found when the state was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateReport {
    /// Where a damaged file now lies. Whoever opened it should raise a trouble.
    pub set_aside: Option<PathBuf>,
    /// What was wrong with it, in words.
    pub damage: Option<String>,
    /// How many documents could be read of the damaged file and are in the new one.
    pub salvaged: u64,
}

/// Opens the file. A damaged one is first copied into a new one as far as it can be read, then set aside, then
/// replaced: cut off anywhere on the way, the next start finishes it, and never begins with nothing.
pub(crate) fn open(path: &Path, now: Timestamp) -> Result<(Connection, StateReport), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let fresh = path.with_file_name("state.salvaged");
    if !Disk::Os.exists(path) && Disk::Os.exists(&fresh) {
        // The damaged file was set aside already, so the copy is whole; its journal belonged to the damaged one.
        remove(path)?;
        put_in_place(&fresh, path)?;
    }
    let damage = match healthy(path) {
        Ok(connection) => return Ok((connection, StateReport::default())),
        Err(Unhealthy::Refused(error)) => return Err(error),
        Err(Unhealthy::Damaged(damage)) => damage,
    };
    remove(&fresh)?;
    let mut into = prepared(&fresh).map_err(sqlite)?;
    let salvaged = salvage(path, &mut into).map_err(sqlite)?;
    // One file without a journal, so that a rename puts all of it in place.
    into.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(sqlite)?;
    drop(into);
    let aside = path.with_file_name(format!("state.corrupt-{}", now.as_millis()));
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&aside, suffix));
        if Disk::Os.exists(&from) {
            Disk::Os.rename(&from, &to).map_err(OpenError::io("set aside", &from))?;
        }
    }
    put_in_place(&fresh, path)?;
    let connection = prepared(path).map_err(sqlite)?;
    Ok((connection, StateReport { set_aside: Some(aside), damage: Some(damage), salvaged }))
}

fn put_in_place(fresh: &Path, path: &Path) -> Result<(), OpenError> {
    Disk::Os.rename(fresh, path).map_err(OpenError::io("put in place", fresh))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    Disk::Os.sync_dir(folder).map_err(OpenError::io("sync", folder))
}

/// Takes a database file and its journals away, if they are there.
fn remove(path: &Path) -> Result<(), OpenError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let file = with_suffix(path, suffix);
        if Disk::Os.exists(&file) {
            Disk::Os.remove(&file).map_err(OpenError::io("remove", &file))?;
        }
    }
    Ok(())
}

/// A connection beside the one that owns the file.
pub(crate) fn attach(path: &Path) -> Result<Connection, OpenError> {
    match healthy(path) {
        Ok(connection) => Ok(connection),
        Err(Unhealthy::Refused(error)) => Err(error),
        Err(Unhealthy::Damaged(reason)) => {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
            Err(OpenError::Io { doing: "read", path: path.to_owned(), source })
        }
    }
}

/// A connection that only reads.
pub(crate) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

enum Unhealthy {
    Damaged(String),
    Refused(OpenError),
}

fn healthy(path: &Path) -> Result<Connection, Unhealthy> {
    let judge = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Unhealthy::Damaged(error.to_string()),
        _ => Unhealthy::Refused(OpenError::Sqlite { path: path.to_owned(), source: error }),
    };
    let connection = Connection::open(path).map_err(judge)?;
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(judge)?;
    if found > FORMAT {
        return Err(Unhealthy::Refused(OpenError::Newer { path: path.to_owned(), found, known: FORMAT }));
    }
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(judge)?;
    if said != "ok" {
        return Err(Unhealthy::Damaged(said));
    }
    drop(connection);
    prepared(path).map_err(judge)
}

fn prepared(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // A document is at most 16 MiB; a commit with a bigger one is refused.
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS document(
             tbl TEXT NOT NULL,
             key TEXT NOT NULL,
             value BLOB NOT NULL CONSTRAINT document_size CHECK(length(value) <= 16777216),
             PRIMARY KEY(tbl, key)
         ) WITHOUT ROWID",
    )?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    Ok(connection)
}

/// Copies what can be read, from the front up to the damage and from the back down to it: an outbox with a hole is
/// better than no outbox.
fn salvage(damaged: &Path, into: &mut Connection) -> rusqlite::Result<u64> {
    let Ok(from) = Connection::open(damaged) else { return Ok(0) };
    let transaction = into.transaction()?;
    for order in ["ASC", "DESC"] {
        let sql = format!("SELECT tbl, key, value FROM document ORDER BY tbl {order}, key {order}");
        let Ok(mut read) = from.prepare(&sql) else { continue };
        let Ok(mut rows) = read.query([]) else { continue };
        while let Ok(Some(row)) = rows.next() {
            let document = (row.get::<_, String>(0), row.get::<_, String>(1), row.get::<_, Vec<u8>>(2));
            if let (Ok(table), Ok(key), Ok(value)) = document {
                transaction
                    .prepare_cached("INSERT OR IGNORE INTO document(tbl, key, value) VALUES (?1, ?2, ?3)")?
                    .execute(params![table, key, value])?;
            }
        }
    }
    let salvaged: i64 = transaction.query_row("SELECT count(*) FROM document", [], |row| row.get(0))?;
    transaction.commit()?;
    Ok(salvaged as u64)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}
