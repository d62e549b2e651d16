//! Histograms, starts, examples and metadata through the whole engine, against maps that do the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use proptest::prelude::*;
use watchbell_model::{
    Append, Appended, Batch, BatchHistogram, BatchSample, BucketSpan, Buckets, Exemplar, Histogram, Labels, Lookup,
    Matcher, Metadata, MetricType, Query, ResetHint, SeriesKey, Start, Timestamp,
};
use watchbell_runtime::sim::{self, World};
use watchbell_store::{Fsync, MetricStore, MetricsConfig};

const DIR: &str = "/data/metrics";

fn config() -> MetricsConfig {
    MetricsConfig { fsync: Fsync::Always, ..MetricsConfig::default() }
}

fn open(world: &World, config: &MetricsConfig) -> MetricStore {
    let (store, report) = MetricStore::open(&world.runtime(), Path::new(DIR), config.clone()).unwrap();
    assert_eq!(report.damaged, [""; 0]);
    store
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Float(u64),
    Histogram(Arc<Histogram>),
}

/// One of several layouts, markers among them.
fn histogram(kind: u8, at: i64) -> Histogram {
    let counts = [at as f64, 2.0, f64::from(kind)];
    let buckets = |offset: i32, length: u32| Buckets {
        spans: vec![BucketSpan { offset, length }],
        counts: counts[..length as usize].to_vec(),
    };
    let positive = buckets(i32::from(kind % 3), 1 + u32::from(kind) % 3);
    let count = positive.counts.iter().sum();
    let whole = Histogram { reset: ResetHint::NotReset, schema: 3, count, sum: 0.1, positive, ..Histogram::default() };
    match kind % 5 {
        0 => Histogram::stale(),
        1 => Histogram { count: 0.5, sum: f64::NAN, negative: buckets(-7, 2), reset: ResetHint::Gauge, ..whole },
        2 => Histogram {
            schema: Histogram::CUSTOM_BUCKETS,
            custom_values: vec![0.5, 1.0, 2.5, 10.0, 20.0],
            reset: ResetHint::Unknown,
            ..whole
        },
        _ => whole,
    }
}

/// What is there of each series: of two values for one time, of whatever kind, the first.
#[derive(Default)]
struct Truth {
    samples: BTreeMap<u8, BTreeMap<i64, Value>>,
    /// For each sample since when it counts, as said with it.
    starts: BTreeMap<u8, BTreeMap<i64, i64>>,
}

fn name(series: u8) -> Labels {
    Labels::metric("m", &[("host", &format!("h{series}"))])
}

/// Series, time (in steps: seconds before now), what, whether a float.
type Sample = (u8, i64, u8, bool);

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Sample>),
    /// A histogram every 15 s, whose counting began some time ago.
    Scrapes {
        series: u8,
        kind: u8,
        count: u16,
        restart: bool,
    },
    Wait {
        minutes: u16,
    },
    Maintain,
    Crash,
    LosePower,
    Query {
        from_minutes: i64,
        to_minutes: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let sample = (0..3_u8, 0..600_i64, any::<u8>(), any::<bool>());
    prop_oneof![
        4 => prop::collection::vec(sample, 1..20).prop_map(Step::Append),
        3 => (0..4_u8, any::<u8>(), 1..200_u16, any::<bool>())
            .prop_map(|(series, kind, count, restart)| Step::Scrapes { series, kind, count, restart }),
        3 => (1..400_u16).prop_map(|minutes| Step::Wait { minutes }),
        1 => (1400..9000_u16).prop_map(|minutes| Step::Wait { minutes }),
        4 => Just(Step::Maintain),
        1 => Just(Step::Crash),
        1 => Just(Step::LosePower),
        2 => (0..6000_i64, 0..6000_i64)
            .prop_map(|(from_minutes, to_minutes)| Step::Query { from_minutes, to_minutes }),
    ]
}

