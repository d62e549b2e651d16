//! How fast samples go in, how much memory and how few bytes they take, how fast they come back, and how long a start
//! takes: `cargo run --release -p watchbell-store --example ingest [SERIES] [HOURS] [labels]`. With `labels` each batch
//! names its series by their labels, as remote write does; otherwise by reference, as a scrape does.
//!
//! Series are made after what a node exporter shows on an idle host: many constants, counters that move in steps,
//! gauges that wander; a scrape every 15 seconds. Time is simulated, the disk is real. What counts on a machine that
//! does other things too is the processor's time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use watchbell_model::{Append, Batch, BatchSample, Labels, Matcher, Query, SeriesKey, SeriesRef, Timestamp};
use watchbell_runtime::{Clock, Disk, Rng, Runtime};
use watchbell_store::{MetricStore, MetricsConfig};

/// Series of one host.
const HOST: usize = 500;
const STEP: Duration = Duration::from_secs(15);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (series, hours) = (number(0, 20_000), number(1, 26));
    let by_labels = arguments.get(2).is_some_and(|text| text == "labels");
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("threads");
    let dir = std::env::temp_dir().join(format!("watchbell-ingest-{}", std::process::id()));
    tokio.block_on(run(series, hours, by_labels, dir.clone()));
    Disk::Os.remove_dir_all(&dir).expect("it was made");
}

async fn run(series: usize, hours: usize, by_labels: bool, dir: PathBuf) {
    let mut runtime = Runtime::os();
    let real = runtime.clock.clone();
    // The wall clock of the store jumps to each scrape, so that hours pass in seconds.
    let start = Timestamp::parse_rfc3339("2026-01-05T00:00:00Z").expect("a time");
    runtime.clock = Clock::sim(start);
    let (store, _) = MetricStore::open(&runtime, &dir, MetricsConfig::default()).expect("a folder");
    let mut fleet = Fleet::new(series);
    let before = memory("VmRSS");
    let (mut append, mut upkeep, mut append_cpu, mut at) = (Duration::ZERO, Duration::ZERO, 0.0, start);
    let scrapes = hours * 3600 / STEP.as_secs() as usize;
    for scrape in 0..scrapes {
        at = start + STEP * scrape as u32;
        runtime.clock.jump(at.0 - runtime.clock.now().0);
        let batches: Vec<Batch> = (0..series.div_ceil(HOST)).map(|host| fleet.scrape(host, at, by_labels)).collect();
        let (begun, cpu) = (real.monotonic(), processor());
        for (host, batch) in batches.into_iter().enumerate() {
            let appended = store.append(batch).await.expect("kept");
            assert_eq!(appended.refused(), 0, "{:?}", appended.example);
            fleet.learn(host, appended.refs);
        }
        append += real.monotonic() - begun;
        append_cpu += processor() - cpu;
        if scrape == 8 {
            let grown = memory("VmRSS").saturating_sub(before);
            println!(
                "memory   {:>8} bytes for each active series, after {scrape} scrapes",
                grown * 1024 / series as u64
            );
        }
        if scrape % 4 == 0 {
            let begun = real.monotonic();
            store.maintain();
            upkeep += real.monotonic() - begun;
        }
    }
    let samples = scrapes * series;
    let stats = store.stats();
    println!("{samples} samples of {series} series, {hours} h, peak memory {} MiB", memory("VmHWM") / 1024);
    println!(
        "append   {:>8.2} s  {:>10.0} samples/s, {:.3} CPU s for a million",
        append.as_secs_f64(),
        samples as f64 / append.as_secs_f64(),
        append_cpu * 1e6 / samples as f64
    );
    println!(
        "upkeep   {:>8.2} s  {:>10.3} us/sample",
        upkeep.as_secs_f64(),
        upkeep.as_secs_f64() * 1e6 / samples as f64
    );
    println!(
        "blocks   {:>8}    {:>10.3} bytes/sample",
        stats.blocks,
        stats.block_bytes as f64 / stats.block_samples.max(1) as f64
    );
    println!(
        "head     {:>8} samples, {:.2} bytes each; log {:.2} bytes each",
        stats.head_samples,
        stats.head_bytes as f64 / stats.head_samples.max(1) as f64,
        stats.wal_bytes as f64 / stats.head_samples.max(1) as f64
    );
    let begun = real.monotonic();
    let name = Matcher::equal(Labels::NAME, "node_metric_7_total");
    let found = store.select(&[name], start, at).expect("readable");
    let read: usize = found.iter().map(|series| series.samples.len()).sum();
    let took = (real.monotonic() - begun).as_secs_f64();
    println!("select   {:>8.4} s  {read} samples of {} series, {:.0} samples/s", took, found.len(), read as f64 / took);
    store.close();
    drop(store);
    let (begun, cpu) = (real.monotonic(), processor());
    let (_, report) = MetricStore::open(&runtime, &dir, MetricsConfig::default()).expect("a folder");
    println!(
        "open     {:>8.4} s  {} samples replayed, {:.2} CPU s",
        (real.monotonic() - begun).as_secs_f64(),
        report.replayed_samples,
        processor() - cpu
    );
}

/// A line of the process' status, in KiB.
fn memory(name: &str) -> u64 {
    let status = Disk::Os.read_text(Path::new("/proc/self/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Seconds of the processor that this process took, in hundredths.
fn processor() -> f64 {
    let stat = Disk::Os.read_text(Path::new("/proc/self/stat")).unwrap_or_default();
    let numbers = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    numbers.skip(11).take(2).filter_map(|text| text.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Hosts with their series and where those stand.
struct Fleet {
    labels: Vec<Labels>,
    known: Vec<Option<SeriesRef>>,
    values: Vec<f64>,
    rng: Rng,
}

impl Fleet {
    fn new(series: usize) -> Fleet {
        let labels = |at: usize| {
            let (host, metric) = ((at / HOST).to_string(), at % HOST);
            let name = format!("node_metric_{metric}_total");
            let device = format!("device-{}", metric % 9);
            let instance = format!("10.0.0.{host}:9100");
            let pairs = [("job", "node"), ("instance", &*instance), ("device", &*device), ("mode", "user")];
            Labels::metric(&name, &pairs)
        };
        let known = vec![None; series];
        Fleet { labels: (0..series).map(labels).collect(), known, values: vec![1.0; series], rng: Rng::seeded(7) }
    }

    fn scrape(&mut self, host: usize, at: Timestamp, by_labels: bool) -> Batch {
        let range = host * HOST..((host + 1) * HOST).min(self.labels.len());
        let mut batch = Batch::new("scrape/node");
        for series in range {
            let value = &mut self.values[series];
            // Of 20 series: 13 stand still, 4 count up in whole numbers, 1 counts seconds, 1 wanders, 1 is a size.
            match series % 20 {
                0..13 => {}
                13..17 => *value += self.rng.below(40) as f64,
                17 => *value += (self.rng.unit() * 100.0).round() / 100.0,
                18 => *value = (*value + (self.rng.unit() - 0.5) * 0.1).clamp(0.0, 100.0),
                _ => *value = (self.rng.below(1000) * 4096) as f64,
            }
            let key = match self.known[series].filter(|_| !by_labels) {
                Some(known) => SeriesKey::Known(known),
                None => SeriesKey::Labels(self.labels[series].clone()),
            };
            let value = *value;
            let place = batch.add(key);
            batch.samples.push(BatchSample { series: place, timestamp: at, value });
        }
        batch
    }

    fn learn(&mut self, host: usize, known: Vec<Option<SeriesRef>>) {
        self.known[host * HOST..][..known.len()].copy_from_slice(&known);
    }
}
