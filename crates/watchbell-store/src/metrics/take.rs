//! Taking batches: which of their samples go into the head, and what the log is told of them.
//!
//! A batch of known references costs a look at the index for each series and no work on labels, unless the segment of
//! the log is new and has to be told what the series is.

use std::collections::HashMap;

use watchbell_model::{Appended, Batch, Labels, SeriesKey, Start, Timestamp};

use super::Inner;
use super::block::Block;
use super::both::Both;
use super::exemplars::Shown;
use super::index::Ref;
use super::record::{Logged, Record};
use super::series::{Head, Limits, Outcome, Past, Value};
use super::sources::SeriesLimits;
use super::starts::Told;
use super::wal::Wal;

/// A record of more samples is followed by a new one.
const RECORD_SAMPLES_MAX: usize = 1 << 18;
/// A record that names more series is followed by a new one.
const RECORD_NAMES_MAX: usize = 1 << 15;
/// A record with more bytes of histograms and the like is followed by a new one.
const RECORD_RARE_MAX: usize = 4 << 20;
/// How many samples of blocks are kept at hand to judge late ones by.
const PAST_SAMPLES_MAX: usize = 1 << 20;

/// Takes batches that are committed together.
pub(crate) struct Taking<'a> {
    inner: &'a Inner,
    log: &'a mut Wal,
    limits: Limits,
    record: Record,
    /// Series that the segment of the log does not know yet.
    unnamed: Vec<Ref>,
    past: HashMap<Ref, Past>,
    past_samples: usize,
}

