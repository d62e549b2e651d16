//! What goes into the store at once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::{BoxFuture, Histogram, Labels, Point, Timestamp};

/// Takes samples in.
pub trait Append: Send + Sync {
    /// Keeps a batch; when it answers, the samples survive `kill -9`.
    ///
    /// Samples that cannot be kept (too old, a second value for one time) are counted in the answer, the rest is kept.
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>>;
}

/// A series in the store, known again without its labels: what [`Appended::refs`] gave for it.
///
/// Means nothing in another store or after a restart; the store answers one it does not know as stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u64);

/// Which series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeriesKey {
    /// By its labels, the metric's name among them; made if need be.
    Labels(Labels),
    /// As told before: costs no work on labels.
    Known(SeriesRef),
}

/// One value of a series of the batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchSample {
    /// The place of its series in [`Batch::series`].
    pub series: u32,
    /// When.
    pub timestamp: Timestamp,
    /// What.
    pub value: f64,
}

/// One histogram of a series of the batch.
#[derive(Clone, Debug)]
pub struct BatchHistogram {
    /// The place of its series in [`Batch::series`].
    pub series: u32,
    /// When.
    pub timestamp: Timestamp,
    /// What; [`Histogram::check`] passed.
    pub histogram: Arc<Histogram>,
}

/// An example of what was counted: most often a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// What it points to: `trace_id` and the like.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// When.
    pub timestamp: Timestamp,
}

/// The type of a metric, under OpenMetrics' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MetricType {
    /// Not told.
    #[default]
    Unknown,
    /// Only goes up, or begins anew.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by buckets.
    Histogram,
    /// Counts by buckets, goes up and down.
    GaugeHistogram,
    /// Quantiles.
    Summary,
    /// One, with what it says in its labels.
    Info,
    /// Zero or one for each state.
    StateSet,
}

impl MetricType {
    /// As OpenMetrics and Prometheus' API write it.
    pub fn as_str(self) -> &'static str {
        match self {
            MetricType::Unknown => "unknown",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
        }
    }

    /// From that writing; `untyped` is the text format's word for unknown.
    pub fn parse(text: &str) -> Option<MetricType> {
        use MetricType::{Counter, Gauge, GaugeHistogram, Histogram, Info, StateSet, Summary, Unknown};
        let all = [Unknown, Counter, Gauge, Histogram, GaugeHistogram, Summary, Info, StateSet];
        all.into_iter().find(|kind| kind.as_str() == text).or((text == "untyped").then_some(Unknown))
    }
}

/// What a metric is, as its sender says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Metadata {
    /// Its type.
    pub kind: MetricType,
    /// Its unit, empty for none.
    pub unit: String,
    /// What it means, in words.
    pub help: String,
}

/// Samples on their way into the store, and what belongs to them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Who sends: `scrape/<job>`, `remote_write`, `otlp`, `self`. Each has its own limit of series.
    pub source: Arc<str>,
    /// The series that the rest speaks of.
    pub series: Vec<SeriesKey>,
    /// Values; those of one series in order of time.
    pub samples: Vec<BatchSample>,
    /// Histograms; those of one series in order of time.
    pub histograms: Vec<BatchHistogram>,
    /// Place of the series, the sample this is said of, when counting began; sparse: it holds for later samples too.
    pub starts: Vec<(u32, Timestamp, Timestamp)>,
    /// Place of the series, example.
    pub exemplars: Vec<(u32, Exemplar)>,
    /// Metric's name (without `_total`, `_bucket` and the like where its format says so), what it is.
    pub metadata: Vec<(String, Metadata)>,
}

impl Batch {
    /// Nothing yet.
    pub fn new(source: impl Into<Arc<str>>) -> Batch {
        Batch {
            source: source.into(),
            series: Vec::new(),
            samples: Vec::new(),
            histograms: Vec::new(),
            starts: Vec::new(),
            exemplars: Vec::new(),
            metadata: Vec::new(),
        }
    }

    /// Plain values.
    pub fn of(source: impl Into<Arc<str>>, points: Vec<Point>) -> Batch {
        let mut batch = Batch::new(source);
        batch.series.reserve(points.len());
        batch.samples.reserve(points.len());
        for point in points {
            let series = batch.add(SeriesKey::Labels(point.labels));
            batch.samples.push(BatchSample { series, timestamp: point.timestamp, value: point.value });
        }
        batch
    }

    /// Adds a series; answers its place.
    pub fn add(&mut self, series: SeriesKey) -> u32 {
        self.series.push(series);
        (self.series.len() - 1) as u32
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.histograms.is_empty() && self.exemplars.is_empty() && self.metadata.is_empty()
    }

    /// How many samples, histograms included.
    pub fn len(&self) -> usize {
        self.samples.len() + self.histograms.len()
    }

    /// The plain values by labels, for those who do not keep series: series that are only referred to are left out.
    pub fn points(&self) -> Vec<Point> {
        let labels: HashMap<u32, &Labels> = (0..)
            .zip(&self.series)
            .filter_map(|(at, key)| if let SeriesKey::Labels(labels) = key { Some((at, labels)) } else { None })
            .collect();
        let point = |sample: &BatchSample| {
            let labels = (*labels.get(&sample.series)?).clone();
            Some(Point { labels, timestamp: sample.timestamp, value: sample.value })
        };
        self.samples.iter().filter_map(point).collect()
    }
}

/// watchbell's own numbers.
impl From<Vec<Point>> for Batch {
    fn from(points: Vec<Point>) -> Batch {
        Batch::of("self", points)
    }
}

/// What became of a batch. Samples and histograms are counted alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Kept.
    pub kept: u64,
    /// Of these, histograms.
    pub kept_histograms: u64,
    /// Examples kept.
    pub kept_exemplars: u64,
    /// Refused: another value for that time is already there.
    pub duplicate: u64,
    /// Refused: older than the window for late samples.
    pub too_old: u64,
    /// Refused: further ahead of our clock than clocks go wrong.
    pub too_new: u64,
    /// Refused: a new series past the named limit.
    pub over_limit: u64,
    /// Refused: the store no longer knows the reference of their series. Send them again by their labels.
    pub unknown: u64,
    /// For each series of the batch how to refer to it from now on; `None` where it was refused or is not known.
    /// Empty from stores that give no references.
    pub refs: Vec<Option<SeriesRef>>,
    /// Which were refused, by their place in the batch: its samples, then its histograms. Empty from stores that do not say.
    pub refused_at: Vec<u32>,
    /// The first sample that was refused, in words for its sender.
    pub example: Option<String>,
}

impl Appended {
    /// How many samples were refused, for whatever reason.
    pub fn refused(&self) -> u64 {
        self.duplicate + self.too_old + self.too_new + self.over_limit + self.unknown
    }
}

/// Why a batch was not kept at all.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The store is full, read-only or failing; trying again later may help.
    #[error("the store cannot take samples now: {0}")]
    Unavailable(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}
