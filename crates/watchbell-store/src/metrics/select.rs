//! Reading: the series that pass, from all places that hold samples of them, put together by time.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use watchbell_model::{
    Exemplar, Found, Labels, Lookup, Matcher, Metadata, Query, QueryError, Rollup, Series, Span, Timestamp,
};
use watchbell_runtime::{Disk, thread};

use super::block::{Block, ChunkRef};
use super::blocks::display;
use super::both::Both;
use super::chunk::Kind;
use super::walk::{Pieces, Walk};
use super::{Inner, MetricStore};

/// How many samples one query may hold in memory at once, 16 bytes each: more would be the memory of a small machine.
pub const SELECT_SAMPLES_MAX: usize = 10_000_000;
/// With so many samples in blocks a series is read on two cores.
const BOTH_MIN: usize = 1 << 16;
/// So much of what a query reads is read ahead of what it looks at: in samples, of which a series counts as a few more.
const AHEAD: usize = 1 << 16;
const SERIES_WEIGHT: usize = 32;
/// What one core reads and works on before it takes more, likewise; the way to a series weighs more there.
const BATCH: usize = 1 << 13;
const BATCH_SERIES_WEIGHT: usize = 128;
/// How much of it is done before another core helps, in one batch: to start a thread takes longer than less.
const ALONE: usize = 1 << 15;
/// For how many series one lookup reads samples to see whether there are some between two that it knows of.
const READ_MAX: usize = 1000;

impl Inner {
    /// What was not found in a block is not there, unless its index is damaged: then the query fails, and the block is
    /// left out of those that follow.
    pub(crate) fn whole(&self, block: &Block) -> Result<(), QueryError> {
        if !block.index.is_damaged() {
            return Ok(());
        }
        // It no longer serves, whether or not its file can be moved; if not, that is tried at the next start.
        let _ = self.lost(block);
        Err(QueryError::Unavailable(format!("the index of {} is damaged; ask again without it", block.path.display())))
    }

    /// All samples from `start` to `end`, one per time: of two for one time the one that was written first.
    pub(crate) fn read(&self, pieces: &Pieces, start: i64, end: i64) -> Result<Both, QueryError> {
        let chunks = pieces.blocks.iter().flat_map(|(_, _, chunks)| chunks);
        let count = pieces.count(start, end);
        let mut samples = Both::default();
        samples.floats.reserve(count);
        if count >= BOTH_MIN
            && chunks.clone().all(|chunk| chunk.kind == Kind::Floats)
            && matches!(self.runtime.disk, Disk::Os)
        {
            self.read_on_two_cores(pieces, start, end, count, &mut samples)?;
        } else {
            for (block, _, chunks) in &pieces.blocks {
                let since = samples.mark();
                for chunk in chunks {
                    block.read(*chunk, start, end, &mut samples).map_err(|_| self.damaged_part(block))?;
                }
                samples.settle(since);
            }
        }
        for (block, series, chunks, past) in &pieces.past {
            let since = samples.mark();
            self.read_past((block, *series), chunks, past, &mut samples.floats)?;
            samples.settle(since);
        }
        if let Some(part) = &pieces.head {
            let since = samples.mark();
            part.read(start, end, &mut samples);
            samples.settle(since);
        }
        samples.once();
        Ok(samples)
    }

