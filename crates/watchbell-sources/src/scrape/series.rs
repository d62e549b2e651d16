//! Bodies become batches: series by reference where the store gave one, ends marked.
//!
//! A series that was seen before is known by its text. Until the store has said how to refer to it, its labels are
//! kept; from then on only the reference. They are made again from the text when the store has forgotten the series.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use watchbell_model::{
    Appended, Batch, BatchHistogram, BatchSample, Exemplar, Histogram, Labels, SeriesKey, SeriesRef, Timestamp,
    stale_nan,
};
use watchbell_wire::prometheus::{self, Entry, Format, Judge, Limits, Line, Parser, Refused, walk};

use super::described::Described;
use super::labels::{self, Number};
use super::rules::{Fit, Rules};

/// A target's own time further ahead than this is not believed, as in Prometheus.
const FUTURE_MAX: Duration = Duration::from_secs(600);

/// After this many failed scrapes in a row nothing is remembered of a target's series.
const FAILURES_MAX: u32 = 100;

/// What Prometheus writes about each scrape, whatever came of it; the last three only where they are asked for.
pub(super) const REPORT: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
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
    /// How many scrapes failed since the last one that did not.
    failures: u32,
    hasher: RandomState,
}

struct Series {
    /// By labels until the store refers to it; `None` if relabelling drops it.
    key: Option<SeriesKey>,
    /// Which of its labels is a number.
    number: Number,
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
    /// Whether its last sample was a histogram; then its end is one too.
    histogram: bool,
    /// Whether it was counted as a new one.
    counted: bool,
}

/// What a scrape gave.
pub(crate) struct Scraped {
    /// Samples, the ends of series that are gone, and what belongs to them.
    pub(crate) outgoing: Outgoing,
    /// Samples in the body.
    pub(crate) samples: u64,
    /// Of these, those that relabelling left.
    pub(crate) left: u64,
    /// Series that are new.
    pub(crate) added: u64,
    /// Samples that were the second of their series.
    pub(super) duplicate: u64,
    /// Samples too far in the future.
    pub(super) future: u64,
    /// Why nothing of it counts, if so.
    pub(crate) error: Option<String>,
}

/// A value of either kind.
enum Value {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// A batch, and what the store's answer to it is read with.
pub(crate) struct Outgoing {
    batch: Batch,
    /// Whether some series is there by its labels.
    fresh: bool,
    /// Whether it describes metrics anew.
    describes: bool,
    /// Place and text of series that ended and are there by reference, and which of their labels is a number.
    ends: Vec<(u32, Box<str>, Number)>,
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
            histograms: self.batch.histograms.clone(),
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

