//! Values over time.

use std::sync::Arc;

use crate::{Histogram, Labels, Timestamp};

/// A value at a time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When.
    pub timestamp: Timestamp,
    /// What; a series' end is marked by [`stale_nan`].
    pub value: f64,
}

/// Equal to the last bit, so that markers and NaNs compare.
impl PartialEq for Sample {
    fn eq(&self, other: &Sample) -> bool {
        self.timestamp == other.timestamp && self.value.to_bits() == other.value.to_bits()
    }
}

/// A native histogram at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSample {
    /// When.
    pub timestamp: Timestamp,
    /// What; a series' end is marked by a sum that is [`stale_nan`].
    pub histogram: Arc<Histogram>,
}

/// From some sample on, when what it counts began (OpenMetrics' created, OTLP's and remote write's start timestamp).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The first sample this is said of; it holds until the next [`Start`] of the series.
    pub from: Timestamp,
    /// When counting began; zero for not known.
    pub start: Timestamp,
}

/// All samples with one label set, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// The set, with the metric's name in it.
    pub labels: Labels,
    /// Oldest first, one per time.
    pub samples: Vec<Sample>,
    /// The samples that are histograms: oldest first, one per time, at no time that `samples` has.
    pub histograms: Vec<HistogramSample>,
    /// By `from`; empty where no start was ever told.
    pub starts: Vec<Start>,
}

impl Series {
    /// A series of plain values.
    pub fn new(labels: Labels, samples: Vec<Sample>) -> Series {
        Series { labels, samples, ..Series::default() }
    }

    /// How many samples it has, a histogram counted as one for every ten of its buckets, as Prometheus does.
    pub fn size(&self) -> usize {
        self.samples.len() + self.histograms.iter().map(|sample| sample.histogram.size()).sum::<usize>()
    }

    /// Whether it has no sample.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.histograms.is_empty()
    }
}

/// One sample on its way into the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The series' labels, the metric's name among them.
    pub labels: Labels,
    /// When.
    pub timestamp: Timestamp,
    /// What.
    pub value: f64,
}

impl Point {
    /// A sample of the metric `name`.
    pub fn new(name: &str, labels: &[(&str, &str)], timestamp: Timestamp, value: f64) -> Point {
        Point { labels: Labels::metric(name, labels), timestamp, value }
    }
}

/// The bits of Prometheus' staleness marker, a signalling NaN: compare bits, never values.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The value that says: this series ended here.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether a value is the staleness marker.
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}
