//! One target, scraped again and again.

use std::time::Duration;

use watchbell_model::{Appended, Observation, ScrapeResult, Span, Timestamp, stale_nan};
use watchbell_runtime::CancellationToken;
use watchbell_wire::prometheus::{Format, format_of};

use super::series::{self, Alive, Outgoing, REPORT, Scraped};
use super::target::Target;
use super::{TargetHealth, Targets, body};
use crate::Context;

/// A scrape that starts at most this late is written down as on time: equal distances are what compresses (Prometheus
/// has the same bound).
const LATE_MAX: Duration = Duration::from_millis(2);
/// Every so many scrapes an OpenMetrics body is held against all rules of the format.
const JUDGED_EVERY: u64 = 60;
/// How many of the numbers that tell of a scrape are always written.
const REPORTED: usize = 5;

pub(super) struct Scraper {
    target: Target,
    targets: Targets,
    context: Context,
    alive: Alive,
    /// Whether it was scraped at all, so that its report has begun.
    scraped: bool,
    /// In how many OpenMetrics scrapes the next one is judged.
    judge_in: u64,
    /// How long the last body was.
    body_len: usize,
}

/// A body and what it is.
struct Fetched {
    body: Vec<u8>,
    content_type: String,
}

impl Scraper {
    pub(super) fn new(target: Target, targets: Targets, context: Context) -> Scraper {
        let source = format!("scrape/{}", target.job.pool()).into();
        let mut rules = target.job.rules.clone();
        rules.histograms = target.histograms;
        let alive = Alive::new(source, target.labels.clone(), rules);
        Scraper { target, targets, context, alive, scraped: false, judge_in: 0, body_len: 0 }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
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
            let mut ends = self.alive.end(at);
            if self.scraped {
                self.alive.report(&mut ends, at, &[stale_nan(); REPORT.len()][..self.reported()]);
            }
            self.append(ends).await;
        }
    }

    async fn fetch(&self) -> Result<Fetched, String> {
        let job = &self.target.job;
        if let Some(reason) = job.forced() {
            return Err(reason);
        }
        let mut response = job.client.send(&self.context.runtime, self.target.request()).await?;
        let content_type = response.header("content-type").unwrap_or_default().to_owned();
        let body = body::of(&mut response, job.body_max, self.body_len)?;
        Ok(Fetched { body, content_type })
    }

    fn reported(&self) -> usize {
        if self.target.job.config.extra_scrape_metrics == Some(true) { REPORT.len() } else { REPORTED }
    }

    /// Makes samples of what was fetched, writes them, tells of it.
    async fn take(&mut self, fetched: Result<Fetched, String>, at: Timestamp, took: Duration) {
        let mut warning = None;
        let mut bytes = 0.0;
        let scraped = match fetched {
            Ok(Fetched { body, content_type }) => {
                bytes = body.len() as f64;
                self.body_len = body.len();
                // Nothing is in an empty body, whatever it is said to be.
                let format = match body.is_empty() {
                    true => Ok(Format::Text),
                    false => format_of(&content_type, self.target.job.rules.fallback),
                };
                match format {
                    Ok(format) => {
                        let scraped = self.alive.read(&body, format, at);
                        if scraped.error.is_none() {
                            warning = self.judge(&body, format);
                        }
                        scraped
                    }
                    Err(error) => self.alive.fail(at, error),
                }
            }
            Err(error) => {
                if error == body::TOO_LONG {
                    bytes = -1.0;
                }
                self.alive.fail(at, error)
            }
        };
        self.scraped = true;
        self.count(&scraped);
        let Scraped { mut outgoing, samples, left, added, error, .. } = scraped;
        let up = if error.is_none() { 1.0 } else { 0.0 };
        let more = [self.target.timeout.duration().as_secs_f64(), self.target.job.rules.samples_max as f64, bytes];
        let values = [up, took.as_secs_f64(), samples as f64, left as f64, added as f64, more[0], more[1], more[2]];
        self.alive.report(&mut outgoing, at, &values[..self.reported()]);
        self.append(outgoing).await;
        let duration = Span(took);
        self.targets.update(&self.target, |status| {
            status.health = if error.is_none() { TargetHealth::Up } else { TargetHealth::Down };
            status.last_scrape = Some(at);
            status.last_duration = Some(duration);
            status.samples = left;
            status.error.clone_from(&error);
            if let Some(warning) = warning {
                status.warning = warning;
            }
        });
        let seen = Observation::Scrape(ScrapeResult {
            job: self.target.job_label().to_owned(),
            instance: self.target.instance().to_owned(),
            url: self.target.url.to_string(),
            at,
            duration,
            samples: left,
            error,
        });
        if let Err(error) = self.context.observe.observe(vec![seen], Vec::new()).await {
            tracing::warn!(target = self.target.name, "a scrape could not be judged: {error}");
        }
    }

    /// What OpenMetrics has against the body, where it is time to look: `None` where it is not.
    fn judge(&mut self, body: &[u8], format: Format) -> Option<Option<String>> {
        if format != Format::OpenMetrics {
            return Some(None);
        }
        let due = self.judge_in == 0;
        self.judge_in = if due { JUDGED_EVERY } else { self.judge_in } - 1;
        due.then(|| series::violation(body))
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

    fn count(&mut self, scraped: &Scraped) {
        let outcome = if scraped.error.is_some() { "failed" } else { "ok" };
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
