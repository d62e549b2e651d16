//! What the random stories of `soak` found, each told alone: a disk or a clock that fails in the midst of upkeep, and
//! what must hold all the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use watchbell_model::{Append, Batch, Labels, Matcher, Point, Query, Timestamp};
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
