//! The whole engine against a map that does the same: append, seal, merge, crash, lose power, query.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use watchbell_model::{
    Append, Batch, Labels, Lookup, Matcher, Point, Query, QueryError, Severity, Timestamp, stale_nan,
};
use watchbell_runtime::sim::{self, World};
use watchbell_store::metrics::Stats;
use watchbell_store::{Fsync, MetricStore, MetricsConfig};

const DIR: &str = "/data/metrics";

/// Samples alone: nothing stands for those that are forgotten.
fn without_copies() -> MetricsConfig {
    let mut config = MetricsConfig::default();
    config.rollups.hour.retention = watchbell_model::Span::ZERO;
    config
}

fn open(world: &World, config: &MetricsConfig) -> MetricStore {
    let (store, report) = MetricStore::open(&world.runtime(), Path::new(DIR), config.clone()).unwrap();
    assert_eq!(report.damaged, [""; 0]);
    store
}

/// Everything that should be there: of two values for one time the first.
type Truth = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn all(store: &MetricStore, from: i64, to: i64) -> Result<Truth, QueryError> {
    let found = store.select(&[], Timestamp(from), Timestamp(to))?;
    let samples = |series: &watchbell_model::Series| {
        assert!(series.samples.is_sorted_by(|a, b| a.timestamp < b.timestamp), "each time once, in order");
        series.samples.iter().map(|sample| (sample.timestamp.0, sample.value.to_bits())).collect()
    };
    Ok(found.iter().map(|series| (series.labels.clone(), samples(series))).collect())
}

fn between(truth: &Truth, from: i64, to: i64) -> Truth {
    let samples = |map: &BTreeMap<i64, u64>| map.range(from..=to).map(|(time, bits)| (*time, *bits)).collect();
    let all = truth.iter().map(|(labels, map)| (labels.clone(), samples(map)));
    all.filter(|(_, map): &(Labels, BTreeMap<i64, u64>)| !map.is_empty()).collect()
}

fn name(series: u8) -> Labels {
    Labels::metric("m", &[("host", &format!("h{series}")), ("odd", if series % 2 == 1 { "yes" } else { "" })])
}

#[derive(Clone, Debug)]
enum Step {
    /// Samples: series, seconds before now, value.
    Append(Vec<(u8, i64, u8)>),
    /// Samples at a fixed interval, as a scrape makes them.
    Scrapes {
        series: u8,
        count: u16,
    },
    Wait {
        minutes: u16,
    },
    Maintain,
    Crash,
    LosePower,
    Query {
        series: u8,
        from_minutes: i64,
        to_minutes: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((0..6_u8, 0..600_i64, any::<u8>()), 1..20).prop_map(Step::Append),
        2 => (0..6_u8, 1..300_u16).prop_map(|(series, count)| Step::Scrapes { series, count }),
        3 => (1..400_u16).prop_map(|minutes| Step::Wait { minutes }),
        1 => (1400..9000_u16).prop_map(|minutes| Step::Wait { minutes }),
        4 => Just(Step::Maintain),
        1 => Just(Step::Crash),
        1 => Just(Step::LosePower),
        2 => (0..7_u8, 0..6000_i64, 0..6000_i64)
            .prop_map(|(series, from_minutes, to_minutes)| Step::Query { series, from_minutes, to_minutes }),
    ]
}

fn value(kind: u8, at: i64) -> f64 {
    match kind % 4 {
        0 => 1.0,
        1 => stale_nan(),
        2 => f64::from(kind) / 7.0,
        _ => at as f64,
    }
}

