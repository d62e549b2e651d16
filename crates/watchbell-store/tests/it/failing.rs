//! What the random stories of `soak` found, each told alone: a disk or a clock that fails in the midst of upkeep, and
//! what must hold all the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use watchbell_model::{Append, Batch, Labels, Matcher, Point, Query, Span, Timestamp};
use watchbell_runtime::Runtime;
use watchbell_runtime::sim::{self, World};
use watchbell_store::metrics::OpenReport;
use watchbell_store::{Fsync, MetricStore, MetricsConfig};

const DIR: &str = "/data/metrics";
const HOUR: i64 = 3_600_000;
/// Series of the tests.
const HOSTS: u8 = 2;

type Found = BTreeSet<(Labels, i64, u64)>;

fn open(world: &World) -> (MetricStore, Runtime, OpenReport) {
    let runtime = world.runtime();
    let config = MetricsConfig { fsync: Fsync::Always, ..MetricsConfig::default() };
    let (store, report) = MetricStore::open(&runtime, Path::new(DIR), config).unwrap();
    (store, runtime, report)
}

fn host(at: u8) -> String {
    format!("h{at}")
}

/// A sample of each series now.
async fn append(world: &World, store: &MetricStore) -> Result<(), String> {
    let now = world.clock.now();
    let labels = |at| Labels::metric("m", &[("host", &host(at))]);
    // Noise, so that chunks are big enough to lie apart from the index.
    let value = |at: u8| f64::from(at) + (now.0 as f64).sin();
    let points = (0..HOSTS).map(|at| Point { labels: labels(at), timestamp: now, value: value(at) });
    store.append(Batch::of("test", points.collect())).await.map(|_| ()).map_err(|error| error.to_string())
}

/// A sample of each series a minute.
async fn fill(world: &World, store: &MetricStore, minutes: u64) {
    for minute in 0..minutes {
        world.clock.sleep(Duration::from_secs(60)).await;
        append(world, store).await.unwrap();
        if minute % 30 == 0 {
            store.maintain();
        }
    }
}

fn all(store: &MetricStore) -> Result<Found, String> {
    let found = store.select(&[], Timestamp::MIN, Timestamp::MAX).map_err(|error| error.to_string())?;
    let samples = |series: &watchbell_model::Series| {
        let labels = series.labels.clone();
        let sample = move |it: &watchbell_model::Sample| (labels.clone(), it.timestamp.0, it.value.to_bits());
        series.samples.iter().map(sample).collect::<Vec<_>>()
    };
    Ok(found.iter().flat_map(samples).collect())
}

/// Deletes the first series between two times; says whether that was done.
fn delete(store: &MetricStore, from: i64, to: i64) -> bool {
    let first = vec![Matcher::equal("host", host(0))];
    store.delete(&[first], Timestamp(from), Timestamp(to), false).is_ok()
}

fn files(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let disk = world.runtime().disk;
    world.disk.files().into_iter().map(|path| (path.clone(), disk.read(&path).unwrap())).collect()
}

#[test]
fn a_full_disk_does_not_keep_what_was_written_before_from_being_synced() {
    sim::run(1, |world| async move {
        let runtime = world.runtime();
        let config = MetricsConfig { fsync: Fsync::Interval, ..MetricsConfig::default() };
        let (store, _) = MetricStore::open(&runtime, Path::new(DIR), config).unwrap();
        runtime.supervisor.spawn("store", store.task());
        append(&world, &store).await.unwrap();
        let acknowledged = all(&store).unwrap();
        world.disk.set_room(Some(0));
        world.clock.sleep(Duration::from_millis(1)).await;
        append(&world, &store).await.unwrap_err();
        world.clock.sleep(Duration::from_secs(5)).await;
        runtime.supervisor.abort();
        drop((store, runtime));
        world.disk.set_room(None);
        world.disk.lose_power();
        assert!(all(&open(&world).0).unwrap().is_superset(&acknowledged));
    });
}