    /// The floats of all blocks, half of them on another core.
    fn read_on_two_cores(
        &self,
        pieces: &Pieces,
        start: i64,
        end: i64,
        count: usize,
        samples: &mut Both,
    ) -> Result<(), QueryError> {
        let of_block = |(block, _, chunks): &'_ (Arc<Block>, u32, Vec<ChunkRef>)| {
            chunks.iter().map(|chunk| (Arc::clone(block), *chunk)).collect::<Vec<_>>()
        };
        let chunks: Vec<(Arc<Block>, ChunkRef)> = pieces.blocks.iter().flat_map(of_block).collect();
        let (mut half, mut seen) = (0, 0);
        while seen < count / 2 && half < chunks.len() {
            seen += chunks[half].1.count;
            half += 1;
        }
        let read = |chunks: &[(Arc<Block>, ChunkRef)], samples: &mut Both| {
            let damaged = chunks.iter().find(|(block, chunk)| block.read(*chunk, start, end, samples).is_err());
            damaged.map(|(block, _)| Arc::clone(block))
        };
        let (early, late) = chunks.split_at(half);
        let read_late = || {
            let mut samples = Both::default();
            samples.floats.reserve(count.saturating_sub(seen));
            let damaged = read(late, &mut samples);
            (samples, damaged)
        };
        let ((mut rest, late), early) = thread::both(read_late, || read(early, samples));
        if let Some(block) = early.or(late) {
            return Err(self.damaged_part(&block));
        }
        samples.floats.append(&mut rest.floats);
        Ok(())
    }

    /// A chunk that is asked for is damaged.
    fn damaged_part(&self, block: &Block) -> QueryError {
        self.found_damaged(block);
        QueryError::Unavailable(format!("a part of {} is damaged; ask again without it", block.path.display()))
    }

    /// What is mapped behind the end of a file that somebody cut would end the process when it is touched: a block is
    /// looked at before it is read. One that is cut in between is beyond help.
    pub(crate) fn uncut(&self, block: &Block) -> Result<(), QueryError> {
        let (has, path) = (block.bytes(), &block.path);
        match self.runtime.disk.len(path) {
            Ok(len) if len < has => {
                let name = display(path);
                block.give_up(format!("the block {name} was cut from {has} to {len} bytes; its samples are lost"));
                // It no longer serves, whether or not its file can be moved; if not, that is tried at the next start.
                let _ = self.lost(block);
                Err(QueryError::Unavailable(format!("{} was cut short; ask again without it", path.display())))
            }
            // What is not there any more is mapped whole, and noticed by upkeep.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// A whole series: its samples, and since when they count.
    fn read_series(&self, labels: Labels, pieces: &Pieces, start: i64, end: i64) -> Result<Series, QueryError> {
        let samples = self.read(pieces, start, end)?;
        let head = pieces.head.iter().flat_map(|part| part.starts());
        let starts = samples.starts(pieces.starts.iter().chain(head).copied().collect());
        Ok(Series { labels, samples: samples.floats, histograms: samples.histograms, starts })
    }

    /// As [`Query::each`], until more than `limit` samples were loaded.
    pub(crate) fn each(
        &self,
        matchers: &[Matcher],
        (start, end): (i64, i64),
        limit: usize,
        visit: &mut dyn FnMut(Series) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        let (mut loaded, mut weight, mut is_long) = (0, 0, false);
        let (mut found, mut read) = (Vec::<(Labels, Pieces)>::new(), Vec::new());
        let mut flow = ControlFlow::Continue(());
        let mut load = |(labels, pieces): (Labels, Pieces)| {
            let series = self.read_series(labels, &pieces, start, end)?;
            loaded += series.size();
            if loaded > limit { Err(QueryError::TooMany { limit }) } else { Ok(series) }
        };
        let mut show = |series: Series| if series.is_empty() { ControlFlow::Continue(()) } else { visit(series) };
        let may_help = matches!(self.runtime.disk, Disk::Os);
        self.walk(matchers, start, end, &mut |labels, pieces| {
            weight += pieces.count(start, end) + SERIES_WEIGHT;
            if !may_help || (weight < AHEAD && !is_long) {
                flow = show(load((labels, pieces))?);
                return Ok(flow);
            }
            is_long = true;
            found.push((labels, pieces));
            if weight < AHEAD {
                return Ok(ControlFlow::Continue(()));
            }
            // What follows is read on another core while what was read is looked at.
            weight = 0;
            let (next, earlier) = (std::mem::take(&mut found), std::mem::take(&mut read));
            let load_all = || next.into_iter().map(&mut load).collect::<Result<Vec<Series>, QueryError>>();
            let (loaded, shown) = thread::both(load_all, || earlier.into_iter().try_for_each(&mut show));
            flow = shown;
            if flow.is_continue() {
                read = loaded?;
            }
            Ok(flow)
        })?;
        if flow.is_continue() && read.into_iter().try_for_each(&mut show).is_continue() {
            for next in found {
                if show(load(next)?).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// As [`Query::batches`], until more than `limit` samples were loaded.
    pub(crate) fn batches(
        &self,
        matchers: &[Matcher],
        (start, end): (i64, i64),
        limit: usize,
        work: &(dyn Fn(usize, Vec<Series>) -> ControlFlow<()> + Sync),
    ) -> Result<(), QueryError> {
        let loaded = AtomicUsize::new(0);
        let load = |(labels, pieces): (Labels, Pieces)| {
            let series = self.read_series(labels, &pieces, start, end)?;
            let before = loaded.fetch_add(series.size(), Ordering::Relaxed);
            if before + series.size() > limit { Err(QueryError::TooMany { limit }) } else { Ok(series) }
        };
        let batches = Mutex::new(Batches { way: Some(self.way(matchers, (start, end))?), place: 0 });
        let lock = || batches.lock().unwrap_or_else(PoisonError::into_inner);
        let work_on = |batch: Batch| {
            let mut series = batch.found.into_iter().map(load).collect::<Result<Vec<Series>, QueryError>>()?;
            series.retain(|series| !series.is_empty());
            Ok(work(batch.place, series))
        };
        let next = |most: usize| lock().next(start, end, most);
        // Until nothing is left, or somebody has enough.
        let work_off = |mut batch: Option<Batch>| {
            while let Some(one) = batch {
                let flow = work_on(one);
                if !matches!(flow, Ok(ControlFlow::Continue(()))) {
                    lock().way = None;
                    return flow.map(|_| ());
                }
                batch = next(BATCH)?;
            }
            Ok(())
        };
        let Some(first) = next(ALONE)? else { return Ok(()) };
        if work_on(first)?.is_break() {
            return Ok(());
        }
        let Some(rest) = next(BATCH)? else { return Ok(()) };
        if !matches!(self.runtime.disk, Disk::Os) {
            return work_off(Some(rest));
        }
        let (helped, done) = thread::both(|| work_off(next(BATCH)?), || work_off(Some(rest)));
        done.and(helped)
    }

    /// Whether there is a sample from `start` to `end`, reading as little as possible: while `reads` are left.
    fn has_sample(&self, pieces: &Pieces, start: i64, end: i64, reads: &mut usize) -> Result<bool, QueryError> {
        let within = |chunk: &ChunkRef| !chunk.cut && (chunk.first >= start || chunk.last <= end);
        if *reads == 0 || pieces.blocks.iter().any(|(_, _, chunks)| chunks.iter().any(within)) {
            return Ok(true);
        }
        if pieces.head.as_ref().is_some_and(|part| part.is_within(start, end)) {
            return Ok(true);
        }
        *reads -= 1;
        Ok(!self.read(pieces, start, end)?.is_empty())
    }
}

/// Series that pass, a few at a time for whoever asks next.
struct Batches<'a> {
    /// Until all were given, or somebody has enough.
    way: Option<Walk<'a>>,
    place: usize,
}

struct Batch {
    place: usize,
    found: Vec<(Labels, Pieces)>,
}

impl Batches<'_> {
    fn next(&mut self, start: i64, end: i64, most: usize) -> Result<Option<Batch>, QueryError> {
        let (mut found, mut weight) = (Vec::new(), 0);
        while weight < most
            && let Some(way) = &mut self.way
        {
            match way.next() {
                Ok(Some((labels, pieces))) => {
                    weight += pieces.count(start, end) + BATCH_SERIES_WEIGHT;
                    found.push((labels, pieces));
                }
                over => {
                    self.way = None;
                    over?;
                }
            }
        }
        let place = self.place;
        self.place += 1;
        Ok((!found.is_empty()).then_some(Batch { place, found }))
    }
}

impl Query for MetricStore {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        let mut found = Vec::new();
        self.inner.each(matchers, (start.0, end.0), SELECT_SAMPLES_MAX, &mut |series| {
            found.push(series);
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn each(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        visit: &mut dyn FnMut(Series) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        let limit = usize::try_from(self.inner.config.query_samples_limit).unwrap_or(usize::MAX);
        self.inner.each(matchers, (start.0, end.0), limit, visit)
    }

    fn batches(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        work: &(dyn Fn(usize, Vec<Series>) -> ControlFlow<()> + Sync),
    ) -> Result<(), QueryError> {
        let limit = usize::try_from(self.inner.config.query_samples_limit).unwrap_or(usize::MAX);
        self.inner.batches(matchers, (start.0, end.0), limit, work)
    }

    fn rollup(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        width: Span,
    ) -> Result<Vec<(Labels, Vec<Rollup>)>, QueryError> {
        if let Some(found) = self.inner.rollup(matchers, start.0, end.0, width) {
            return found;
        }
        let mut found = Vec::new();
        self.each(matchers, start, end, &mut |series| {
            let rollups = Rollup::of_series(&series, width);
            if !rollups.is_empty() {
                found.push((series.labels, rollups));
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn series(&self, lookup: &Lookup<'_>) -> Result<Found<Labels>, QueryError> {
        let (mut found, mut reads, every) = (BTreeSet::new(), READ_MAX, [Vec::new()]);
        let (start, end) = (lookup.start.0, lookup.end.0);
        for matchers in if lookup.matchers.is_empty() { &every } else { lookup.matchers } {
            let mut count = 0;
            self.inner.walk(matchers, start, end, &mut |labels, pieces| {
                if self.inner.has_sample(&pieces, start, end, &mut reads)? {
                    found.insert(labels);
                    count += 1;
                }
                // One more tells that some are left out.
                let enough = lookup.limit > 0 && count > lookup.limit;
                Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        Ok(Found::new(found, lookup.limit))
    }

    fn exemplars(&self, lookup: &Lookup<'_>) -> Result<Vec<(Labels, Vec<Exemplar>)>, QueryError> {
        Ok(self.inner.find_exemplars(lookup))
    }

    fn metadata(&self, metric: Option<&str>) -> Result<Vec<(String, Vec<Metadata>)>, QueryError> {
        Ok(self.inner.find_metadata(metric))
    }

    fn label_names(&self, lookup: &Lookup<'_>) -> Result<Found<String>, QueryError> {
        self.inner.label_names(lookup)
    }

    fn label_values(&self, name: &str, lookup: &Lookup<'_>) -> Result<Found<String>, QueryError> {
        self.inner.label_values(name, lookup)
    }
}
