//! The write path: references, limits for each source, late samples, clocks that jump, syncs.

use std::path::Path;
use std::time::Duration;

use expect_test::{Expect, expect};
use futures_util::future::join_all;
use watchbell_model::{
    Append, Appended, Batch, BatchSample, Labels, Point, Query, SeriesKey, SeriesRef, Span, Timestamp,
};
use watchbell_runtime::sim::{self, World};
use watchbell_store::{Fsync, MetricStore, MetricsConfig};

const DIR: &str = "/data/metrics";

fn open(world: &World, config: &MetricsConfig) -> MetricStore {
    MetricStore::open(&world.runtime(), Path::new(DIR), config.clone()).unwrap().0
}

fn up(host: &str) -> Labels {
    Labels::metric("up", &[("host", host)])
}

/// `key second=value`, the second counted from now.
async fn append(world: &World, store: &MetricStore, source: &str, samples: &[(SeriesKey, i64, f64)]) -> Appended {
    let mut batch = Batch::new(source);
    for (key, second, value) in samples {
        let series = batch.add(key.clone());
        let timestamp = Timestamp(world.clock.now().0 + second * 1000);
        batch.samples.push(BatchSample { series, timestamp, value: *value });
    }
    store.append(batch).await.unwrap()
}

fn labels(host: &str) -> SeriesKey {
    SeriesKey::Labels(up(host))
}

