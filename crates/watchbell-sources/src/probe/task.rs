//! One task per monitor: waits, probes, hands on.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use watchbell_model::{Batch, HOME, Labels, Observation, Point, ProbeResult, Severity, Span};
use watchbell_runtime::{CancellationToken, Task, fault};

use super::config::{LatencyConfig, MonitorConfig};
use super::egress::EgressConfig;
use super::own_network::is_near;
use super::probe;
use super::samples::{self, Written};
use super::schedule::Schedule;
use crate::Context;

/// How long samples may take to be kept before they are dropped; never longer than until the next probe.
const APPEND_MAX: Duration = Duration::from_secs(5);
/// Time between two tries to hand on what was seen.
const OBSERVE_AGAIN: Duration = Duration::from_secs(1);

/// The tasks that probe these monitors from home, one each, named as the monitor; a monitor that changed has another key.
pub fn tasks(monitors: &[MonitorConfig], egress: &EgressConfig, context: &Context) -> Vec<Task> {
    context.live.apply(monitors);
    let context = Context { runtime: egress.guard(&context.runtime), ..context.clone() };
    let task = |monitor: &MonitorConfig| {
        let (config, context) = (monitor.clone(), context.clone());
        Task::new(monitor.name.clone(), key(monitor, egress), move |stop| watch(config.clone(), context.clone(), stop))
    };
    monitors.iter().filter(|monitor| monitor.is_at(HOME)).map(task).collect()
}

fn key(monitor: &MonitorConfig, egress: &EgressConfig) -> u64 {
    let mut hasher = DefaultHasher::new();
    (monitor, egress).hash(&mut hasher);
    hasher.finish()
}

async fn watch(config: MonitorConfig, context: Context, stop: CancellationToken) {
    let clock = context.runtime.clock.clone();
    let mut schedule = Schedule::new(&config, clock.monotonic());
    let mut written = Written::default();
    // Whether the store was told what the samples are.
    let mut described = false;
    let mut pace = config.latency.clone().map(Pace::new);
    let is_here = config.is_here();
    let woken = context.live.begin(&config.name, clock.monotonic());
    loop {
        let wait = schedule.next().saturating_sub(clock.monotonic());
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = woken.notified() => {}
            () = clock.sleep(wait) => {}
        }
        let began = clock.monotonic();
        let (mut result, mut points, is_known) = tokio::select! {
            biased;
            // Half a probe says nothing of its target.
            () = stop.cancelled() => return,
            done = probe(&config, &context.runtime, &context.live) => done,
        };
        if let Some(pace) = &mut pace {
            pace.judge(&mut result, &mut points);
        }
        schedule.done(began, clock.monotonic(), result.success);
        if !is_known {
            continue;
        }
        if !is_here {
            if result.success != config.upside_down {
                context.live.own_network_works(&context.runtime);
            } else if context.live.is_own_network_down(&context.runtime).await
                && !is_near(&config, &context.runtime).await
            {
                // Nothing is known of the target; its series end.
                let mut ends = Vec::new();
                written.end_missing(&mut ends, result.at);
                append(ends, None, &schedule, &context).await;
                continue;
            }
        }
        context.live.saw(&result);
        written.end_missing(&mut points, result.at);
        fault::point("probe.seen");
        // Samples are written meanwhile, whatever becomes of the observation, and never before it was begun.
        tokio::join!(
            biased;
            observe(&result, &schedule, &context, &stop),
            append(points, (!described).then_some(&config), &schedule, &context),
        );
        described = true;
    }
}

/// How long the last successful probes took.
struct Pace {
    config: LatencyConfig,
    took: VecDeque<Duration>,
}

impl Pace {
    fn new(config: LatencyConfig) -> Pace {
        Pace { config, took: VecDeque::new() }
    }

    /// Makes a failure of a success when the last ones were too slow.
    fn judge(&mut self, result: &mut ProbeResult, points: &mut [Point]) {
        if !result.success {
            return;
        }
        let (over, bound) = (self.config.over, self.config.p95);
        if self.took.len() == over {
            self.took.pop_front();
        }
        self.took.push_back(result.duration.duration());
        if self.took.len() < over {
            return;
        }
        let mut sorted: Vec<Duration> = self.took.iter().copied().collect();
        sorted.sort_unstable();
        let slow = sorted[(over * 95).div_ceil(100) - 1];
        if slow > bound.duration() {
            result.success = false;
            for point in points.iter_mut().filter(|it| it.labels.get(Labels::NAME) == Some("probe_success")) {
                point.value = 0.0;
            }
            result.message = format!(
                "it answers too slowly: 95 of 100 of the last {over} probes took up to {:.3} s, more than `{bound}` ({})",
                slow.as_secs_f64(),
                result.message
            );
        }
    }
}

/// Hands on what was seen; as long as that fails, tries again until the next probe knows better.
async fn observe(result: &ProbeResult, schedule: &Schedule, context: &Context, stop: &CancellationToken) {
    let runtime = &context.runtime;
    let outcome = if result.success { "success" } else { "failure" };
    let probes = runtime.metrics.counter("watchbell_probes_total", "Probes that were made.", &[("outcome", outcome)]);
    probes.inc();
    loop {
        let seen = vec![Observation::Probe(result.clone())];
        let Err(error) = context.observe.observe(seen, Vec::new()).await else {
            runtime.troubles.clear("probe/observe");
            return;
        };
        let failed = "watchbell_probe_observations_failed_total";
        runtime.metrics.counter(failed, "Tries to have a probe judged that failed.", &[]).inc();
        let summary = format!("the outcome of probes cannot be judged: {error}");
        runtime.troubles.set("probe/observe", Severity::Critical, summary);
        let again = runtime.clock.monotonic() + OBSERVE_AGAIN;
        if again >= schedule.next() {
            return;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = runtime.clock.sleep(OBSERVE_AGAIN) => {}
        }
    }
}

/// Hands on samples; `new` is the monitor whose samples the store was not told the meaning of yet.
async fn append(points: Vec<Point>, new: Option<&MonitorConfig>, schedule: &Schedule, context: &Context) {
    let runtime = &context.runtime;
    let patience = APPEND_MAX.min(schedule.next().saturating_sub(runtime.clock.monotonic()));
    let count = points.len() as u64;
    let mut batch = Batch::of("probe", points);
    if let Some(config) = new {
        batch.metadata = samples::metadata(config);
    }
    let why = match runtime.clock.timeout(patience, context.append.append(batch)).await {
        Ok(Ok(appended)) => {
            runtime.troubles.clear("probe/append");
            let refused = count.saturating_sub(appended.kept);
            if refused > 0 {
                dropped(context, refused);
            }
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the store did not answer within {}", Span(patience)),
    };
    dropped(context, count);
    runtime.troubles.set("probe/append", Severity::Warning, format!("samples of probes are lost: {why}"));
}

fn dropped(context: &Context, count: u64) {
    let name = "watchbell_probe_samples_dropped_total";
    context.runtime.metrics.counter(name, "Samples of probes that the store did not keep.", &[]).add(count);
}