    fn push_histogram(&mut self, series: u32, timestamp: Timestamp, histogram: Arc<Histogram>) {
        self.batch.histograms.push(BatchHistogram { series, timestamp, histogram });
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
        for sample in &self.batch.histograms {
            if let Some(series) = places.get(&sample.series) {
                again.push_histogram(*series, sample.timestamp, Arc::clone(&sample.histogram));
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
            failures: 0,
            hasher: RandomState::new(),
        }
    }

    fn scraped(&self) -> Scraped {
        let outgoing = Outgoing::new(Batch::new(Arc::clone(&self.source)));
        Scraped { outgoing, samples: 0, left: 0, added: 0, duplicate: 0, future: 0, error: None }
    }

    /// Reads a body that was scraped at `at`. On an error nothing of it counts, and its series end.
    pub(crate) fn read(&mut self, body: &[u8], format: Format, at: Timestamp) -> Scraped {
        self.round += 1;
        let (limits, histograms) = (self.rules.limits(), self.rules.histograms);
        let mut scraped = self.scraped();
        scraped.outgoing.batch.series.reserve(self.series.len() + 8);
        scraped.outgoing.batch.samples.reserve(self.series.len() + 8);
        let mut reading =
            Reading { alive: self, format, at, scraped, again: false, number: Number::None, in_batch: 0, over: None };
        let read = walk(body, format, limits, histograms, |entry| reading.entry(entry));
        let Reading { mut scraped, again, over, .. } = reading;
        if let Err(error) = read.and(over.map_or(Ok(()), |words| Err(words.to_owned()))) {
            return Scraped { error: Some(error), ..self.failed(at, scraped) };
        }
        if again {
            // A series that has several times may have them in any order.
            scraped.outgoing.batch.samples.sort_by_key(|sample| (sample.series, sample.timestamp));
            scraped.outgoing.batch.histograms.sort_by_key(|sample| (sample.series, sample.timestamp));
        }
        if let Some(news) = self.described.news(self.round, body, format, limits) {
            scraped.outgoing.describes = true;
            scraped.outgoing.batch.metadata = news;
        }
        self.failures = 0;
        let round = self.round;
        let gone = self.series.extract_if(|_, series| series.round != round);
        let gone: Vec<_> = gone.filter(|(_, series)| series.told && !series.own_time).collect();
        self.series.values_mut().for_each(|series| series.told = series.key.is_some());
        let gone: Vec<_> = gone.iter().map(|(text, series)| (&**text, series)).collect();
        self.ends(gone, at, &mut scraped.outgoing);
        scraped
    }

    /// The target could not be scraped, and why.
    pub(super) fn fail(&mut self, at: Timestamp, error: String) -> Scraped {
        let scraped = self.scraped();
        Scraped { error: Some(error), ..self.failed(at, scraped) }
    }

    /// All series end, but are known again when they come back.
    fn failed(&mut self, at: Timestamp, scraped: Scraped) -> Scraped {
        // What a body that was given up has touched must not look as if it were in the batch.
        self.round += 1;
        self.failures += 1;
        let Scraped { samples, left, added, duplicate, future, .. } = scraped;
        let mut ended = Scraped { samples, left, added, duplicate, future, ..self.scraped() };
        let told = self.series.iter().filter(|(_, series)| series.told && !series.own_time);
        self.ends(told.map(|(text, series)| (&**text, series)).collect(), at, &mut ended.outgoing);
        if self.failures >= FAILURES_MAX {
            self.series = HashMap::new();
        }
        self.series.values_mut().for_each(|series| series.told = false);
        ended
    }

    /// No series is alive any more: the target is gone.
    pub(super) fn end(&mut self, at: Timestamp) -> Outgoing {
        let scraped = self.scraped();
        self.failed(at, scraped).outgoing
    }

    /// Marks the ends of series that are not alive any more.
    fn ends(&self, mut gone: Vec<(&str, &Series)>, at: Timestamp, out: &mut Outgoing) {
        if gone.is_empty() {
            return;
        }
        // In order, so that the same scrape always gives the same batch.
        gone.sort_by(|a, b| a.0.cmp(b.0));
        // The same labels in another order are another text, but no other series.
        let mut others: HashMap<u64, Vec<(&str, &Series)>> =
            gone.iter().map(|(_, series)| (series.labels_hash, Vec::new())).collect();
        for (text, series) in self.series.iter().filter(|(_, series)| series.round == self.round) {
            if let Some(others) = others.get_mut(&series.labels_hash).filter(|_| series.key.is_some()) {
                others.push((text, series));
            }
        }
        for (text, series) in gone {
            let Some(key) = &series.key else { continue };
            let others = others.entry(series.labels_hash).or_default();
            if !others.is_empty() {
                let own = self.labels(text, series);
                if others.iter().any(|(text, series)| self.labels(text, series) == own) {
                    continue;
                }
            }
            others.push((text, series));
            let place = out.add(key.clone());
            if matches!(key, SeriesKey::Known(_)) {
                out.ends.push((place, text.into(), series.number));
            }
            if series.histogram {
                out.push_histogram(place, at, Arc::new(Histogram::stale()));
            } else {
                out.push(place, at, stale_nan());
            }
        }
    }

    fn labels(&self, text: &str, series: &Series) -> Option<Labels> {
        match series.key.as_ref()? {
            SeriesKey::Labels(labels) => Some(labels.clone()),
            SeriesKey::Known(_) => remade(text, series.number, &self.target, &self.rules),
        }
    }

    /// Adds what is said of each scrape.
    pub(crate) fn report(&self, out: &mut Outgoing, at: Timestamp, values: &[f64]) {
        for (number, value) in values.iter().copied().enumerate().take(REPORT.len()) {
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
            let Some(key) = &mut series.key else { continue };
            match (reference(series.place), &*key) {
                (Some(known), _) => *key = SeriesKey::Known(known),
                (None, SeriesKey::Known(_)) if forgot => {
                    if let Some(labels) = remade(text, series.number, &self.target, &self.rules) {
                        *key = SeriesKey::Labels(labels.clone());
                        forgotten.insert(series.place, labels);
                    }
                }
                (None, _) => {}
            }
        }
        for (place, text, number) in sent.ends.iter().filter(|(place, ..)| forgot && reference(*place).is_none()) {
            forgotten.extend(remade(text, *number, &self.target, &self.rules).map(|labels| (*place, labels)));
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

/// A body being read.
struct Reading<'a> {
    alive: &'a mut Alive,
    format: Format,
    at: Timestamp,
    scraped: Scraped,
    /// Whether some series has several samples.
    again: bool,
    /// Which label of the family's series is a number.
    number: Number,
    /// Samples that count against the limit.
    in_batch: usize,
    /// Which limit was passed; reading goes on, so that the samples are counted.
    over: Option<&'static str>,
}

impl Reading<'_> {
    fn entry(&mut self, entry: Entry<'_>) -> Result<(), Refused> {
        match entry {
            Entry::Line(Line::Sample(sample)) => {
                let exemplars = sample.exemplar.as_slice();
                self.sample(sample.series, Value::Float(sample.value), sample.timestamp(), exemplars)
            }
            Entry::Line(line) => {
                if let Line::Type { kind, .. } = &line {
                    self.number = Number::of(*kind);
                }
                self.alive.described.note(self.alive.round, &line);
                Ok(())
            }
            Entry::Histogram(line) => {
                let histogram = match self.alive.rules.fit(&line.histogram) {
                    Fit::AsItIs => Some(line.histogram),
                    Fit::Coarser(coarse) => Some(Arc::new(*coarse)),
                    Fit::TooMany => None,
                };
                let own_time = line.seconds.map(Timestamp::from_seconds);
                match histogram {
                    Some(histogram) => {
                        self.sample(&line.series, Value::Histogram(histogram), own_time, &line.exemplars)
                    }
                    None => {
                        self.scraped.samples += 1;
                        self.scraped.left += 1;
                        self.over.get_or_insert("histogram bucket limit exceeded");
                        Ok(())
                    }
                }
            }
        }
    }

    fn sample(
        &mut self,
        text: &str,
        value: Value,
        own_time: Option<Timestamp>,
        exemplars: &[prometheus::Exemplar<'_>],
    ) -> Result<(), Refused> {
        let Alive { series: known, rules, target, hasher, round, .. } = &mut *self.alive;
        let (round, scraped) = (*round, &mut self.scraped);
        scraped.samples += 1;
        let series = match known.get_mut(text) {
            Some(series) => series,
            None => {
                let labels = labels::of(text, self.format, self.number, target, rules)?;
                let series = Series {
                    labels_hash: labels.as_ref().map_or(0, |labels| hasher.hash_one(labels)),
                    key: labels.map(SeriesKey::Labels),
                    number: self.number,
                    exemplar: 0,
                    round: 0,
                    place: 0,
                    told: false,
                    own_time: false,
                    histogram: false,
                    counted: false,
                };
                known.entry(text.into()).or_insert(series)
            }
        };
        let Some(key) = &series.key else {
            series.round = round;
            return Ok(());
        };
        scraped.left += 1;
        let own_time = own_time.filter(|_| rules.honor_timestamps);
        if own_time.is_none() && series.round == round {
            scraped.duplicate += 1;
            return Ok(());
        }
        self.in_batch += 1;
        if rules.samples_max > 0 && self.in_batch > rules.samples_max {
            // This limit's words go before the others'.
            self.over = Some("sample limit exceeded");
        }
        if self.over.is_some() {
            return Ok(());
        }
        let timestamp = own_time.unwrap_or(self.at);
        if timestamp > self.at + FUTURE_MAX {
            scraped.future += 1;
            return Ok(());
        }
        let out = &mut scraped.outgoing;
        if series.round == round {
            self.again = true;
        } else {
            series.place = out.add(key.clone());
        }
        scraped.added += u64::from(!series.counted);
        series.counted = true;
        series.round = round;
        series.own_time = own_time.is_some() && !rules.track_staleness;
        series.histogram = matches!(value, Value::Histogram(_));
        match value {
            Value::Float(value) => out.push(series.place, timestamp, value),
            Value::Histogram(histogram) => out.push_histogram(series.place, timestamp, histogram),
        }
        if exemplars.is_empty() {
            return Ok(());
        }
        let hash = exemplars_hash(hasher, exemplars);
        if series.exemplar != hash {
            series.exemplar = hash;
            for exemplar in exemplars {
                let timestamp = exemplar.seconds.map_or(timestamp, Timestamp::from_seconds);
                let labels = Labels::from_pairs(exemplar.labels.iter().map(|(name, value)| (&**name, &**value)));
                out.batch.exemplars.push((series.place, Exemplar { labels, value: exemplar.value, timestamp }));
            }
        }
        Ok(())
    }
}

/// The labels of a text that was read before: whatever one format takes, the lenient one takes as the same.
fn remade(text: &str, number: Number, target: &Labels, rules: &Rules) -> Option<Labels> {
    labels::of(text, Format::Text, number, target, rules).ok().flatten()
}

fn exemplars_hash(hasher: &RandomState, exemplars: &[prometheus::Exemplar<'_>]) -> u64 {
    let one =
        |it: &prometheus::Exemplar<'_>| hasher.hash_one((&it.labels, it.value.to_bits(), it.seconds.map(f64::to_bits)));
    exemplars.iter().fold(0u64, |sum, it| sum.rotate_left(1) ^ one(it)).max(1)
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