impl<'a> Taking<'a> {
    pub(crate) fn new(inner: &'a Inner, log: &'a mut Wal) -> Taking<'a> {
        let newest = inner.blocks.serving().iter().map(|block| block.meta.last).max().unwrap_or(i64::MIN);
        let limits = Limits::new(&inner.config, inner.runtime.clock.now().0, newest);
        let (unnamed, past) = (Vec::new(), HashMap::new());
        Taking { inner, log, limits, record: Record::default(), unnamed, past, past_samples: 0 }
    }

    /// Takes a batch into the head, and what is new of it into the record.
    pub(crate) fn batch(&mut self, batch: &Batch) -> Appended {
        let heads = &self.inner.heads;
        let source = heads.sources().number(&batch.source);
        let resolved = heads.resolve(&batch.series, source, &SeriesLimits::new(&self.inner.config));
        let mut appended = Appended::default();
        let mut walk = heads.walk();
        let floats = batch
            .samples
            .iter()
            .map(|sample| (sample.series as usize, sample.timestamp, Value::Float(sample.value.to_bits())));
        let histograms = batch
            .histograms
            .iter()
            .map(|sample| (sample.series as usize, sample.timestamp, Value::Histogram(&sample.histogram)));
        for (at, (place, timestamp, value)) in (0..).zip(floats.chain(histograms)) {
            if let Value::Histogram(histogram) = value
                && let Err(error) = histogram.check()
            {
                // Whoever sends had to check; what makes no sense could not be read again.
                self.inner.counters.invalid.inc();
                appended.refused_at.push(at);
                appended.example.get_or_insert_with(|| error.to_string());
                continue;
            }
            let Some(series) = resolved.series[place] else {
                let key = &batch.series[place];
                let (reason, labels) = match key {
                    SeriesKey::Labels(labels) => (Refusal::OverLimit(resolved.limit), format!("`{labels}`")),
                    SeriesKey::Known(_) => (Refusal::Unknown, "a series".to_owned()),
                };
                reason.count(&mut appended);
                appended.refused_at.push(at);
                if appended.example.is_none() {
                    appended.example = Some(self.example(&reason, &labels, timestamp));
                }
                continue;
            };
            let time = timestamp.0;
            let past = if self.past.is_empty() { None } else { self.past.get(&series) };
            let mut head = walk.head(series);
            let (mut outcome, mut grown) = append(head, time, value, self.limits, past);
            if outcome == Outcome::Ask {
                walk.rest();
                let (limits, past) = (self.limits, self.past(series, time));
                head = walk.head(series);
                (outcome, grown) = append(head, time, value, limits, Some(past));
            }
            let reason = match outcome {
                Outcome::Kept => {
                    appended.kept += 1;
                    if head.logged != self.log.number() {
                        head.logged = self.log.number();
                        self.unnamed.push(series);
                    }
                    walk.grown(grown);
                    match value {
                        Value::Float(value) => self.record.sample(Logged { series, time, value }),
                        Value::Histogram(histogram) => {
                            appended.kept_histograms += 1;
                            self.record.histogram(series, time, histogram);
                        }
                    }
                    if self.is_record_full() {
                        walk.rest();
                        self.end_record();
                    }
                    continue;
                }
                Outcome::Same => {
                    appended.kept += 1;
                    appended.kept_histograms += u64::from(matches!(value, Value::Histogram(_)));
                    continue;
                }
                Outcome::Duplicate => Refusal::Duplicate,
                Outcome::TooNew => Refusal::TooNew,
                // It has its answer: what it asked for reaches back as far as late samples are taken.
                Outcome::TooOld | Outcome::Ask => Refusal::TooOld,
            };
            reason.count(&mut appended);
            appended.refused_at.push(at);
            if appended.example.is_none() {
                walk.rest();
                let labels = format!("`{}`", heads.index().labels(series));
                appended.example = Some(self.example(&reason, &labels, timestamp));
            }
        }
        drop(walk);
        self.starts(batch, &resolved.series);
        self.facts(batch, &resolved.series, &mut appended);
        let index = heads.index();
        appended.refs = resolved.series.iter().map(|series| series.map(|series| index.reference(series))).collect();
        appended
    }

    fn is_record_full(&self) -> bool {
        let full = self.record.samples() >= RECORD_SAMPLES_MAX || self.unnamed.len() >= RECORD_NAMES_MAX;
        full || self.record.rare_size() >= RECORD_RARE_MAX
    }

    /// Takes in since when series count.
    fn starts(&mut self, batch: &Batch, resolved: &[Option<Ref>]) {
        let heads = &self.inner.heads;
        for (place, from, start) in &batch.starts {
            let Some(series) = resolved[*place as usize] else { continue };
            let start = Start { from: *from, start: *start };
            let mut walk = heads.walk();
            let head = walk.head(series);
            let told = head.tell(start, self.limits);
            if told == Told::Kept && head.logged != self.log.number() {
                head.logged = self.log.number();
                self.unnamed.push(series);
            }
            match told {
                Told::Kept => self.record.rare().start(series, start),
                Told::Known => {}
                Told::TooMany => self.inner.counters.starts_refused.inc(),
            }
        }
    }

    /// Takes examples and metadata.
    fn facts(&mut self, batch: &Batch, resolved: &[Option<Ref>], appended: &mut Appended) {
        if batch.exemplars.is_empty() && batch.metadata.is_empty() {
            return;
        }
        let (heads, counters, now) = (&self.inner.heads, &self.inner.counters, self.inner.runtime.clock.now().0);
        let mut facts = self.inner.facts.lock().expect("no panic while held");
        for (place, exemplar) in &batch.exemplars {
            let Some(series) = resolved[*place as usize] else { continue };
            let labels = match &batch.series[*place as usize] {
                SeriesKey::Labels(labels) => labels.clone(),
                SeriesKey::Known(_) => heads.index().labels(series),
            };
            match facts.exemplars.add(&labels, exemplar, now) {
                Shown::Kept => {
                    appended.kept_exemplars += 1;
                    let mut walk = heads.walk();
                    let head = walk.head(series);
                    if head.logged != self.log.number() {
                        head.logged = self.log.number();
                        self.unnamed.push(series);
                    }
                    self.record.rare().exemplar(series, exemplar);
                }
                Shown::Same => appended.kept_exemplars += 1,
                Shown::Off => {}
                Shown::TooOld | Shown::TooNew => counters.exemplars_out_of_order.inc(),
                Shown::TooLong => counters.exemplars_too_long.inc(),
            }
        }
        for (metric, metadata) in &batch.metadata {
            if facts.metrics.learn(metric, metadata, now) {
                self.record.rare().metadata(metric, metadata);
            }
        }
    }

    /// What blocks hold of a series from `time` on, or from the oldest time at which late samples are taken.
    fn past(&mut self, series: Ref, time: i64) -> &Past {
        if self.past_samples > PAST_SAMPLES_MAX {
            self.past.clear();
            self.past_samples = 0;
        }
        let labels = self.inner.heads.index().labels(series);
        let past = self.inner.past(&labels, time, self.limits);
        self.past_samples +=
            past.samples.len() + past.histograms.iter().map(|s| s.histogram.size() * 10).sum::<usize>();
        self.past.entry(series).insert_entry(past).into_mut()
    }

    /// The first sample that was refused, in words for its sender.
    fn example(&self, reason: &Refusal, labels: &str, at: Timestamp) -> String {
        let config = &self.inner.config;
        let why = match reason {
            Refusal::Duplicate => "another value is already there".to_owned(),
            Refusal::TooOld => format!(
                "too old: late samples are taken for {}, and none older than {}",
                config.out_of_order_window, config.retention
            ),
            Refusal::TooNew => {
                format!("too far ahead of the clock here, which says {}", self.inner.runtime.clock.now())
            }
            Refusal::OverLimit((limit, true)) => format!("there are {limit} series, which is the limit of all"),
            Refusal::OverLimit((limit, false)) => format!("its source has {limit} series, which is its limit"),
            Refusal::Unknown => "its reference is no longer known; send it by its labels".to_owned(),
        };
        format!("{labels} at {at}: {why}")
    }

    /// Hands what was taken to the log.
    pub(crate) fn end_record(&mut self) {
        let heads = &self.inner.heads;
        let (mut record, unnamed) = (std::mem::take(&mut self.record), std::mem::take(&mut self.unnamed));
        if !unnamed.is_empty() {
            let (sources, index) = (heads.sources(), heads.index());
            for series in unnamed {
                let source = index.source(series);
                let text = |pair| {
                    let (name, value) = index.texts_of(pair);
                    (&**name, &**value)
                };
                record.name(series, (source, sources.name(source)), index.pairs_of(series), text);
                if let Some(start) = heads.last_start(series) {
                    record.rare().start(series, start);
                }
            }
        }
        self.log.add(&record);
    }
}