async fn take(store: &MetricStore, truth: &mut Truth, samples: &[Sample], start: Option<i64>) -> Appended {
    let mut batch = Batch::new("test");
    for (series, time, kind, is_float) in samples {
        let place = batch.add(SeriesKey::Labels(name(*series)));
        let timestamp = Timestamp(*time);
        if *is_float {
            let value = f64::from(*kind) / 7.0;
            batch.samples.push(BatchSample { series: place, timestamp, value });
        } else {
            let histogram = Arc::new(histogram(*kind, *time % 1_000_000));
            batch.histograms.push(BatchHistogram { series: place, timestamp, histogram });
        }
        if let Some(start) = start {
            batch.starts.push((place, timestamp, Timestamp(start)));
            truth.starts.entry(*series).or_default().insert(*time, start);
        }
    }
    // Floats of a batch come before its histograms.
    for is_float in [true, false] {
        for (series, time, kind, _) in samples.iter().filter(|sample| sample.3 == is_float) {
            let value = match is_float {
                true => Value::Float((f64::from(*kind) / 7.0).to_bits()),
                false => Value::Histogram(Arc::new(histogram(*kind, *time % 1_000_000))),
            };
            truth.samples.entry(*series).or_default().entry(*time).or_insert(value);
        }
    }
    let appended = store.append(batch).await.unwrap();
    assert_eq!((appended.kept + appended.duplicate) as usize, samples.len(), "{appended:?}");
    appended
}

/// Everything of a series from `from` to `to`, and since when each sample counts.
fn found(store: &MetricStore, series: u8, from: i64, to: i64) -> (Vec<(i64, Value)>, Vec<(i64, i64)>) {
    let host = Matcher::equal("host", format!("h{series}"));
    let found = store.select(&[host], Timestamp(from), Timestamp(to)).unwrap();
    let mut samples = Vec::new();
    let mut starts = Vec::new();
    for series in found {
        assert!(series.samples.is_sorted_by(|a, b| a.timestamp < b.timestamp));
        assert!(series.histograms.is_sorted_by(|a, b| a.timestamp < b.timestamp));
        samples.extend(series.samples.iter().map(|s| (s.timestamp.0, Value::Float(s.value.to_bits()))));
        let histogram =
            |s: &watchbell_model::HistogramSample| (s.timestamp.0, Value::Histogram(Arc::clone(&s.histogram)));
        samples.extend(series.histograms.iter().map(histogram));
        samples.sort_by_key(|(time, _)| *time);
        for (time, _) in &samples {
            let at = series.starts.partition_point(|start| start.from.0 <= *time);
            starts.extend(at.checked_sub(1).map(|at| (*time, series.starts[at].start.0)));
        }
        let again = series.starts.windows(2).any(|pair| pair[0].start == pair[1].start);
        assert!(!again, "a start is not told twice: {:?}", series.starts);
    }
    (samples, starts)
}

fn check(store: &MetricStore, truth: &Truth, from: i64, to: i64) {
    for series in 0..5 {
        let samples: Vec<_> = truth.samples.get(&series).into_iter().flat_map(|all| all.range(from..=to)).collect();
        let (have, starts) = found(store, series, from, to);
        assert_eq!(have, samples.iter().map(|(time, value)| (**time, (*value).clone())).collect::<Vec<_>>());
        // Series 3 is only ever scraped, in order: its starts are exact.
        if series == 3 {
            let told = truth.starts.get(&series).into_iter().flat_map(|all| all.range(from..=to));
            assert_eq!(starts, told.map(|(at, is)| (*at, *is)).collect::<Vec<_>>());
        }
    }
}

