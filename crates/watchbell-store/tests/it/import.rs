//! History that is brought along.

use std::path::Path;
use std::sync::Arc;

use expect_test::expect;
use watchbell_model::{
    Append, Batch, BucketSpan, Buckets, Histogram, HistogramSample, Imported, Labels, Point, Query, Sample, Series,
    Timestamp, Upkeep, stale_nan,
};
use watchbell_runtime::sim::{self, World};
use watchbell_store::{MetricStore, MetricsConfig};

const DAY: i64 = 86_400_000;

fn open(world: &World) -> MetricStore {
    MetricStore::open(&world.runtime(), Path::new("/data/metrics"), MetricsConfig::default()).unwrap().0
}

/// A year of a counter every hour, up to an hour ago, and of a histogram every day; a marker at its end.
fn history(now: i64) -> Vec<Series> {
    let sample = |at: i64, value: f64| Sample { timestamp: Timestamp(at), value };
    let begin = now - 365 * DAY;
    let mut samples: Vec<Sample> = (0..365 * 24).map(|hour| sample(begin + hour * 3_600_000, hour as f64)).collect();
    samples.last_mut().unwrap().value = stale_nan();
    let histogram = |day: i64| {
        let buckets = Buckets { spans: vec![BucketSpan { offset: 1, length: 1 }], counts: vec![day as f64] };
        let histogram = Histogram { count: day as f64, positive: buckets, ..Histogram::default() };
        HistogramSample { timestamp: Timestamp(begin + day * DAY), histogram: Arc::new(histogram) }
    };
    vec![
        Series::new(Labels::metric("jobs_total", &[("job", "backup")]), samples),
        Series {
            labels: Labels::metric("seconds", &[]),
            histograms: (0..365).map(histogram).collect(),
            ..Series::default()
        },
    ]
}

fn import(store: &MetricStore, series: Vec<Series>) -> Imported {
    let mut import = store.import().unwrap();
    series.into_iter().for_each(|series| import.add(series).unwrap());
    import.finish().unwrap()
}

fn all(store: &MetricStore) -> Vec<Series> {
    store.select(&[], Timestamp(i64::MIN), Timestamp(i64::MAX)).unwrap()
}

#[test]
fn a_year_is_taken_once_and_survives_merging_and_a_crash() {
    sim::run(7, |world| async move {
        let store = open(&world);
        let now = world.clock.now().0;
        let wanted = history(now);
        assert_eq!(import(&store, wanted.clone()), Imported { added: 365 * 25, ..Imported::default() });
        assert_eq!(all(&store), wanted);
        // The same again, backwards and in pieces, adds nothing.
        let pieces = wanted.iter().flat_map(|series| {
            series.samples.chunks(100).rev().map(|part| Series::new(series.labels.clone(), part.to_vec()))
        });
        assert_eq!(import(&store, pieces.collect()), Imported { known: 365 * 24, ..Imported::default() });
        for _ in 0..5 {
            store.maintain();
        }
        assert_eq!(all(&store), wanted);
        drop(store);
        world.disk.lose_power();
        assert_eq!(all(&open(&world)), wanted);
    });
}

#[test]
fn what_contradicts_is_old_or_makes_no_sense_is_refused_and_said() {
    sim::run(7, |world| async move {
        let store = open(&world);
        let now = world.clock.now();
        let (up, value) = (Labels::metric("up", &[]), |at: i64, value| Sample { timestamp: Timestamp(at), value });
        let point = Point { labels: up.clone(), timestamp: now, value: 1.0 };
        store.append(Batch::from(vec![point])).await.unwrap();
        let now = now.0;
        let samples = vec![
            value(now - 500 * DAY, 1.0),
            value(now - DAY, 1.0),
            value(now - DAY, 2.0),
            value(now, 0.0),
            value(now + DAY, 1.0),
        ];
        let wider = Labels::metric("up", &[("job", "x")]);
        let nameless = Labels::from_pairs([("a", "b")]);
        let bad = Histogram { schema: 99, ..Histogram::default() };
        let bad = HistogramSample { timestamp: Timestamp(now - DAY), histogram: Arc::new(bad) };
        let done = import(
            &store,
            vec![
                Series { labels: up.clone(), samples, histograms: vec![bad], ..Series::default() },
                Series::new(wider.clone(), vec![value(now, 0.0)]),
                Series::new(nameless, vec![value(now, 1.0)]),
            ],
        );
        expect![[r#"
            Imported {
                added: 2,
                known: 0,
                different: 2,
                too_old: 1,
                too_new: 1,
                invalid: 2,
                example: Some(
                    "up at 2024-08-23T00:00:00.000Z: older than the retention keeps",
                ),
            }"#]]
        .assert_eq(&format!("{done:#?}"));
        assert_eq!(
            all(&store),
            [Series::new(up, vec![value(now - DAY, 1.0), value(now, 1.0)]), Series::new(wider, vec![value(now, 0.0)])]
        );
    });
}

#[test]
fn figures_count_active_series_and_history() {
    sim::run(7, |world| async move {
        let store = open(&world);
        import(&store, history(world.clock.now().0));
        let point = |job: &str| Point::new("up", &[("job", job)], world.clock.now(), 1.0);
        store.append(Batch::from(vec![point("a"), point("b")])).await.unwrap();
        let shown = |history: bool| {
            let figures = store.figures(2, history).unwrap();
            let parts: Vec<_> = figures.parts.iter().map(|part| (&*part.name, part.samples)).collect();
            format!(
                "{} series, {} active, {} pairs\nmetrics {:?}\nlabels {:?}\nbytes {:?}\npairs {:?}\n{parts:?}\n",
                figures.series,
                figures.active,
                figures.pairs,
                figures.metrics,
                figures.labels,
                figures.label_bytes,
                figures.label_pairs,
            )
        };
        expect![[r#"
            2 series, 2 active, 3 pairs
            metrics [("up", 2)]
            labels [("job", 2), ("__name__", 1)]
            bytes [("__name__", 2), ("job", 2)]
            pairs [("__name__=up", 2), ("job=a", 1)]
            [("memory", Some(2)), ("log", None), ("blocks", Some(9125))]
            4 series, 2 active, 6 pairs
            metrics [("up", 2), ("jobs_total", 1)]
            labels [("__name__", 3), ("job", 3)]
            bytes [("__name__", 19), ("job", 8)]
            pairs [("__name__=up", 2), ("__name__=jobs_total", 1)]
            [("memory", Some(2)), ("log", None), ("blocks", Some(9125))]
        "#]]
        .assert_eq(&(shown(false) + &shown(true)));
    });
}
