//! The head: every active series with the samples that are not in a block yet.
//!
//! Readers and the one writer meet at small locks: the index, which changes only when a series is new, and shards of
//! the samples. Lock order: log, index, shard.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

use watchbell_model::{Labels, Matcher, Point};

use super::index::{Index, Ref};
use super::matching::matching;
use super::record::Logged;
use super::replay::Replay;
use super::series::{Head, Limits, Outcome, Part};

const SHARDS: usize = 16;

#[derive(Default)]
pub(crate) struct Heads {
    index: RwLock<Index>,
    shards: [Mutex<Vec<Head>>; SHARDS],
    /// Bytes of samples.
    bytes: AtomicU64,
}

impl Heads {
    /// The number of each point's series; `None` where it would be one series too many.
    pub(crate) fn resolve(&self, points: &[Point], limit: u64) -> Vec<Option<Ref>> {
        let index = self.index();
        let mut found: Vec<_> = points.iter().map(|point| index.find(&point.labels)).collect();
        drop(index);
        if found.contains(&None) {
            let mut index = self.index.write().expect("no panic while held");
            for (found, point) in found.iter_mut().zip(points).filter(|(found, _)| found.is_none()) {
                *found = index
                    .find(&point.labels)
                    .or_else(|| ((index.len() as u64) < limit).then(|| self.add(&mut index, &point.labels)));
            }
        }
        found
    }

    fn add(&self, index: &mut Index, labels: &Labels) -> Ref {
        let new = index.find_or_add(labels);
        let mut shard = self.shard(new);
        if shard.len() <= new as usize / SHARDS {
            shard.push(Head::default());
        }
        new
    }

    /// Takes a sample; `name` is called if segment `segment` of the log does not know the series yet.
    pub(crate) fn append(&self, sample: Logged, limits: Limits, segment: u32, name: impl FnOnce()) -> Outcome {
        let mut shard = self.shard(sample.series);
        let head = &mut shard[sample.series as usize / SHARDS];
        let (outcome, grown) = head.append(sample.time, sample.value, limits);
        if outcome == Outcome::Kept && head.logged != segment {
            head.logged = segment;
            name();
        }
        drop(shard);
        self.bytes.fetch_add(grown as u64, Ordering::Relaxed);
        outcome
    }

    /// Copies of what may hold samples from `start` to `end` of the series that pass, with their labels.
    pub(crate) fn select(&self, matchers: &[Matcher], start: i64, end: i64) -> Vec<(Labels, Part)> {
        let index = self.index();
        let mut found = Vec::new();
        for series in matching(&*index, matchers) {
            let part = self.shard(series)[series as usize / SHARDS].part(start, end);
            if !part.is_empty() {
                found.push((index.labels(series), part));
            }
        }
        found
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().expect("no panic while held")
    }

    pub(crate) fn series(&self) -> u64 {
        self.index().len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn samples(&self) -> u64 {
        let of = |shard: &Mutex<Vec<Head>>| lock(shard).iter().map(Head::samples).sum::<u64>();
        self.shards.iter().map(of).sum()
    }

    fn shard(&self, series: Ref) -> MutexGuard<'_, Vec<Head>> {
        lock(&self.shards[series as usize % SHARDS])
    }
}

fn lock(shard: &Mutex<Vec<Head>>) -> MutexGuard<'_, Vec<Head>> {
    shard.lock().expect("no panic while held")
}

/// Fills a head from the log, leaving out what is in blocks already.
pub(crate) struct Filling<'a> {
    pub(crate) heads: &'a Heads,
    /// Samples before this time, in segments up to this one, are in blocks.
    pub(crate) sealed: Option<(u32, i64)>,
}

impl Replay for Filling<'_> {
    fn series(&mut self, labels: Labels) -> u32 {
        let mut index = self.heads.index.write().expect("no panic while held");
        match index.find(&labels) {
            Some(known) => known,
            None => self.heads.add(&mut index, &labels),
        }
    }

    fn sample(&mut self, segment: u32, sample: Logged) {
        if !self.sealed.is_some_and(|(last, end)| segment <= last && sample.time < end) {
            self.heads.append(sample, Limits::none(), 0, || {});
        }
    }
}
