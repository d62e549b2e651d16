//! What Prometheus' exporters say: text exposition format 0.0.4 and OpenMetrics 1.0.0, both ways.
//!
//! [`Parser`] walks a body line by line without copying; a series stays one piece of text ([`Sample::series`]) until
//! somebody asks for its [`labels`], so that a scraper that has seen the same text before need not take it apart.
//! The text format is read as leniently as Prometheus reads it. For OpenMetrics the syntax is strict, and [`Judge`]
//! checks what the specification says of whole families (a histogram without its count, a counter that is negative).
//! Exemplars are checked and handed on. [`walk`] reads these and protobuf bodies alike, native histograms among them.
//!
//! Always: memory is bounded by [`Limits`]; a bad line gives an error with its number, never a panic.

use std::borrow::Cow;
use std::sync::Arc;

use watchbell_model::Histogram;

mod encode;
mod family;
mod histogram_chunk;
mod judge;
mod nhcb;
mod parse;
mod protobuf;
mod protocol;
mod series;
#[cfg(test)]
mod tests;
pub mod tsdb;
mod walk;
#[cfg(test)]
mod walk_tests;
mod xor;

pub use encode::{format_bound, format_value, write_metadata, write_sample};
pub use family::{Family, FamilyKind, PROTOBUF_CONTENT_TYPE, classic_buckets};
pub use histogram_chunk::write_histograms;
pub use judge::Judge;
pub use parse::{Exemplar, Line, Parser, Sample};
pub use protocol::{Escaping, Protocol, accept, format_of};
pub use series::labels;
pub use walk::{Histograms, Refused, walk};
pub use xor::{XOR_SAMPLES, XorError, read_xor, write_xor};

/// The `Content-Type` of what [`write_sample`] writes.
pub const TEXT_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Which format a body is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text exposition format 0.0.4 and 1.0.0; timestamps are milliseconds.
    Text,
    /// OpenMetrics 1.0.0 and 0.0.1; timestamps are seconds.
    OpenMetrics,
    /// Messages `io.prometheus.client.MetricFamily`, each after its length; for [`walk`] only.
    Protobuf,
}

/// What a body says next, in any format.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    /// As a text has it.
    Line(Line<'a>),
    /// A native histogram.
    Histogram(HistogramLine<'a>),
}

/// A native histogram of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramLine<'a> {
    /// Name and labels, as [`labels`] reads them.
    pub series: Cow<'a, str>,
    /// What; [`Histogram::check`] passed.
    pub histogram: Arc<Histogram>,
    /// When, if the target says so.
    pub seconds: Option<f64>,
    /// Events behind it that say when they were.
    pub exemplars: Vec<Exemplar<'a>>,
}

/// What a body may hold at most. Past any of them the whole body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one line.
    pub line_bytes: usize,
    /// Labels of one sample, its name not counted.
    pub labels: usize,
    /// Samples of one body.
    pub samples: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { line_bytes: 64 << 10, labels: 128, samples: 1_000_000 }
    }
}

/// What kind of metric a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// Only grows, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in cumulative buckets that only grow.
    Histogram,
    /// Counts in cumulative buckets that go up and down.
    GaugeHistogram,
    /// Quantiles computed by the target.
    Summary,
    /// Facts as labels, always 1.
    Info,
    /// Which of several states holds, each 0 or 1.
    StateSet,
    /// Not said.
    Unknown,
}

impl MetricType {
    /// As OpenMetrics and Prometheus' API write it.
    pub fn as_str(self) -> &'static str {
        match self {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
            MetricType::Unknown => "unknown",
        }
    }

    fn read(text: &str, format: Format) -> Option<MetricType> {
        Some(match text {
            "counter" => MetricType::Counter,
            "gauge" => MetricType::Gauge,
            "histogram" => MetricType::Histogram,
            "gaugehistogram" => MetricType::GaugeHistogram,
            "summary" => MetricType::Summary,
            "info" => MetricType::Info,
            "stateset" => MetricType::StateSet,
            "unknown" => MetricType::Unknown,
            "untyped" if format == Format::Text => MetricType::Unknown,
            _ => return None,
        })
    }
}

/// A body that cannot be read, or that breaks a rule of its format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// Which line, from one.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}
