//! Bodies become batches: series by reference where the store gave one, ends marked.
//!
//! A series that was seen before is known by its text. Until the store has said how to refer to it, its labels are
//! kept; from then on only the reference. They are made again from the text when the store has forgotten the series.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use watchbell_model::{Appended, Batch, BatchSample, Exemplar, Labels, SeriesKey, SeriesRef, Timestamp, stale_nan};
use watchbell_wire::prometheus::{self, Format, Judge, Limits, Line, Parser};

use super::described::Described;
use super::labels;
use super::target::Rules;

/// A target's own time further ahead than this is not believed, as in Prometheus.
const FUTURE_MAX: Duration = Duration::from_secs(600);

/// What Prometheus writes about each scrape, whatever came of it.
const REPORT: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// The series of one target that are alive.
pub(crate) struct Alive {
    source: Arc<str>,
    target: Labels,
    rules: Rules,
    /// By the text of name and labels.
    series: HashMap<Box<str>, Series>,
    /// Those that tell of the scrapes.
    report: [Option<SeriesRef>; REPORT.len()],
    described: Described,
    /// Which scrape it is.
    round: u64,
    hasher: RandomState,
}

struct Series {
    /// By labels until the store refers to it.
    key: SeriesKey,
    /// A hash of the labels: texts that differ may mean the same series.
    labels_hash: u64,
    /// A hash of the example that was handed on last; 0 is none.
    exemplar: u64,
    /// The last scrape that had it.
    round: u64,
    /// Its place in the batch of that scrape.
    place: u32,
    /// Whether a scrape that succeeded had it.
    told: bool,
    /// Whether its samples have times of their own; then its end is not marked.
    own_time: bool,
}

/// What a scrape gave.
pub(crate) struct Scraped {
    /// Samples, the ends of series that are gone, and what belongs to them.
    pub(crate) outgoing: Outgoing,
    /// Samples in the body.
    pub(crate) samples: u64,
    /// Of these, those that are in the batch.
    pub(crate) kept: u64,
    /// Series that are new.
    pub(crate) added: u64,
    /// Samples that were the second of their series.
    pub(super) duplicate: u64,
    /// Samples too far in the future.
    pub(super) future: u64,
}

/// A batch, and what the store's answer to it is read with.
pub(crate) struct Outgoing {
    batch: Batch,
    /// Whether some series is there by its labels.
    fresh: bool,
    /// Whether it describes metrics anew.
    describes: bool,
    /// Place and text of series that ended and are there by reference.
    ends: Vec<(u32, Box<str>)>,
    /// Where the report begins.
    report: Option<u32>,
    /// Where this is sent again: the new place by the old one.
    places: Option<HashMap<u32, u32>>,
}

impl Outgoing {
    fn new(batch: Batch) -> Outgoing {
        Outgoing { batch, fresh: false, describes: false, ends: Vec::new(), report: None, places: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.batch.len()
    }

    /// The batch to hand over. What may have to be sent again stays.
    pub(crate) fn hand_over(&mut self) -> Batch {
        let left = Batch {
            samples: self.batch.samples.clone(),
            exemplars: self.batch.exemplars.clone(),
            ..Batch::new(Arc::clone(&self.batch.source))
        };
        std::mem::replace(&mut self.batch, left)
    }

    fn add(&mut self, key: SeriesKey) -> u32 {
        self.fresh |= matches!(key, SeriesKey::Labels(_));
        self.batch.add(key)
    }

    fn push(&mut self, series: u32, timestamp: Timestamp, value: f64) {
        self.batch.samples.push(BatchSample { series, timestamp, value });
    }

    /// The same for some of its series only, now by these labels.
    fn again(&self, series: BTreeMap<u32, Labels>) -> Outgoing {
        let mut again = Outgoing::new(Batch::new(Arc::clone(&self.batch.source)));
        let places: HashMap<u32, u32> =
            series.into_iter().map(|(place, labels)| (place, again.add(SeriesKey::Labels(labels)))).collect();
        for sample in &self.batch.samples {
            if let Some(series) = places.get(&sample.series) {
                again.push(*series, sample.timestamp, sample.value);
            }
        }
        for (series, exemplar) in &self.batch.exemplars {
            if let Some(series) = places.get(series) {
                again.batch.exemplars.push((*series, exemplar.clone()));
            }
        }
        again.report = self.report;
        again.places = Some(places);
        again
    }
}

impl Alive {
    pub(crate) fn new(source: Arc<str>, target: Labels, rules: Rules) -> Alive {
        Alive {
            source,
            target,
            rules,
            series: HashMap::new(),
            report: [None; REPORT.len()],
            described: Described::default(),
            round: 0,
            hasher: RandomState::new(),
        }
    }

