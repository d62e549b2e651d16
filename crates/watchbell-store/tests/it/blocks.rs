//! What becomes of sealed samples: merging, forgetting, deleting, damage, copies; on a simulated disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use watchbell_model::{Append, Batch, Deleted, Labels, Lookup, Matcher, Point, Query, Span, Timestamp, UpkeepError};
use watchbell_runtime::Runtime;
use watchbell_runtime::sim::{self, World};
use watchbell_store::{Fsync, MetricStore, MetricsConfig};

const DIR: &str = "/data/metrics";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Everything that should be there.
type Truth = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn config() -> MetricsConfig {
    MetricsConfig { fsync: Fsync::Always, ..MetricsConfig::default() }
}

fn open_at(runtime: &Runtime, dir: &Path, config: &MetricsConfig) -> MetricStore {
    let (store, report) = MetricStore::open(runtime, dir, config.clone()).unwrap();
    assert_eq!(report.damaged, [""; 0]);
    store
}

fn open(world: &World, config: &MetricsConfig) -> MetricStore {
    open_at(&world.runtime(), Path::new(DIR), config)
}

fn all(store: &MetricStore) -> Truth {
    let found = store.select(&[], Timestamp(i64::MIN), Timestamp(i64::MAX)).unwrap();
    let samples = |series: &watchbell_model::Series| {
        assert!(series.samples.is_sorted_by(|a, b| a.timestamp < b.timestamp), "each time once, in order");
        series.samples.iter().map(|sample| (sample.timestamp.0, sample.value.to_bits())).collect()
    };
    found.iter().map(|series| (series.labels.clone(), samples(series))).collect()
}

fn name(series: u8) -> Labels {
    Labels::metric("m", &[("host", &format!("h{series}")), ("half", if series < 3 { "first" } else { "second" })])
}

/// Appends a sample that must be taken.
async fn put(store: &MetricStore, truth: &mut Truth, series: u8, time: i64, value: f64) {
    let point = Point { labels: name(series), timestamp: Timestamp(time), value };
    let appended = store.append(Batch::of("test", vec![point])).await.unwrap();
    if appended.kept == 1 {
        truth.entry(name(series)).or_default().entry(time).or_insert(value.to_bits());
    }
}

/// A sample of each series a minute, for so many minutes, with upkeep every ten.
async fn fill(world: &World, store: &MetricStore, truth: &mut Truth, series: u8, minutes: i64) {
    for minute in 0..minutes {
        world.clock.sleep(Duration::from_secs(60)).await;
        let now = world.clock.now();
        let point = |series| Point { labels: name(series), timestamp: now, value: f64::from(series) + minute as f64 };
        let points: Vec<Point> = (0..series).map(point).collect();
        for point in &points {
            truth.entry(point.labels.clone()).or_default().insert(now.0, point.value.to_bits());
        }
        assert_eq!(store.append(Batch::of("test", points)).await.unwrap().kept, u64::from(series));
        if minute % 10 == 0 {
            store.maintain();
        }
    }
}

fn without(truth: &mut Truth, series: impl Fn(&Labels) -> bool, start: i64, end: i64) -> Deleted {
    let mut deleted = Deleted::default();
    for (labels, samples) in truth.iter_mut().filter(|(labels, _)| series(labels)) {
        let before = samples.len();
        samples.retain(|time, _| *time < start || *time > end);
        let gone = (before - samples.len()) as u64;
        deleted.samples += gone;
        if gone > 0 {
            deleted.series += 1;
            deleted.examples.push(labels.clone());
        }
    }
    truth.retain(|_, samples| !samples.is_empty());
    deleted
}

fn hosts(store: &MetricStore) -> Vec<String> {
    store.label_values("host", &Lookup::ALL).unwrap().items
}

