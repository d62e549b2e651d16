//! The head: every active series with the samples that are not in a block yet.
//!
//! Readers and the one writer meet at small locks: the index, which changes only when series come and go, and shards of
//! the samples. Neighbours share a shard, so that a batch of them takes its lock once. Lock order: log, sources, index,
//! shard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use watchbell_model::{Labels, SeriesKey, Start};

use super::both::Both;
use super::index::{Index, Ref};
use super::seal::Sealing;
use super::series::{Head, Part};
use super::sources::{SeriesLimits, Sources};

const SHARDS: usize = 16;
/// How many neighbours share a shard; so many are made at once, so that adding one never moves the others.
const PAGE: usize = 256;
/// How many series are added, or forgotten, before readers get a turn.
const TURN: usize = 256;

#[derive(Default)]
pub(crate) struct Heads {
    index: RwLock<Index>,
    shards: [Mutex<Shard>; SHARDS],
    sources: Mutex<Sources>,
    /// Bytes of samples.
    bytes: AtomicU64,
    samples: AtomicU64,
}

#[derive(Default)]
struct Shard {
    pages: Vec<Vec<Head>>,
}

impl Shard {
    fn head(&mut self, series: Ref) -> &mut Head {
        &mut self.pages[Heads::page_of(series) / SHARDS][series as usize % PAGE]
    }

    fn make(&mut self, series: Ref) {
        while self.pages.len() <= Heads::page_of(series) / SHARDS {
            self.pages.push(std::iter::repeat_with(Head::default).take(PAGE).collect());
        }
    }
}

/// The series of a batch.
pub(crate) struct Resolved {
    /// The number of each; `None` where it is not known, or one too many.
    pub(crate) series: Vec<Option<Ref>>,
    /// How many are new.
    pub(crate) added: u64,
    /// How many were refused.
    pub(crate) refused: u64,
    /// The limit they met, and whether it is that of all series.
    pub(crate) limit: (u64, bool),
}

impl Heads {
    /// Finds the series of a batch, and makes those that are new as far as its source may have more.
    pub(crate) fn resolve(&self, series: &[SeriesKey], source: u16, limits: &SeriesLimits<'_>) -> Resolved {
        let index = self.index();
        let find = |key: &SeriesKey| match key {
            SeriesKey::Labels(labels) => index.find(labels),
            SeriesKey::Known(reference) => index.known(*reference),
        };
        let mut found = Resolved { series: series.iter().map(find).collect(), added: 0, refused: 0, limit: (0, false) };
        drop(index);
        if !found.series.contains(&None) {
            return found;
        }
        let mut sources = self.sources();
        let (own, has) = (limits.of(sources.name(source)), sources.get_mut(source).series);
        let new = |found: &Option<Ref>, key: &SeriesKey| found.is_none() && matches!(key, SeriesKey::Labels(_));
        let missing: Vec<usize> = (0..series.len()).filter(|at| new(&found.series[*at], &series[*at])).collect();
        for turn in missing.chunks(TURN) {
            let mut index = self.index_mut();
            for at in turn {
                let SeriesKey::Labels(labels) = &series[*at] else { continue };
                let known = index.find(labels);
                let by_all = index.len() as u64 >= limits.all();
                if known.is_none() && (by_all || has + found.added >= own) {
                    found.refused += 1;
                    found.limit = if by_all { (limits.all(), true) } else { (own, false) };
                    continue;
                }
                found.added += u64::from(known.is_none());
                found.series[*at] = Some(known.unwrap_or_else(|| self.add(&mut index, labels, source)));
            }
        }
        let of = sources.get_mut(source);
        of.series += found.added;
        of.refused += found.refused;
        of.by_all = found.limit.1;
        found
    }

    fn add(&self, index: &mut Index, labels: &Labels, source: u16) -> Ref {
        let new = index.find_or_add(labels, source);
        self.shard(new).make(new);
        new
    }

    /// The number of a series that the log names, new if need be.
    pub(crate) fn replayed(&self, labels: &Labels, source: Option<&str>) -> Ref {
        let mut sources = self.sources();
        let source = source.map_or(0, |source| sources.number(source));
        let mut index = self.index_mut();
        let before = index.len();
        let series = self.add(&mut index, labels, source);
        sources.get_mut(source).series += (index.len() - before) as u64;
        series
    }

    /// The page that a series lies in.
    pub(crate) fn page_of(series: Ref) -> usize {
        series as usize / PAGE
    }

    /// The shard that a page belongs to.
    pub(crate) fn shard_of_page(page: usize) -> usize {
        page % SHARDS
    }

