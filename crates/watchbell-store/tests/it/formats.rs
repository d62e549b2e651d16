//! What earlier versions wrote stays readable: one fixture for each version of a format, under `testdata/formats`.
//!
//! `UPDATE_EXPECT=1` writes those of the present version anew; those of released versions never change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use expect_test::{Expect, expect};
use watchbell_model::{
    Append, Batch, BatchHistogram, BucketSpan, Buckets, Change, Exemplar, Histogram, Labels, Lookup, Matcher, Metadata,
    MetricType, Point, Query, ResetHint, SeriesKey, State, Timestamp, stale_nan,
};
use watchbell_runtime::sim::{self, World};
use watchbell_runtime::{Disk, Runtime};
use watchbell_store::metrics::OpenReport;
use watchbell_store::{DataDir, MetricStore, MetricsConfig, SqliteState};

use crate::Folder;

const DIR: &str = "/data/metrics";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/formats").join(name)
}

fn is_update() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

/// What is neither float nor label.
fn rest(batch: &mut Batch, minute: i32, now: Timestamp) {
    let latency = batch.add(SeriesKey::Labels(Labels::metric("latency", &[("host", "a")])));
    let count = f64::from(minute);
    let spans = vec![BucketSpan { offset: -3, length: 2 }, BucketSpan { offset: minute / 200, length: 1 }];
    let positive = Buckets { spans, counts: vec![count, 1.0, 0.0] };
    let plain = Histogram { schema: 3, count: count + 1.0, sum: count / 3.0, positive, ..Histogram::default() };
    let histogram = match minute {
        300 => Histogram::stale(),
        301..330 => Histogram {
            schema: Histogram::CUSTOM_BUCKETS,
            custom_values: vec![0.1, 1.0],
            positive: Buckets { spans: vec![BucketSpan { offset: 0, length: 3 }], counts: vec![0.5, count, f64::NAN] },
            reset: ResetHint::Gauge,
            ..plain
        },
        _ => plain,
    };
    batch.histograms.push(BatchHistogram { series: latency, timestamp: now, histogram: Arc::new(histogram) });
    let began = Timestamp(if minute < 250 { 1_700_000_000_000 } else { 1_700_000_100_000 });
    batch.starts.push((latency, now, began));
    if minute % 50 == 0 {
        let labels = Labels::from_pairs([("trace_id", format!("t{minute}"))]);
        batch.exemplars.push((latency, Exemplar { labels, value: 0.25, timestamp: now }));
    }
    let metadata = Metadata { kind: MetricType::Histogram, unit: "seconds".into(), help: "How long it takes.".into() };
    batch.metadata.push(("latency".into(), metadata));
}

/// A block of six hours and a log, with every kind of chunk in them.
async fn write_metrics(world: &World) {
    let (store, _) = MetricStore::open(&world.runtime(), Path::new(DIR), MetricsConfig::default()).unwrap();
    for minute in 0..400_i32 {
        world.clock.sleep(Duration::from_secs(60)).await;
        let now = world.clock.now();
        let late = now - Duration::from_millis((minute % 7) as u64);
        let wave = (f64::from(minute) / 10.0).sin();
        let mut batch = vec![
            Point::new("constant", &[("host", "a")], now, 1.5),
            Point::new("counter_total", &[("host", "a")], now, f64::from(minute * minute)),
            Point::new("wave", &[("host", "b")], late, wave),
        ];
        if minute % 100 == 7 {
            batch.push(Point::new("rare", &[], now, if minute > 200 { stale_nan() } else { wave }));
        }
        let mut batch = Batch::of("test", batch);
        rest(&mut batch, minute, now);
        store.append(batch).await.unwrap();
    }
    store.maintain();
    world.clock.sleep(Duration::from_secs(60)).await;
    store.append(Batch::of("test", vec![Point::new("wave", &[("host", "b")], world.clock.now(), 2.0)])).await.unwrap();
    store.close();
}

