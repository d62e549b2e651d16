//! Taking batches: which of their samples go into the head, and what the log is told of them.
//!
//! A batch of known references costs a look at the index for each series and no work on labels, unless the segment of
//! the log is new and has to be told what the series is.

use std::collections::HashMap;

use watchbell_model::{Appended, Batch, Labels, SeriesKey, Timestamp};

use super::Inner;
use super::block::Block;
use super::index::Ref;
use super::merge::once;
use super::record::{Logged, Record};
use super::series::{Limits, Outcome, Past};
use super::sources::SeriesLimits;
use super::wal::Wal;

/// A record of more samples is followed by a new one.
const RECORD_SAMPLES_MAX: usize = 1 << 18;
/// A record that names more series is followed by a new one.
const RECORD_NAMES_MAX: usize = 1 << 15;
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
        for sample in &batch.samples {
            let Some(series) = resolved.series[sample.series as usize] else {
                let key = &batch.series[sample.series as usize];
                let (reason, labels) = match key {
                    SeriesKey::Labels(labels) => (Refusal::OverLimit(resolved.limit), format!("`{labels}`")),
                    SeriesKey::Known(_) => (Refusal::Unknown, "a series".to_owned()),
                };
                reason.count(&mut appended);
                if appended.example.is_none() {
                    appended.example = Some(self.example(&reason, &labels, sample.timestamp));
                }
                continue;
            };
            let (time, value) = (sample.timestamp.0, sample.value.to_bits());
            let past = if self.past.is_empty() { None } else { self.past.get(&series) };
            let mut head = walk.head(series);
            let (mut outcome, mut grown) = head.append(time, value, self.limits, past);
            if outcome == Outcome::Ask {
                walk.rest();
                let (limits, past) = (self.limits, self.past(series, time));
                head = walk.head(series);
                (outcome, grown) = head.append(time, value, limits, Some(past));
            }
            let reason = match outcome {
                Outcome::Kept => {
                    appended.kept += 1;
                    if head.logged != self.log.number() {
                        head.logged = self.log.number();
                        self.unnamed.push(series);
                    }
                    walk.grown(grown);
                    self.record.sample(Logged { series, time, value });
                    if self.record.samples() >= RECORD_SAMPLES_MAX || self.unnamed.len() >= RECORD_NAMES_MAX {
                        walk.rest();
                        self.end_record();
                    }
                    continue;
                }
                Outcome::Same => {
                    appended.kept += 1;
                    continue;
                }
                Outcome::Duplicate => Refusal::Duplicate,
                Outcome::TooNew => Refusal::TooNew,
                // It has its answer: what it asked for reaches back as far as late samples are taken.
                Outcome::TooOld | Outcome::Ask => Refusal::TooOld,
            };
            reason.count(&mut appended);
            if appended.example.is_none() {
                walk.rest();
                let labels = format!("`{}`", heads.index().labels(series));
                appended.example = Some(self.example(&reason, &labels, sample.timestamp));
            }
        }
        drop(walk);
        let index = heads.index();
        appended.refs = resolved.series.iter().map(|series| series.map(|series| index.reference(series))).collect();
        appended
    }

    /// What blocks hold of a series from `time` on, or from the oldest time at which late samples are taken.
    fn past(&mut self, series: Ref, time: i64) -> &Past {
        if self.past_samples > PAST_SAMPLES_MAX {
            self.past.clear();
            self.past_samples = 0;
        }
        let labels = self.inner.heads.index().labels(series);
        let past = self.inner.past(&labels, time, self.limits);
        self.past_samples += past.samples.len();
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
            return Past { newest: None, from: time, samples: Vec::new() };
        };
        let from = limits.oldest(newest);
        let mut samples = Vec::new();
        for block in serving.iter().filter(|block| block.meta.last >= from) {
            for chunk in chunks(block, from) {
                if block.read(chunk, from, i64::MAX, &mut samples).is_err() {
                    self.found_damaged(block);
                }
            }
        }
        once(&mut samples);
        let samples: Vec<_> = samples.iter().map(|sample| (sample.timestamp.0, sample.value.to_bits())).collect();
        Past { newest: samples.last().copied(), from, samples }
    }
}
