//! Which targets there are: each job with what its configuration lists and what its discoveries gave last.
//!
//! Pure but for handing tasks to the supervisor, always under one lock, so that the last change wins.

use std::collections::{BTreeMap, btree_map::Entry};
use std::sync::Arc;

use watchbell_model::{Labels, RelabelStep, Severity};
use watchbell_runtime::Task;

use super::config::{ScrapeConfig, TARGETS_MAX};
use super::job::Job;
use super::scraper::Scraper;
use super::target::{self, Made, Target};
use super::{DiscoveryStatus, DroppedTarget, TargetHealth, TargetStatus, Targets};
use crate::Context;
use crate::discovery::TargetGroup;

/// How many dropped targets of a job are kept where the configuration gives no number.
const DROPPED_MAX: usize = 10_000;

/// All jobs and their targets.
#[derive(Default)]
pub(super) struct Pools {
    pools: BTreeMap<String, Pool>,
    /// By the targets' names.
    known: BTreeMap<String, Known>,
}

struct Known {
    status: TargetStatus,
    /// See [`Job::shape`].
    shape: u64,
}

struct Pool {
    job: Arc<Job>,
    listed: Vec<TargetGroup>,
    /// By the discovery that gave them.
    found: BTreeMap<String, Found>,
    targets: Vec<Target>,
    dropped: Vec<DroppedTarget>,
    dropped_count: usize,
}

/// What one discovery gave.
#[derive(Default)]
struct Found {
    kind: String,
    groups: Vec<TargetGroup>,
    error: Option<String>,
}