/// Everything in the store, a line for each series.
fn said(store: &MetricStore) -> String {
    let all = store.select(&[], Timestamp::MIN, Timestamp::MAX).unwrap();
    let said = all.iter().map(|series| {
        let bits = series.samples.iter().map(|s| s.value.to_bits() ^ s.timestamp.0 as u64);
        let digest = bits.fold(0_u64, |digest, bits| digest.rotate_left(7) ^ bits);
        let mut line = format!("{} {} samples, {digest:016x}\n", series.labels, series.samples.len());
        if let Some(last) = series.histograms.last() {
            let sums = series.histograms.iter().map(|s| s.histogram.sum.to_bits() ^ s.timestamp.0 as u64);
            let counts =
                series.histograms.iter().flat_map(|s| &s.histogram.positive.counts).map(|count| count.to_bits());
            let digest = sums.chain(counts).fold(0_u64, |digest, bits| digest.rotate_left(7) ^ bits);
            line += &format!("  {} histograms, {digest:016x}, last {last:?}\n", series.histograms.len());
        }
        line + &series.starts.iter().map(|start| format!("  {start:?}\n")).collect::<String>()
    });
    let exemplars = store.exemplars(&Lookup::ALL).unwrap();
    let exemplars = exemplars.iter().map(|(labels, found)| format!("{labels}: {} exemplars\n", found.len()));
    let metadata = store.metadata(None).unwrap().into_iter().map(|(metric, said)| format!("{metric}: {said:?}\n"));
    said.chain(exemplars).chain(metadata).collect()
}

fn open(world: &World, version: &str, files: &[&str]) -> MetricStore {
    for file in files {
        let content = Disk::Os.read(&fixture(version).join(file)).unwrap();
        world.disk.put(&Path::new(DIR).join(file), &content);
    }
    let (store, report) = MetricStore::open(&world.runtime(), Path::new(DIR), MetricsConfig::default()).unwrap();
    assert_eq!((report.damaged.len(), report.torn_bytes), (0, 0));
    assert_ne!(report, OpenReport::default());
    let rare = store.select(&[Matcher::equal("__name__", "rare")], Timestamp::MIN, Timestamp::MAX).unwrap();
    assert_eq!(rare[0].samples.last().unwrap().value.to_bits(), stale_nan().to_bits());
    store
}

const METRICS_1: [&str; 6] = [
    "sealed",
    "blocks/0000000001.block",
    "blocks/0000000002.block",
    "blocks/0000000003.block",
    "wal/00000001.wal",
    "wal/00000002.wal",
];