/// Why a sample is not taken.
enum Refusal {
    Duplicate,
    TooOld,
    TooNew,
    /// The limit, and whether it is that of all series.
    OverLimit((u64, bool)),
    Unknown,
}

impl Refusal {
    fn count(&self, appended: &mut Appended) {
        let count = match self {
            Refusal::Duplicate => &mut appended.duplicate,
            Refusal::TooOld => &mut appended.too_old,
            Refusal::TooNew => &mut appended.too_new,
            Refusal::OverLimit(_) => &mut appended.over_limit,
            Refusal::Unknown => &mut appended.unknown,
        };
        *count += 1;
    }
}

impl Inner {
    /// What blocks hold of a series from `time` on, or from the oldest time at which late samples are taken if that is
    /// earlier. A damaged part counts as not there.
    fn past(&self, labels: &Labels, time: i64, limits: Limits) -> Past {
        let serving = self.blocks.serving();
        let chunks = |block: &Block, from: i64| {
            let series = block.find(labels);
            series.map_or(Vec::new(), |series| block.chunks(series, from, i64::MAX))
        };
        let blocks = || serving.iter().filter(|block| block.meta.last >= time);
        let Some(newest) = blocks().flat_map(|block| chunks(block, time)).map(|chunk| chunk.last).max() else {
            return Past { newest: None, from: time, ..Past::default() };
        };
        let from = limits.oldest(newest);
        let mut both = Both::default();
        for block in serving.iter().filter(|block| block.meta.last >= from) {
            let since = both.mark();
            for chunk in chunks(block, from) {
                if block.read(chunk, from, i64::MAX, &mut both).is_err() {
                    self.found_damaged(block);
                }
            }
            both.settle(since);
        }
        both.once();
        let samples: Vec<_> = both.floats.iter().map(|sample| (sample.timestamp.0, sample.value.to_bits())).collect();
        let newest = samples.last().copied().max(both.histograms.last().map(|sample| (sample.timestamp.0, 0)));
        Past { newest, from, samples, histograms: both.histograms }
    }
}

fn append(head: &mut Head, time: i64, value: Value<'_>, limits: Limits, past: Option<&Past>) -> (Outcome, usize) {
    match value {
        Value::Float(value) => head.append(time, value, limits, past),
        Value::Histogram(histogram) => head.append_histogram(time, histogram, limits, past),
    }
}