async fn play(world: World, steps: Vec<Step>) {
    let (mut store, mut truth) = (open(&world, &config()), Truth::default());
    let mut began = world.clock.now().0;
    for step in steps {
        let now = world.clock.now().0;
        match step {
            Step::Append(samples) => {
                let mut samples: Vec<Sample> =
                    samples.into_iter().map(|(s, before, k, f)| (s, now - before * 1000, k, f)).collect();
                samples.sort_by_key(|(_, time, ..)| *time);
                take(&store, &mut truth, &samples, None).await;
            }
            Step::Scrapes { series, kind, count, restart } => {
                if restart {
                    began = now;
                }
                for _ in 0..count {
                    world.clock.sleep(Duration::from_secs(15)).await;
                    let sample = (series, world.clock.now().0, kind, kind % 7 == 0);
                    take(&store, &mut truth, &[sample], Some(began)).await;
                }
            }
            Step::Wait { minutes } => world.clock.sleep(Duration::from_secs(u64::from(minutes) * 60)).await,
            Step::Maintain => store.maintain(),
            Step::Crash => {
                drop(store);
                store = open(&world, &config());
            }
            Step::LosePower => {
                drop(store);
                world.disk.lose_power();
                store = open(&world, &config());
            }
            Step::Query { from_minutes, to_minutes } => {
                let (from, to) = (now - (from_minutes + to_minutes) * 60_000, now - to_minutes * 60_000);
                check(&store, &truth, from, to);
            }
        }
    }
    check(&store, &truth, i64::MIN, i64::MAX);
    for _ in 0..40 {
        world.clock.sleep(Duration::from_secs(86_400)).await;
        store.maintain();
    }
    check(&store, &truth, i64::MIN, i64::MAX);
    let stats = store.stats();
    let all: usize = truth.samples.values().map(BTreeMap::len).sum();
    assert_eq!((stats.head_samples, stats.block_samples as usize), (0, all), "each sample once after all was merged");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn it_does_what_a_map_does(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..50)) {
        sim::run(seed, |world| play(world, steps));
    }
}

fn exemplar(trace: &str, timestamp: Timestamp) -> Exemplar {
    Exemplar { labels: Labels::from_pairs([("trace_id", trace)]), value: 0.5, timestamp }
}

fn said(store: &MetricStore) -> String {
    let exemplars = store.exemplars(&Lookup::ALL).unwrap().into_iter().map(|(labels, exemplars)| {
        let traces: Vec<&str> = exemplars.iter().filter_map(|exemplar| exemplar.labels.get("trace_id")).collect();
        format!("{labels} {}\n", traces.join(" "))
    });
    let metadata = store.metadata(None).unwrap().into_iter().map(|(metric, variants)| {
        let said = variants.iter().map(|said| format!("{} {} `{}`", said.kind.as_str(), said.unit, said.help));
        format!("{metric}: {}\n", said.collect::<Vec<_>>().join(", "))
    });
    exemplars.chain(metadata).collect()
}

