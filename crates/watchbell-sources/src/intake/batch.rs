//! A batch in the making, and what the store's answer means for the request it came from.

use std::collections::HashSet;
use std::sync::Arc;

use watchbell_model::{
    Appended, Batch, BatchHistogram, BatchSample, Exemplar, Histogram, Labels, Metadata, MetricType, SeriesKey,
    SeriesRef, Timestamp,
};

use super::known::{Key, Known};
use super::{HELP_BYTES_MAX, IntakeError, LABEL_BYTES_MAX, LABELS_MAX, REQUEST_SAMPLES_MAX, Written};

/// Makes a batch, series by series.
pub(super) struct Builder<'a> {
    pub(super) known: &'a Known,
    /// Only these of the request's series, by their labels even where they are known.
    only: Option<&'a HashSet<u32>>,
    batch: Batch,
    said: Said,
    /// How many series began.
    begun: u32,
    series: Current,
}

/// The series that samples go to now.
enum Current {
    /// It is not among those that are wanted.
    Unwanted,
    /// It is not in the batch yet: it may turn out to have nothing.
    Begun,
    /// Its place.
    At(u32),
    /// Its labels were refused.
    Refused,
}

/// What there is to know of a batch when the store has answered.
#[derive(Default)]
pub(super) struct Said {
    /// Series that were given by their labels, to be known from now on.
    fresh: Vec<(u32, Key)>,
    /// Metadata, likewise.
    metadata: HashSet<Key>,
    /// For each series of the batch which one of the request it is.
    ordinals: Vec<u32>,
    refused: u64,
    first: Option<String>,
}

/// What metadata is known by: it refers to no series.
const METADATA: SeriesRef = SeriesRef(0);

impl<'a> Builder<'a> {
    pub(super) fn new(known: &'a Known, source: Arc<str>, only: Option<&'a HashSet<u32>>) -> Builder<'a> {
        let (batch, said) = (Batch::new(source), Said::default());
        Builder { known, only, batch, said, begun: 0, series: Current::Unwanted }
    }

    /// The request's next series; what is added from now on is its own.
    pub(super) fn begin(&mut self) {
        let wanted = self.only.is_none_or(|only| only.contains(&self.begun));
        self.series = if wanted { Current::Begun } else { Current::Unwanted };
        self.begun += 1;
    }

    /// The place of the series, which is looked up when it is first needed.
    fn place<L>(&mut self, key: Key, labels: L) -> Option<u32>
    where
        L: FnOnce() -> Result<Labels, String>,
    {
        match self.series {
            Current::At(place) => return Some(place),
            Current::Unwanted | Current::Refused => return None,
            Current::Begun => {}
        }
        let known = if self.only.is_none() { self.known.get(key) } else { None };
        let series = match known.map(SeriesKey::Known).map_or_else(|| labels().map(SeriesKey::Labels), Ok) {
            Ok(series) => series,
            Err(reason) => {
                self.said.first.get_or_insert(reason);
                self.series = Current::Refused;
                return None;
            }
        };
        let fresh = matches!(series, SeriesKey::Labels(_));
        let place = self.batch.add(series);
        if fresh {
            self.said.fresh.push((place, key));
        }
        self.said.ordinals.push(self.begun - 1);
        self.series = Current::At(place);
        Some(place)
    }

    /// Counts what goes to a series that was refused.
    fn missed(&mut self) {
        if matches!(self.series, Current::Refused) {
            self.said.refused += 1;
        }
    }

    fn room(&self) -> Result<(), IntakeError> {
        if self.batch.len() >= REQUEST_SAMPLES_MAX {
            return Err(IntakeError::TooMuch { what: "samples", limit: REQUEST_SAMPLES_MAX });
        }
        Ok(())
    }

    pub(super) fn sample<L>(
        &mut self,
        key: Key,
        labels: L,
        timestamp: Timestamp,
        value: f64,
        start: Option<Timestamp>,
    ) -> Result<(), IntakeError>
    where
        L: FnOnce() -> Result<Labels, String>,
    {
        self.room()?;
        match self.place(key, labels) {
            Some(series) => {
                self.batch.samples.push(BatchSample { series, timestamp, value });
                self.start(series, timestamp, start);
            }
            None => self.missed(),
        }
        Ok(())
    }

    pub(super) fn histogram<L>(
        &mut self,
        key: Key,
        labels: L,
        timestamp: Timestamp,
        histogram: Histogram,
        start: Option<Timestamp>,
    ) -> Result<(), IntakeError>
    where
        L: FnOnce() -> Result<Labels, String>,
    {
        self.room()?;
        if let Err(reason) = histogram.check().map_err(|error| error.to_string()).and_then(|()| counts_fit(&histogram))
        {
            if !matches!(self.series, Current::Unwanted) {
                self.said.refused += 1;
                self.said.first.get_or_insert(reason);
            }
            return Ok(());
        }
        match self.place(key, labels) {
            Some(series) => {
                self.batch.histograms.push(BatchHistogram { series, timestamp, histogram: Arc::new(histogram) });
                self.start(series, timestamp, start);
            }
            None => self.missed(),
        }
        Ok(())
    }

    /// A start holds for later samples too, so one that is said again is left out.
    fn start(&mut self, series: u32, timestamp: Timestamp, start: Option<Timestamp>) {
        let Some(start) = start else { return };
        let same = self.batch.starts.last().is_some_and(|last| last.0 == series && last.2 == start);
        if !same {
            self.batch.starts.push((series, timestamp, start));
        }
    }

    pub(super) fn exemplar<L>(&mut self, key: Key, labels: L, exemplar: Exemplar)
    where
        L: FnOnce() -> Result<Labels, String>,
    {
        if let Some(series) = self.place(key, labels) {
            self.batch.exemplars.push((series, exemplar));
        }
    }

    /// What a metric is; what was said before is not said again.
    pub(super) fn metadata(&mut self, metric: &str, kind: MetricType, help: &str, unit: &str) {
        if self.only.is_some() || metric.is_empty() {
            return;
        }
        let keys = self.known.keys();
        let mut hash = keys.begin(METADATA_KIND);
        [metric, kind.as_str(), help, unit].iter().for_each(|text| keys.add(&mut hash, text.as_bytes()));
        let key = keys.end(hash);
        if self.known.get(key).is_some() || self.said.metadata.contains(&key) {
            return;
        }
        let metadata = Metadata { kind, help: cut(help).to_owned(), unit: cut(unit).to_owned() };
        self.batch.metadata.push((metric.to_owned(), metadata));
        self.said.metadata.insert(key);
    }

    /// A whole series that cannot be taken, with so many samples.
    pub(super) fn refuse(&mut self, samples: u64, reason: impl FnOnce() -> String) {
        if self.only.is_none() {
            self.said.refused += samples;
            self.said.first.get_or_insert_with(reason);
        }
    }

    pub(super) fn finish(self) -> (Batch, Said) {
        (self.batch, self.said)
    }
}

