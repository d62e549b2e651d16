//! History that is brought along: samples older than what writers may still send, written into blocks at once.
//!
//! What comes is gathered by days until it is much, then each day becomes a block. Before that every sample is compared
//! with what the store has of its series at that time, so that importing twice adds nothing and a sample that is there
//! already is never contradicted. Nothing goes through the log: what is in a finished block is on disk.
//!
//! Invariant: memory is bounded by [`HELD_MAX`], whatever comes and in whatever order.

use std::collections::BTreeMap;
use std::io;

use watchbell_model::{
    HistogramSample, Import, Imported, Labels, Matcher, Query, Sample, Series, Start, Timestamp, UpkeepError,
};

use super::block_writer::BlockWriter;
use super::chunk::{self, Effort};
use super::series::{AHEAD_MAX, millis};
use super::{MetricStore, histogram_chunk};

/// How many samples are gathered before they are written, 16 bytes each; a histogram counts as its numbers.
const HELD_MAX: usize = 4 << 20;
/// How much one gathered piece of a series counts in samples, for its labels and places.
const PIECE_COST: usize = 32;
const DAY: i64 = 86_400_000;
/// Where what was gathered lies on more days than this, ten of them become one block.
const DAYS_MAX: usize = 32;

/// One series on one day.
#[derive(Default)]
struct Piece {
    samples: Vec<Sample>,
    histograms: Vec<HistogramSample>,
    starts: Vec<Start>,
}

/// An import under way.
pub(crate) struct Importing<'a> {
    store: &'a MetricStore,
    /// By day, then by series in the order in which a block has them.
    days: BTreeMap<i64, BTreeMap<Labels, Piece>>,
    held: usize,
    done: Imported,
    /// The oldest and newest time that is taken.
    from: i64,
    to: i64,
}