    /// The heads of series one after the other.
    pub(crate) fn walk(&self) -> Walk<'_> {
        Walk { heads: self, locked: None, bytes: 0, samples: 0 }
    }

    /// A copy of what may hold samples of a series from `start` to `end`.
    pub(crate) fn part(&self, series: Ref, start: i64, end: i64) -> Part {
        self.shard(series).head(series).part(start, end)
    }

    /// Whether a series may hold samples from `start` to `end`.
    pub(crate) fn overlaps(&self, series: Ref, start: i64, end: i64) -> bool {
        self.shard(series).head(series).overlaps(start, end)
    }

    /// The first and last time of all that is in memory.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        let series = self.index().live().clone();
        let spans = series.iter().filter_map(|series| self.shard(series).head(series).span());
        spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Marks everything before `end` as going into blocks.
    pub(crate) fn begin_seal(&self, end: i64) -> Sealing {
        let (mut windows, mut touched) = (BTreeMap::<i64, Vec<Ref>>::new(), Vec::new());
        let series = self.index().live().clone();
        for series in series {
            touched.clear();
            self.shard(series).head(series).begin_seal(end, &mut touched);
            touched.sort_unstable();
            touched.dedup();
            for window in &touched {
                windows.entry(*window).or_default().push(series);
            }
        }
        Sealing::new(windows)
    }

    /// What of a series goes into a block and lies between `start` and `end`, both included, by time; and since when
    /// it counts.
    pub(crate) fn read_sealing(&self, series: Ref, start: i64, end: i64) -> (Both, Vec<Start>) {
        let part = self.shard(series).head(series).sealing(start, end);
        let mut samples = Both::default();
        part.read(start, end, &mut samples);
        let starts = samples.starts(part.starts().to_vec());
        (samples, starts)
    }

    /// Since when a series counts, as told last.
    pub(crate) fn last_start(&self, series: Ref) -> Option<Start> {
        self.shard(series).head(series).last_start()
    }

    /// The blocks are served (`done`), and what is in them goes; or they were not made, and it stays.
    pub(crate) fn end_seal(&self, done: bool) {
        let series = self.index().live().clone();
        let (mut bytes, mut samples) = (0, 0);
        for series in series {
            let mut shard = self.shard(series);
            let head = shard.head(series);
            let before = (head.bytes() as u64, head.samples());
            head.end_seal(done);
            bytes += before.0 - head.bytes() as u64;
            samples += before.1 - head.samples();
        }
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.samples.fetch_sub(samples, Ordering::Relaxed);
    }

    /// Series from `cursor` on, at most `look` of them, that hold nothing and were heard of last before `before`. The
    /// cursor moves on, and to the beginning at the end.
    pub(crate) fn dead(&self, cursor: &mut Ref, look: usize, before: i64) -> Vec<Ref> {
        let series: Vec<Ref> = self.index().live().range(*cursor..).take(look).collect();
        *cursor = if series.len() < look { 0 } else { series.last().map_or(0, |last| last + 1) };
        series.into_iter().filter(|series| is_dead(self.shard(*series).head(*series), before)).collect()
    }

    /// Forgets those of these series that are still dead. Nobody may commit meanwhile.
    pub(crate) fn forget(&self, series: &[Ref], before: i64) {
        let mut sources = self.sources();
        for turn in series.chunks(TURN) {
            let mut index = self.index_mut();
            for series in turn {
                let dead = is_dead(self.shard(*series).head(*series), before);
                if dead {
                    self.remove_from(&mut sources, &mut index, *series);
                }
            }
        }
    }

    /// Whether it holds nothing of a series.
    pub(crate) fn is_empty(&self, series: Ref) -> bool {
        self.shard(series).head(series).is_empty()
    }

    /// Forgets a series. Nobody may commit meanwhile.
    pub(crate) fn remove(&self, series: Ref) {
        let (mut sources, mut index) = (self.sources(), self.index_mut());
        self.remove_from(&mut sources, &mut index, series);
    }

    fn remove_from(&self, sources: &mut Sources, index: &mut Index, series: Ref) {
        if index.live().contains(series) {
            *self.shard(series).head(series) = Head::default();
            let source = sources.get_mut(index.source(series));
            source.series = source.series.saturating_sub(1);
            index.remove(series);
        }
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().expect("no panic while held")
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().expect("no panic while held")
    }

    pub(crate) fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().expect("no panic while held")
    }

    pub(crate) fn series(&self) -> u64 {
        self.index().len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    fn shard(&self, series: Ref) -> MutexGuard<'_, Shard> {
        self.shards[Heads::shard_of_page(Heads::page_of(series))].lock().expect("no panic while held")
    }
}

fn is_dead(head: &Head, before: i64) -> bool {
    head.is_empty() && head.newest().is_none_or(|newest| newest < before)
}

/// Goes from series to series, holding the lock of one shard at a time: whoever walks takes no other lock.
pub(crate) struct Walk<'a> {
    heads: &'a Heads,
    locked: Option<(usize, MutexGuard<'a, Shard>)>,
    bytes: u64,
    samples: u64,
}

impl Walk<'_> {
    pub(crate) fn head(&mut self, series: Ref) -> &mut Head {
        let shard = Heads::shard_of_page(Heads::page_of(series));
        if self.locked.as_ref().is_none_or(|(locked, _)| *locked != shard) {
            self.rest();
            self.locked = Some((shard, self.heads.shard(series)));
        }
        let (_, guard) = self.locked.as_mut().expect("just locked");
        guard.head(series)
    }

    /// Counts a sample that was taken.
    pub(crate) fn grown(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.samples += 1;
    }

    /// Lets go of the lock for now.
    pub(crate) fn rest(&mut self) {
        self.locked = None;
    }
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        self.heads.bytes.fetch_add(self.bytes, Ordering::Relaxed);
        self.heads.samples.fetch_add(self.samples, Ordering::Relaxed);
    }
}
