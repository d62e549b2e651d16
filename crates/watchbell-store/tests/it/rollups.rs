//! Coarser copies against sums over all samples, on a simulated disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use watchbell_model::{Append, Batch, Labels, Lookup, Matcher, Point, Query, Rollup, Sample, Span, Timestamp};
use watchbell_runtime::sim::{self, World};
use watchbell_store::metrics::{RollupConfig, RollupsConfig};
use watchbell_store::{Fsync, MetricStore, MetricsConfig};

const DIR: &str = "/data/metrics";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Everything that should be there.
type Truth = BTreeMap<Labels, BTreeMap<i64, f64>>;

fn config(retention: u64) -> MetricsConfig {
    let kept = |days| RollupConfig { retention: Span::days(days), retention_size: 0 };
    MetricsConfig {
        fsync: Fsync::Always,
        retention: Span::days(retention),
        rollups: RollupsConfig { five_minutes: kept(100), hour: kept(1000) },
        ..MetricsConfig::default()
    }
}

fn open(world: &World, config: &MetricsConfig) -> MetricStore {
    let (store, report) = MetricStore::open(&world.runtime(), Path::new(DIR), config.clone()).unwrap();
    assert_eq!(report.damaged, [""; 0]);
    store
}

fn name(series: u8) -> Labels {
    Labels::metric("m_total", &[("host", &format!("h{series}"))])
}

/// A counter that begins anew now and then, in whole numbers, so that sums are exact in any order.
fn value(series: u8, time: i64) -> f64 {
    ((time / 1000 % (7000 + i64::from(series) * 1000)) * i64::from(series + 1)) as f64
}

async fn put(store: &MetricStore, truth: &mut Truth, points: Vec<(u8, i64)>) {
    for (series, time) in points {
        let point = Point { labels: name(series), timestamp: Timestamp(time), value: value(series, time) };
        if store.append(Batch::of("test", vec![point])).await.unwrap().kept == 1 {
            truth.entry(name(series)).or_default().entry(time).or_insert(value(series, time));
        }
    }
}

/// Two series every 40 minutes, with upkeep.
async fn fill(world: &World, store: &MetricStore, truth: &mut Truth, hours: u16) {
    for _ in 0..i64::from(hours) * 3 / 2 {
        world.clock.sleep(Duration::from_secs(40 * 60)).await;
        let now = world.clock.now().0;
        put(store, truth, vec![(0, now), (1, now), (0, now + MINUTE)]).await;
        store.maintain();
    }
}

fn expected(truth: &Truth, start: i64, end: i64, width: i64) -> Vec<(Labels, Vec<Rollup>)> {
    let of = |samples: &BTreeMap<i64, f64>| {
        let range = if start <= end { samples.range(start..=end) } else { samples.range(0..0) };
        let samples: Vec<Sample> =
            range.map(|(time, value)| Sample { timestamp: Timestamp(*time), value: *value }).collect();
        Rollup::of(&samples, None, Span::millis(width as u64))
    };
    let all = truth.iter().map(|(labels, samples)| (labels.clone(), of(samples)));
    all.filter(|(_, rollups)| !rollups.is_empty()).collect()
}

fn check(store: &MetricStore, truth: &Truth, start: i64, end: i64, width: i64) {
    let found = store.rollup(&[], Timestamp(start), Timestamp(end), Span::millis(width as u64)).unwrap();
    assert_eq!(found, expected(truth, start, end, width), "{start} to {end} by {width}");
}

#[derive(Clone, Debug)]
enum Step {
    Fill { hours: u16 },
    Late { series: u8, minutes: u8 },
    Wait { hours: u8 },
    Delete { series: u8, from_minutes: i64, minutes: i64 },
    Clean,
    LosePower,
    FullAfter(u16),
    Query { from_minutes: i64, minutes: i64, width: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1..60_u16).prop_map(|hours| Step::Fill { hours }),
        2 => (0..3_u8, 0..9_u8).prop_map(|(series, minutes)| Step::Late { series, minutes }),
        1 => (1..70_u8).prop_map(|hours| Step::Wait { hours }),
        2 => (0..3_u8, 0..9000_i64, 0..3000_i64)
            .prop_map(|(series, from_minutes, minutes)| Step::Delete { series, from_minutes, minutes }),
        1 => Just(Step::Clean),
        1 => Just(Step::LosePower),
        1 => (0..9000_u16).prop_map(Step::FullAfter),
        4 => (0..9000_i64, 0..9000_i64, 0..5_usize)
            .prop_map(|(from_minutes, minutes, width)| Step::Query { from_minutes, minutes, width }),
    ]
}