async fn play(world: World, steps: Vec<Step>) -> Stats {
    let config = MetricsConfig { fsync: Fsync::Always, ..MetricsConfig::default() };
    let (mut store, mut truth) = (open(&world, &config), Truth::new());
    for step in steps {
        let now = world.clock.now().0;
        let mut batch = Vec::new();
        match step {
            Step::Append(samples) => {
                batch.extend(samples.into_iter().map(|(series, before, kind)| (series, now - before * 1000, kind)));
            }
            Step::Scrapes { series, count } => {
                for _ in 0..count {
                    world.clock.sleep(Duration::from_secs(15)).await;
                    let point = (series, world.clock.now().0, series);
                    take(&store, &mut truth, &[point]).await;
                }
            }
            Step::Wait { minutes } => world.clock.sleep(Duration::from_secs(u64::from(minutes) * 60)).await,
            Step::Maintain => store.maintain(),
            Step::Crash => {
                drop(store);
                store = open(&world, &config);
            }
            Step::LosePower => {
                drop(store);
                world.disk.lose_power();
                store = open(&world, &config);
            }
            Step::Query { series, from_minutes, to_minutes } => {
                let (from, to) = (now - (from_minutes + to_minutes) * 60_000, now - to_minutes * 60_000);
                let host = Matcher::equal("host", format!("h{series}"));
                let found = store.select(std::slice::from_ref(&host), Timestamp(from), Timestamp(to)).unwrap();
                let expected = between(&truth, from, to).remove(&name(series)).unwrap_or_default();
                let found: Vec<_> =
                    found.iter().flat_map(|s| &s.samples).map(|s| (s.timestamp.0, s.value.to_bits())).collect();
                assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
                let matchers = [vec![host]];
                let lookup = Lookup { matchers: &matchers, start: Timestamp(from), end: Timestamp(to), limit: 0 };
                let has = !store.series(&lookup).unwrap().items.is_empty();
                assert_eq!(has, !found.is_empty());
            }
        }
        if !batch.is_empty() {
            take(&store, &mut truth, &batch).await;
        }
    }
    assert_eq!(all(&store, i64::MIN, i64::MAX).unwrap(), truth);
    for _ in 0..40 {
        world.clock.sleep(Duration::from_secs(86_400)).await;
        store.maintain();
    }
    assert_eq!(all(&store, i64::MIN, i64::MAX).unwrap(), truth, "after all was merged");
    assert_eq!(store.label_values("host", &Lookup::ALL).unwrap().items.len(), truth.len());
    store.stats()
}

async fn take(store: &MetricStore, truth: &mut Truth, samples: &[(u8, i64, u8)]) {
    let point = |(series, time, kind): &(u8, i64, u8)| Point {
        labels: name(*series),
        timestamp: Timestamp(*time),
        value: value(*kind, *time),
    };
    let points: Vec<Point> = samples.iter().map(point).collect();
    let appended = store.append(Batch::of("test", points.clone())).await.unwrap();
    assert_eq!((appended.kept + appended.duplicate) as usize, points.len(), "{appended:?}");
    for point in points {
        truth.entry(point.labels).or_default().entry(point.timestamp.0).or_insert(point.value.to_bits());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn it_does_what_a_map_does(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..60)) {
        sim::run(seed, |world| play(world, steps));
    }
}

/// Three days of two hosts, a sample a minute, with upkeep all along.
async fn three_days(world: &World, store: &MetricStore) -> Truth {
    let mut truth = Truth::new();
    for minute in 0..3 * 1440 {
        world.clock.sleep(Duration::from_secs(60)).await;
        let now = world.clock.now().0;
        take(store, &mut truth, &[(0, now, 3), (1, now, 2)]).await;
        if minute % 30 == 0 {
            store.maintain();
        }
    }
    truth
}

#[test]
fn samples_move_into_blocks_and_blocks_into_bigger_ones() {
    sim::run(1, |world| async move {
        let store = open(&world, &MetricsConfig::default());
        let truth = three_days(&world, &store).await;
        let stats = store.stats();
        // Two merged days (which end a span of ten), and two hours each of the third but for the last.
        assert_eq!((stats.series, stats.blocks), (2, 1 + 11));
        assert_eq!(stats.head_samples + stats.block_samples, 2 * 3 * 1440);
        assert!(stats.head_samples < 2 * 200, "{stats:?}");
        assert!(stats.wal_bytes < 20_000, "{stats:?}");
        drop(store);
        let (store, report) = MetricStore::open(&world.runtime(), Path::new(DIR), MetricsConfig::default()).unwrap();
        assert!(report.replayed_samples < 2 * 300, "{report:?}");
        assert_eq!(store.stats().head_samples, stats.head_samples, "what is in blocks is not replayed");
        assert_eq!(all(&store, i64::MIN, i64::MAX).unwrap(), truth);
    });
}

