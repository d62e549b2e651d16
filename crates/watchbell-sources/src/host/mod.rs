//! This host's own numbers, under the names, labels and meanings of Prometheus' node_exporter, so that its rules and
//! dashboards work.
//!
//! Read from `/proc` and `/sys`, with `job="host"` and the host's name as `instance`. Left out: what needs more than
//! those files (hardware sensors, systemd units, …), and the room on network file systems, since asking for it can
//! hang for ever.
//!
//! Always: a file that is missing or odd costs its own metrics only, and shows as `node_scrape_collector_success` 0.

mod kernel;
mod memory;
mod network;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Batch, Labels, Path as Place, Point, Problems, Span, Timestamp, stale_nan};
use watchbell_runtime::disk::Space;
use watchbell_runtime::process::hostname;
use watchbell_runtime::{Disk, Task};

use crate::Context;

/// The label `job` of all of them.
pub const JOB: &str = "host";
/// How many series there are at most; further ones are dropped and counted.
const SERIES_MAX: usize = 10_000;

/// Measuring of the host that watchbell runs on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostConfig {
    /// Whether to measure it.
    #[serde(default = "HostConfig::default_enabled")]
    pub enabled: bool,
    /// How often, from `1s` to `1h`.
    #[serde(default = "HostConfig::default_interval")]
    pub interval: Span,
}

impl Default for HostConfig {
    fn default() -> HostConfig {
        HostConfig { enabled: HostConfig::default_enabled(), interval: HostConfig::default_interval() }
    }
}

impl HostConfig {
    fn default_enabled() -> bool {
        true
    }

    fn default_interval() -> Span {
        Span::seconds(15)
    }

    /// What is wrong with it.
    pub fn check(&self, path: &Place, problems: &mut Problems) {
        if self.interval < Span::seconds(1) || self.interval > Span::hours(1) {
            problems
                .error(&path.field("interval"), format!("the interval {} is not between 1s and 1h", self.interval))
                .hint("such as `15s`");
        }
    }
}

/// The work: measures at once, then at whole multiples of the interval. Nothing, if it is not enabled.
pub fn task(config: &HostConfig, context: &Context) -> Option<Task> {
    if !config.enabled {
        return None;
    }
    let (interval, context) = (config.interval, context.clone());
    let key = u64::try_from(interval.duration().as_millis()).unwrap_or(u64::MAX);
    Some(Task::new("host", key, move |stop| {
        let context = context.clone();
        async move {
            let runtime = context.runtime.clone();
            let mut host = Host::new(&runtime.disk);
            let mut at = runtime.clock.now();
            loop {
                let (points, dropped) = host.measure(&runtime.disk, watchbell_runtime::disk::space, at);
                append(&context, points, dropped).await;
                at = next_slot(interval, runtime.clock.now());
                // Bounded by the interval, so that a wall clock that is set back does not stop the measuring.
                let wait = runtime.clock.timeout(interval.duration(), runtime.clock.sleep_until(at));
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    reached = wait => if reached.is_err() { at = runtime.clock.now() },
                }
            }
        }
    }))
}

fn next_slot(interval: Span, now: Timestamp) -> Timestamp {
    let step = i64::try_from(interval.duration().as_millis()).unwrap_or(i64::MAX).max(1);
    Timestamp((now.0.div_euclid(step) + 1) * step)
}

async fn append(context: &Context, points: Vec<Point>, over_limit: u64) {
    let count = points.len() as u64;
    let help = "Samples of this host that were not kept: too many series, or refused by the store.";
    let dropped = context.runtime.metrics.counter("watchbell_host_samples_dropped_total", help, &[]);
    dropped.add(over_limit);
    match context.append.append(Batch::of("host", points)).await {
        Ok(appended) => dropped.add(count.saturating_sub(appended.kept)),
        Err(error) => {
            dropped.add(count);
            tracing::warn!("samples of this host are lost: {error}");
        }
    }
}

/// What is remembered from one measuring to the next.
struct Host {
    name: String,
    cpu: kernel::CpuHistory,
    last: HashSet<Labels>,
}

impl Host {
    fn new(disk: &Disk) -> Host {
        Host { name: hostname(disk), cpu: kernel::CpuHistory::default(), last: HashSet::new() }
    }

    /// All numbers at `now`, with an end marker for each series that is gone; and how many were dropped.
    fn measure(
        &mut self,
        disk: &Disk,
        space: impl Fn(&Path) -> io::Result<Space>,
        now: Timestamp,
    ) -> (Vec<Point>, u64) {
        let mut samples = Samples::new(&self.name, now);
        kernel::collect(disk, &mut self.cpu, &mut samples);
        memory::collect(disk, &mut samples);
        storage::collect(disk, space, &mut samples);
        network::collect(disk, &mut samples);
        samples.put("node_time_seconds", &[], now.as_seconds());
        let mut points = samples.points;
        let seen: HashSet<Labels> = points.iter().map(|point| point.labels.clone()).collect();
        let mut gone: Vec<Labels> = self.last.difference(&seen).cloned().collect();
        gone.sort();
        points.extend(gone.into_iter().map(|labels| Point { labels, timestamp: now, value: stale_nan() }));
        self.last = seen;
        (points, samples.dropped)
    }
}

/// Samples of one moment.
struct Samples {
    instance: String,
    at: Timestamp,
    points: Vec<Point>,
    dropped: u64,
}

impl Samples {
    fn new(instance: &str, at: Timestamp) -> Samples {
        Samples { instance: instance.to_owned(), at, points: Vec::with_capacity(512), dropped: 0 }
    }

    fn put(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        if self.points.len() >= SERIES_MAX {
            self.dropped += 1;
            return;
        }
        let own = [(Labels::NAME, name), ("job", JOB), ("instance", self.instance.as_str())];
        let labels = Labels::from_pairs(labels.iter().copied().chain(own));
        self.points.push(Point { labels, timestamp: self.at, value });
    }

    /// Runs one part over its file, and says how that went.
    fn collect(&mut self, part: &str, read: impl FnOnce(&mut Samples) -> io::Result<()>) {
        let result = read(self);
        if let Err(error) = &result {
            tracing::debug!(part, "cannot be measured: {error}");
        }
        self.put("node_scrape_collector_success", &[("collector", part)], f64::from(u8::from(result.is_ok())));
    }
}

/// A file as text, odd bytes replaced.
fn text(disk: &Disk, path: &str) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&disk.read(Path::new(path))?).into_owned())
}

/// A file that holds one number.
fn number(disk: &Disk, path: &str) -> io::Result<f64> {
    text(disk, path)?.trim().parse().map_err(|_| odd(path))
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} does not look as expected"))
}
