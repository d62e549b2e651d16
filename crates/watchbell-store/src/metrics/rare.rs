//! What few series have in memory: histograms, and since when they count.
//!
//! Apart from what every series has, so that the others pay one pointer for it. Decides nothing about times: that is
//! [`super::series`]' part, for histograms and floats alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchbell_model::{Histogram, HistogramSample, Start, Timestamp};

use super::histogram_open::{Frozen, Open};
use super::series::window;
use super::starts::{self, Told};

/// What one series has of these.
#[derive(Default)]
pub(crate) struct Rare {
    /// The newest histogram that was ever taken, also when a block has it by now.
    newest: Option<(i64, Arc<Histogram>)>,
    open: Option<Open>,
    frozen: Vec<Frozen>,
    late: BTreeMap<i64, Arc<Histogram>>,
    /// A block is being written with these.
    sealing: BTreeMap<i64, Arc<Histogram>>,
    starts: Vec<Start>,
    /// Up to when samples are being sealed.
    sealing_until: i64,
}

impl Rare {
    /// The newest histogram, if it is of this time.
    pub(crate) fn newest_at(&self, time: i64) -> Option<&Arc<Histogram>> {
        self.newest.as_ref().filter(|(newest, _)| *newest == time).map(|(_, histogram)| histogram)
    }

    /// Blocks have a newer one than memory.
    pub(crate) fn learn(&mut self, time: i64, histogram: &Arc<Histogram>) {
        self.newest = Some((time, Arc::clone(histogram)));
    }

    /// The histogram at a time, if it is in memory.
    pub(crate) fn histogram_at(&self, time: i64) -> Option<Arc<Histogram>> {
        if let Some(late) = self.late.get(&time).or_else(|| self.sealing.get(&time)) {
            return Some(Arc::clone(late));
        }
        let mut found = Vec::new();
        self.part(time, time).read(time, time, &mut found);
        found.pop().map(|sample| sample.histogram)
    }

    /// Takes a histogram newer than all samples of the series.
    pub(crate) fn push(&mut self, time: i64, histogram: &Arc<Histogram>) -> usize {
        self.newest = Some((time, Arc::clone(histogram)));
        match &mut self.open {
            Some(open) if open.takes(histogram) && window(open.first()) == window(time) => {
                let before = open.bytes();
                open.push(time, histogram);
                open.bytes() - before
            }
            _ => {
                self.freeze();
                self.open.insert(Open::new(time, Arc::clone(histogram))).bytes()
            }
        }
    }

    /// Takes a late one.
    pub(crate) fn push_late(&mut self, time: i64, histogram: &Arc<Histogram>) -> usize {
        self.late.insert(time, Arc::clone(histogram));
        memory(histogram)
    }

    fn freeze(&mut self) {
        self.frozen.extend(self.open.take().map(Open::freeze));
    }

    /// Takes in since when a series counts.
    pub(crate) fn tell(&mut self, start: Start) -> Told {
        starts::tell(&mut self.starts, start)
    }

    /// The start that was told last: a new segment of the log has to know it.
    pub(crate) fn last_start(&self) -> Option<Start> {
        self.starts.last().copied()
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        let late = self.late.values().chain(self.sealing.values()).map(memory).sum::<usize>();
        let frozen = self.frozen.iter().map(Frozen::bytes).sum::<usize>();
        self.open.as_ref().map_or(0, Open::bytes) + frozen + late
    }

    /// How many histograms it has.
    pub(crate) fn samples(&self) -> u64 {
        let chunks = self.frozen.iter().map(|chunk| u64::from(chunk.count)).sum::<u64>();
        chunks
            + self.open.as_ref().map_or(0, |open| u64::from(open.count()))
            + (self.late.len() + self.sealing.len()) as u64
    }

