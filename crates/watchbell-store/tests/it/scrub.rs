//! Damage that no query touches is found and told, and stays told; what vanishes is put back. On a simulated disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use watchbell_model::{Append, Batch, Labels, Point, Query, Span, Timestamp};
use watchbell_runtime::sim::{self, World};
use watchbell_runtime::{Disk, Runtime};
use watchbell_store::{MetricStore, MetricsConfig};

const DIR: &str = "/data/metrics";
const DAYS: usize = 4;

/// Samples by series and time.
type Found = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn open(world: &World) -> (Runtime, MetricStore) {
    let runtime = world.runtime();
    let (store, _) = MetricStore::open(&runtime, Path::new(DIR), MetricsConfig::default()).unwrap();
    (runtime, store)
}

fn all(store: &MetricStore) -> Found {
    let found = store.select(&[], Timestamp(i64::MIN), Timestamp(i64::MAX)).unwrap();
    let samples = |series: watchbell_model::Series| {
        series.samples.iter().map(|sample| (sample.timestamp.0, sample.value.to_bits())).collect()
    };
    found.into_iter().map(|series| (series.labels.clone(), samples(series))).collect()
}

/// A few days of a few series, in blocks and copies; every file as it was put in place.
async fn fill(world: &World) -> (Runtime, MetricStore, Found) {
    let (runtime, store) = open(world);
    for minute in 0..DAYS * 24 * 12 {
        world.clock.sleep(Duration::from_secs(300)).await;
        let now = world.clock.now();
        let value = |series: u8| f64::from(series) * 1.5 + (minute as f64).sin();
        let labels = |series: u8| Labels::metric("m", &[("host", &format!("h{series}"))]);
        let points = (0..3).map(|at| Point { labels: labels(at), timestamp: now, value: value(at) });
        store.append(Batch::of("test", points.collect())).await.unwrap();
        if minute % 6 == 0 {
            store.maintain();
        }
    }
    let found = all(&store);
    assert_eq!(runtime.troubles.list(), []);
    (runtime, store, found)
}

fn blocks(world: &World, folder: &str) -> Vec<PathBuf> {
    let dir = Path::new(DIR).join(folder);
    let is_block = |path: &PathBuf| path.starts_with(&dir) && path.extension().is_some_and(|end| end == "block");
    world.disk.files().into_iter().filter(is_block).collect()
}

fn damaged(runtime: &Runtime) -> Vec<String> {
    let list = runtime.troubles.list().into_iter();
    list.filter(|trouble| trouble.key.starts_with("metrics/damaged/")).map(|trouble| trouble.key).collect()
}

async fn upkeep(world: &World, store: &MetricStore, rounds: usize) {
    for _ in 0..rounds {
        world.clock.sleep(Duration::from_secs(10)).await;
        store.maintain();
    }
}

fn aside(disk: &Disk) -> Vec<String> {
    disk.list(&Path::new(DIR).join("damaged")).unwrap()
}

#[test]
fn rot_is_found_without_a_query() {
    sim::run(1, |world| async move {
        let (_, store, whole) = fill(&world).await;
        drop(store);
        let disk = world.runtime().disk;
        let files: Vec<_> =
            world.disk.files().into_iter().map(|path| (path.clone(), disk.read(&path).unwrap())).collect();
        for (folder, step) in [("blocks", 1009), ("blocks-1h", 1511)] {
            let path = blocks(&world, folder).remove(0);
            for bit in (0..disk.len(&path).unwrap() * 8).step_by(step) {
                disk.remove_dir_all(Path::new(DIR)).unwrap();
                files.iter().for_each(|(path, content)| world.disk.put(path, content));
                let (runtime, store) = open(&world);
                world.disk.flip_bit(&path, bit);
                // Nobody asks.
                upkeep(&world, &store, 3).await;
                let name = path.strip_prefix(Path::new(DIR)).unwrap().display().to_string();
                let key = format!("metrics/damaged/{}", name.strip_prefix("blocks/").unwrap_or(&name));
                assert_eq!(damaged(&runtime), [key], "bit {bit} of {name}");
                assert!(!world.disk.files().contains(&path), "bit {bit}: it is out of the way");
                assert_eq!(aside(&disk).len(), 2, "bit {bit}: {:?}", aside(&disk));
                // The rest serves, and nobody is refused.
                for (labels, samples) in all(&store) {
                    assert!(samples.iter().all(|(time, bits)| whole[&labels].get(time) == Some(bits)), "bit {bit}");
                }
                if folder != "blocks" {
                    assert_eq!(all(&store), whole);
                }
                assert_eq!(store.check(true).unwrap().damaged, [""; 0], "bit {bit}");
            }
        }
    });
}

