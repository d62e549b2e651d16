//! What a year costs: how fast it is drawn from samples and from the copy of an hour, and how much room the copies take:
//! `cargo run --release -p watchbell-store --example year [SERIES] [DAYS] [STEP]`, the step in seconds.
//!
//! Series are made after what a node exporter shows: of 20 series 13 stand still, 5 count up, 2 wander. Time is
//! simulated, the disk is real.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use watchbell_model::{Append, Batch, BatchSample, Labels, Query, SeriesKey, Span, Timestamp};
use watchbell_runtime::{Clock, Disk, Rng, Runtime};
use watchbell_store::{MetricStore, MetricsConfig};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (series, days, step) = (number(0, 100), number(1, 365), number(2, 60));
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("threads");
    let dir = std::env::temp_dir().join(format!("watchbell-year-{}", std::process::id()));
    tokio.block_on(run(series, days, step, dir.clone()));
    Disk::Os.remove_dir_all(&dir).expect("it was made");
}

async fn run(series: u64, days: u64, step: u64, dir: PathBuf) {
    let mut runtime = Runtime::os();
    let real = runtime.clock.clone();
    let start = Timestamp::parse_rfc3339("2025-01-06T00:00:00Z").expect("a time");
    runtime.clock = Clock::sim(start);
    let mut config = MetricsConfig { query_samples_limit: u64::MAX, ..MetricsConfig::default() };
    config.rollups.five_minutes = config.rollups.hour.clone();
    let (store, _) = MetricStore::open(&runtime, &dir, config).expect("a folder");
    let (rng, mut values, mut known) = (Rng::seeded(7), vec![1.0; series as usize], Vec::new());
    for scrape in 0..days * 86_400 / step {
        let at = start + Duration::from_secs(scrape * step);
        runtime.clock.jump(at.0 - runtime.clock.now().0);
        let mut batch = Batch::new("scrape/node");
        for (number, value) in values.iter_mut().enumerate() {
            match number % 20 {
                0..13 => {}
                13..17 => *value += rng.below(40) as f64,
                17 => *value += (rng.unit() * 100.0).round() / 100.0,
                18 => *value = (*value + (rng.unit() - 0.5) * 0.1).clamp(0.0, 100.0),
                _ => *value = (rng.below(1000) * 4096) as f64,
            }
            let end = if number % 20 < 18 { "_total" } else { "" };
            let labels =
                || Labels::metric(&format!("node_metric_{number}{end}"), &[("job", "node"), ("instance", "a:9100")]);
            let place = batch.add(
                known.get(number).copied().flatten().map_or_else(|| SeriesKey::Labels(labels()), SeriesKey::Known),
            );
            batch.samples.push(BatchSample { series: place, timestamp: at, value: *value });
        }
        let appended = store.append(batch).await.expect("kept");
        assert_eq!(appended.refused(), 0, "{:?}", appended.example);
        known = appended.refs;
        if scrape % (3600 / step) == 0 {
            store.maintain();
        }
    }
    // Late samples have had their time: the last days are made.
    runtime.clock.jump(86_400_000);
    store.maintain();
    let (stats, raw) = (store.stats(), |bytes: u64| bytes as f64 / (days * 86_400 / step * series) as f64);
    let copy = |name: &str| {
        let folder = dir.join(name);
        let names = Disk::Os.list(&folder).expect("a folder");
        names.iter().map(|name| Disk::Os.len(&folder.join(name)).expect("a file")).sum::<u64>()
    };
    println!("{} samples of {series} series, {days} d, every {step} s", stats.block_samples);
    println!("samples  {:>4} blocks, {:.3} bytes/sample", stats.blocks, raw(stats.block_bytes));
    for name in ["5m", "1h"] {
        let bytes = copy(&format!("blocks-{name}"));
        let share = bytes as f64 * 100.0 / stats.block_bytes as f64;
        println!("copy {name}  {:.3} bytes/sample, {share:.1} % of the samples' room", raw(bytes));
    }
    let end = start + Duration::from_secs(days * 86_400) - Duration::from_millis(1);
    for round in ["first", "second"] {
        let (begun, mut read) = (real.monotonic(), 0);
        let count = &mut |series: watchbell_model::Series| {
            read += series.samples.len();
            ControlFlow::Continue(())
        };
        store.each(&[], start, end, count).expect("readable");
        let took = (real.monotonic() - begun).as_secs_f64();
        println!("{round} time: samples  {took:>8.4} s  {read} samples");
        let begun = real.monotonic();
        let found = store.rollup(&[], start, end, Span::hours(1)).expect("readable");
        let took = (real.monotonic() - begun).as_secs_f64();
        let windows: usize = found.iter().map(|(_, windows)| windows.len()).sum();
        println!("{round} time: copy 1h  {took:>8.4} s  {windows} windows");
    }
}
