//! The head: every active series with the samples that are not in a block yet.
//!
//! Readers and the one writer meet at small locks: the index, which changes only when a series is new, and shards of
//! the samples. Lock order: log, index, shard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

use watchbell_model::{Labels, Sample, SeriesKey};

use super::index::{Index, Ref};
use super::record::Logged;
use super::replay::Replay;
use super::seal::{Mark, Sealing};
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
    /// The number of each series; `None` where it would be one series too many.
    pub(crate) fn resolve(&self, series: &[SeriesKey], limit: u64) -> Vec<Option<Ref>> {
        let find = |index: &Index, key: &SeriesKey| match key {
            SeriesKey::Labels(labels) => index.find(labels),
            SeriesKey::Known(reference) => index.known(*reference),
        };
        let index = self.index();
        let mut found: Vec<_> = series.iter().map(|key| find(&index, key)).collect();
        drop(index);
        if found.contains(&None) {
            let mut index = self.index.write().expect("no panic while held");
            for (found, key) in found.iter_mut().zip(series).filter(|(found, _)| found.is_none()) {
                let SeriesKey::Labels(labels) = key else { continue };
                *found =
                    index.find(labels).or_else(|| ((index.len() as u64) < limit).then(|| self.add(&mut index, labels)));
            }
        }
        found
    }

    fn add(&self, index: &mut Index, labels: &Labels) -> Ref {
        let new = index.find_or_add(labels, 0);
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

    /// A copy of what may hold samples of a series from `start` to `end`.
    pub(crate) fn part(&self, series: Ref, start: i64, end: i64) -> Part {
        self.shard(series)[series as usize / SHARDS].part(start, end)
    }

    /// Whether a series may hold samples from `start` to `end`.
    pub(crate) fn overlaps(&self, series: Ref, start: i64, end: i64) -> bool {
        self.shard(series)[series as usize / SHARDS].overlaps(start, end)
    }

    /// Marks everything before `end` as going into blocks.
    pub(crate) fn begin_seal(&self, end: i64) -> Sealing {
        let mut windows = BTreeMap::<i64, Vec<Ref>>::new();
        let slots = self.index().live().clone();
        for series in slots {
            for window in self.shard(series)[series as usize / SHARDS].begin_seal(end) {
                windows.entry(window).or_default().push(series);
            }
        }
        Sealing::new(windows)
    }

    /// Adds what of a series goes into a block and lies between `start` and `end`, both included, by time.
    pub(crate) fn read_sealing(&self, series: Ref, start: i64, end: i64, out: &mut Vec<Sample>) {
        let part = self.shard(series)[series as usize / SHARDS].sealing(start, end);
        part.read(start, end, out);
    }

    /// The blocks are served (`done`), and what is in them goes; or they were not made, and it stays.
    pub(crate) fn end_seal(&self, done: bool) {
        let mut bytes = 0;
        for shard in &self.shards {
            for head in lock(shard).iter_mut() {
                head.end_seal(done);
                bytes += head.bytes() as u64;
            }
        }
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Forgets series that hold nothing and were heard of last before `before`. Nobody may commit meanwhile.
    pub(crate) fn forget_dead(&self, before: i64) {
        let dead = |head: &Head| head.is_empty() && head.newest().is_none_or(|newest| newest < before);
        let slots = self.index().live().clone();
        for slot in slots {
            let shard = self.shard(slot);
            if dead(&shard[slot as usize / SHARDS]) {
                drop(shard);
                self.remove(slot);
            }
        }
    }

    /// Whether it holds nothing of a series.
    pub(crate) fn is_empty(&self, series: Ref) -> bool {
        self.shard(series)[series as usize / SHARDS].is_empty()
    }

    /// Forgets a series.
    pub(crate) fn remove(&self, series: Ref) {
        let mut index = self.index.write().expect("no panic while held");
        index.remove(series);
        self.shard(series)[series as usize / SHARDS] = Head::default();
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

/// How many replayed samples are gathered before they go in.
const GATHERED: usize = 1 << 20;

/// Fills a head from the log, leaving out what is in blocks already.
pub(crate) struct Filling<'a> {
    heads: &'a Heads,
    sealed: Option<Mark>,
    /// Samples on their way in, put in order of series first: memory is slow where it is touched at random.
    gathered: Vec<Logged>,
}

impl Filling<'_> {
    pub(crate) fn new(heads: &Heads, sealed: Option<Mark>) -> Filling<'_> {
        Filling { heads, sealed, gathered: Vec::new() }
    }
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
        if !self.sealed.is_some_and(|mark| segment <= mark.segment && sample.time < mark.end) {
            self.gathered.push(sample);
            if self.gathered.len() >= GATHERED {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        // Stable: the samples of one series stay in the order in which they were taken.
        self.gathered.sort_by_key(|sample| sample.series);
        for sample in self.gathered.drain(..) {
            self.heads.append(sample, Limits::none(), 0, || {});
        }
    }
}