impl Pools {
    /// Makes the jobs be these. What a discovery gave that is still asked for stays.
    pub(super) fn set(&mut self, configs: &[ScrapeConfig], discoveries: &[(String, String, &'static str)]) {
        let mut old = std::mem::take(&mut self.pools);
        for config in configs {
            let job = Job::new(config);
            let last = old.remove(&config.job_name);
            let (job, mut found) = match last {
                // The same job keeps the token it holds.
                Some(last) if last.job.key == job.key && last.job.same_targets(&job) => (last.job, last.found),
                Some(last) => (job, last.found),
                None => (job, BTreeMap::new()),
            };
            let mut wanted = BTreeMap::new();
            for (_, source, kind) in discoveries.iter().filter(|(pool, ..)| *pool == config.job_name) {
                let known = found.remove(source);
                let known = known.unwrap_or_else(|| Found { kind: (*kind).to_owned(), ..Found::default() });
                wanted.insert(source.clone(), known);
            }
            let mut pool = Pool {
                job,
                listed: target::of_static(&config.static_configs),
                found: wanted,
                targets: Vec::new(),
                dropped: Vec::new(),
                dropped_count: 0,
            };
            pool.make();
            self.pools.insert(config.job_name.clone(), pool);
        }
    }

    /// Takes in what a discovery says; whether that changes the targets.
    pub(super) fn found(&mut self, pool: &str, source: &str, answer: Result<Vec<TargetGroup>, String>) -> bool {
        let Some(pool) = self.pools.get_mut(pool) else { return false };
        let Some(found) = pool.found.get_mut(source) else { return false };
        match answer {
            Ok(groups) => {
                found.error = None;
                if found.groups == groups {
                    return false;
                }
                found.groups = groups;
                pool.make();
                true
            }
            Err(error) => {
                found.error = Some(error);
                false
            }
        }
    }

    /// Makes the statuses be those of the targets there are, and gives the work of scraping them.
    pub(super) fn tasks(&mut self, targets: &Targets, context: &Context) -> Vec<Task> {
        let mut active: BTreeMap<String, &Target> = BTreeMap::new();
        let mut left_out = 0;
        for target in self.pools.values().flat_map(|pool| &pool.targets) {
            if active.len() >= TARGETS_MAX {
                left_out += 1;
                continue;
            }
            active.insert(target.name.clone(), target);
        }
        let mut known = std::mem::take(&mut self.known);
        for (name, target) in &active {
            let fresh = status(target);
            let status = match known.remove(name) {
                Some(Known { status, .. }) if status.labels == target.labels => TargetStatus {
                    health: status.health,
                    last_scrape: status.last_scrape,
                    last_duration: status.last_duration,
                    samples: status.samples,
                    error: status.error,
                    warning: status.warning,
                    ..fresh
                },
                _ => fresh,
            };
            self.known.insert(name.clone(), Known { status, shape: target.job.shape });
        }
        let troubles = &context.runtime.troubles;
        if left_out > 0 {
            let words = format!("{left_out} targets are not scraped: {TARGETS_MAX} are the most that are");
            troubles.set("scrape-targets", Severity::Warning, words);
        } else {
            troubles.clear("scrape-targets");
        }
        let task = |(name, target): (String, &Target)| {
            let (target, targets, context) = (target.clone(), targets.clone(), context.clone());
            Task::new(name, target.key(), move |stop| {
                Scraper::new(target.clone(), targets.clone(), context.clone()).run(stop)
            })
        };
        active.into_iter().map(task).collect()
    }

    /// Whether a target whose series go on under the same labels still stands under this name.
    pub(super) fn is_wanted(&self, target: &Target) -> bool {
        let known = self.known.get(&target.name);
        known.is_some_and(|known| known.status.labels == target.labels && known.shape == target.job.shape)
    }

    pub(super) fn update(&mut self, target: &Target, update: impl FnOnce(&mut TargetStatus)) {
        if let Some(known) = self.known.get_mut(&target.name).filter(|known| known.status.labels == target.labels) {
            update(&mut known.status);
        }
    }

    pub(super) fn list(&self) -> Vec<TargetStatus> {
        self.known.values().map(|known| known.status.clone()).collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.pools.keys().cloned().collect()
    }

    pub(super) fn dropped(&self) -> Vec<DroppedTarget> {
        self.pools.values().flat_map(|pool| pool.dropped.iter().cloned()).collect()
    }

    pub(super) fn dropped_counts(&self) -> BTreeMap<String, usize> {
        self.pools.iter().map(|(name, pool)| (name.clone(), pool.dropped_count)).collect()
    }

    pub(super) fn discoveries(&self) -> Vec<DiscoveryStatus> {
        let of_pool = |(name, pool): (&String, &Pool)| {
            let one = |found: &Found| DiscoveryStatus {
                pool: name.clone(),
                kind: found.kind.clone(),
                targets: found.groups.iter().map(|group| group.targets.len()).sum(),
                error: found.error.clone(),
            };
            pool.found.values().map(one).collect::<Vec<_>>()
        };
        self.pools.iter().flat_map(of_pool).collect()
    }

    pub(super) fn steps(&self, pool: &str, discovered: &Labels) -> Option<Vec<RelabelStep>> {
        self.pools.get(pool).map(|pool| pool.job.relabel.steps(discovered))
    }
}

impl Pool {
    /// Relabels all that is known; what comes out the same twice is scraped once.
    fn make(&mut self) {
        let mut targets: BTreeMap<String, Target> = BTreeMap::new();
        self.dropped.clear();
        self.dropped_count = 0;
        let keep = match self.job.config.keep_dropped_targets {
            0 => DROPPED_MAX,
            count => count.min(DROPPED_MAX),
        };
        let groups = self.listed.iter().chain(self.found.values().flat_map(|found| &found.groups));
        for (group, own) in groups.flat_map(|group| group.targets.iter().map(move |own| (group, own))) {
            let discovered = target::discovered(&self.job.config, &group.labels, own);
            let error = match target::make(&self.job, discovered.clone()) {
                Made::Target(target) => {
                    insert(&mut targets, *target);
                    continue;
                }
                Made::Dropped => None,
                Made::Failed(reason) => {
                    tracing::warn!(job = self.job.pool(), labels = %discovered, "not a target: {reason}");
                    Some(reason)
                }
            };
            self.dropped_count += usize::from(error.is_none());
            if self.dropped.len() < keep {
                self.dropped.push(DroppedTarget { pool: self.job.pool().to_owned(), discovered, error });
            }
        }
        self.targets = targets.into_values().collect();
        self.job.set_targets(self.targets.len());
    }
}

fn insert(targets: &mut BTreeMap<String, Target>, mut target: Target) {
    match targets.entry(target.name.clone()) {
        Entry::Vacant(free) => {
            free.insert(target);
        }
        Entry::Occupied(taken) if taken.get().is_same(&target) => {}
        Entry::Occupied(_) => {
            target.name = format!("{} {:016x}", target.name, target.identity());
            targets.insert(target.name.clone(), target);
        }
    }
}

fn status(target: &Target) -> TargetStatus {
    TargetStatus {
        pool: target.job.pool().to_owned(),
        job: target.job_label().to_owned(),
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