    fn scraped(&self) -> Scraped {
        let outgoing = Outgoing::new(Batch::new(Arc::clone(&self.source)));
        Scraped { outgoing, samples: 0, kept: 0, added: 0, duplicate: 0, future: 0 }
    }

    /// Reads a body that was scraped at `at`. On an error nothing of it counts, and [`Alive::end`] is due.
    pub(crate) fn read(&mut self, body: &[u8], format: Format, at: Timestamp) -> Result<Scraped, String> {
        self.round += 1;
        let (limits, rules) = (self.rules.limits(), &self.rules);
        let (mut scraped, mut again) = (self.scraped(), false);
        let out = &mut scraped.outgoing;
        out.batch.series.reserve(self.series.len() + 8);
        out.batch.samples.reserve(self.series.len() + 8);
        let mut parser = Parser::new(body, format, limits).map_err(|error| error.to_string())?;
        while let Some(line) = parser.next() {
            let line = line.map_err(|error| error.to_string())?;
            let Line::Sample(sample) = line else {
                self.described.note(self.round, &line);
                continue;
            };
            scraped.samples += 1;
            if rules.samples_max > 0 && scraped.samples > rules.samples_max as u64 {
                return Err(format!("there are more samples than `sample_limit` allows ({})", rules.samples_max));
            }
            let series = match self.series.get_mut(sample.series) {
                Some(series) => series,
                None => {
                    let labels = labels::of(sample.series, format, &self.target, rules)
                        .map_err(|reason| format!("line {}: {reason}", parser.line()))?;
                    let series = Series {
                        labels_hash: self.hasher.hash_one(&labels),
                        key: SeriesKey::Labels(labels),
                        exemplar: 0,
                        round: 0,
                        place: 0,
                        told: false,
                        own_time: false,
                    };
                    self.series.entry(sample.series.into()).or_insert(series)
                }
            };
            let own_time = sample.timestamp().filter(|_| rules.honor_timestamps);
            if own_time.is_none() && series.round == self.round {
                scraped.duplicate += 1;
                continue;
            }
            let timestamp = own_time.unwrap_or(at);
            if timestamp > at + FUTURE_MAX {
                scraped.future += 1;
                continue;
            }
            if series.round == self.round {
                again = true;
            } else {
                scraped.added += u64::from(!series.told);
                series.place = out.add(series.key.clone());
            }
            series.round = self.round;
            series.own_time = own_time.is_some();
            scraped.kept += 1;
            out.push(series.place, timestamp, sample.value);
            if let Some(exemplar) = &sample.exemplar {
                let hash = exemplar_hash(&self.hasher, exemplar);
                if series.exemplar != hash {
                    series.exemplar = hash;
                    let timestamp = exemplar.seconds.map_or(timestamp, Timestamp::from_seconds);
                    let labels = Labels::from_pairs(exemplar.labels.iter().map(|(name, value)| (&**name, &**value)));
                    out.batch.exemplars.push((series.place, Exemplar { labels, value: exemplar.value, timestamp }));
                }
            }
        }
        if again {
            // A series that has several times may have them in any order.
            out.batch.samples.sort_by_key(|sample| (sample.series, sample.timestamp));
        }
        if let Some(news) = self.described.news(self.round, body, format, limits) {
            out.describes = true;
            out.batch.metadata = news;
        }
        let gone = self.series.extract_if(|_, series| series.round != self.round);
        let gone = gone.filter(|(_, series)| series.told && !series.own_time).collect();
        self.series.values_mut().for_each(|series| series.told = true);
        self.ends(gone, at, &mut scraped.outgoing);
        Ok(scraped)
    }

    /// No series is alive any more: the target is gone, or could not be scraped.
    pub(crate) fn end(&mut self, at: Timestamp) -> Scraped {
        let told = self.series.drain().filter(|(_, series)| series.told && !series.own_time).collect();
        let mut scraped = self.scraped();
        self.ends(told, at, &mut scraped.outgoing);
        scraped
    }

    /// Marks the ends of series that are not alive any more.
    fn ends(&self, mut gone: Vec<(Box<str>, Series)>, at: Timestamp, out: &mut Outgoing) {
        if gone.is_empty() {
            return;
        }
        // In order, so that the same scrape always gives the same batch.
        gone.sort_by(|a, b| a.0.cmp(&b.0));
        // The same labels in another order are another text, but no other series.
        let mut others: HashMap<u64, Vec<(&str, &SeriesKey)>> =
            gone.iter().map(|(_, series)| (series.labels_hash, Vec::new())).collect();
        for (text, series) in &self.series {
            if let Some(others) = others.get_mut(&series.labels_hash) {
                others.push((text, &series.key));
            }
        }
        for (text, series) in &gone {
            let others = others.entry(series.labels_hash).or_default();
            if !others.is_empty() {
                let own = self.labels(text, &series.key);
                if others.iter().any(|(text, key)| self.labels(text, key) == own) {
                    continue;
                }
            }
            others.push((text, &series.key));
            let place = out.add(series.key.clone());
            if matches!(series.key, SeriesKey::Known(_)) {
                out.ends.push((place, text.clone()));
            }
            out.push(place, at, stale_nan());
        }
    }