impl<'a> Importing<'a> {
    pub(crate) fn new(store: &'a MetricStore) -> Importing<'a> {
        let now = store.inner.runtime.clock.now().0;
        Importing {
            store,
            days: BTreeMap::new(),
            held: 0,
            done: Imported::default(),
            from: now.saturating_sub(millis(store.inner.config.retention)),
            to: now.saturating_add(AHEAD_MAX),
        }
    }

    /// Whether a sample of this time is taken; counts it if not.
    fn takes(&mut self, labels: &Labels, at: Timestamp) -> bool {
        if at.0 < self.from {
            self.done.too_old += 1;
            self.refuse(|| format!("{labels} at {at}: older than the retention keeps"));
        } else if at.0 > self.to {
            self.done.too_new += 1;
            self.refuse(|| format!("{labels} at {at}: in the future"));
        } else {
            return true;
        }
        false
    }

    fn refuse(&mut self, words: impl FnOnce() -> String) {
        if self.done.example.is_none() {
            self.done.example = Some(words());
        }
    }

    /// Writes what is gathered.
    fn flush(&mut self) -> Result<(), UpkeepError> {
        let days = std::mem::take(&mut self.days);
        self.held = 0;
        let width = if days.len() > DAYS_MAX { 10 } else { 1 };
        let mut spans = BTreeMap::<i64, BTreeMap<Labels, Piece>>::new();
        for (day, series) in days {
            let span = spans.entry(day.div_euclid(width)).or_default();
            for (labels, piece) in series {
                // Days come in order, so that the samples of a series stay in order.
                let whole = span.entry(labels).or_default();
                whole.samples.extend(piece.samples);
                whole.histograms.extend(piece.histograms);
                whole.starts.extend(piece.starts);
            }
        }
        // One import at a time compares and writes, so that two of the same history do not both add it.
        let _alone = self.store.inner.importing.lock().expect("no panic while held");
        for mut series in spans.into_values() {
            for (labels, piece) in &mut series {
                self.keep_new(labels, piece)?;
            }
            series.retain(|_, piece| !piece.samples.is_empty() || !piece.histograms.is_empty());
            if series.is_empty() {
                continue;
            }
            let added: usize = series.values().map(|piece| piece.samples.len() + piece.histograms.len()).sum();
            let failed =
                |error: io::Error| UpkeepError::Failed(format!("the imported samples cannot be written: {error}"));
            self.write(&series).map_err(failed)?;
            self.done.added += added as u64;
        }
        Ok(())
    }

    /// Puts a piece in order and takes out what the store has already.
    fn keep_new(&mut self, labels: &Labels, piece: &mut Piece) -> Result<(), UpkeepError> {
        once(&mut piece.samples, &mut self.done, |sample| sample.timestamp, |a, b| a == b);
        once(&mut piece.histograms, &mut self.done, |sample| sample.timestamp, |a, b| a.histogram == b.histogram);
        let times = || {
            let samples = piece.samples.iter().map(|sample| sample.timestamp);
            samples.chain(piece.histograms.iter().map(|sample| sample.timestamp))
        };
        piece.starts.sort_by_key(|start| start.from);
        piece.starts.dedup_by_key(|start| start.from);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
        let matchers: Vec<Matcher> = labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
        let found = self.store.select(&matchers, first, last);
        let found = found.map_err(|error| UpkeepError::Failed(error.to_string()))?;
        let Some(have) = found.into_iter().find(|series| series.labels == *labels) else { return Ok(()) };
        let (mut known, mut different, mut example) = (0, 0, None);
        let mut is_new = |at: Timestamp, same: Option<bool>| {
            match same {
                None => return true,
                Some(true) => known += 1,
                Some(false) => {
                    different += 1;
                    example.get_or_insert_with(|| format!("{labels} at {at}: there is another value already"));
                }
            }
            false
        };
        let value_at = |at: Timestamp| have.samples.binary_search_by_key(&at, |sample| sample.timestamp).ok();
        let histogram_at = |at: Timestamp| have.histograms.binary_search_by_key(&at, |sample| sample.timestamp).ok();
        piece.samples.retain(|sample| {
            let same = value_at(sample.timestamp).map(|at| have.samples[at] == *sample);
            is_new(sample.timestamp, same.or_else(|| histogram_at(sample.timestamp).map(|_| false)))
        });
        piece.histograms.retain(|sample| {
            let same = histogram_at(sample.timestamp).map(|at| have.histograms[at].histogram == sample.histogram);
            is_new(sample.timestamp, same.or_else(|| value_at(sample.timestamp).map(|_| false)))
        });
        self.done.known += known;
        self.done.different += different;
        if let Some(words) = example {
            self.refuse(|| words);
        }
        Ok(())
    }

    /// Makes a block of them, which serves when this answers.
    fn write(&self, series: &BTreeMap<Labels, Piece>) -> io::Result<()> {
        let inner = &self.store.inner;
        inner.leave_room()?;
        let mut symbols: Vec<&str> = series.keys().flat_map(|labels| labels.iter().flat_map(|(a, b)| [a, b])).collect();
        symbols.sort_unstable();
        symbols.dedup();
        let place = |text: &str| symbols.binary_search(&text).expect("all symbols are there") as u32;
        let (number, path) = inner.blocks.reserve();
        let mut writer = BlockWriter::begin(&inner.runtime.disk, &path, &symbols, number, Vec::new())?;
        for (labels, piece) in series {
            let labels: Vec<_> = labels.iter().map(|(name, value)| (place(name), place(value))).collect();
            let mut chunks = Vec::new();
            if !piece.samples.is_empty() {
                chunks.extend(chunk::encode_all(&piece.samples, Effort::Quick));
            }
            chunks.extend(histogram_chunk::encode_all(&piece.histograms, Effort::Quick));
            writer.add(&labels, &chunks, &piece.starts)?;
        }
        writer.complete()?;
        inner.serve(vec![inner.blocks.place(writer, number, &path)?]);
        Ok(())
    }
}

impl Import for Importing<'_> {
    fn add(&mut self, series: Series) -> Result<(), UpkeepError> {
        let Series { labels, samples, histograms, starts } = series;
        if labels.name().is_none() {
            self.done.invalid += (samples.len() + histograms.len()) as u64;
            self.refuse(|| format!("{labels}: a series needs a metric's name"));
            return Ok(());
        }
        let day = |at: Timestamp| at.0.div_euclid(DAY);
        for days in samples.chunk_by(|a, b| day(a.timestamp) == day(b.timestamp)) {
            let taken: Vec<Sample> = days.iter().filter(|it| self.takes(&labels, it.timestamp)).copied().collect();
            if let Some(first) = taken.first() {
                self.held += taken.len() + PIECE_COST;
                let piece = self.days.entry(day(first.timestamp)).or_default().entry(labels.clone()).or_default();
                piece.samples.extend(taken);
            }
        }
        for sample in histograms {
            if let Err(error) = sample.histogram.check() {
                self.done.invalid += 1;
                self.refuse(|| format!("{labels} at {}: {error}", sample.timestamp));
            } else if self.takes(&labels, sample.timestamp) {
                let buckets = &sample.histogram;
                self.held += PIECE_COST + buckets.positive.counts.len() + buckets.negative.counts.len();
                let piece = self.days.entry(day(sample.timestamp)).or_default().entry(labels.clone()).or_default();
                piece.histograms.push(sample);
            }
        }
        for start in starts {
            // Only what is said of a sample that is taken is worth keeping.
            if let Some(piece) = self.days.get_mut(&day(start.from)).and_then(|day| day.get_mut(&labels)) {
                piece.starts.push(start);
            }
        }
        if self.held >= HELD_MAX { self.flush() } else { Ok(()) }
    }

    fn so_far(&self) -> Imported {
        self.done.clone()
    }

    fn finish(mut self: Box<Self>) -> Result<Imported, UpkeepError> {
        self.flush()?;
        Ok(self.done)
    }
}

/// Puts samples in order of time; of several for one time the first stays, the others count as known or different.
fn once<T>(all: &mut Vec<T>, done: &mut Imported, at: impl Fn(&T) -> Timestamp, same: impl Fn(&T, &T) -> bool) {
    if all.is_sorted_by(|a, b| at(a) < at(b)) {
        return;
    }
    all.sort_by_key(&at);
    all.dedup_by(|later, first| {
        let twice = at(later) == at(first);
        if twice && same(later, first) {
            done.known += 1;
        } else if twice {
            done.different += 1;
        }
        twice
    });
}
