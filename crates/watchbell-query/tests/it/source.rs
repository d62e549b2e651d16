//! Series in memory.

use std::collections::BTreeMap;

use watchbell_model::{Labels, Matcher, Query, QueryError, Sample, Series, Timestamp};

/// Series by labels, samples by time.
#[derive(Default)]
pub(crate) struct Memory(BTreeMap<Labels, BTreeMap<i64, f64>>);

impl Memory {
    pub(crate) fn put(&mut self, labels: &Labels, at: i64, value: f64) {
        self.0.entry(labels.clone()).or_default().insert(at, value);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Query for Memory {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        let passes = |labels: &Labels| matchers.iter().all(|matcher| matcher.matches_labels(labels));
        let mut found = Vec::new();
        for (labels, samples) in self.0.iter().filter(|(labels, _)| passes(labels)) {
            if start > end {
                break;
            }
            let sample = |(at, value): (&i64, &f64)| Sample { timestamp: Timestamp(*at), value: *value };
            let samples: Vec<Sample> = samples.range(start.0..=end.0).map(sample).collect();
            if !samples.is_empty() {
                found.push(Series::new(labels.clone(), samples));
            }
        }
        Ok(found)
    }
}