#[test]
fn old_samples_that_come_after_sealing_are_replayed_too() {
    sim::run(1, |world| async move {
        let config = MetricsConfig::default();
        let (mut store, mut truth) = (open(&world, &config), Truth::new());
        take(&store, &mut truth, &[(0, world.clock.now().0, 3)]).await;
        world.clock.sleep(Duration::from_secs(5 * 3600)).await;
        store.maintain();
        // With nothing in the log now; what comes next is older than what is sealed.
        store = open(&world, &config);
        let now = world.clock.now().0;
        take(&store, &mut truth, &[(1, now - 4 * 3_600_000, 3), (1, now, 3)]).await;
        for _ in 0..2 {
            store = open(&world, &config);
            assert_eq!(all(&store, i64::MIN, i64::MAX).unwrap(), truth);
        }
        world.clock.sleep(Duration::from_secs(5 * 3600)).await;
        store.maintain();
        assert_eq!((store.stats().head_samples, all(&store, i64::MIN, i64::MAX).unwrap()), (0, truth));
    });
}

#[test]
fn a_damaged_block_never_answers_wrongly_and_the_rest_serves() {
    sim::run(1, |world| async move {
        let store = open(&world, &MetricsConfig::default());
        let truth = three_days(&world, &store).await;
        drop(store);
        let files = world.disk.files();
        let path = files.iter().find(|path| path.extension().is_some_and(|end| end == "block")).unwrap();
        let whole = world.runtime().disk.read(path).unwrap();
        let aside = Path::new(DIR).join("damaged").join(path.file_name().unwrap());
        for bit in (0..whole.len() as u64 * 8).step_by(37) {
            world.disk.put(path, &whole);
            world.disk.flip_bit(path, bit);
            let runtime = world.runtime();
            let (store, report) = MetricStore::open(&runtime, Path::new(DIR), MetricsConfig::default()).unwrap();
            let mut refusals = 0;
            let found = loop {
                match all(&store, i64::MIN, i64::MAX) {
                    Ok(found) => break found,
                    Err(_) => refusals += 1,
                }
                assert!(refusals < 20, "the damaged part is left out of later answers");
            };
            if report.damaged.is_empty() {
                assert!(refusals > 0, "bit {bit} is in nobody's checksum");
                let board = runtime.troubles.list();
                assert_eq!(board.iter().map(|trouble| trouble.severity).collect::<Vec<_>>(), [Severity::Warning]);
            } else {
                assert_eq!((report.damaged.len(), refusals), (1, 0));
                assert!(world.disk.files().contains(&aside));
                world.runtime().disk.remove(&aside).unwrap();
            }
            for (labels, samples) in &found {
                assert!(samples.iter().all(|(time, bits)| truth[labels].get(time) == Some(bits)));
            }
            let kept: usize = found.values().map(BTreeMap::len).sum();
            assert!(kept >= 2 * 2 * 1440, "two of three days are whole: {kept}");
        }
        let store = {
            world.disk.put(path, &whole[..whole.len() / 2]);
            let (store, report) =
                MetricStore::open(&world.runtime(), Path::new(DIR), MetricsConfig::default()).unwrap();
            assert_eq!(report.damaged.len(), 1);
            assert!(report.damaged[0].contains("it is cut short"), "{:?}", report.damaged);
            store
        };
        assert!(all(&store, i64::MIN, i64::MAX).is_ok());
    });
}

#[test]
fn a_full_disk_stops_sealing_and_loses_nothing() {
    sim::run(1, |world| async move {
        let runtime = world.runtime();
        let (store, _) = MetricStore::open(&runtime, Path::new(DIR), MetricsConfig::default()).unwrap();
        let mut truth = Truth::new();
        for room in [None, Some(40), Some(100), Some(300), Some(2000), None] {
            for _ in 0..130 {
                world.clock.sleep(Duration::from_secs(60)).await;
                take(&store, &mut truth, &[(0, world.clock.now().0, 3)]).await;
            }
            world.disk.set_room(room);
            store.maintain();
            let stopped = runtime.troubles.list().iter().any(|trouble| trouble.key == "metrics/seal");
            assert_eq!(stopped, room.is_some_and(|room| room < 2000), "{room:?}");
            assert_eq!(all(&store, i64::MIN, i64::MAX).unwrap(), truth, "{room:?}");
            world.disk.set_room(None);
        }
        assert_eq!(runtime.troubles.list(), []);
        assert!(store.stats().head_samples < 400);
        drop(store);
        assert_eq!(all(&open(&world, &MetricsConfig::default()), i64::MIN, i64::MAX).unwrap(), truth);
    });
}