/// Whether whole counts add up, as Prometheus insists (`histogram.Validate`). Counts that are not whole need not: they
/// come from arithmetic. Observations that are not a number are in no bucket.
fn counts_fit(histogram: &Histogram) -> Result<(), String> {
    let counts = || histogram.positive.counts.iter().chain(&histogram.negative.counts).chain([&histogram.zero_count]);
    if histogram.is_stale() || counts().chain([&histogram.count]).any(|count| count.fract() != 0.0) {
        return Ok(());
    }
    let sum: f64 = counts().sum();
    let fits = if histogram.sum.is_nan() { sum <= histogram.count } else { sum == histogram.count };
    if fits { Ok(()) } else { Err(format!("a histogram counts {} observations, its buckets {sum}", histogram.count)) }
}

/// Keeps hashes of metadata apart from those of series.
const METADATA_KIND: u8 = 255;

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(HELP_BYTES_MAX)]
}

impl Said {
    /// Remembers what the store knows by now; answers what was written. What the store did not know is not counted.
    pub(super) fn learn(&self, known: &Known, appended: &Appended) -> Written {
        for (place, key) in &self.fresh {
            if let Some(Some(series)) = appended.refs.get(*place as usize) {
                known.put(*key, *series);
            }
        }
        self.metadata.iter().for_each(|key| known.put(*key, METADATA));
        Written {
            samples: appended.kept - appended.kept_histograms,
            histograms: appended.kept_histograms,
            exemplars: appended.kept_exemplars,
            refused: self.refused + appended.refused() - appended.unknown,
            first: self.first.clone().or_else(|| appended.example.clone()).or_else(|| words(appended)),
        }
    }

    /// The request's series whose references the store did not know.
    pub(super) fn stale(&self, appended: &Appended) -> HashSet<u32> {
        let fresh: HashSet<u32> = self.fresh.iter().map(|(place, _)| *place).collect();
        let places = (0..).zip(&self.ordinals).zip(&appended.refs);
        let stale = places.filter(|((place, _), known)| known.is_none() && !fresh.contains(place));
        stale.map(|((_, ordinal), _)| *ordinal).collect()
    }
}

/// What a store refused that gave no example.
fn words(appended: &Appended) -> Option<String> {
    let reasons = [
        (appended.duplicate, "another value for their time is there already"),
        (appended.too_old, "they are older than the window for late samples"),
        (appended.too_new, "they are further in the future than clocks go wrong"),
        (appended.over_limit, "the limit of series is reached"),
    ];
    let said: Vec<String> = reasons
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("samples refused: {count}, {reason}"))
        .collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// Labels of a series, checked as the remote write specification says. Order does not matter, since some senders get
/// it wrong and none means anything by it; an empty value is no label at all.
pub(super) fn labels(mut pairs: Vec<(&str, &str)>) -> Result<Labels, String> {
    let shown = |pairs: &[(&str, &str)]| {
        let text = Labels::from_pairs(pairs.iter().copied()).to_string();
        if text.len() > SHOWN_MAX { format!("{}…", &text[..text.floor_char_boundary(SHOWN_MAX)]) } else { text }
    };
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if pairs.len() > LABELS_MAX || bytes > LABEL_BYTES_MAX {
        let words = format!("a series may have {LABELS_MAX} labels and {LABEL_BYTES_MAX} bytes of them at most");
        return Err(format!("{words}, this one has {} and {bytes}: {}", pairs.len(), shown(&pairs)));
    }
    pairs.sort_unstable_by_key(|(name, _)| *name);
    if let Some(twice) = pairs.windows(2).find(|two| two[0].0 == two[1].0) {
        return Err(format!("a series has the label `{}` twice: {}", twice[0].0, shown(&pairs)));
    }
    if pairs.first().is_some_and(|(name, _)| name.is_empty()) {
        return Err(format!("a series has a label without a name: {}", shown(&pairs)));
    }
    if !pairs.iter().any(|(name, value)| *name == Labels::NAME && !value.is_empty()) {
        return Err(format!("a series has no metric name (label `__name__`): {}", shown(&pairs)));
    }
    Ok(Labels::from_sorted(pairs))
}

/// How many bytes of a bad series are shown to its sender.
const SHOWN_MAX: usize = 300;