async fn play(world: World, steps: Vec<Step>) {
    let config = config(400);
    let (mut store, mut truth) = (open(&world, &config), Truth::new());
    for step in steps {
        let now = world.clock.now().0;
        match step {
            Step::Fill { hours } => fill(&world, &store, &mut truth, hours).await,
            Step::Late { series, minutes } => {
                put(&store, &mut truth, vec![(series, now - i64::from(minutes) * MINUTE - 1)]).await;
            }
            Step::Wait { hours } => {
                world.clock.sleep(Duration::from_secs(u64::from(hours) * 3600)).await;
                store.maintain();
            }
            Step::Delete { series, from_minutes, minutes } => {
                let (start, end) = (now - from_minutes * MINUTE, now - (from_minutes - minutes) * MINUTE);
                let host = vec![Matcher::equal("host", format!("h{series}"))];
                store.delete(&[host], Timestamp(start), Timestamp(end), false).unwrap();
                truth.entry(name(series)).or_default().retain(|time, _| *time < start || *time > end);
            }
            Step::Clean => _ = store.clean().unwrap(),
            Step::LosePower => {
                drop(store);
                world.disk.lose_power();
                store = open(&world, &config);
            }
            Step::FullAfter(room) => {
                world.disk.set_room(Some(usize::from(room)));
                store.maintain();
                drop(store);
                world.disk.lose_power();
                world.disk.set_room(None);
                store = open(&world, &config);
            }
            Step::Query { from_minutes, minutes, width } => {
                let start = now - from_minutes * MINUTE - 7;
                let width = [5 * MINUTE, HOUR, 3 * HOUR, DAY, 7 * MINUTE][width];
                check(&store, &truth, start, start + minutes * MINUTE, width);
            }
        }
        check(&store, &truth, i64::MIN, i64::MAX, HOUR);
    }
    world.clock.sleep(Duration::from_secs(3 * 86_400)).await;
    (0..3).for_each(|_| store.maintain());
    for width in [5 * MINUTE, 15 * MINUTE, HOUR, DAY, 7 * DAY] {
        check(&store, &truth, i64::MIN, i64::MAX, width);
    }
    let has_samples = truth.values().any(|samples| !samples.is_empty());
    assert_eq!(store.stats().rollup_blocks > 0, has_samples, "{:?}", store.stats());
    assert_eq!(store.check(true).unwrap().damaged, [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn sums_are_what_samples_sum_up_to(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..16)) {
        sim::run(seed, |world| play(world, steps));
    }
}

#[test]
fn days_are_made_once_and_merged() {
    sim::run(1, |world| async move {
        let (store, mut truth) = (open(&world, &config(400)), Truth::new());
        fill(&world, &store, &mut truth, 25 * 24).await;
        let stats = store.stats();
        // Twenty days in two spans of ten (or parts of them), the others alone, of each width.
        assert!((6..=22).contains(&stats.rollup_blocks), "{stats:?}");
        let files = |world: &World| {
            let copies = |path: &&std::path::PathBuf| path.to_string_lossy().contains("/blocks-");
            world.disk.files().iter().filter(copies).cloned().collect::<Vec<_>>()
        };
        let before = files(&world);
        (0..3).for_each(|_| store.maintain());
        assert_eq!(files(&world), before, "nothing is made twice");
        check(&store, &truth, i64::MIN, i64::MAX, DAY);
        // Without samples' blocks they still speak, whole.
        let of_all = store.rollup(&[], Timestamp(i64::MIN), Timestamp(i64::MAX), Span::days(1)).unwrap();
        assert_eq!(of_all, expected(&truth, i64::MIN, i64::MAX, DAY));
    });
}

#[test]
fn the_last_sample_of_each_window_stands_for_those_that_were_forgotten() {
    sim::run(1, |world| async move {
        let config = config(4);
        let (mut store, mut truth) = (open(&world, &config), Truth::new());
        fill(&world, &store, &mut truth, 20 * 24).await;
        for round in 0..3 {
            let now = world.clock.now().0;
            let found = store.select(&[], Timestamp(i64::MIN), Timestamp(i64::MAX)).unwrap();
            for series in &found {
                let samples: BTreeMap<i64, f64> = series.samples.iter().map(|s| (s.timestamp.0, s.value)).collect();
                let truth = &truth[&series.labels];
                assert!(samples.iter().all(|(time, value)| truth.get(time) == Some(value)), "true samples only");
                let recent = |samples: &BTreeMap<i64, f64>| samples.range(now - 4 * DAY..).count();
                assert_eq!(recent(&samples), recent(truth), "all of what is kept");
                let windows = |samples: &BTreeMap<i64, f64>| {
                    let windows = samples.keys().map(|time| time.div_euclid(5 * MINUTE));
                    windows.collect::<std::collections::BTreeSet<_>>().len()
                };
                assert_eq!(windows(&samples), windows(truth), "one of each window at least");
            }
            assert_eq!(found.len(), 2);
            let old = (Timestamp(i64::MIN), Timestamp(now - 10 * DAY));
            assert_eq!(store.select(&[], old.0, old.1).unwrap().len(), 2);
            let lookup = Lookup { start: old.0, end: old.1, ..Lookup::ALL };
            assert_eq!(store.series(&lookup).unwrap().items, [name(0), name(1)]);
            assert_eq!(store.label_values("host", &lookup).unwrap().items, ["h0", "h1"]);
            check(&store, &truth, i64::MIN, i64::MAX, HOUR);
            check(&store, &truth, i64::MIN, i64::MAX, DAY);
            let blocks = store.stats().blocks;
            assert!(blocks < 80, "the samples themselves are gone: {blocks}");
            match round {
                0 => {
                    drop(store);
                    world.disk.lose_power();
                    store = open(&world, &config);
                }
                _ => fill(&world, &store, &mut truth, 30).await,
            }
        }
        // Deleted in the time that only copies speak for: whole windows go.
        let now = world.clock.now().0;
        let (from, to) = (now - 12 * DAY, now - 11 * DAY);
        let (from, to) = (from.div_euclid(HOUR) * HOUR, to.div_euclid(HOUR) * HOUR - 1);
        store.delete(&[vec![Matcher::equal("host", "h0")]], Timestamp(from), Timestamp(to), false).unwrap();
        truth.get_mut(&name(0)).unwrap().retain(|time, _| !(from..=to).contains(time));
        check(&store, &truth, i64::MIN, i64::MAX, HOUR);
        store.clean().unwrap();
        check(&store, &truth, i64::MIN, i64::MAX, HOUR);
        let between = store.select(&[], Timestamp(from), Timestamp(to)).unwrap();
        assert_eq!(between.iter().map(|series| series.labels.clone()).collect::<Vec<_>>(), [name(1)]);
    });
}

#[test]
fn copies_too_are_forgotten_in_the_end() {
    sim::run(1, |world| async move {
        let mut config = config(4);
        config.rollups.five_minutes.retention = Span::days(10);
        config.rollups.hour.retention = Span::days(20);
        let (store, mut truth) = (open(&world, &config), Truth::new());
        fill(&world, &store, &mut truth, 40 * 24).await;
        let now = world.clock.now().0;
        let found = store.select(&[], Timestamp(i64::MIN), Timestamp(i64::MAX)).unwrap();
        let first = found.iter().map(|series| series.samples[0].timestamp.0).min().unwrap();
        assert!((now - 22 * DAY..=now - 19 * DAY).contains(&first), "{} days", (now - first) / DAY);
        let of =
            |from: i64, to: i64| store.select(&[], Timestamp(now - from * DAY), Timestamp(now - to * DAY)).unwrap();
        // One an hour; one in five minutes, of samples that come every forty.
        assert!((24..=25).contains(&of(19, 18)[1].samples.len()));
        assert!((36..=37).contains(&of(9, 8)[1].samples.len()));
    });
}

#[test]
fn a_damaged_copy_is_made_again() {
    sim::run(1, |world| async move {
        let (store, mut truth) = (open(&world, &config(400)), Truth::new());
        fill(&world, &store, &mut truth, 3 * 24).await;
        drop(store);
        let disk = world.runtime().disk;
        let files: Vec<_> =
            world.disk.files().into_iter().map(|path| (path.clone(), disk.read(&path).unwrap())).collect();
        let is_copy = |path: &Path| {
            path.to_string_lossy().contains("/blocks-") && path.extension().is_some_and(|end| end == "block")
        };
        let copies: Vec<_> = files.iter().filter(|(path, _)| is_copy(path)).collect();
        assert!(copies.len() >= 2, "{copies:?}");
        for (path, content) in copies {
            for bit in (0..content.len() as u64 * 8).step_by(311) {
                disk.remove_dir_all(Path::new(DIR)).unwrap();
                files.iter().for_each(|(path, content)| world.disk.put(path, content));
                world.disk.flip_bit(path, bit);
                let runtime = world.runtime();
                let (store, _) = MetricStore::open(&runtime, Path::new(DIR), config(400)).unwrap();
                let mut refusals = 0;
                while store.rollup(&[], Timestamp(i64::MIN), Timestamp(i64::MAX), Span::minutes(5)).is_err()
                    || store.rollup(&[], Timestamp(i64::MIN), Timestamp(i64::MAX), Span::hours(1)).is_err()
                {
                    refusals += 1;
                    assert!(refusals < 10);
                }
                for width in [5 * MINUTE, HOUR] {
                    check(&store, &truth, i64::MIN, i64::MAX, width);
                }
                store.maintain();
                check(&store, &truth, i64::MIN, i64::MAX, HOUR);
                let keys: Vec<String> = runtime.troubles.list().into_iter().map(|trouble| trouble.key).collect();
                assert!(keys.iter().any(|key| key.starts_with("metrics/damaged/")), "{bit}: {keys:?}");
            }
        }
    });
}

#[test]
fn late_samples_count_also_when_it_is_not_known_any_more_which_days_are_copied() {
    sim::run(1, |world| async move {
        let config = MetricsConfig { out_of_order_window: Span::days(1), ..config(400) };
        let (store, mut truth) = (open(&world, &config), Truth::new());
        fill(&world, &store, &mut truth, 3 * 24).await;
        while world.clock.now().0.rem_euclid(DAY) < 5 * HOUR {
            fill(&world, &store, &mut truth, 2).await;
        }
        let now = world.clock.now().0;
        drop(store);
        let disk = world.runtime().disk;
        let files: Vec<_> =
            world.disk.files().into_iter().map(|path| (path.clone(), disk.read(&path).unwrap())).collect();
        let late: Vec<(u8, i64)> = (1..23).map(|hours| (0, now - hours * HOUR - 7)).collect();
        for file in ["blocks/list", "blocks-5m/days", "blocks-1h/days"] {
            for changes in (0..300).step_by(11) {
                disk.remove_dir_all(Path::new(DIR)).unwrap();
                files.iter().for_each(|(path, content)| world.disk.put(path, content));
                let (store, mut truth) = (open(&world, &config), truth.clone());
                put(&store, &mut truth, late.clone()).await;
                // Seals, and dies in the midst of it or behind it; then bits of the file rot.
                world.disk.fail_power_after(Some(changes));
                let _ = store.delete(&[vec![Matcher::equal("host", "none")]], Timestamp::MIN, Timestamp::MAX, false);
                world.disk.fail_power_after(None);
                drop(store);
                world.disk.flip_bit(&Path::new(DIR).join(file), 100);
                let (store, _) = MetricStore::open(&world.runtime(), Path::new(DIR), config.clone()).unwrap();
                for round in 0..2 {
                    for width in [5 * MINUTE, HOUR] {
                        let found = store.rollup(&[], Timestamp::MIN, Timestamp::MAX, Span::millis(width as u64));
                        let is_so = found.unwrap() == expected(&truth, i64::MIN, i64::MAX, width);
                        assert!(is_so, "{file}, {changes} changes, round {round}");
                    }
                    store.maintain();
                }
                assert!(store.stats().rollup_blocks > 0);
            }
        }
    });
}