#[test]
fn what_was_set_aside_is_told_again_until_it_is_removed_or_old() {
    sim::run(1, |world| async move {
        let (_, store, _) = fill(&world).await;
        let path = blocks(&world, "blocks").remove(0);
        world.disk.flip_bit(&path, 100);
        // It was read before, and is again within a week.
        for _ in 0..6 {
            world.clock.sleep(Duration::from_secs(86_400)).await;
            upkeep(&world, &store, 1).await;
        }
        drop(store);
        let (runtime, store) = open(&world);
        let told = damaged(&runtime);
        assert_eq!(told.len(), 1);
        let board = runtime.troubles.list();
        let trouble = board.iter().find(|trouble| trouble.key == told[0]).unwrap();
        expect_test::expect!["a part of the block 0000000028.block is damaged; its samples are lost, the rest serves; it lies in /data/metrics/damaged/0000000028.block: see whether the disk or the memory of this machine fails, and remove that file once you know"].assert_eq(&trouble.summary);
        let checkup = store.check(false).unwrap();
        assert_eq!(checkup.set_aside, [path.file_name().unwrap().to_string_lossy()]);

        // Seen and removed: over with the next round.
        let file = Path::new(DIR).join("damaged").join(path.file_name().unwrap());
        let content = runtime.disk.read(&file).unwrap();
        runtime.disk.remove(&file).unwrap();
        upkeep(&world, &store, 1).await;
        assert_eq!((damaged(&runtime), aside(&runtime.disk)), (vec![], vec![]));

        // Without a note, as after a crash: told of from now on, for two weeks.
        world.disk.put(&file, &content);
        upkeep(&world, &store, 1).await;
        assert_eq!(damaged(&runtime).len(), 1);
        world.clock.sleep(Duration::from_secs(13 * 86_400)).await;
        drop(store);
        let (runtime, store) = open(&world);
        assert_eq!(damaged(&runtime).len(), 1);
        world.clock.sleep(Duration::from_secs(86_400)).await;
        store.maintain();
        assert_eq!(damaged(&runtime), [""; 0]);
        assert_eq!(aside(&runtime.disk).len(), 2, "it stays");
    });
}

#[test]
fn a_block_that_vanishes_or_is_cut_while_it_serves_is_noticed() {
    sim::run(1, |world| async move {
        for folder in ["blocks", "blocks-1h"] {
            world.runtime().disk.remove_dir_all(Path::new(DIR)).unwrap();
            let (runtime, store, whole) = fill(&world).await;
            let rollup = || store.rollup(&[], Timestamp(i64::MIN), Timestamp(i64::MAX), Span::hours(1)).unwrap();
            let before = rollup();
            let disk = &runtime.disk;
            let path = blocks(&world, folder).remove(0);
            disk.remove(&path).unwrap();
            upkeep(&world, &store, 1).await;
            assert_eq!(damaged(&runtime).len(), 1, "{:?}", runtime.troubles.list());
            assert!(runtime.troubles.list()[0].summary.contains("written anew"));
            assert_eq!((all(&store), rollup()), (whole.clone(), before.clone()));
            drop(store);
            let (runtime, store) = open(&world);
            assert_eq!((all(&store), damaged(&runtime).len()), (whole.clone(), 0), "nothing is lost at a start either");

            let path = blocks(&world, folder).remove(0);
            let content = disk.read(&path).unwrap();
            world.disk.put(&path, &content[..content.len() / 2]);
            if folder == "blocks" {
                let asked = store.select(&[], Timestamp(i64::MIN), Timestamp(i64::MAX));
                assert!(asked.unwrap_err().to_string().contains("was cut short"), "a query does not touch it");
            }
            upkeep(&world, &store, 1).await;
            assert_eq!(damaged(&runtime).len(), 1, "{:?}", runtime.troubles.list());
            assert!(runtime.troubles.list()[0].summary.contains("was cut from"));
            for (labels, samples) in all(&store) {
                assert!(samples.iter().all(|(time, bits)| whole[&labels].get(time) == Some(bits)));
            }
            assert_eq!(all(&store) == whole, folder != "blocks");
            assert_eq!(aside(disk).len(), 2);
        }
    });
}
