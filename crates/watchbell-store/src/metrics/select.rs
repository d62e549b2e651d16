//! Reading: the series that pass, from all places that hold samples of them, put together by time.

use std::collections::BTreeMap;

use watchbell_model::{Labels, Matcher, Query, QueryError, Sample, Series, Timestamp};

use super::MetricStore;
use super::series::Part;

/// How many samples one query may load: more would be the memory of the whole process.
pub const SELECT_SAMPLES_MAX: usize = 50_000_000;

/// Where some samples of a series are, in the order in which they were first written.
#[derive(Default)]
struct Pieces {
    head: Option<Part>,
}

impl Pieces {
    /// All samples from `start` to `end`, one per time: of two for one time the one that was written first.
    fn read(&self, start: i64, end: i64) -> Vec<Sample> {
        let mut samples = Vec::new();
        if let Some(part) = &self.head {
            part.read(start, end, &mut samples);
        }
        if !samples.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
            samples.sort_by_key(|sample| sample.timestamp);
            samples.dedup_by_key(|sample| sample.timestamp);
        }
        samples
    }
}

impl MetricStore {
    fn gather(&self, matchers: &[Matcher], start: i64, end: i64) -> BTreeMap<Labels, Pieces> {
        let mut found = BTreeMap::<Labels, Pieces>::new();
        for (labels, part) in self.inner.heads.select(matchers, start, end) {
            found.entry(labels).or_default().head = Some(part);
        }
        found
    }
}

impl Query for MetricStore {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        let (mut found, mut loaded) = (Vec::new(), 0);
        for (labels, pieces) in self.gather(matchers, start.0, end.0) {
            let samples = pieces.read(start.0, end.0);
            loaded += samples.len();
            if loaded > SELECT_SAMPLES_MAX {
                return Err(QueryError::TooMany { limit: SELECT_SAMPLES_MAX });
            }
            if !samples.is_empty() {
                found.push(Series { labels, samples });
            }
        }
        Ok(found)
    }

    fn series(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Labels>, QueryError> {
        let found = self.gather(matchers, start.0, end.0).into_iter();
        Ok(found.filter(|(_, pieces)| !pieces.read(start.0, end.0).is_empty()).map(|(labels, _)| labels).collect())
    }

    fn label_names(&self) -> Result<Vec<String>, QueryError> {
        let mut names: Vec<String> = self.inner.heads.index().names().map(str::to_owned).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn label_values(&self, name: &str) -> Result<Vec<String>, QueryError> {
        let mut values: Vec<String> = self.inner.heads.index().values(name).map(str::to_owned).collect();
        values.sort();
        values.dedup();
        Ok(values)
    }
}
