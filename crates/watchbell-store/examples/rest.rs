//! What a fleet costs at rest: `cargo run --release -p watchbell-store --example rest [SERIES] [SCRAPES] [FOLDER]`.
//!
//! The series of `cargo xtask bench metrics`, written as it writes history: twenty scrapes to a batch, two days late;
//! then everything is merged. The blocks stay in FOLDER, if one is named. Time is simulated, the disk is real.
#![allow(unreachable_pub, dead_code, reason = "modules of others are read in as they are")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use watchbell_model::{Append, Batch, BatchSample, Labels, SeriesKey, Timestamp};
use watchbell_runtime::{Clock, Disk, Runtime};
use watchbell_store::{MetricStore, MetricsConfig};

#[path = "../../../xtask/src/bench/fleet.rs"]
mod fleet;

/// What the fleet's series need to be written down.
mod send {
    pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }
}

const STEP: Duration = Duration::from_secs(15);
/// Samples of a series in a batch, as the bench sends them.
const SCRAPES: usize = 20;
/// Series of a batch.
const SERIES: usize = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (series, scrapes) = (number(0, 20_000), number(1, 1440));
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("threads");
    let own = std::env::temp_dir().join(format!("watchbell-rest-{}", std::process::id()));
    let dir = arguments.get(2).map_or_else(|| own.clone(), PathBuf::from);
    tokio.block_on(run(series, scrapes, &dir));
    if dir == own {
        Disk::Os.remove_dir_all(&dir).expect("it was made");
    }
}

async fn run(series: usize, scrapes: usize, dir: &Path) {
    let mut runtime = Runtime::os();
    let real = runtime.clock.clone();
    let start = Timestamp::parse_rfc3339("2026-01-05T00:00:00Z").expect("a time");
    runtime.clock = Clock::sim(start + Duration::from_secs(2 * 86_400));
    let config =
        MetricsConfig { series_limit: 3_000_000, series_limit_per_source: 3_000_000, ..MetricsConfig::default() };
    let (store, _) = MetricStore::open(&runtime, dir, config).expect("a folder");
    let mut fleet = fleet::fleet(series, 20_260_105);
    let labels: Vec<Labels> = fleet.iter().map(|series| labels(&series.labels)).collect();
    let (cpu, mut upkeep) = (processor(), 0.0);
    for first in (0..scrapes).step_by(SCRAPES) {
        for from in (0..series).step_by(SERIES) {
            let mut batch = Batch::new("test");
            let range = from..(from + SERIES).min(series);
            for at in range {
                let place = batch.add(SeriesKey::Labels(labels[at].clone()));
                for scrape in first..(first + SCRAPES).min(scrapes) {
                    let timestamp = start + STEP * scrape as u32;
                    batch.samples.push(BatchSample { series: place, timestamp, value: fleet[at].next(timestamp.0) });
                }
            }
            let appended = store.append(batch).await.expect("kept");
            assert_eq!(appended.refused(), 0, "{:?}", appended.example);
        }
        let before = processor();
        store.maintain();
        upkeep += processor() - before;
    }
    let before = processor();
    runtime.clock.jump(5 * 3_600_000);
    for _ in 0..20 {
        store.maintain();
        runtime.clock.jump(600_000);
    }
    upkeep += processor() - before;
    let (stats, samples) = (store.stats(), (series * scrapes) as f64);
    println!(
        "{} blocks, {} bytes, {:.4} bytes/sample; upkeep {:.3} CPU s for a million, all {:.3}; peak {} MiB",
        stats.blocks,
        stats.block_bytes,
        stats.block_bytes as f64 / samples,
        upkeep * 1e6 / samples,
        (processor() - cpu) * 1e6 / samples,
        memory("VmHWM") / 1024
    );
    assert_eq!(stats.block_samples as f64, samples, "all is in blocks, once");
    store.close();
    drop(store);
    let begun = real.monotonic();
    let (_, _) = MetricStore::open(&runtime, dir, MetricsConfig::default()).expect("a folder");
    println!("open in {:.1} ms", (real.monotonic() - begun).as_secs_f64() * 1000.0);
}

/// From `repeated Label labels = 1` of a `TimeSeries`.
fn labels(encoded: &[u8]) -> Labels {
    let (mut rest, mut pairs) = (encoded, Vec::new());
    let mut field = || {
        let (_, after) = rest.split_first()?;
        let (len, after) = after.split_first()?;
        let (mut len, mut after) = (usize::from(*len), after);
        if len >= 0x80 {
            let (high, rest) = after.split_first()?;
            (len, after) = (len & 0x7f | usize::from(*high) << 7, rest);
        }
        let (content, after) = after.split_at(len);
        rest = after;
        Some(content)
    };
    while let Some(pair) = field() {
        let (name, value) = pair[2..].split_at(usize::from(pair[1]));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a text");
        pairs.push((text(name), text(&value[2..])));
    }
    Labels::from_pairs(pairs)
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
