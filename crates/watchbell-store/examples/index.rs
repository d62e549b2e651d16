//! What many series cost: memory for each, time to add them, lookups, a start with all of them in blocks: `cargo run
//! --release -p watchbell-store --example index [SERIES]`.
//!
//! Label sets are made after a node exporter's, 500 for each host; one series in ten also has a label with a value of its
//! own, as exploding ones have. Time is simulated, the disk is real.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use watchbell_model::{Append, Batch, Labels, Lookup, MatchOp, Matcher, Point, Query, Timestamp};
use watchbell_runtime::{Clock, Disk, Runtime, thread};
use watchbell_store::{MetricStore, MetricsConfig};

/// Series of one host.
const HOST: usize = 500;
const HOUR: i64 = 3_600_000;

fn main() {
    let series = std::env::args().nth(1).map_or(200_000, |text| text.parse().expect("a number"));
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("threads");
    let dir = std::env::temp_dir().join(format!("watchbell-index-{}", std::process::id()));
    tokio.block_on(run(series, dir.clone()));
    Disk::Os.remove_dir_all(&dir).expect("it was made");
}

fn labels(at: usize) -> Labels {
    let (host, metric) = (at / HOST, at % HOST);
    let name = format!("node_metric_{metric}_total");
    let device = format!("device-{}", metric % 9);
    let instance = format!("host-{host}.example.org:9100");
    let path = format!("/customers/{at}/orders");
    let mut pairs = vec![("job", "node"), ("instance", &*instance), ("region", "eu-central-1")];
    match metric % 10 {
        0..5 => {}
        5..8 => pairs.push(("device", &device)),
        8 => pairs.extend([("device", &*device), ("mode", "user")]),
        _ => pairs.push(("path", &path)),
    }
    Labels::metric(&name, &pairs)
}