fn files(world: &World, end: &str) -> Vec<PathBuf> {
    world.disk.files().into_iter().filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

#[test]
fn what_was_deleted_is_gone_at_once_and_stays_gone() {
    sim::run(1, |world| async move {
        let (mut store, mut truth) = (open(&world, &config()), Truth::new());
        fill(&world, &store, &mut truth, 3, 30 * 60).await;
        let now = world.clock.now().0;
        let host = |at: u8| vec![Matcher::equal("host", format!("h{at}"))];
        let any = (Timestamp(i64::MIN), Timestamp(i64::MAX));

        // All of one series, and the last hours of another, in blocks and in memory.
        let said = store.delete(&[host(0)], any.0, any.1, true).unwrap();
        assert_eq!((said.series, said.samples, all(&store) == truth), (1, 1800, true));
        let deleted = store.delete(&[host(0)], any.0, any.1, false).unwrap();
        assert_eq!(deleted, without(&mut truth, |labels| *labels == name(0), i64::MIN, i64::MAX));
        let from = now - 5 * HOUR - 7;
        let deleted = store.delete(&[host(1), host(0)], Timestamp(from), Timestamp(now), false).unwrap();
        assert_eq!(deleted, without(&mut truth, |labels| *labels == name(1), from, now));
        let check = |store: &MetricStore, truth: &Truth| {
            assert_eq!(all(store), *truth);
            let blocks: u64 = store.stats().blocks;
            assert!(blocks > 0);
        };
        check(&store, &truth);
        assert_eq!(hosts(&store), ["h1", "h2"]);

        // Across power loss, and merged.
        drop(store);
        world.disk.lose_power();
        store = open(&world, &config());
        check(&store, &truth);
        assert_eq!(hosts(&store), ["h1", "h2"]);
        assert!(!files(&world, ".gone").is_empty());

        // What comes in later is another matter, also at the same time.
        put(&store, &mut truth, 1, now, 5.0).await;
        let merged = store.clean().unwrap();
        assert!(merged.blocks > 0 && merged.bytes_freed > 0, "{merged:?}");
        check(&store, &truth);
        assert_eq!(files(&world, ".gone"), [""; 0].map(PathBuf::from));
        drop(store);
        check(&open(&world, &config()), &truth);
    });
}

#[test]
fn a_deletion_says_what_it_wants() {
    sim::run(1, |world| async move {
        let store = open(&world, &config());
        let now = world.clock.now();
        let host = vec![Matcher::equal("host", "h1")];
        for (matchers, start, end) in
            [(vec![], now, now), (vec![host.clone(), vec![]], now, now), (vec![host], now, Timestamp(now.0 - 1))]
        {
            assert!(matches!(store.delete(&matchers, start, end, false), Err(UpkeepError::Refused(_))));
        }
        for name in ["", "..", ".x", "a/b", "a b"] {
            assert!(matches!(store.snapshot(name), Err(UpkeepError::Refused(_))), "{name}");
        }
    });
}

#[derive(Clone, Debug)]
enum Step {
    Fill(u16),
    Late { series: u8, minutes: u8 },
    Wait { hours: u8 },
    Maintain,
    Delete { series: u8, from_minutes: i64, minutes: i64 },
    Clean,
    LosePower,
    FullAfter(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..200_u16).prop_map(Step::Fill),
        2 => (0..4_u8, 0..9_u8).prop_map(|(series, minutes)| Step::Late { series, minutes }),
        2 => (1..60_u8).prop_map(|hours| Step::Wait { hours }),
        2 => Just(Step::Maintain),
        3 => (0..4_u8, 0..2000_i64, 0..600_i64)
            .prop_map(|(series, from_minutes, minutes)| Step::Delete { series, from_minutes, minutes }),
        1 => Just(Step::Clean),
        2 => Just(Step::LosePower),
        1 => (0..3000_u16).prop_map(Step::FullAfter),
    ]
}

