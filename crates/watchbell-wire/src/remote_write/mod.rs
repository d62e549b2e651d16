//! Prometheus' remote write, both versions, both ways: what agents and other Prometheus push, and what we push on.
//!
//! Reading copies nothing: a series' labels stay the bytes they came as until somebody asks for their text, so that a
//! receiver that has seen the same bytes before need not look into them. Bodies are decompressed before they get here
//! ([`crate::snappy`]). Which samples are taken is the receiver's and the store's to say.
//!
//! Source: the remote write specifications 1.0 and 2.0-rc.4, and Prometheus' `prompb`.

mod histogram;
#[cfg(test)]
mod tests;
pub mod v1;
pub mod v2;

use std::borrow::Cow;

use watchbell_model::{Exemplar, Histogram, HistogramSample, Labels, Metadata, MetricType, Sample, Start, Timestamp};

use crate::ProtoError;
use crate::proto::Fields;

/// The `Content-Type` of 1.0, which Prometheus sends without naming the message.
pub const CONTENT_TYPE_V1: &str = "application/x-protobuf";
/// The `Content-Type` of 2.0.
pub const CONTENT_TYPE_V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
/// The header that says which version a sender speaks, and its values.
pub const VERSION_HEADER: &str = "x-prometheus-remote-write-version";
/// See [`VERSION_HEADER`].
pub const VERSION_V1: &str = "0.1.0";
/// See [`VERSION_HEADER`].
pub const VERSION_V2: &str = "2.0.0";
/// The headers in which a receiver says how much it has written, for samples, histograms and exemplars.
pub const WRITTEN_HEADERS: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

/// Which message a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

impl Version {
    /// What a `Content-Type` says; `None` if it is neither. No header at all is 1.0, as the specification asks.
    ///
    /// It must be asked: a 2.0 body that is read as 1.0 looks empty, and its sender would take it for written.
    pub fn of_content_type(header: Option<&str>) -> Option<Version> {
        let Some(header) = header else { return Some(Version::V1) };
        let mut parts = header.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case("application/x-protobuf") {
            return None;
        }
        let mut version = Version::V1;
        for parameter in parts {
            let (name, value) = parameter.split_once('=')?;
            if name.trim().eq_ignore_ascii_case("proto") {
                version = match value.trim().trim_matches('"') {
                    "prometheus.WriteRequest" => Version::V1,
                    "io.prometheus.write.v2.Request" => Version::V2,
                    _ => return None,
                };
            }
        }
        Some(version)
    }
}

/// One thing a series has.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    /// A value, and when counting began, if that is said of it.
    Sample(Sample, Option<Timestamp>),
    /// A histogram, not checked yet, and when counting began.
    Histogram(Timestamp, Box<Histogram>, Option<Timestamp>),
    /// An example.
    Exemplar(Exemplar),
    /// What the metric is (2.0): its type, its help, its unit.
    Metadata(MetricType, &'a str, &'a str),
}

/// A series on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Its labels, the name among them.
    pub labels: &'a Labels,
    /// Values, oldest first.
    pub samples: &'a [Sample],
    /// Histograms, oldest first; 2.0 does not allow both in one series.
    pub histograms: &'a [HistogramSample],
    /// Examples.
    pub exemplars: &'a [Exemplar],
    /// When counting began (2.0 only), each for the samples from its `from` on.
    pub starts: &'a [Start],
    /// What the metric is (2.0 only: 1.0 sends it apart from series).
    pub metadata: Option<&'a Metadata>,
}

impl<'a> Outgoing<'a> {
    /// Values alone.
    pub fn of(labels: &'a Labels, samples: &'a [Sample]) -> Outgoing<'a> {
        Outgoing { labels, samples, histograms: &[], exemplars: &[], starts: &[], metadata: None }
    }

    fn start_of(&self, sample: Timestamp) -> i64 {
        let after = self.starts.partition_point(|start| start.from <= sample);
        after.checked_sub(1).map_or(0, |at| self.starts[at].start.0)
    }
}

/// A sample of either version: value, time, start.
fn sample(mut fields: Fields<'_>) -> Result<Item<'_>, ProtoError> {
    let (mut value, mut timestamp, mut start) = (0.0, 0, 0);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => value = field.f64()?,
            2 => timestamp = field.i64()?,
            3 => start = field.i64()?,
            _ => {}
        }
    }
    Ok(Item::Sample(Sample { timestamp: Timestamp(timestamp), value }, told(start)))
}

/// Zero is how protobuf leaves a time out.
fn told(start: i64) -> Option<Timestamp> {
    (start != 0).then_some(Timestamp(start))
}

/// Types of metrics have the same numbers in both versions.
const TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

fn metric_type(number: u64) -> MetricType {
    usize::try_from(number).ok().and_then(|number| TYPES.get(number)).copied().unwrap_or_default()
}

fn type_number(kind: MetricType) -> u64 {
    TYPES.iter().position(|have| *have == kind).unwrap_or(0) as u64
}

fn content(words: impl Into<Cow<'static, str>>) -> ProtoError {
    ProtoError::Content(words.into())
}
