//! Scraping: asking targets for their metrics as Prometheus does, on its schedule, with its labels and markers.
//!
//! Reads the text format, OpenMetrics and protobuf with its native histograms. A series that the store knows is handed
//! on by reference, without labels; metadata and exemplars are handed on when they are new. Relabelling of samples is
//! decided once per series. An exemplar without a time has that of its sample; lines `_created` are series like any
//! other, as is Prometheus' default.
//!
//! Always: a scrape counts whole or not at all; whatever a target does, `up` and its companions are written; a series
//! that is gone gets its end marked; a store that fails stops no scraping; one that forgets a series loses none of its
//! samples; a discovery that fails takes no target away.

mod body;
mod config;
mod described;
mod job;
mod labels;
mod pools;
pub(crate) mod rules;
mod scraper;
pub(crate) mod series;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use schemars::JsonSchema;
use serde::Serialize;
use watchbell_model::{Labels, RelabelStep, Span, Timestamp};
use watchbell_runtime::{CancellationToken, Task};

use crate::Context;
use crate::discovery::{Discovery, TargetGroup};
use pools::Pools;
use target::Target;

pub use config::{
    NameEscaping, NameValidation, Scheme, ScrapeConfig, ScrapeDefaults, ScrapeProtocol, StaticConfig, TARGETS_MAX,
};

/// All targets, as they stand. Cheap to clone.
#[derive(Clone, Default)]
pub struct Targets(Arc<Mutex<Pools>>);

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
    /// The `job_name` of its configuration; Prometheus calls it the scrape pool.
    pub pool: String,
    /// The label `job`.
    pub job: String,
    /// The label `instance`.
    pub instance: String,
    /// What is fetched.
    pub url: String,
    /// Labels of all that is scraped from it.
    pub labels: Labels,
    /// What was known of it before relabelling.
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

/// What was discovered and is not scraped.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DroppedTarget {
    /// The `job_name` of its configuration.
    pub pool: String,
    /// What was known of it before relabelling.
    pub discovered: Labels,
    /// Why it cannot be scraped; not given where relabelling dropped it.
    pub error: Option<String>,
}

/// A discovery as it stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DiscoveryStatus {
    /// The `job_name` of its configuration.
    pub pool: String,
    /// What it asks, such as `file`.
    pub kind: String,
    /// How many targets it gave last.
    pub targets: usize,
    /// Why it failed last, if it did; what it gave before still stands.
    pub error: Option<String>,
}

impl Targets {
    /// None yet.
    pub fn new() -> Targets {
        Targets::default()
    }

    /// All of them, in order of job and instance.
    pub fn list(&self) -> Vec<TargetStatus> {
        self.pools().list()
    }

    /// The names of all jobs.
    pub fn pool_names(&self) -> Vec<String> {
        self.pools().names()
    }

    /// What was discovered and is not scraped, as much of it as is kept.
    pub fn dropped(&self) -> Vec<DroppedTarget> {
        self.pools().dropped()
    }

    /// How many targets relabelling dropped, by job.
    pub fn dropped_counts(&self) -> BTreeMap<String, usize> {
        self.pools().dropped_counts()
    }

    /// All discoveries, in order of jobs.
    pub fn discoveries(&self) -> Vec<DiscoveryStatus> {
        self.pools().discoveries()
    }

    /// What each of a job's `relabel_configs` makes of labels; `None` if there is no such job.
    pub fn relabel_steps(&self, pool: &str, discovered: &Labels) -> Option<Vec<RelabelStep>> {
        self.pools().steps(pool, discovered)
    }

    /// Makes the targets be those of these jobs, now and whenever their discoveries find others. What did not change
    /// goes on untouched; the task of a target that is not among them any more marks the end of its series.
    pub fn apply(&self, configs: &[ScrapeConfig], context: &Context) {
        let discoveries: Vec<(String, String, Arc<Discovery>)> = configs
            .iter()
            .flat_map(|config| config.discoveries().into_iter().map(|it| (config.job_name.clone(), it)))
            .map(|(pool, it)| (pool, format!("{}/{:016x}", it.name(), it.key()), Arc::new(it)))
            .collect();
        let names: Vec<_> =
            discoveries.iter().map(|(pool, source, it)| (pool.clone(), source.clone(), it.name())).collect();
        let mut pools = self.pools();
        pools.set(configs, &names);
        // Those who find are stopped before those who scrape what was found.
        let finders = discoveries.into_iter().map(|(pool, source, discovery)| {
            let (targets, context) = (self.clone(), context.clone());
            Task::new(format!("{pool}/{source}"), discovery.key(), move |stop| {
                let (targets, context) = (targets.clone(), context.clone());
                let (pool, source, discovery) = (pool.clone(), source.clone(), Arc::clone(&discovery));
                async move { targets.find(&pool, &source, &discovery, &context, stop).await }
            })
        });
        context.runtime.supervisor.reconcile("discovery", finders.collect());
        self.reconcile(pools, context);
    }

    fn reconcile(&self, mut pools: MutexGuard<'_, Pools>, context: &Context) {
        let tasks = pools.tasks(self, context);
        let count = tasks.len() as f64;
        context.runtime.metrics.gauge("watchbell_scrape_targets", "Targets that are scraped.", &[]).set(count);
        // Under the lock, so that of two changes the later one stands.
        context.runtime.supervisor.reconcile("scrape", tasks);
    }

    /// Asks a discovery again and again.
    async fn find(&self, pool: &str, source: &str, discovery: &Discovery, context: &Context, stop: CancellationToken) {
        loop {
            let answer = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                answer = discovery.targets(&context.runtime) => answer,
            };
            let outcome = if answer.is_ok() { "ok" } else { "failed" };
            let help = "Refreshes of discoveries by kind and outcome.";
            let labels = [("kind", discovery.name()), ("outcome", outcome)];
            context.runtime.metrics.counter("watchbell_discovery_refreshes_total", help, &labels).inc();
            if let Err(error) = &answer {
                tracing::warn!(
                    job = pool,
                    kind = discovery.name(),
                    "a discovery failed, its last targets stay: {error}"
                );
            }
            self.take_in(pool, source, answer, context, &stop);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = context.runtime.clock.sleep(discovery.refresh_interval().duration()) => {}
            }
        }
    }

    fn take_in(
        &self,
        pool: &str,
        source: &str,
        answer: Result<Vec<TargetGroup>, String>,
        context: &Context,
        stop: &CancellationToken,
    ) {
        let mut pools = self.pools();
        // A finder that was just replaced must not bring back what is gone.
        if !stop.is_cancelled() && pools.found(pool, source, answer) {
            self.reconcile(pools, context);
        }
    }

    fn pools(&self) -> MutexGuard<'_, Pools> {
        self.0.lock().expect("no panic while held")
    }

    /// Whether a target with these labels still stands under this name.
    fn is_wanted(&self, target: &Target) -> bool {
        self.pools().is_wanted(target)
    }

    fn update(&self, target: &Target, update: impl FnOnce(&mut TargetStatus)) {
        self.pools().update(target, update);
    }
}