async fn play(world: World, steps: Vec<Step>) {
    let (mut store, mut truth) = (open(&world, &config()), Truth::new());
    for step in steps {
        let now = world.clock.now().0;
        match step {
            Step::Fill(minutes) => fill(&world, &store, &mut truth, 3, i64::from(minutes)).await,
            Step::Late { series, minutes } => {
                put(&store, &mut truth, series, now - i64::from(minutes) * MINUTE - 1, 0.5).await;
            }
            Step::Wait { hours } => world.clock.sleep(Duration::from_secs(u64::from(hours) * 3600)).await,
            Step::Maintain => store.maintain(),
            Step::Delete { series, from_minutes, minutes } => {
                let start = now - from_minutes * MINUTE;
                let end = start + minutes * MINUTE;
                let host = vec![Matcher::equal("host", format!("h{series}"))];
                let deleted = store.delete(&[host], Timestamp(start), Timestamp(end), false).unwrap();
                assert_eq!(deleted, without(&mut truth, |labels| *labels == name(series), start, end));
            }
            Step::Clean => _ = store.clean().unwrap(),
            Step::LosePower => {
                drop(store);
                world.disk.lose_power();
                store = open(&world, &config());
            }
            Step::FullAfter(room) => {
                world.disk.set_room(Some(usize::from(room)));
                store.maintain();
                let _ = store.clean();
                drop(store);
                world.disk.lose_power();
                world.disk.set_room(None);
                store = open(&world, &config());
            }
        }
        assert_eq!(all(&store), truth);
        let names: Vec<&str> = truth.keys().filter_map(|labels| labels.get("host")).collect();
        let said = hosts(&store);
        assert!(names.iter().all(|name| said.iter().any(|said| said == name)), "{names:?} {said:?}");
    }
    for _ in 0..15 {
        world.clock.sleep(Duration::from_secs(86_400)).await;
        store.maintain();
    }
    assert_eq!(all(&store), truth, "after all was merged");
    let checkup = store.check(true).unwrap();
    assert_eq!((checkup.damaged.len(), checkup.set_aside.len()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn it_keeps_and_forgets_as_a_map_does(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..25)) {
        sim::run(seed, |world| play(world, steps));
    }
}

#[test]
fn a_snapshot_is_a_store_of_its_own() {
    sim::run(1, |world| async move {
        let (store, mut truth) = (open(&world, &config()), Truth::new());
        fill(&world, &store, &mut truth, 2, 40 * 60).await;
        let host = vec![Matcher::equal("host", "h0")];
        let now = world.clock.now();
        store.delete(&[host], Timestamp(now.0 - 3 * HOUR), now, false).unwrap();
        without(&mut truth, |labels| *labels == name(0), now.0 - 3 * HOUR, now.0);
        fill(&world, &store, &mut truth, 2, 5).await;
        let snapshot = store.snapshot("monday").unwrap();
        let then = truth.clone();
        assert_eq!(snapshot.path, Path::new(DIR).join("snapshots/monday"));
        assert!(snapshot.bytes > 0);
        assert!(store.snapshot("monday").unwrap_err().to_string().contains("there is a snapshot"));

        // What goes on in the store does not touch it, nor does power loss.
        fill(&world, &store, &mut truth, 2, 30 * 60).await;
        store.delete(&[vec![Matcher::equal("host", "h1")]], Timestamp::MIN, Timestamp::MAX, false).unwrap();
        store.clean().unwrap();
        drop(store);
        world.disk.lose_power();
        assert_eq!(all(&open_at(&world.runtime(), &snapshot.path, &config())), then);
    });
}

#[test]
fn a_block_that_vanished_is_missed() {
    sim::run(1, |world| async move {
        let (store, mut truth) = (open(&world, &config()), Truth::new());
        fill(&world, &store, &mut truth, 1, 9 * 60).await;
        drop(store);
        let gone = files(&world, ".block").remove(1);
        world.runtime().disk.remove(&gone).unwrap();
        let runtime = world.runtime();
        let (store, report) = MetricStore::open(&runtime, Path::new(DIR), config()).unwrap();
        let name = gone.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(report.damaged, [format!("the block {name} is not there any more; nobody of us removed it")]);
        let key = format!("metrics/damaged/{name}");
        assert!(runtime.troubles.list().iter().any(|trouble| trouble.key == key));
        let kept = all(&store);
        assert!(kept[&super::blocks::name(0)].len() > 6 * 60, "the rest serves");
        drop(store);
        let runtime = world.runtime();
        let (store, report) = MetricStore::open(&runtime, Path::new(DIR), config()).unwrap();
        assert_eq!(report.damaged, [""; 0], "missed once");
        store.maintain();
        assert!(runtime.troubles.list().iter().any(|trouble| trouble.key == key), "told until somebody knows");
        drop(store);
        let note = files(&world, ".vanished").remove(0);
        world.runtime().disk.remove(&note).unwrap();
        let runtime = world.runtime();
        let (_, report) = MetricStore::open(&runtime, Path::new(DIR), config()).unwrap();
        assert_eq!((report.damaged, runtime.troubles.list()), (vec![], vec![]), "and not missed again");
    });
}

#[test]
fn old_samples_outlive_a_clock_that_is_wrong_from_the_start() {
    sim::run(1, |world| async move {
        let config = MetricsConfig { retention: Span::days(2), ..config() };
        let (mut store, mut truth) = (open(&world, &config), Truth::new());
        fill(&world, &store, &mut truth, 1, 30 * 60).await;
        drop(store);
        // Started with the clock a year ahead: everything that is sampled now lies there.
        world.clock.jump(365 * DAY);
        store = open(&world, &config);
        fill(&world, &store, &mut truth, 1, 30 * 60).await;
        assert_eq!(all(&store), truth);
        // That it goes on is what makes it believed.
        fill(&world, &store, &mut truth, 1, 30 * 60).await;
        assert!(all(&store)[&name(0)].len() < truth[&name(0)].len() - 1000);
    });
}

/// Merging is cut off after every so many bytes by a full disk, then the power is lost.
#[test]
fn early_blocks_are_merged_while_their_time_goes_on() {
    sim::run(1, |world| async move {
        let (store, mut truth) = (open(&world, &config()), Truth::new());
        let nothing = [vec![Matcher::equal("host", "h9")]];
        for round in 0..30_i64 {
            for _ in 0..3 {
                world.clock.sleep(Duration::from_secs(60)).await;
                let now = world.clock.now().0;
                put(&store, &mut truth, 0, now, round as f64).await;
                put(&store, &mut truth, 1, now, 1.0).await;
                // A sample that nobody keeps: its deletion seals all there is.
                put(&store, &mut Truth::new(), 9, now, 0.0).await;
            }
            store.delete(&nothing, Timestamp::MIN, Timestamp::MAX, false).unwrap();
            assert_eq!(store.stats().head_samples, 0);
            store.maintain();
        }
        assert_eq!(all(&store), truth);
        assert!(store.stats().blocks < 12, "{:?}", store.stats());
    });
}
