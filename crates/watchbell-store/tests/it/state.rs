//! One suite over both adapters of durable state, and what only the one on disk promises.

use std::path::Path;

use expect_test::{Expect, expect};
use watchbell_model::{Change, MemoryState, State};
use watchbell_runtime::{Disk, Runtime};
use watchbell_store::state::StateReport;
use watchbell_store::{DataDir, SqliteState};

use crate::Folder;

fn open(folder: &Folder) -> (SqliteState, StateReport) {
    SqliteState::open(&Runtime::os(), &DataDir::claim(folder.path(), false).unwrap()).unwrap()
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn put(table: &'static str, key: &str, value: &str) -> Change {
    Change::Put { table, key: key.into(), value: value.into() }
}

fn names(found: Vec<(String, Vec<u8>)>) -> String {
    let one = |(key, value): (String, Vec<u8>)| format!("{key}={}", String::from_utf8(value).unwrap());
    found.into_iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Runs the same commands over both adapters and compares what they answer with each other and with the snapshot.
fn check(commands: impl Fn(&dyn State) -> String, expected: Expect) {
    let folder = Folder::new();
    let on_disk = commands(&open(&folder).0);
    assert_eq!(commands(&MemoryState::new()), on_disk);
    expected.assert_eq(&on_disk);
}

#[test]
fn documents_are_ordered_by_key_within_their_table() {
    check(
        |state| {
            let changes = ["b", "a", "é", "B", "a0", "c"].map(|key| put("t", key, key));
            block_on(state.commit(changes.into_iter().chain([put("t2", "x", "x"), put("s", "y", "y")]).collect()))
                .unwrap();
            block_on(state.commit(vec![Change::delete("t", "c"), Change::delete("t", "none"), put("t", "a", "A")]))
                .unwrap();
            [
                names(state.scan("t", "", 10).unwrap()),
                names(state.scan("t", "a0", 2).unwrap()),
                names(state.scan_back("t", None, 2).unwrap()),
                names(state.scan_back("t", Some("b"), 10).unwrap()),
                names(state.scan("u", "", 10).unwrap()),
                format!("{:?} {:?}", state.get("t", "B").unwrap(), state.get("t", "c").unwrap()),
            ]
            .join("\n")
        },
        expect![[r#"
            B=B a=A a0=a0 b=b é=é
            a0=a0 b=b
            é=é b=b
            a0=a0 a=A B=B

            Some([66]) None"#]],
    );
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let folder = Folder::new();
    let (state, report) = open(&folder);
    assert_eq!(report, StateReport::default());
    block_on(state.commit(vec![put("t", "a", "1")])).unwrap();
    assert_eq!(state.get("t", "a").unwrap(), Some(b"1".to_vec()), "readers see what was acknowledged");
    state.close();
    let closed = block_on(state.commit(vec![put("t", "b", "1")])).unwrap_err();
    assert_eq!(closed.to_string(), "durable state cannot be written: it is closed");
    drop(state);
    assert_eq!(open(&folder).0.get("t", "a").unwrap(), Some(b"1".to_vec()));
}

#[test]
fn a_commit_is_made_whole_or_not_at_all_and_does_not_fail_its_neighbours() {
    let folder = Folder::new();
    let (state, _) = open(&folder);
    let too_big = "x".repeat(17 << 20);
    let (before, failed, after) = block_on(async {
        let before = state.commit(vec![put("t", "before", "1")]);
        let failed = state.commit(vec![put("t", "half", "1"), put("t", "big", &too_big)]);
        let after = state.commit(vec![put("t", "after", "1")]);
        tokio::join!(before, failed, after)
    });
    assert!(before.is_ok() && failed.is_err() && after.is_ok());
    assert_eq!(names(state.scan("t", "", 10).unwrap()), "after=1 before=1");
}

#[test]
fn many_commits_at_once_are_all_made() {
    let folder = Folder::new();
    let (state, _) = open(&folder);
    block_on(async {
        let keys: Vec<String> = (0..300).map(|at| format!("{at:03}")).collect();
        let commits = keys.iter().map(|key| state.commit(vec![put("t", key, key)]));
        for result in futures_util::future::join_all(commits).await {
            result.unwrap();
        }
    });
    assert_eq!(state.scan("t", "", 1000).unwrap().len(), 300);
}

#[test]
fn a_damaged_file_is_set_aside_and_what_can_be_read_of_it_is_kept() {
    let folder = Folder::new();
    let (state, _) = open(&folder);
    let changes = (0..2000).map(|at| put("t", &format!("{at:05}"), &"v".repeat(100))).collect();
    block_on(state.commit(changes)).unwrap();
    drop(state);
    let path = folder.path().join("state.db");
    let mut content = Disk::Os.read(&path).unwrap();
    let middle = content.len() / 2;
    content[middle..middle + 4096].fill(0xa5);
    Disk::Os.write_atomic(&path, &content).unwrap();

    let (state, report) = open(&folder);
    let aside = report.set_aside.expect("it is set aside");
    assert!(Disk::Os.exists(&aside) && aside.to_string_lossy().contains("state.corrupt-"));
    assert!(report.salvaged > 1500 && report.salvaged < 2000, "{}", report.salvaged);
    assert_eq!(state.scan("t", "", 5000).unwrap().len() as u64, report.salvaged);
    assert!(state.get("t", "00000").unwrap().is_some() && state.get("t", "01999").unwrap().is_some());
    block_on(state.commit(vec![put("t", "new", "1")])).unwrap();
}

#[test]
fn what_is_no_database_is_set_aside() {
    let folder = Folder::new();
    Disk::Os.write_atomic(&folder.path().join("state.db"), &[7; 9000]).unwrap();
    let (_state, report) = open(&folder);
    assert!(report.set_aside.is_some());
    assert_eq!((report.salvaged, report.damage.as_deref()), (0, Some("file is not a database")));
}

#[test]
fn a_newer_format_is_refused() {
    let folder = Folder::new();
    drop(open(&folder));
    let path = folder.path().join("state.db");
    let mut content = Disk::Os.read(&path).unwrap();
    // SQLite keeps `user_version` at offset 60, big endian.
    content[60..64].copy_from_slice(&9_u32.to_be_bytes());
    Disk::Os.write_atomic(&path, &content).unwrap();
    let Err(error) = SqliteState::open(&Runtime::os(), &DataDir::claim(folder.path(), false).unwrap()) else {
        panic!("it must be refused")
    };
    assert!(
        error.to_string().ends_with("has format 9, this version reads up to 1; start the newer version that wrote it")
    );
}

#[test]
fn a_second_process_is_told_who_has_the_folder() {
    let folder = Folder::new();
    let first = DataDir::claim(folder.path(), false).unwrap();
    let second = DataDir::claim(folder.path(), false).err().expect("it is locked").to_string();
    assert!(second.contains(&format!("is in use by process {}", std::process::id())), "{second}");
    drop(first);
    DataDir::claim(folder.path(), false).unwrap();
}

#[test]
fn a_backup_is_a_state_of_its_own() {
    let folder = Folder::new();
    let (state, _) = open(&folder);
    block_on(state.commit(vec![put("t", "a", "1")])).unwrap();
    let copy = Folder::new();
    state.backup(&copy.path().join("state.db")).unwrap();
    block_on(state.commit(vec![put("t", "b", "1")])).unwrap();
    assert_eq!(names(open(&copy).0.scan("t", "", 10).unwrap()), "a=1");
    assert!(state.backup(Path::new("/nowhere/state.db")).is_err());
}

#[test]
fn a_start_that_was_cut_off_while_it_saved_a_damaged_file_is_finished_by_the_next() {
    let folder = Folder::new();
    let (state, _) = open(&folder);
    block_on(state.commit(vec![put("t", "kept", "1")])).unwrap();
    drop(state);
    // Cut off between setting the damaged file aside and putting the copy in its place; the journal of the damaged one
    // is still there.
    let (path, saved) = (folder.path().join("state.db"), folder.path().join("state.salvaged"));
    Disk::Os.rename(&path, &saved).unwrap();
    Disk::Os.write_atomic(&folder.path().join("state.db-wal"), &[3; 5000]).unwrap();
    let (state, report) = open(&folder);
    assert_eq!(report.set_aside, None);
    assert!(state.get("t", "kept").unwrap().is_some());
    assert!(!Disk::Os.exists(&saved));
}