    fn labels(&self, text: &str, key: &SeriesKey) -> Option<Labels> {
        match key {
            SeriesKey::Labels(labels) => Some(labels.clone()),
            SeriesKey::Known(_) => remade(text, &self.target, &self.rules),
        }
    }

    /// Adds what is said of each scrape.
    pub(crate) fn report(&self, out: &mut Outgoing, at: Timestamp, values: [f64; REPORT.len()]) {
        for (number, value) in values.into_iter().enumerate() {
            let key = match self.report[number] {
                Some(known) => SeriesKey::Known(known),
                None => SeriesKey::Labels(self.reported(number)),
            };
            let place = out.add(key);
            out.report.get_or_insert(place);
            out.push(place, at, value);
        }
    }

    fn reported(&self, number: usize) -> Labels {
        self.target.with(Labels::NAME, REPORT[number])
    }

    /// Remembers how the store refers to series. Answers what it did not know any more, by labels, to be sent again.
    pub(crate) fn learn(&mut self, sent: &Outgoing, appended: &Appended) -> Option<Outgoing> {
        if sent.describes {
            self.described.told();
        }
        let forgot = appended.unknown > 0 && sent.places.is_none();
        if !sent.fresh && !forgot {
            return None;
        }
        let reference = |place: u32| {
            let place = sent.places.as_ref().map_or(Some(&place), |places| places.get(&place))?;
            *appended.refs.get(*place as usize)?
        };
        let mut forgotten = BTreeMap::new();
        for (text, series) in self.series.iter_mut().filter(|(_, series)| series.round == self.round) {
            match (reference(series.place), &series.key) {
                (Some(known), _) => series.key = SeriesKey::Known(known),
                (None, SeriesKey::Known(_)) if forgot => {
                    if let Some(labels) = remade(text, &self.target, &self.rules) {
                        series.key = SeriesKey::Labels(labels.clone());
                        forgotten.insert(series.place, labels);
                    }
                }
                (None, _) => {}
            }
        }
        for (place, text) in sent.ends.iter().filter(|(place, _)| forgot && reference(*place).is_none()) {
            forgotten.extend(remade(text, &self.target, &self.rules).map(|labels| (*place, labels)));
        }
        for (place, number) in sent.report.into_iter().flat_map(|first| (first..).zip(0..REPORT.len())) {
            match (reference(place), self.report[number]) {
                (Some(known), _) => self.report[number] = Some(known),
                (None, Some(_)) if forgot => {
                    self.report[number] = None;
                    forgotten.insert(place, self.reported(number));
                }
                (None, _) => {}
            }
        }
        (!forgotten.is_empty()).then(|| sent.again(forgotten))
    }

    /// The store took nothing: examples are handed on again if they still stand there.
    pub(crate) fn lost(&mut self) {
        self.series.values_mut().for_each(|series| series.exemplar = 0);
    }

    /// How many lines that describe metrics were left out since it was last asked.
    pub(super) fn undescribed(&mut self) -> u64 {
        self.described.left_out()
    }
}

/// The labels of a text that was read before: whatever one format takes, the lenient one takes as the same.
fn remade(text: &str, target: &Labels, rules: &Rules) -> Option<Labels> {
    labels::of(text, Format::Text, target, rules).ok()
}

fn exemplar_hash(hasher: &RandomState, exemplar: &prometheus::Exemplar<'_>) -> u64 {
    let seconds = exemplar.seconds.map(f64::to_bits);
    hasher.hash_one((&exemplar.labels, exemplar.value.to_bits(), seconds)).max(1)
}

/// What OpenMetrics has against a body that can be read all the same.
pub(super) fn violation(body: &[u8]) -> Option<String> {
    let limits = Limits::default();
    let mut parser = Parser::new(body, Format::OpenMetrics, limits).ok()?;
    let mut judge = Judge::new(limits);
    while let Some(line) = parser.next() {
        if let Err(error) = judge.line(parser.line(), &line.ok()?) {
            return Some(error.to_string());
        }
    }
    judge.end(parser.line()).err().map(|error| error.to_string())
}