#[test]
fn damage_in_a_block_of_which_something_was_deleted_is_told() {
    sim::run(1, |world| async move {
        let (store, _, _) = open(&world);
        fill(&world, &store, 10 * 60).await;
        let now = world.clock.now().0;
        assert!(delete(&store, now - 9 * HOUR - 1, now - HOUR - 1));
        let whole = all(&store).unwrap();
        drop(store);
        let files = files(&world);
        let is_cut = |path: &PathBuf| path.extension().is_some_and(|end| end == "block");
        let mut lossy = 0;
        for (path, content) in files.iter().filter(|(path, _)| is_cut(path)) {
            for bit in (0..content.len() as u64 * 8).step_by(1009) {
                world.runtime().disk.remove_dir_all(Path::new(DIR)).unwrap();
                files.iter().for_each(|(path, content)| world.disk.put(path, content));
                world.disk.flip_bit(path, bit);
                let (store, runtime, report) = open(&world);
                let Ok(found) = all(&store) else { continue };
                let is_told = !report.damaged.is_empty() || !runtime.troubles.list().is_empty();
                lossy += u64::from(found != whole);
                assert!(is_told || found == whole, "bit {bit} of {}", path.display());
            }
        }
        assert!(lossy > 0);
    });
}

#[test]
fn what_was_deleted_does_not_come_back_from_the_log_when_the_clock_is_set_back() {
    sim::run(1, |world| async move {
        let (store, _, _) = open(&world);
        fill(&world, &store, 7 * 60).await;
        // All of this is in blocks, and some of it in a segment of the log that has newer samples too.
        let now = world.clock.now().0;
        assert!(delete(&store, i64::MIN, now - 2 * HOUR));
        let left = all(&store).unwrap();
        world.clock.jump(-5 * HOUR);
        store.maintain();
        drop(store);
        assert_eq!(all(&open(&world).0).unwrap(), left);
    });
}

/// Upkeep is cut off after so many changes of the disk, in one of several ways; then it is well again, something is
/// deleted, and the store starts anew.
async fn delete_after_upkeep_failed(world: World, changes: u64, restart: bool, power: bool) {
    let (mut store, mut runtime, _) = open(&world);
    fill(&world, &store, 6 * 60).await;
    store.delete(&[vec![Matcher::equal("host", "none")]], Timestamp::MIN, Timestamp::MAX, false).unwrap();
    fill(&world, &store, 5).await;
    world.clock.sleep(Duration::from_secs(6 * 3600)).await;
    world.disk.fail_power_after(Some(changes));
    store.maintain();
    world.disk.fail_power_after(None);
    if restart {
        drop((store, runtime));
        (store, runtime, _) = open(&world);
    }
    let now = world.clock.now().0;
    let done = delete(&store, i64::MIN, now);
    let left = all(&store).unwrap();
    assert!(done && left.iter().all(|(labels, ..)| labels.get("host") != Some("h0")), "{changes} changes");
    assert!(!left.is_empty());
    drop((store, runtime));
    if power {
        world.disk.lose_power();
    }
    for _ in 0..2 {
        let (store, _runtime, _) = open(&world);
        let found = all(&store).unwrap();
        assert_eq!(found, left, "{changes} changes, restart: {restart}, power loss: {power}");
        world.clock.sleep(Duration::from_secs(86_400)).await;
        store.maintain();
        assert_eq!(all(&store).unwrap(), left, "{changes} changes, restart: {restart}, power loss: {power}");
    }
}

#[test]
fn what_was_deleted_does_not_come_back_with_a_block_that_upkeep_left_behind() {
    for changes in 0..80 {
        for (restart, power) in [(false, false), (false, true), (true, false), (true, true)] {
            sim::run(changes, |world| delete_after_upkeep_failed(world, changes, restart, power));
        }
    }
}

#[test]
fn a_deletion_that_is_asked_for_again_survives_power_loss() {
    sim::run(1, |world| async move {
        let (store, _, _) = open(&world);
        fill(&world, &store, 60).await;
        let everything = (i64::MIN, i64::MAX);
        let none = vec![Matcher::equal("host", "none")];
        store.delete(&[none], Timestamp::MIN, Timestamp::MAX, false).unwrap();
        let files = files(&world);
        drop(store);
        for changes in 0..20 {
            world.runtime().disk.remove_dir_all(Path::new(DIR)).unwrap();
            files.iter().for_each(|(path, content)| world.disk.put(path, content));
            let (store, _, _) = open(&world);
            world.disk.fail_power_after(Some(changes));
            delete(&store, everything.0, everything.1);
            world.disk.fail_power_after(None);
            drop(store);
            let (store, _, _) = open(&world);
            assert!(delete(&store, everything.0, everything.1));
            let left = all(&store).unwrap();
            drop(store);
            world.disk.lose_power();
            assert_eq!(all(&open(&world).0).unwrap(), left, "{changes} changes");
        }
    });
}

