//! Series in memory: what tests of expressions and of rules are played over.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::histogram::is_reset;
use watchbell_model::{
    BucketSpan, Buckets, Histogram, HistogramSample, Labels, Matcher, Query, QueryError, ResetHint, Sample, Series,
    Start, Timestamp,
};

/// Series by labels, samples by time. For tests of expressions and rules: it holds everything and forgets nothing.
#[derive(Debug, Default)]
pub struct MemorySeries(BTreeMap<Labels, Samples>);

#[derive(Debug, Default)]
struct Samples {
    values: BTreeMap<i64, f64>,
    histograms: BTreeMap<i64, Arc<Histogram>>,
    /// By sample since when it counts.
    starts: BTreeMap<i64, i64>,
}

impl MemorySeries {
    /// A number at a moment, in milliseconds; one that is there already is replaced.
    pub fn put(&mut self, labels: &Labels, at: i64, value: f64) {
        self.0.entry(labels.clone()).or_default().values.insert(at, value);
    }

    /// Since when the sample at a moment counts, both in milliseconds.
    pub fn put_start(&mut self, labels: &Labels, at: i64, start: i64) {
        self.0.entry(labels.clone()).or_default().starts.insert(at, start);
    }

    /// A histogram at a moment, in milliseconds. As Prometheus' store does, says of each whether it follows a reset, as far as it can know.
    pub fn put_histogram(&mut self, labels: &Labels, at: i64, mut histogram: Histogram) {
        let samples = self.0.entry(labels.clone()).or_default();
        if histogram.reset != ResetHint::Gauge {
            let before = samples.histograms.range(..at).next_back().map(|(_, before)| before);
            histogram.reset = match before.filter(|before| before.reset != ResetHint::Gauge) {
                _ if histogram.reset == ResetHint::Reset => ResetHint::Reset,
                None => ResetHint::Unknown,
                Some(before) => {
                    let now = Histogram { reset: ResetHint::Unknown, ..histogram.clone() };
                    if is_reset(&now, before) { ResetHint::Unknown } else { ResetHint::NotReset }
                }
            };
        }
        samples.histograms.insert(at, Arc::new(histogram));
    }

    /// Adds to each classic histogram the native one with the same buckets.
    pub fn add_custom_buckets(&mut self) {
        #[derive(Default)]
        struct Classic {
            buckets: Vec<(f64, f64)>,
            count: Option<f64>,
            sum: f64,
        }
        let mut found = BTreeMap::<(Labels, i64), Classic>::new();
        for (labels, samples) in &self.0 {
            let name = labels.name().unwrap_or("");
            let part = ["_bucket", "_count", "_sum"].into_iter().find(|suffix| name.ends_with(suffix));
            let Some(part) = part else { continue };
            let base = labels.with(Labels::NAME, &name[..name.len() - part.len()]).without("le");
            for (at, value) in &samples.values {
                let classic = found.entry((base.clone(), *at)).or_default();
                match part {
                    "_bucket" => {
                        let bound = labels.get("le").and_then(|le| le.parse::<f64>().ok());
                        classic.buckets.extend(bound.map(|bound| (bound, *value)));
                    }
                    "_count" => classic.count = Some(*value),
                    _ => classic.sum = *value,
                }
            }
        }
        for ((labels, at), mut classic) in found {
            classic.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            if classic.buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
                let count = classic.count.or(classic.buckets.last().map(|(_, count)| *count)).unwrap_or(0.0);
                classic.buckets.push((f64::INFINITY, count));
            }
            let mut before = 0.0;
            let counts = classic.buckets.iter().map(|(_, count)| count - std::mem::replace(&mut before, *count));
            let counts: Vec<f64> = counts.collect();
            let spans = vec![BucketSpan { offset: 0, length: counts.len() as u32 }];
            let bounds = classic.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite());
            let histogram = Histogram {
                schema: Histogram::CUSTOM_BUCKETS,
                count: classic.count.unwrap_or(before),
                sum: classic.sum,
                positive: Buckets { spans, counts },
                custom_values: bounds.collect(),
                ..Histogram::default()
            };
            self.put_histogram(&labels, at, histogram);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Query for MemorySeries {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        let passes = |labels: &Labels| matchers.iter().all(|matcher| matcher.matches_labels(labels));
        let mut found = Vec::new();
        for (labels, samples) in self.0.iter().filter(|(labels, _)| passes(labels)) {
            if start > end {
                break;
            }
            let sample = |(at, value): (&i64, &f64)| Sample { timestamp: Timestamp(*at), value: *value };
            let histogram = |(at, histogram): (&i64, &Arc<Histogram>)| HistogramSample {
                timestamp: Timestamp(*at),
                histogram: Arc::clone(histogram),
            };
            let begin = |(at, start): (&i64, &i64)| Start { from: Timestamp(*at), start: Timestamp(*start) };
            let series = Series {
                starts: samples.starts.iter().map(begin).collect(),
                histograms: samples.histograms.range(start.0..=end.0).map(histogram).collect(),
                ..Series::new(labels.clone(), samples.values.range(start.0..=end.0).map(sample).collect())
            };
            if !series.is_empty() {
                found.push(series);
            }
        }
        Ok(found)
    }
}
