//! Scraping: asking targets for their metrics as Prometheus does, on its schedule, with its labels and markers.
//!
//! Reads the text format and OpenMetrics. A series that the store knows is handed on by reference, without labels;
//! metadata and exemplars are handed on when they are new. An exemplar without a time has that of its sample; lines
//! `_created` are series like any other, as is Prometheus' default. Left out as yet: relabelling, discovery, native
//! histograms, compressed bodies.
//!
//! Always: a scrape counts whole or not at all; whatever a target does, `up` and its companions are written; a series
//! that is gone gets its end marked; a store that fails stops no scraping; one that forgets a series loses none of its
//! samples.

mod config;
mod described;
mod labels;
pub(crate) mod series;
pub(crate) mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use watchbell_model::{Appended, Labels, Observation, ScrapeResult, Span, Timestamp, stale_nan};
use watchbell_runtime::{CancellationToken, Task, http};
use watchbell_wire::prometheus::Format;

use crate::Context;
use series::{Alive, Outgoing, Scraped};
use target::Target;

pub use config::{Scheme, ScrapeConfig, StaticConfig};

/// A scrape that starts at most this late is written down as on time: equal distances are what compresses (Prometheus
/// has the same bound).
const LATE_MAX: Duration = Duration::from_millis(2);
/// Every so many scrapes an OpenMetrics body is held against all rules of the format.
const JUDGED_EVERY: u64 = 60;

/// All targets, as they stand. Cheap to clone.
#[derive(Clone, Default)]
pub struct Targets(Arc<Mutex<BTreeMap<String, TargetStatus>>>);

/// How a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TargetHealth {
    /// Not scraped yet.
    Unknown,
    /// The last scrape went well.
    Up,
    /// The last scrape failed.
    Down,
}

/// A target as it stands, for APIs and pages.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TargetStatus {
    /// The job's name.
    pub job: String,
    /// The label `instance`.
    pub instance: String,
    /// What is fetched.
    pub url: String,
    /// Labels of all that is scraped from it.
    pub labels: Labels,
    /// What the configuration said before labels were made of it.
    pub discovered: Labels,
    /// How it is.
    pub health: TargetHealth,
    /// When the last scrape began.
    pub last_scrape: Option<Timestamp>,
    /// How long it took.
    pub last_duration: Option<Span>,
    /// How many samples it gave.
    pub samples: u64,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// Which rule of OpenMetrics its body breaks, if it does; it is taken all the same.
    pub warning: Option<String>,
    /// How often it is scraped.
    pub interval: Span,
    /// How long it may take.
    pub timeout: Span,
}

impl Targets {
    /// None yet.
    pub fn new() -> Targets {
        Targets::default()
    }

    /// All of them, in order of job and instance.
    pub fn list(&self) -> Vec<TargetStatus> {
        self.0.lock().expect("no panic while held").values().cloned().collect()
    }

    /// Makes the targets be those of these jobs, and gives the work of scraping them, to be reconciled at once: the
    /// task of a target that is not among them any more marks the end of its series when it is stopped.
    pub fn tasks(&self, configs: &[ScrapeConfig], context: &Context) -> Vec<Task> {
        let targets = target::targets(configs);
        let mut known = self.0.lock().expect("no panic while held");
        let fresh = targets.iter().map(|target| {
            let status = match known.get(&target.name) {
                Some(known) if known.labels == target.labels => TargetStatus {
                    health: known.health,
                    last_scrape: known.last_scrape,
                    last_duration: known.last_duration,
                    samples: known.samples,
                    error: known.error.clone(),
                    warning: known.warning.clone(),
                    ..status(target)
                },
                _ => status(target),
            };
            (target.name.clone(), status)
        });
        *known = fresh.collect();
        drop(known);
        let task = |target: Target| {
            let (targets, context) = (self.clone(), context.clone());
            Task::new(target.name.clone(), target.key(), move |stop| {
                let scraper = Scraper::new(target.clone(), targets.clone(), context.clone());
                scraper.run(stop)
            })
        };
        targets.into_iter().map(task).collect()
    }

    /// Whether a target with these labels still stands under this name.
    fn is_wanted(&self, target: &Target) -> bool {
        let known = self.0.lock().expect("no panic while held");
        known.get(&target.name).is_some_and(|status| status.labels == target.labels)
    }

    fn update(&self, target: &Target, update: impl FnOnce(&mut TargetStatus)) {
        let mut known = self.0.lock().expect("no panic while held");
        if let Some(status) = known.get_mut(&target.name).filter(|status| status.labels == target.labels) {
            update(status);
        }
    }
}

fn status(target: &Target) -> TargetStatus {
    TargetStatus {
        job: target.job().to_owned(),
        instance: target.instance().to_owned(),
        url: target.url.to_string(),
        labels: target.labels.clone(),
        discovered: target.discovered.clone(),
        health: TargetHealth::Unknown,
        last_scrape: None,
        last_duration: None,
        samples: 0,
        error: None,
        warning: None,
        interval: target.interval,
        timeout: target.timeout,
    }
}

/// Scrapes one target.
struct Scraper {
    target: Target,
    targets: Targets,
    context: Context,
    alive: Alive,
    /// Whether it was scraped at all, so that its report has begun.
    scraped: bool,
    /// In how many OpenMetrics scrapes the next one is judged.
    judge_in: u64,
}

impl Scraper {
    fn new(target: Target, targets: Targets, context: Context) -> Scraper {
        let source = format!("scrape/{}", target.job()).into();
        let alive = Alive::new(source, target.labels.clone(), target.rules);
        Scraper { target, targets, context, alive, scraped: false, judge_in: 0 }
    }