/// All series as `labels second=value ..`, counted from the world's beginning.
fn dump(store: &MetricStore) -> String {
    let start = Timestamp::parse_rfc3339(sim::EPOCH).unwrap();
    let all = store.select(&[], Timestamp::MIN, Timestamp::MAX).unwrap();
    let lines = all.iter().map(|series| {
        let samples = series.samples.iter().map(|s| format!("{}={}", (s.timestamp.0 - start.0) / 1000, s.value));
        format!("{} {}", series.labels, samples.collect::<Vec<_>>().join(" "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn check(store: &MetricStore, expected: Expect) {
    expected.assert_eq(&dump(store));
}

fn count(store: &MetricStore) -> usize {
    let all = store.select(&[], Timestamp::MIN, Timestamp::MAX).unwrap();
    all.iter().map(|series| series.samples.len()).sum()
}

#[test]
fn a_series_is_known_again_by_its_reference_until_it_is_forgotten() {
    sim::run(1, |world| async move {
        let config = MetricsConfig::default();
        let mut store = open(&world, &config);
        let first = append(&world, &store, "test", &[(labels("a"), 0, 1.0), (labels("b"), 0, 2.0)]).await;
        let refs: Vec<SeriesRef> = first.refs.iter().map(|known| known.unwrap()).collect();
        let stranger = SeriesRef(refs[1].0 + 77);
        let known = [(refs[1], 15, 3.0), (stranger, 15, 9.0), (refs[0], 15, 4.0)];
        let known = known.map(|(known, second, value)| (SeriesKey::Known(known), second, value));
        let appended = append(&world, &store, "test", &known).await;
        assert_eq!((appended.kept, appended.unknown), (2, 1));
        assert_eq!(appended.refs, [Some(refs[1]), None, Some(refs[0])]);
        let said = appended.example.unwrap();
        assert!(said.starts_with("a series at 20") && said.ends_with("send it by its labels"), "{said}");
        // Known by reference only in the segment that a sealing begins: the log has their labels all the same.
        world.clock.sleep(Duration::from_secs(4 * 3600)).await;
        store.maintain();
        let known = [(SeriesKey::Known(refs[0]), 0, 5.0), (SeriesKey::Known(refs[1]), 0, 6.0)];
        assert_eq!(append(&world, &store, "test", &known).await.kept, 2);
        drop(store);
        store = open(&world, &config);
        check(
            &store,
            expect![[r#"
                up{host="a"} 0=1 15=4 14400=5
                up{host="b"} 0=2 15=3 14400=6"#]],
        );
        let again = append(&world, &store, "test", &[(labels("a"), 15, 1.0)]).await.refs[0].unwrap();
        for _ in 0..3 {
            world.clock.sleep(Duration::from_secs(4 * 3600)).await;
            store.maintain();
        }
        assert_eq!(store.stats().series, 0);
        // Its place is another series' now.
        let other = append(&world, &store, "test", &[(labels("c"), 0, 1.0), (labels("d"), 0, 1.0)]).await;
        assert_eq!(other.kept, 2);
        let stale = append(&world, &store, "test", &[(SeriesKey::Known(again), 1, 9.0)]).await;
        assert_eq!((stale.kept, stale.unknown, stale.refs), (0, 1, vec![None]));
    });
}

#[test]
fn the_first_refused_sample_is_told_in_words() {
    sim::run(1, |world| async move {
        let limit = MetricsConfig { series_limit_per_source: 2, ..MetricsConfig::default() };
        let store = open(&world, &limit);
        append(&world, &store, "test", &[(labels("a"), 0, 1.0), (labels("b"), 0, 1.0)]).await;
        let mut said = Vec::new();
        for (host, second) in [("a", 0), ("a", -601), ("b", 7200), ("c", 0)] {
            said.push(append(&world, &store, "test", &[(labels(host), second, 2.0)]).await.example.unwrap());
        }
        expect![[r#"
            `up{host="a"}` at 2026-01-05T00:00:00.000Z: another value is already there
            `up{host="a"}` at 2026-01-04T23:49:59.000Z: too old: late samples are taken for 10m, and none older than 400d
            `up{host="b"}` at 2026-01-05T02:00:00.000Z: too far ahead of the clock here, which says 2026-01-05T00:00:00.000Z
            `up{host="c"}` at 2026-01-05T00:00:00.000Z: its source has 2 series, which is its limit"#]]
        .assert_eq(&said.join("\n"));
    });
}

#[test]
fn an_explosion_of_series_stays_with_its_source() {
    sim::run(1, |world| async move {
        let runtime = world.runtime();
        let config = MetricsConfig {
            series_limit_per_source: 100,
            source_limits: [("small".to_owned(), 3)].into(),
            ..MetricsConfig::default()
        };
        let (mut store, _) = MetricStore::open(&runtime, Path::new(DIR), config.clone()).unwrap();
        let exploding = |second: i64, users: std::ops::Range<i64>| {
            let key = |user: i64| {
                let (user, host) = (user.to_string(), (user % 2).to_string());
                SeriesKey::Labels(Labels::metric("requests", &[("user", &*user), ("host", &*host)]))
            };
            users.map(|user| (key(user), second, 1.0)).collect::<Vec<_>>()
        };
        let good = |second: i64| [(labels("a"), second, 1.0), (labels("b"), second, 1.0)];
        assert_eq!(append(&world, &store, "good", &good(0)).await.kept, 2);
        let appended = append(&world, &store, "bad", &exploding(0, 0..150)).await;
        assert_eq!((appended.kept, appended.over_limit), (100, 50));
        assert_eq!(append(&world, &store, "small", &exploding(0, 200..210)).await.kept, 3);
        // Known series of the same source go on, and so do all of the others; new ones of those too.
        let appended = append(&world, &store, "bad", &exploding(1, 0..150)).await;
        assert_eq!((appended.kept, appended.over_limit), (100, 50));
        assert_eq!(append(&world, &store, "good", &good(1)).await.kept, 2);
        assert_eq!(append(&world, &store, "good", &[(labels("c"), 1, 1.0)]).await.kept, 1);
        store.maintain();
        let said: Vec<String> =
            runtime.troubles.list().iter().map(|trouble| format!("{}: {}", trouble.key, trouble.summary)).collect();
        expect![[r#"
            metrics/cardinality/bad: new series of `bad` are refused, known ones go on: `bad` has 100 series, which is its limit; the label with the most values is `user`: 100 in 100 series of `bad`
            metrics/cardinality/small: new series of `small` are refused, known ones go on: `small` has 3 series, which is its limit; the label with the most values is `user`: 3 in 3 series of `small`"#]]
        .assert_eq(&said.join("\n"));
        let metrics = runtime.metrics.render();
        let refused: Vec<&str> =
            metrics.lines().filter(|line| line.starts_with("watchbell_metrics_series_refused_total")).collect();
        assert_eq!(
            refused,
            [
                r#"watchbell_metrics_series_refused_total{source="bad"} 100"#,
                r#"watchbell_metrics_series_refused_total{source="small"} 7"#
            ]
        );
        // Whose series they are is known after a restart too.
        drop(store);
        store = MetricStore::open(&runtime, Path::new(DIR), config).unwrap().0;
        let appended = append(&world, &store, "bad", &exploding(2, 0..150)).await;
        assert_eq!((appended.kept, appended.over_limit), (100, 50));
        store.maintain();
        // It is over when nothing was refused for a while.
        world.clock.sleep(Duration::from_secs(601)).await;
        store.maintain();
        assert!(!runtime.troubles.list().iter().any(|trouble| trouble.key == "metrics/cardinality/bad"));
    });
}

#[test]
fn thousands_of_late_samples_are_taken_in_any_order_each_once() {
    sim::run(1, |world| async move {
        let config = MetricsConfig { out_of_order_window: Span::hours(2), ..MetricsConfig::default() };
        let mut store = open(&world, &config);
        world.clock.sleep(Duration::from_secs(86_400)).await;
        assert_eq!(append(&world, &store, "test", &[(labels("a"), 0, 0.0)]).await.kept, 1);
        // Newest first: the worst order there is.
        let late: Vec<_> = (1..=7200).map(|second| (labels("a"), -second, second as f64)).collect();
        for part in late.chunks(1000) {
            assert_eq!(append(&world, &store, "test", part).await.kept, part.len() as u64);
        }
        let old = append(&world, &store, "test", &[(labels("a"), -7201, 1.0)]).await;
        assert_eq!((old.kept, old.too_old), (0, 1));
        let whole = dump(&store);
        assert_eq!(count(&store), 7201);
        drop(store);
        store = open(&world, &config);
        assert_eq!(dump(&store), whole);
        // Half of it is in blocks then.
        world.clock.sleep(Duration::from_secs(3600)).await;
        store.maintain();
        assert!(store.stats().blocks > 0);
        assert_eq!(dump(&store), whole);
        for reopen in [false, true] {
            if reopen {
                drop(store);
                store = open(&world, &config);
            }
            let again = [(3700, 3700.0 - 3600.0), (3701, 5.0), (7200, 5.0)];
            let again = again.map(|(before, value)| (labels("a"), -before, value));
            let again = append(&world, &store, "test", &again).await;
            assert_eq!((again.kept, again.duplicate), (1, 2), "{again:?}");
            let old = append(&world, &store, "test", &[(labels("a"), -3600 - 7201, 1.0)]).await;
            assert_eq!((old.kept, old.too_old), (0, 1), "the window is known from blocks too");
        }
        assert_eq!(dump(&store), whole);
    });
}

#[test]
fn a_clock_that_jumps_costs_no_sample_that_was_taken() {
    sim::run(1, |world| async move {
        let config = MetricsConfig { retention: Span::days(30), ..MetricsConfig::default() };
        let mut store = open(&world, &config);
        for _ in 0..300 {
            world.clock.sleep(Duration::from_secs(60)).await;
            assert_eq!(append(&world, &store, "test", &[(labels("a"), 0, 1.0)]).await.kept, 1);
        }
        // The machine starts with a clock that is years ahead.
        let years = 5 * 365 * 86_400_000;
        drop(store);
        world.clock.jump(years);
        store = open(&world, &config);
        store.maintain();
        assert_eq!(count(&store), 300);
        assert_eq!(append(&world, &store, "test", &[(labels("a"), 0, 9.0)]).await.kept, 1);
        // Whoever has the right time is told; nothing is mixed up.
        let right = append(&world, &store, "test", &[(labels("a"), -years / 1000, 9.0)]).await;
        assert_eq!((right.kept, right.too_old), (0, 1));
        // It is put right again: the present is taken at once, though there are samples ahead of it.
        world.clock.jump(-years);
        store.maintain();
        world.clock.sleep(Duration::from_secs(60)).await;
        assert_eq!(append(&world, &store, "test", &[(labels("a"), 0, 2.0)]).await.kept, 1);
        store.maintain();
        drop(store);
        store = open(&world, &config);
        world.clock.sleep(Duration::from_secs(60)).await;
        let appended = append(&world, &store, "test", &[(labels("a"), 0, 3.0), (labels("b"), 0, 3.0)]).await;
        assert_eq!(appended.kept, 2, "{appended:?}");
        assert_eq!(count(&store), 304);
    });
}

#[test]
fn writers_that_come_together_share_a_sync() {
    sim::run(1, |world| async move {
        let config = MetricsConfig { fsync: Fsync::Always, ..MetricsConfig::default() };
        let store = open(&world, &config);
        append(&world, &store, "test", &[(labels("a"), 0, 1.0)]).await;
        let before = world.disk.syncs();
        let hosts: Vec<String> = (0..200).map(|host| host.to_string()).collect();
        let samples: Vec<_> = hosts.iter().map(|host| [(labels(host), 0, 1.0)]).collect();
        let all = join_all(samples.iter().map(|sample| append(&world, &store, "test", sample))).await;
        assert!(all.iter().all(|appended| appended.kept == 1));
        let syncs = world.disk.syncs() - before;
        assert!((1..=2).contains(&syncs), "{syncs} syncs for 200 writers");
        drop(store);
        world.disk.lose_power();
        assert_eq!(count(&open(&world, &config)), 201);
    });
}

#[test]
fn power_loss_costs_no_more_than_the_interval_says() {
    for seed in 0..30 {
        sim::run(seed, |world| async move {
            let config = MetricsConfig { fsync_interval: Span::millis(200), ..MetricsConfig::default() };
            let runtime = world.runtime();
            let (store, _) = MetricStore::open(&runtime, Path::new(DIR), config.clone()).unwrap();
            runtime.supervisor.spawn("store", store.task());
            append(&world, &store, "test", &[(labels("a"), 0, 1.0)]).await;
            runtime.clock.sleep(Duration::from_millis(401)).await;
            append(&world, &store, "test", &[(labels("b"), 0, 1.0)]).await;
            runtime.supervisor.stop().await;
            world.disk.lose_power();
            assert!(dump(&open(&world, &config)).contains(r#"up{host="a"}"#));
        });
    }
}

#[test]
fn what_was_acknowledged_before_the_process_ended_is_synced_by_the_next_one() {
    for seed in 0..30 {
        sim::run(seed, |world| async move {
            let config = MetricsConfig::default();
            let store = open(&world, &config);
            append(&world, &store, "test", &[(labels("a"), 0, 1.0)]).await;
            drop(store);
            let runtime = world.runtime();
            let (store, _) = MetricStore::open(&runtime, Path::new(DIR), config.clone()).unwrap();
            runtime.supervisor.spawn("store", store.task());
            runtime.clock.sleep(Duration::from_millis(1001)).await;
            runtime.supervisor.stop().await;
            world.disk.lose_power();
            check(&open(&world, &config), expect![[r#"up{host="a"} 0=1"#]]);
        });
    }
}

#[test]
fn batches_that_wait_are_bounded_by_their_size() {
    sim::run(1, |world| async move {
        let store = open(&world, &MetricsConfig::default());
        let batch = |writer: i64| {
            let points = (0..200_000).map(|at| Point {
                labels: up("a"),
                timestamp: Timestamp(world.clock.now().0 + writer),
                value: at as f64,
            });
            Batch::of("test", points.collect())
        };
        let answers = join_all((0..12).map(|writer| store.append(batch(writer)))).await;
        let refused: Vec<String> =
            answers.iter().filter_map(|answer| Some(answer.as_ref().err()?.to_string())).collect();
        assert!((1..12).contains(&refused.len()), "{} refused", refused.len());
        assert_eq!(refused[0], "the store cannot take samples now: too many samples are waiting");
        assert!(store.append(batch(20)).await.is_ok(), "it is taken when none waits");
    });
}