/// Upkeep is cut off after every so many bytes by a full disk, then the power is lost; then again with room enough.
#[test]
fn upkeep_may_be_cut_off_anywhere() {
    for room in (0..6000).step_by(149) {
        sim::run(room as u64, |world| async move {
            let config = MetricsConfig { fsync: Fsync::Always, ..MetricsConfig::default() };
            let (mut store, mut truth) = (open(&world, &config), Truth::new());
            for _ in 0..14 {
                for _ in 0..24 {
                    world.clock.sleep(Duration::from_secs(300)).await;
                    let now = world.clock.now().0;
                    take(&store, &mut truth, &[(0, now, 3), (1, now - 300_000, 2), (2, now, 6)]).await;
                }
                world.disk.set_room(Some(room));
                store.maintain();
                drop(store);
                world.disk.lose_power();
                world.disk.set_room(None);
                store = open(&world, &config);
                assert_eq!(all(&store, i64::MIN, i64::MAX).unwrap(), truth);
                world.clock.sleep(Duration::from_secs(120)).await;
            }
            world.clock.sleep(Duration::from_secs(100_000)).await;
            (0..3).for_each(|_| store.maintain());
            assert_eq!(all(&store, i64::MIN, i64::MAX).unwrap(), truth);
            assert!(store.stats().blocks < 4 && store.stats().head_samples < 30, "{:?}", store.stats());
        });
    }
}

#[test]
fn what_is_too_old_or_too_much_goes() {
    sim::run(1, |world| async move {
        let config = MetricsConfig { retention: watchbell_model::Span::days(2), ..without_copies() };
        let store = open(&world, &config);
        let truth = three_days(&world, &store).await;
        let now = world.clock.now().0;
        let found = all(&store, i64::MIN, i64::MAX).unwrap();
        assert_eq!(between(&found, now - 2 * 86_400_000, now), between(&truth, now - 2 * 86_400_000, now));
        let first = found.values().filter_map(|samples| samples.keys().next()).min().unwrap();
        assert!(*first >= now - 2 * 86_400_000 - 3 * 3_600_000, "at most one block more");
        drop(store);

        // Room for about a day and a half: the oldest go.
        let before = open(&world, &config).stats();
        let config = MetricsConfig { retention_size: before.block_bytes * 3 / 4 + before.wal_bytes, ..config };
        let store = open(&world, &config);
        store.maintain();
        let stats = store.stats();
        assert!(stats.block_bytes + stats.wal_bytes <= config.retention_size && stats.blocks > 0, "{stats:?}");
        let found = all(&store, i64::MIN, i64::MAX).unwrap();
        assert_eq!(between(&found, now - 43_200_000, now), between(&truth, now - 43_200_000, now), "the newest stay");
    });
}

#[test]
fn a_clock_set_far_ahead_forgets_nothing() {
    sim::run(1, |world| async move {
        let config = MetricsConfig { retention: watchbell_model::Span::days(2), ..without_copies() };
        let store = open(&world, &config);
        let truth = three_days(&world, &store).await;
        store.maintain();
        let kept = all(&store, i64::MIN, i64::MAX).unwrap();
        world.clock.jump(400 * 86_400_000);
        store.maintain();
        assert_eq!(all(&store, i64::MIN, i64::MAX).unwrap(), kept);
        world.clock.jump(-400 * 86_400_000);
        store.maintain();
        let mut truth = between(&truth, *kept.values().next().unwrap().keys().next().unwrap(), i64::MAX);
        take(&store, &mut truth, &[(0, world.clock.now().0, 2)]).await;
        assert_eq!(all(&store, i64::MIN, i64::MAX).unwrap(), truth);
    });
}

#[test]
fn series_that_ended_make_room_for_new_ones() {
    sim::run(1, |world| async move {
        let config = MetricsConfig { series_limit: 10, ..MetricsConfig::default() };
        let store = open(&world, &config);
        let mut truth = Truth::new();
        for generation in 0..5 {
            for minute in 0..300 {
                world.clock.sleep(Duration::from_secs(60)).await;
                let now = world.clock.now().0;
                let series: Vec<_> = (0..4).map(|at| (generation * 4 + at, now, 3)).collect();
                take(&store, &mut truth, &series).await;
                if minute % 10 == 0 {
                    store.maintain();
                }
            }
        }
        assert!(store.stats().series <= 8, "{:?}", store.stats());
        assert_eq!(all(&store, i64::MIN, i64::MAX).unwrap(), truth);
        drop(store);
        assert_eq!(all(&open(&world, &config), i64::MIN, i64::MAX).unwrap(), truth);
    });
}