/// Files of a folder of the store.
fn files_in(world: &World, folder: &str) -> Vec<PathBuf> {
    let dir = Path::new(DIR).join(folder);
    world.disk.files().into_iter().filter(|path| path.starts_with(&dir)).collect()
}

#[test]
fn a_segment_that_could_not_be_read_is_read_when_it_can_be() {
    for hours in [0, 1, 5, 30] {
        sim::run(hours, |world| async move {
            let (store, _, _) = open(&world);
            fill(&world, &store, 90).await;
            drop(store);
            let segment = files_in(&world, "wal").remove(0);
            world.disk.set_unreadable(&segment, true);
            let (store, _, report) = open(&world);
            assert!(report.damaged.iter().any(|words| words.contains("cannot be read")), "{report:?}");
            // Whatever is sealed meanwhile, and however often it starts.
            fill(&world, &store, hours * 60).await;
            drop(store);
            let (store, _, _) = open(&world);
            fill(&world, &store, hours * 60).await;
            drop(store);
            world.disk.set_unreadable(&segment, false);
            for _ in 0..2 {
                let (store, _, report) = open(&world);
                assert_eq!(report.damaged, [""; 0]);
                let found = all(&store).unwrap().len() as u64;
                assert_eq!(found, u64::from(HOSTS) * (90 + 2 * 60 * hours), "{hours} hours");
                store.maintain();
            }
        });
    }
}

#[test]
fn nothing_is_deleted_while_a_file_that_cannot_be_read_may_hold_it() {
    for (folder, end) in [("wal", "wal"), ("blocks", "block"), ("blocks", "gone"), ("blocks-1h", "block")] {
        sim::run(1, |world| async move {
            let (store, _, _) = open(&world);
            fill(&world, &store, 3 * 24 * 60).await;
            let now = world.clock.now().0;
            assert!(delete(&store, now - 50 * HOUR, now - 49 * HOUR));
            append(&world, &store).await.unwrap();
            let whole = all(&store).unwrap();
            drop(store);
            let is_one = |path: &PathBuf| path.extension().is_some_and(|have| have == end);
            let file = files_in(&world, folder).into_iter().find(is_one).unwrap();
            world.disk.set_unreadable(&file, true);
            let (store, _, _) = open(&world);
            let first = [vec![Matcher::equal("host", host(0))]];
            let everything = |store: &MetricStore| store.delete(&first, Timestamp::MIN, Timestamp::MAX, false);
            let refused = everything(&store).unwrap_err().to_string();
            assert!(refused.contains(&*file.with_extension("").to_string_lossy()), "{refused}");
            drop(store);
            world.disk.set_unreadable(&file, false);
            let (store, _, _) = open(&world);
            assert_eq!(all(&store).unwrap(), whole, "{}", file.display());
            everything(&store).unwrap();
            let left = all(&store).unwrap();
            assert_eq!(left.len(), whole.iter().filter(|(labels, ..)| labels.get("host") != Some("h0")).count());
            drop(store);
            assert_eq!(all(&open(&world).0).unwrap(), left);
        });
    }
}

#[test]
fn a_copy_that_could_not_be_read_speaks_again_when_it_can_be() {
    sim::run(1, |world| async move {
        let config = MetricsConfig { fsync: Fsync::Always, retention: Span::days(2), ..MetricsConfig::default() };
        let open = || MetricStore::open(&world.runtime(), Path::new(DIR), config.clone()).unwrap().0;
        let hours = |store: &MetricStore| {
            let found = store.rollup(&[], Timestamp::MIN, Timestamp::MAX, Span::hours(1)).unwrap();
            found.iter().map(|(_, rollups)| rollups.len()).sum::<usize>()
        };
        let store = open();
        fill(&world, &store, 9 * 24 * 60).await;
        let before = hours(&store);
        assert!(before > 8 * 24 * usize::from(HOSTS));
        drop(store);
        // The samples of that time are long gone.
        let block = files_in(&world, "blocks-1h").remove(0);
        world.disk.set_unreadable(&block, true);
        let store = open();
        fill(&world, &store, 2 * 24 * 60).await;
        let without = hours(&store);
        drop(store);
        world.disk.set_unreadable(&block, false);
        let with = hours(&open());
        assert_eq!(with, before + 2 * 24 * usize::from(HOSTS));
        assert!(without < with, "{without}");
    });
}