#[test]
fn series_of_version_1_are_readable() {
    sim::run(1, |world| async move {
        expect![[r#"
            constant{host="a"} 400 samples, b9582dd7d9e39568
            counter_total{host="a"} 400 samples, 20914bc476cd3faf
            rare 4 samples, be1a2b6ecae381d5
            wave{host="b"} 401 samples, a1a081a8022e7017
        "#]]
        .assert_eq(&said(&open(&world, "metrics-1", &METRICS_1)));
    });
}

/// What a version's fixture holds.
fn said_of(world: &World, version: &str) -> String {
    let folder = fixture(version);
    let list = |name: &str| {
        let files = Disk::Os.list(&folder.join(name)).unwrap().into_iter();
        files.map(|file| Path::new(name).join(file).to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let mut files = [list("blocks"), list("wal")].concat();
    files.extend(["sealed", "exemplars", "metadata"].map(str::to_owned));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    said(&open(world, version, &files))
}

#[test]
fn series_of_version_2_are_readable() {
    sim::run(1, |world| async move { SINCE_2.assert_eq(&said_of(&world, "metrics-2")) });
}

#[test]
fn series_of_version_3_are_readable() {
    sim::run(1, |world| async move { SINCE_2.assert_eq(&said_of(&world, "metrics-3")) });
}

#[test]
fn series_of_version_4_are_readable() {
    sim::run(1, |world| async move {
        let folder = fixture("metrics-4");
        if is_update() {
            let _ = Disk::Os.remove_dir_all(&folder);
            write_metrics(&world).await;
            for path in world.disk.files() {
                let to = folder.join(path.strip_prefix(DIR).unwrap());
                Disk::Os.create_dir_all(to.parent().unwrap()).unwrap();
                Disk::Os.write_atomic(&to, &world.runtime().disk.read(&path).unwrap()).unwrap();
            }
        }
        SINCE_2.assert_eq(&said_of(&world, "metrics-4"));
    });
}

#[test]
fn a_block_that_begins_as_one_of_another_version_is_damaged() {
    for version in [1, 2, 3, 5] {
        sim::run(1, |world| async move {
            write_metrics(&world).await;
            let blocks = world.disk.files();
            let block = blocks.iter().find(|path| path.starts_with(Path::new(DIR).join("blocks"))).unwrap();
            let mut content = world.runtime().disk.read(block).unwrap();
            assert_eq!(content[..8], *b"WBBLOCK\x04");
            content[7] = version;
            world.disk.put(block, &content);
            let (store, report) =
                MetricStore::open(&world.runtime(), Path::new(DIR), MetricsConfig::default()).unwrap();
            assert_eq!(report.damaged.len(), 1, "version {version}");
            store.close();
        });
    }
}

/// What [`write_metrics`] wrote, in whatever version.
static SINCE_2: LazyLock<Expect> = LazyLock::new(|| {
    expect![[r#"
            constant{host="a"} 400 samples, b9582dd7d9e39568
            counter_total{host="a"} 400 samples, 20914bc476cd3faf
            latency{host="a"} 0 samples, 0000000000000000
              400 histograms, 3a4d2993adb3c3a2, last HistogramSample { timestamp: 2026-01-05T06:40:00.000Z, histogram: Histogram { reset: Unknown, schema: 3, zero_threshold: 0.0, zero_count: 0.0, count: 400.0, sum: 133.0, positive: Buckets { spans: [BucketSpan { offset: -3, length: 2 }, BucketSpan { offset: 1, length: 1 }], counts: [399.0, 1.0, 0.0] }, negative: Buckets { spans: [], counts: [] }, custom_values: [] } }
              Start { from: 2026-01-05T00:01:00.000Z, start: 2023-11-14T22:13:20.000Z }
              Start { from: 2026-01-05T04:11:00.000Z, start: 2023-11-14T22:15:00.000Z }
            rare 4 samples, be1a2b6ecae381d5
            wave{host="b"} 401 samples, a1a081a8022e7017
            latency{host="a"}: 8 exemplars
            latency: [Metadata { kind: Histogram, unit: "seconds", help: "How long it takes." }]
        "#]]
});

#[test]
fn state_of_format_1_is_readable() {
    let (folder, path) = (Folder::new(), fixture("state-1/state.db"));
    if is_update() {
        let (state, _) = SqliteState::open(&Runtime::os(), &DataDir::claim(folder.path(), false).unwrap()).unwrap();
        let changes = vec![Change::put("alarms.state", "monitor/imap", &"OK"), Change::put("notify.outbox", "1", &1)];
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(state.commit(changes)).unwrap();
        drop(state);
        Disk::Os.create_dir_all(path.parent().unwrap()).unwrap();
        Disk::Os.write_atomic(&path, &Disk::Os.read(&folder.path().join("state.db")).unwrap()).unwrap();
    }
    Disk::Os.write_atomic(&folder.path().join("state.db"), &Disk::Os.read(&path).unwrap()).unwrap();
    let (state, report) = SqliteState::open(&Runtime::os(), &DataDir::claim(folder.path(), false).unwrap()).unwrap();
    assert_eq!(report.set_aside, None);
    assert_eq!(state.get("alarms.state", "monitor/imap").unwrap().as_deref(), Some(&br#""OK""#[..]));
    assert_eq!(state.scan("notify.outbox", "", 10).unwrap(), [("1".to_owned(), b"1".to_vec())]);
}