    async fn run(mut self, stop: CancellationToken) {
        let clock = self.context.runtime.clock.clone();
        let mut slot = self.target.first_slot(clock.now());
        loop {
            // Bounded by the interval, so that a wall clock that is set back does not stop the scraping.
            let wait = clock.timeout(self.target.interval.duration(), clock.sleep_until(slot));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = wait => {}
            }
            let now = clock.now();
            let late = LATE_MAX.min(self.target.interval.duration() / 100);
            let at = if now >= slot && now.since(slot) <= late { slot } else { now };
            let begun = clock.monotonic();
            let fetched = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                fetched = self.fetch() => fetched,
            };
            let took = clock.monotonic().saturating_sub(begun);
            self.take(fetched, at, took).await;
            slot = self.target.next_slot(clock.now());
        }
        if !self.targets.is_wanted(&self.target) {
            let at = clock.now();
            let mut ends = self.alive.end(at).outgoing;
            if self.scraped {
                self.alive.report(&mut ends, at, [stale_nan(); 5]);
            }
            self.append(ends).await;
        }
    }

    async fn fetch(&self) -> Result<http::Response, String> {
        let request = self.target.request(&self.context.runtime.disk)?;
        let response = http::send(&self.context.runtime, request).await.map_err(|error| error.to_string())?;
        if response.status != 200 {
            return Err(format!("the target answered with status {}", response.status));
        }
        if response.truncated {
            return Err(format!("the body is longer than `body_size_limit` allows ({} bytes)", self.target.body_max));
        }
        Ok(response)
    }

    /// Makes samples of what was fetched, writes them, tells of it.
    async fn take(&mut self, fetched: Result<http::Response, String>, at: Timestamp, took: Duration) {
        let mut warning = None;
        let read = fetched.and_then(|response| {
            let format = Format::of_content_type(response.header("content-type").unwrap_or_default());
            let read = self.alive.read(&response.body, format, at)?;
            match format {
                Format::Text => warning = Some(None),
                Format::OpenMetrics => {
                    if self.judge_in == 0 {
                        warning = Some(series::violation(&response.body));
                        self.judge_in = JUDGED_EVERY;
                    }
                    self.judge_in -= 1;
                }
            }
            Ok(read)
        });
        self.scraped = true;
        let (scraped, error) = match read {
            Ok(scraped) => (scraped, None),
            Err(error) => (self.alive.end(at), Some(error)),
        };
        self.count(&scraped, error.is_some());
        let Scraped { mut outgoing, samples, kept, added, .. } = scraped;
        let up = if error.is_none() { 1.0 } else { 0.0 };
        let values = [up, took.as_secs_f64(), samples as f64, kept as f64, added as f64];
        self.alive.report(&mut outgoing, at, values);
        self.append(outgoing).await;
        let duration = Span(took);
        self.targets.update(&self.target, |status| {
            status.health = if error.is_none() { TargetHealth::Up } else { TargetHealth::Down };
            status.last_scrape = Some(at);
            status.last_duration = Some(duration);
            status.samples = kept;
            status.error.clone_from(&error);
            if let Some(warning) = warning {
                status.warning = warning;
            }
        });
        let seen = Observation::Scrape(ScrapeResult {
            job: self.target.job().to_owned(),
            instance: self.target.instance().to_owned(),
            url: self.target.url.to_string(),
            at,
            duration,
            samples: kept,
            error,
        });
        if let Err(error) = self.context.observe.observe(vec![seen], Vec::new()).await {
            tracing::warn!(target = self.target.name, "a scrape could not be judged: {error}");
        }
    }

    async fn append(&mut self, mut outgoing: Outgoing) {
        let Some(appended) = self.hand_over(&mut outgoing).await else { return };
        if let Some(mut again) = self.alive.learn(&outgoing, &appended)
            && let Some(appended) = self.hand_over(&mut again).await
        {
            self.alive.learn(&again, &appended);
            self.dropped("unknown", appended.unknown);
        }
    }

    async fn hand_over(&mut self, outgoing: &mut Outgoing) -> Option<Appended> {
        if outgoing.is_empty() {
            return None;
        }
        let count = outgoing.len() as u64;
        match self.context.append.append(outgoing.hand_over()).await {
            Ok(appended) => {
                self.dropped("duplicate", appended.duplicate);
                self.dropped("too_old", appended.too_old);
                self.dropped("too_new", appended.too_new);
                self.dropped("over_limit", appended.over_limit);
                Some(appended)
            }
            Err(error) => {
                self.alive.lost();
                self.dropped("store_failed", count);
                tracing::warn!(target = self.target.name, "a scrape is lost: {error}");
                None
            }
        }
    }

    fn count(&mut self, scraped: &Scraped, failed: bool) {
        let outcome = if failed { "failed" } else { "ok" };
        let metrics = &self.context.runtime.metrics;
        metrics.counter("watchbell_scrapes_total", "Scrapes by outcome.", &[("outcome", outcome)]).inc();
        self.dropped("duplicate", scraped.duplicate);
        self.dropped("future", scraped.future);
        let undescribed = self.alive.undescribed();
        if undescribed > 0 {
            let help = "Lines TYPE, HELP and UNIT that were left out, since the target has too many metrics.";
            let metrics = &self.context.runtime.metrics;
            metrics.counter("watchbell_scrape_metadata_dropped_total", help, &[]).add(undescribed);
        }
    }

    fn dropped(&self, reason: &str, count: u64) {
        if count > 0 {
            let help = "Samples of scrapes that were not kept, by reason.";
            let metrics = &self.context.runtime.metrics;
            metrics.counter("watchbell_scrape_samples_dropped_total", help, &[("reason", reason)]).add(count);
        }
    }
}
