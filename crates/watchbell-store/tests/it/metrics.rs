//! The engine for series against what it promises, on a simulated disk.

use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use watchbell_model::{Append, Batch, Labels, Lookup, MatchOp, Matcher, Point, Query, Timestamp, stale_nan};
use watchbell_runtime::sim::{self, World};
use watchbell_runtime::{Runtime, thread};
use watchbell_store::metrics::OpenReport;
use watchbell_store::{Fsync, MetricStore, MetricsConfig};

const DIR: &str = "/data/metrics";

fn open(world: &World, config: MetricsConfig) -> (MetricStore, OpenReport) {
    MetricStore::open(&world.runtime(), Path::new(DIR), config).unwrap()
}

fn always() -> MetricsConfig {
    MetricsConfig { fsync: Fsync::Always, ..MetricsConfig::default() }
}

/// A sample of `up{host=..}`, so many seconds before (or after) the world's beginning.
fn point(world: &World, host: &str, second: i64, value: f64) -> Point {
    Point::new("up", &[("host", host)], Timestamp(world.clock.now().0 + second * 1000), value)
}

/// All series as `labels second=value ..`.
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

fn wal_files(world: &World) -> Vec<PathBuf> {
    world.disk.files().into_iter().filter(|path| path.extension().is_some_and(|end| end == "wal")).collect()
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash_of_the_process() {
    sim::run(1, |world| async move {
        let (store, report) = open(&world, MetricsConfig::default());
        assert_eq!(report, OpenReport::default());
        let batch = [("b", 0, 1.0), ("a", 0, 2.0), ("a", 15, 3.0), ("a", 15, 4.0), ("a", 15, 3.0), ("a", 7, 9.0)];
        let batch = batch.map(|(host, second, value)| point(&world, host, second, value));
        let appended = store.append(Batch::of("test", batch.to_vec())).await.unwrap();
        assert_eq!((appended.kept, appended.duplicate, appended.refused()), (5, 1, 1));
        assert!(appended.refs.iter().all(Option::is_some) && appended.refs.len() == 6, "{appended:?}");
        let appended = store.append(Batch::of("test", vec![point(&world, "a", 30, stale_nan())])).await.unwrap();
        assert_eq!(appended.kept, 1);
        let before = dump(&store);
        drop(store);

        let (store, report) = open(&world, MetricsConfig::default());
        assert_eq!(report, OpenReport { replayed_samples: 5, ..OpenReport::default() });
        assert_eq!(dump(&store), before);
        check(
            &store,
            expect![[r#"
            up{host="a"} 0=2 7=9 15=3 30=NaN
            up{host="b"} 0=1"#]],
        );
        let a = store.select(&[Matcher::equal("host", "a")], Timestamp::MIN, Timestamp::MAX).unwrap();
        assert_eq!(a[0].samples[3].value.to_bits(), stale_nan().to_bits());
    });
}

#[test]
fn a_query_sees_its_range_and_its_matchers() {
    sim::run(1, |world| async move {
        let (store, _) = open(&world, MetricsConfig::default());
        for second in [0, 10, 20] {
            let hosts = ["a", "b"].map(|host| point(&world, host, second, second as f64));
            store.append(Batch::of("test", hosts.to_vec())).await.unwrap();
        }
        store.append(Batch::of("test", vec![point(&world, "c", 30, 1.0)])).await.unwrap();
        let at = |second: i64| Timestamp(world.clock.now().0 + second * 1000);
        let not_b = Matcher::new("host", MatchOp::NotEqual, "b").unwrap();
        let found = store.select(std::slice::from_ref(&not_b), at(10), at(20)).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].samples.iter().map(|s| s.value).collect::<Vec<_>>(), [10.0, 20.0]);
        let matchers = [vec![not_b]];
        let labels = store.series(&Lookup { matchers: &matchers, start: at(25), end: at(40), limit: 0 }).unwrap();
        assert_eq!(labels.items, [Labels::metric("up", &[("host", "c")])]);
        let values = |name| store.label_values(name, &Lookup::ALL).unwrap().items;
        assert_eq!(store.label_names(&Lookup::ALL).unwrap().items, ["__name__", "host"]);
        assert_eq!((values("host"), values("none")), (vec!["a".into(), "b".into(), "c".into()], vec![]));
    });
}

#[test]
fn power_loss_costs_no_more_than_the_policy_says() {
    for seed in 0..50 {
        sim::run(seed, |world| async move {
            let runtime = world.runtime();
            let interval = MetricsConfig::default();
            let (store, _) = MetricStore::open(&runtime, Path::new(DIR), interval.clone()).unwrap();
            runtime.supervisor.spawn("store", store.task());
            store.append(Batch::of("test", vec![point(&world, "a", 0, 1.0)])).await.unwrap();
            runtime.clock.sleep(std::time::Duration::from_millis(2100)).await;
            store.append(Batch::of("test", vec![point(&world, "b", 0, 2.0)])).await.unwrap();
            runtime.supervisor.stop().await;
            world.disk.lose_power();
            let (store, _) = open(&world, interval);
            assert!(dump(&store).contains(r#"up{host="a"}"#), "older than the interval");

            drop(store);
            let (store, _) = open(&world, always());
            store.append(Batch::of("test", vec![point(&world, "c", 0, 3.0)])).await.unwrap();
            world.disk.lose_power();
            assert!(dump(&open(&world, always()).0).contains(r#"up{host="c"}"#), "acknowledged");
        });
    }
}

#[test]
fn a_torn_tail_is_cut_and_said() {
    sim::run(1, |world| async move {
        let (store, _) = open(&world, MetricsConfig::default());
        store.append(Batch::of("test", vec![point(&world, "a", 0, 1.0)])).await.unwrap();
        store.append(Batch::of("test", vec![point(&world, "b", 0, 2.0)])).await.unwrap();
        drop(store);
        let path = wal_files(&world).pop().unwrap();
        let content = world.runtime().disk.read(&path).unwrap();
        for cut in 1..=(content.len() - 8) / 2 {
            world.disk.put(&path, &content[..content.len() - cut]);
            let (store, report) = open(&world, MetricsConfig::default());
            assert!(report.torn_bytes > 0 || dump(&store).lines().count() == 1);
            assert_eq!(report.damaged, [""; 0]);
            assert!(dump(&store).starts_with(r#"up{host="a"} 0=1"#), "cut {cut}");
            drop(store);
            assert_eq!(open(&world, MetricsConfig::default()).1.torn_bytes, 0, "it is cut once");
            wal_files(&world).iter().skip(1).for_each(|path| world.runtime().disk.remove(path).unwrap());
        }
    });
}

#[test]
fn a_flipped_bit_costs_one_record_and_is_said_once() {
    sim::run(1, |world| async move {
        let (store, _) = open(&world, MetricsConfig::default());
        for host in ["a", "b", "c"] {
            store.append(Batch::of("test", vec![point(&world, host, 0, 1.0)])).await.unwrap();
            store.append(Batch::of("test", vec![point(&world, host, 15, 2.0)])).await.unwrap();
        }
        drop(store);
        let path = wal_files(&world).pop().unwrap();
        let content = world.runtime().disk.read(&path).unwrap();
        for bit in 0..content.len() as u64 * 8 {
            wal_files(&world).iter().skip(1).for_each(|path| world.runtime().disk.remove(path).unwrap());
            world.disk.put(&path, &content);
            world.disk.flip_bit(&path, bit);
            let (store, report) = open(&world, MetricsConfig::default());
            let told = report.damaged.len() as u64 + report.torn_bytes;
            assert!(told > 0, "bit {bit}: {report:?}");
            let kept: usize = dump(&store).lines().map(|line| line.split(' ').count() - 1).sum();
            assert!(kept as u64 + report.nameless_samples >= 5, "bit {bit}: {report:?}\n{}", dump(&store));
            drop(store);
            let (_, report) = open(&world, MetricsConfig::default());
            assert_eq!((report.damaged.len(), report.torn_bytes), (0, 0), "bit {bit}");
        }
    });
}

#[test]
fn a_full_disk_costs_durability_only_and_only_as_long_as_it_is_full() {
    sim::run(1, |world| async move {
        let runtime = world.runtime();
        let (store, _) = MetricStore::open(&runtime, Path::new(DIR), always()).unwrap();
        store.append(Batch::of("test", vec![point(&world, "a", 0, 1.0)])).await.unwrap();
        world.disk.set_room(Some(10));
        let error = store.append(Batch::of("test", vec![point(&world, "a", 15, 2.0)])).await.unwrap_err().to_string();
        assert!(error.starts_with("the store cannot take samples now"), "{error}");
        let troubles: Vec<String> = runtime.troubles.list().into_iter().map(|trouble| trouble.key).collect();
        assert_eq!(troubles, ["metrics/log"]);
        check(&store, expect![[r#"up{host="a"} 0=1 15=2"#]]);

        world.disk.set_room(None);
        // The sender tries again: the sample is known, and now it is in the log too.
        let appended = store.append(Batch::of("test", vec![point(&world, "a", 15, 2.0)])).await.unwrap();
        assert_eq!((appended.kept, appended.refused()), (1, 0));
        assert_eq!(runtime.troubles.list(), []);
        drop(store);
        world.disk.lose_power();
        check(&open(&world, always()).0, expect![[r#"up{host="a"} 0=1 15=2"#]]);
    });
}

#[test]
fn the_last_of_a_disk_is_left_for_alarms_and_pages() {
    sim::run(1, |world| async move {
        let runtime = world.runtime();
        let (store, _) = MetricStore::open(&runtime, Path::new(DIR), MetricsConfig::default()).unwrap();
        store.append(Batch::of("test", vec![point(&world, "a", 0, 1.0)])).await.unwrap();
        world.disk.set_available(Some(4 << 20));
        let error = store.append(Batch::of("test", vec![point(&world, "a", 15, 2.0)])).await.unwrap_err().to_string();
        assert!(error.contains("left for alarms and pages"), "{error}");
        world.clock.sleep(std::time::Duration::from_secs(4 * 3600)).await;
        store.maintain();
        assert_eq!((store.stats().blocks, world.disk.files().len()), (0, 1));
        check(&store, expect![[r#"up{host="a"} 0=1 15=2"#]]);
        world.disk.set_available(None);
        store.maintain();
        store.append(Batch::of("test", vec![point(&world, "a", 0, 3.0)])).await.unwrap();
        assert!(!runtime.troubles.list().iter().any(|trouble| trouble.key == "metrics/log"));
    });
}

#[test]
fn what_cannot_be_kept_is_counted_by_its_reason() {
    sim::run(1, |world| async move {
        let config = MetricsConfig { series_limit: 2, ..MetricsConfig::default() };
        let (store, _) = open(&world, config);
        store.append(Batch::of("test", vec![point(&world, "a", 0, 1.0), point(&world, "b", 0, 1.0)])).await.unwrap();
        let refused = [("a", -601, 1.0), ("a", 7200, 1.0), ("c", 0, 1.0), ("b", 0, 2.0), ("a", 1, 5.0)];
        let batch = refused.map(|(host, second, value)| point(&world, host, second, value)).to_vec();
        let appended = store.append(Batch::of("test", batch)).await.unwrap();
        let counts = (appended.kept, appended.duplicate, appended.too_old, appended.too_new, appended.over_limit);
        assert_eq!(counts, (1, 1, 1, 1, 1));
        store.close();
        let closed = store.append(Batch::of("test", vec![point(&world, "a", 3, 1.0)])).await.unwrap_err();
        assert_eq!(closed.to_string(), "the store is closed");
        check(
            &store,
            expect![[r#"
            up{host="a"} 0=1 1=5
            up{host="b"} 0=1"#]],
        );
    });
}

/// On the machine's own disk, with threads: what the simulator leaves out.
#[test]
fn writers_readers_and_upkeep_work_side_by_side() {
    let folder = crate::Folder::new();
    let runtime = Runtime::os();
    let now = runtime.clock.now().0;
    let (store, _) = MetricStore::open(&runtime, folder.path(), MetricsConfig::default()).unwrap();
    let write = |store: MetricStore, writer: i64| async move {
        for at in 0..100 {
            let host = format!("{writer}-{}", at % 10);
            // Over the last nine hours, so that there is something to seal.
            let time = Timestamp(now - 32_400_000 + at * 324_000);
            let batch = vec![Point::new("up", &[("host", &host)], time, at as f64)];
            assert_eq!(store.append(Batch::of("test", batch)).await.unwrap().kept, 1);
            if at % 25 == 0 {
                store.maintain();
            }
            let host = Matcher::equal("host", host);
            let found = store.select(&[host], Timestamp::MIN, Timestamp::MAX).unwrap();
            assert_eq!(found[0].samples.last().unwrap().value, at as f64, "what is acknowledged is seen");
        }
    };
    let threads: Vec<_> = (0..8)
        .map(|writer| {
            let work = write(store.clone(), writer);
            let run =
                move || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work);
            thread::spawn(&format!("writer-{writer}"), run).unwrap()
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    store.maintain();
    let count = |store: &MetricStore| -> usize {
        let all = store.select(&[], Timestamp::MIN, Timestamp::MAX).unwrap();
        all.iter().map(|series| series.samples.len()).sum()
    };
    assert_eq!(count(&store), 800);
    assert!(store.stats().blocks > 0);
    store.close();
    drop(store);
    assert_eq!(count(&MetricStore::open(&runtime, folder.path(), MetricsConfig::default()).unwrap().0), 800);
}