/// Bytes of memory the process has.
fn resident() -> u64 {
    let text = Disk::Os.read(Path::new("/proc/self/statm")).unwrap_or_default();
    let pages = String::from_utf8_lossy(&text).split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

async fn run(series: usize, dir: PathBuf) {
    let mut runtime = Runtime::os();
    let real = runtime.clock.clone();
    let start = Timestamp::parse_rfc3339("2026-01-05T00:00:00Z").expect("a time");
    runtime.clock = Clock::sim(start);
    let config = MetricsConfig { series_limit: 10_000_000, ..MetricsConfig::default() };
    let (store, _) = MetricStore::open(&runtime, &dir, config.clone()).expect("a folder");

    // Somebody asks all the while: how long is the longest answer?
    let asking = Arc::new(AtomicBool::new(true));
    let reader = {
        let (store, asking, real) = (store.clone(), Arc::clone(&asking), real.clone());
        let read = move || {
            let (mut longest, mut count) = (Duration::ZERO, 0_u64);
            while asking.load(Ordering::Relaxed) {
                let begun = real.monotonic();
                let host = Matcher::equal("instance", "host-0.example.org:9100");
                black_box(
                    store.select(&[host, Matcher::equal(Labels::NAME, "node_metric_7_total")], start, start).is_ok(),
                );
                longest = longest.max(real.monotonic() - begun);
                count += 1;
            }
            (longest, count)
        };
        thread::spawn("reader", read).expect("a thread")
    };
    let (before, mut adding, mut slowest) = (resident(), Duration::ZERO, Duration::ZERO);
    for from in (0..series).step_by(HOST) {
        let point = |at| Point { labels: labels(at), timestamp: start, value: 1.0 };
        let batch = Batch::of("test", (from..(from + HOST).min(series)).map(point).collect());
        let begun = real.monotonic();
        store.append(batch).await.expect("kept");
        let took = real.monotonic() - begun;
        adding += took;
        slowest = slowest.max(took);
    }
    asking.store(false, Ordering::Relaxed);
    let (longest, count) = reader.join().expect("no panic");
    let each = (resident() - before) as f64 / series as f64;
    println!("added     {series} series in {:.2} s; slowest batch {:.1} ms", adding.as_secs_f64(), millis(slowest));
    println!(
        "          {each:.0} bytes each, with one sample; {count} queries meanwhile, slowest {:.1} ms",
        millis(longest)
    );
    let end = start + Duration::from_secs(60);
    lookups(&real, &store, "head", start, end);

    runtime.clock.jump(5 * HOUR);
    let begun = real.monotonic();
    store.maintain();
    println!("sealed    in {:.2} s", (real.monotonic() - begun).as_secs_f64());
    runtime.clock.jump(20 * HOUR);
    store.maintain();
    let stats = store.stats();
    println!("left      {} series in memory, {} blocks of {} bytes", stats.series, stats.blocks, stats.block_bytes);
    store.close();
    drop(store);
    let begun = real.monotonic();
    let (store, report) = MetricStore::open(&runtime, &dir, config).expect("a folder");
    println!("open      in {:.1} ms, {} samples replayed", millis(real.monotonic() - begun), report.replayed_samples);
    lookups(&real, &store, "block", start, end);
    drop(store);
    day(&real, &runtime, &dir.join("day")).await;
}

fn lookups(real: &Clock, store: &MetricStore, place: &str, start: Timestamp, end: Timestamp) {
    let time = |what: &str, run: &dyn Fn() -> usize| {
        // The second time, when what is looked at was looked at before.
        run();
        let begun = real.monotonic();
        let found = run();
        println!("{place:<9} {what:<52} {found:>9} found {:>10.3} ms", millis(real.monotonic() - begun));
    };
    let matcher = |name: &str, op, value: &str| Matcher::new(name, op, value).expect("an expression");
    let name = |value: &str| matcher(Labels::NAME, MatchOp::Equal, value);
    let host = || matcher("instance", MatchOp::Equal, "host-3.example.org:9100");
    let count = |matchers: &[Matcher]| store.select(matchers, start, end).expect("readable").len();
    time("select {__name__, instance}", &|| count(&[name("node_metric_7_total"), host()]));
    time("select {__name__}", &|| count(&[name("node_metric_7_total")]));
    time("select {__name__, path=~\".*12.*\"}", &|| {
        count(&[name("node_metric_9_total"), matcher("path", MatchOp::Regex, ".*12.*")])
    });
    time("select {instance, __name__=~\".+_1[0-9]_.+\"}", &|| {
        count(&[host(), matcher(Labels::NAME, MatchOp::Regex, ".+_1[0-9]_.+")])
    });
    time("select {instance, __name__=~\"node_metric_1.*\"}", &|| {
        count(&[host(), matcher(Labels::NAME, MatchOp::Regex, "node_metric_1.*")])
    });
    let sets = |matchers: Vec<Matcher>| [matchers];
    let lookup = |matchers: &[Vec<Matcher>], limit| {
        store.series(&Lookup { matchers, start, end, limit }).expect("readable").items.len()
    };
    time("series {__name__=~\"node_metric_1.*\"}, 1000", &|| {
        lookup(&sets(vec![matcher(Labels::NAME, MatchOp::Regex, "node_metric_1.*")]), 1000)
    });
    time("series {path=~\"/customers/12.*\"}, 1000", &|| {
        lookup(&sets(vec![matcher("path", MatchOp::Regex, "/customers/12.*")]), 1000)
    });
    time("series {__name__=~\".+\"}, 1000", &|| lookup(&sets(vec![matcher(Labels::NAME, MatchOp::Regex, ".+")]), 1000));
    let values = |label: &str, matchers: &[Vec<Matcher>], limit| {
        store.label_values(label, &Lookup { matchers, start, end, limit }).expect("readable").items.len()
    };
    time("label_values path, 1000", &|| values("path", &[], 1000));
    time("label_values path, all", &|| values("path", &[], 0));
    time("label_values instance {__name__}", &|| values("instance", &sets(vec![name("node_metric_7_total")]), 0));
    time("label_values __name__ {instance}", &|| values(Labels::NAME, &sets(vec![host()]), 0));
    time("label_names", &|| {
        store.label_names(&Lookup { matchers: &[], start, end, limit: 0 }).expect("readable").items.len()
    });
}

/// A day of 1,000 series, a sample every 15 s.
async fn day(real: &Clock, runtime: &Runtime, dir: &Path) {
    let (store, _) = MetricStore::open(runtime, dir, MetricsConfig::default()).expect("a folder");
    let start = Timestamp(runtime.clock.now().0);
    for scrape in 0..5760 {
        let at = start + Duration::from_secs(15) * scrape;
        runtime.clock.jump(at.0 - runtime.clock.now().0);
        let value = |series: usize| f64::from(scrape * (series as u32 % 7)) + (series % 3) as f64 / 7.0;
        let point = |series| Point { labels: labels(series), timestamp: at, value: value(series) };
        store.append(Batch::of("test", (0..1000).map(point).collect())).await.expect("kept");
        if scrape % 40 == 0 {
            store.maintain();
        }
    }
    let end = Timestamp(runtime.clock.now().0);
    let mut best = Duration::MAX;
    let mut samples = 0;
    for _ in 0..3 {
        let begun = real.monotonic();
        let found = store.select(&[Matcher::equal("job", "node")], start, end).expect("readable");
        best = best.min(real.monotonic() - begun);
        samples = found.iter().map(|series| series.samples.len()).sum();
    }
    println!(
        "day       select 1,000 series, 24 h, {} blocks: {samples} samples in {:.1} ms",
        store.stats().blocks,
        millis(best)
    );
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