#[test]
fn examples_and_metadata_survive_crashes_and_the_cutting_of_the_log() {
    sim::run(1, |world| async move {
        let config = MetricsConfig { exemplars_limit: 4, ..config() };
        let mut store = open(&world, &config);
        for round in 0..6 {
            world.clock.sleep(Duration::from_secs(3 * 3600)).await;
            let now = world.clock.now();
            let mut batch = Batch::new("test");
            let series = batch.add(SeriesKey::Labels(name(round % 2)));
            batch.samples.push(BatchSample { series, timestamp: now, value: 1.0 });
            batch.exemplars.push((series, exemplar(&format!("t{round}"), now)));
            batch.exemplars.push((series, exemplar(&format!("t{round}"), now)));
            batch.exemplars.push((series, exemplar("late", now - Duration::from_secs(60))));
            let help = if round < 5 { "What it counts." } else { "What it really counts." };
            let kind = MetricType::Counter;
            batch.metadata.push(("m".into(), Metadata { kind, unit: "seconds".into(), help: help.into() }));
            let appended = store.append(batch).await.unwrap();
            assert_eq!((appended.kept, appended.kept_exemplars), (1, 2), "the same once more is no harm");
            let before = said(&store);
            // Sealed in some rounds, and always cut off.
            if round % 3 != 1 {
                store.maintain();
            }
            drop(store);
            world.disk.lose_power();
            store = open(&world, &config);
            assert_eq!(said(&store), before);
        }
        expect![[r#"
            m{host="h0"} t2 t4
            m{host="h1"} t3 t5
            m: counter seconds `What it counts.`, counter seconds `What it really counts.`
        "#]]
        .assert_eq(&said(&store));
        let one = [vec![Matcher::equal("host", "h1")]];
        store.delete(&one, Timestamp::MIN, Timestamp::MAX, false).unwrap();
        drop(store);
        assert_eq!(open(&world, &config).exemplars(&Lookup::ALL).unwrap().len(), 1);
        let path = Path::new(DIR).join("metadata");
        world.disk.flip_bit(&path, 100);
        let (store, report) = MetricStore::open(&world.runtime(), Path::new(DIR), config).unwrap();
        assert_eq!((report.damaged.len(), store.metadata(None).unwrap().len()), (1, 0));
        assert!(world.disk.files().contains(&Path::new(DIR).join("damaged/metadata")));
    });
}

#[test]
fn a_second_kind_at_one_time_is_a_duplicate_wherever_the_first_is() {
    sim::run(1, |world| async move {
        let (mut store, mut truth) = (open(&world, &config()), Truth::default());
        let now = world.clock.now().0;
        let first = take(&store, &mut truth, &[(0, now, 3, false), (1, now, 3, true)], None).await;
        assert_eq!((first.kept, first.kept_histograms), (2, 1));
        let other = [(0, now, 3, true), (1, now, 3, false)];
        let same = [(0, now, 3, false), (1, now, 3, true)];
        for sealed in [false, true] {
            if sealed {
                // Newer ones open the series again; the first are in a block.
                store.delete(&[vec![Matcher::equal("host", "none")]], Timestamp::MIN, Timestamp::MAX, false).unwrap();
                world.clock.sleep(Duration::from_secs(4 * 3600)).await;
                store.maintain();
                drop(store);
                let wide = MetricsConfig { out_of_order_window: watchbell_model::Span::hours(6), ..config() };
                store = open(&world, &wide);
                let later = world.clock.now().0;
                take(&store, &mut truth, &[(0, later, 3, true), (1, later, 3, false)], None).await;
            }
            let refused = take(&store, &mut truth, &other, None).await;
            assert_eq!((refused.kept, refused.duplicate), (0, 2), "sealed: {sealed}");
            let again = take(&store, &mut truth, &same, None).await;
            assert_eq!((again.kept, again.kept_histograms, again.duplicate), (2, 1, 0), "sealed: {sealed}");
        }
        check(&store, &truth, i64::MIN, i64::MAX);
    });
}

#[test]
fn what_makes_no_sense_is_not_taken() {
    sim::run(1, |world| async move {
        let store = open(&world, &config());
        let mut batch = Batch::new("test");
        let series = batch.add(SeriesKey::Labels(name(0)));
        let histogram = Arc::new(Histogram { schema: 99, ..Histogram::default() });
        batch.histograms.push(BatchHistogram { series, timestamp: world.clock.now(), histogram });
        let appended = store.append(batch).await.unwrap();
        assert_eq!((appended.kept, appended.example.as_deref()), (0, Some("a histogram has the unknown schema 99")));
    });
}

#[test]
fn starts_are_kept_where_they_change() {
    sim::run(1, |world| async move {
        let (mut store, mut truth) = (open(&world, &config()), Truth::default());
        let began = world.clock.now().0;
        for minute in 0..600 {
            world.clock.sleep(Duration::from_secs(60)).await;
            let start = if minute < 450 { began } else { began + 450 * 60_000 };
            take(&store, &mut truth, &[(3, world.clock.now().0, 3, minute % 2 == 0)], Some(start)).await;
            if minute % 100 == 99 {
                store.maintain();
                store = open(&world, &config());
            }
        }
        check(&store, &truth, i64::MIN, i64::MAX);
        let series = store.select(&[], Timestamp::MIN, Timestamp::MAX).unwrap().remove(0);
        let minutes = |start: &Start| ((start.from.0 - began) / 60_000, (start.start.0 - began) / 60_000);
        assert_eq!(series.starts.iter().map(minutes).collect::<Vec<_>>(), [(1, 0), (451, 450)]);
    });
}