    /// Whether it has no histogram.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_none() && self.frozen.is_empty() && self.late.is_empty() && self.sealing.is_empty()
    }

    /// The first and last time of the histograms it holds.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        let chunks = self.frozen.iter().map(|chunk| (chunk.first, chunk.last));
        let open = self.open.iter().map(|open| (open.first(), open.last()));
        let late = [&self.late, &self.sealing].into_iter();
        let late = late.filter_map(|late| Some((*late.first_key_value()?.0, *late.last_key_value()?.0)));
        chunks.chain(open).chain(late).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Whether something holds histograms from `start` to `end`, as far as can be told without reading it.
    pub(crate) fn overlaps(&self, start: i64, end: i64) -> bool {
        let overlaps = |first: i64, last: i64| first <= end && last >= start;
        let late = || [&self.late, &self.sealing].iter().any(|late| late.range(start..=end).next().is_some());
        self.open.as_ref().is_some_and(|open| overlaps(open.first(), open.last()))
            || self.frozen.iter().any(|chunk| overlaps(chunk.first, chunk.last))
            || start <= end && late()
    }

    /// A copy of what holds histograms from `start` to `end`, and of all starts.
    pub(crate) fn part(&self, start: i64, end: i64) -> RarePart {
        let overlaps = |first: i64, last: i64| first <= end && last >= start;
        let frozen = self.frozen.iter().filter(|chunk| overlaps(chunk.first, chunk.last)).cloned();
        let open = self.open.iter().filter(|open| overlaps(open.first(), open.last())).cloned().map(Open::freeze);
        let chunks = frozen.chain(open).collect();
        let mut late = Vec::new();
        if start <= end {
            let both = self.late.range(start..=end).chain(self.sealing.range(start..=end));
            late.extend(both.map(|(time, histogram)| sample(*time, histogram)));
        }
        RarePart { chunks, late, starts: self.starts.clone() }
    }

    /// As [`super::series::Head::begin_seal`].
    pub(crate) fn begin_seal(&mut self, end: i64, windows: &mut Vec<i64>) {
        self.sealing_until = end;
        if self.open.as_ref().is_some_and(|open| open.first() < end) {
            self.freeze();
        }
        for chunk in self.frozen.iter_mut().filter(|chunk| chunk.last < end) {
            chunk.sealing = true;
            windows.push(window(chunk.last));
        }
        let stay = self.late.split_off(&end);
        self.sealing.extend(std::mem::replace(&mut self.late, stay));
        windows.extend(self.sealing.keys().map(|time| window(*time)));
    }

    /// What goes into a block and lies between `start` and `end`, both included.
    pub(crate) fn sealing(&self, start: i64, end: i64) -> RarePart {
        let chunks = self.frozen.iter().filter(|chunk| chunk.sealing && chunk.first <= end && chunk.last >= start);
        let late = self.sealing.range(start..=end).map(|(time, histogram)| sample(*time, histogram));
        RarePart { chunks: chunks.cloned().collect(), late: late.collect(), starts: self.starts.clone() }
    }

    /// The block is in place (`done`), or was not made. Answers the newest time that went.
    pub(crate) fn end_seal(&mut self, done: bool) -> Option<i64> {
        let sealed = std::mem::take(&mut self.sealing);
        let mut newest = None;
        if done {
            let last = self.frozen.iter().filter(|chunk| chunk.sealing).map(|chunk| chunk.last).max();
            newest = last.max(sealed.keys().last().copied());
            self.frozen.retain(|chunk| !chunk.sealing);
            // What was said of samples that are still to come stays, and what is in force then.
            let before = self.starts.partition_point(|start| start.from.0 < self.sealing_until);
            self.starts.drain(..before.saturating_sub(1));
        } else {
            self.late.extend(sealed);
        }
        self.frozen.iter_mut().for_each(|chunk| chunk.sealing = false);
        newest
    }
}

fn sample(time: i64, histogram: &Arc<Histogram>) -> HistogramSample {
    HistogramSample { timestamp: Timestamp(time), histogram: Arc::clone(histogram) }
}

fn memory(histogram: &Arc<Histogram>) -> usize {
    let numbers = histogram.positive.counts.len() + histogram.negative.counts.len() + histogram.custom_values.len();
    size_of::<Histogram>() + 8 * (numbers + histogram.positive.spans.len() + histogram.negative.spans.len())
}

/// A copy of some of it.
#[derive(Default)]
pub(crate) struct RarePart {
    chunks: Vec<Frozen>,
    late: Vec<HistogramSample>,
    pub(crate) starts: Vec<Start>,
}

impl RarePart {
    /// Whether it has no histogram.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.late.is_empty()
    }

    /// The histograms from `start` to `end`, both included, by time, added to `out`.
    pub(crate) fn read(&self, start: i64, end: i64, out: &mut Vec<HistogramSample>) {
        let from = out.len();
        for chunk in &self.chunks {
            chunk.read(start, end, out).expect("what this process wrote can be read");
        }
        if !self.late.is_empty() {
            let within = |sample: &&HistogramSample| (start..=end).contains(&sample.timestamp.0);
            out.extend(self.late.iter().filter(within).cloned());
            out[from..].sort_by_key(|sample| sample.timestamp);
        }
    }
}
