//! How fast samples go in, how few bytes they take, how fast they come back: `cargo run --release -p watchbell-store
//! --example ingest [SERIES] [HOURS]`.
//!
//! Series are made after what a node exporter shows on an idle host: many constants, counters that move in steps,
//! gauges that wander; a scrape every 15 seconds. Time is simulated, the disk is real.

use std::path::PathBuf;
use std::time::Duration;

use watchbell_model::{Append, Batch, Labels, Matcher, Point, Query, Timestamp};
use watchbell_runtime::{Clock, Disk, Rng, Runtime};
use watchbell_store::{MetricStore, MetricsConfig};

/// Series of one host.
const HOST: usize = 500;
const STEP: Duration = Duration::from_secs(15);

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().expect("a number"));
    let (series, hours) = (arguments.next().unwrap_or(20_000), arguments.next().unwrap_or(26));
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("threads");
    let dir = std::env::temp_dir().join(format!("watchbell-ingest-{}", std::process::id()));
    tokio.block_on(run(series, hours, dir.clone()));
    Disk::Os.remove_dir_all(&dir).expect("it was made");
}

async fn run(series: usize, hours: usize, dir: PathBuf) {
    let mut runtime = Runtime::os();
    let real = runtime.clock.clone();
    // The wall clock of the store jumps to each scrape, so that hours pass in seconds.
    let start = Timestamp::parse_rfc3339("2026-01-05T00:00:00Z").expect("a time");
    runtime.clock = Clock::sim(start);
    let (store, _) = MetricStore::open(&runtime, &dir, MetricsConfig::default()).expect("a folder");
    let mut fleet = Fleet::new(series);
    let (mut append, mut upkeep, mut at) = (Duration::ZERO, Duration::ZERO, start);
    let scrapes = hours * 3600 / STEP.as_secs() as usize;
    for scrape in 0..scrapes {
        at = start + STEP * scrape as u32;
        runtime.clock.jump(at.0 - runtime.clock.now().0);
        for host in 0..series.div_ceil(HOST) {
            let batch = fleet.scrape(host, at);
            let begun = real.monotonic();
            store.append(Batch::of("test", batch)).await.expect("kept");
            append += real.monotonic() - begun;
        }
        if scrape % 4 == 0 {
            let begun = real.monotonic();
            store.maintain();
            upkeep += real.monotonic() - begun;
        }
    }
    let samples = scrapes * series;
    let stats = store.stats();
    println!("{samples} samples of {series} series, {hours} h");
    println!("append   {:>8.2} s  {:>10.0} samples/s", append.as_secs_f64(), samples as f64 / append.as_secs_f64());
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
    let begun = real.monotonic();
    let (_, report) = MetricStore::open(&runtime, &dir, MetricsConfig::default()).expect("a folder");
    println!(
        "open     {:>8.4} s  {} samples replayed",
        (real.monotonic() - begun).as_secs_f64(),
        report.replayed_samples
    );
}

/// Hosts with their series and where those stand.
struct Fleet {
    labels: Vec<Labels>,
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
        Fleet { labels: (0..series).map(labels).collect(), values: vec![1.0; series], rng: Rng::seeded(7) }
    }

    fn scrape(&mut self, host: usize, at: Timestamp) -> Vec<Point> {
        let range = host * HOST..((host + 1) * HOST).min(self.labels.len());
        let mut points = Vec::with_capacity(HOST);
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
            points.push(Point { labels: self.labels[series].clone(), timestamp: at, value: *value });
        }
        points
    }
}
