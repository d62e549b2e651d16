//! Samples of one series from several places: floats and histograms, each time once.
//!
//! Pure. Invariant of what is settled: places come in the order of writing, and of two samples for one time, of
//! whatever kind, the one that came first stays.

use std::collections::HashSet;

use watchbell_model::{HistogramSample, Sample, Start, Timestamp};

use super::chunk::{self, Effort, Encoded};
use super::{histogram_chunk, starts};

/// Samples of both kinds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Both {
    pub(crate) floats: Vec<Sample>,
    pub(crate) histograms: Vec<HistogramSample>,
}

impl Both {
    pub(crate) fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
    }

    /// How much there is now, to [`Both::settle`] or [`Both::truncate`] by.
    pub(crate) fn mark(&self) -> (usize, usize) {
        (self.floats.len(), self.histograms.len())
    }

    /// Takes away what came since.
    pub(crate) fn truncate(&mut self, (floats, histograms): (usize, usize)) {
        self.floats.truncate(floats);
        self.histograms.truncate(histograms);
    }

    /// Keeps of what came since only samples at times that are wanted.
    pub(crate) fn retain(&mut self, (floats, histograms): (usize, usize), wanted: impl Fn(i64) -> bool) {
        let new = self.floats.split_off(floats);
        self.floats.extend(new.into_iter().filter(|sample| wanted(sample.timestamp.0)));
        let new = self.histograms.split_off(histograms);
        self.histograms.extend(new.into_iter().filter(|sample| wanted(sample.timestamp.0)));
    }

    /// What came since is of a later place: it gives way where the other kind is there already.
    pub(crate) fn settle(&mut self, since: (usize, usize)) {
        let (floats, histograms) = since;
        if floats > 0 && self.histograms.len() > histograms {
            let taken: HashSet<Timestamp> = self.floats[..floats].iter().map(|sample| sample.timestamp).collect();
            self.retain((self.floats.len(), histograms), |time| !taken.contains(&Timestamp(time)));
        }
        if histograms > 0 && self.floats.len() > floats {
            let taken: HashSet<Timestamp> =
                self.histograms[..histograms].iter().map(|sample| sample.timestamp).collect();
            self.retain((floats, self.histograms.len()), |time| !taken.contains(&Timestamp(time)));
        }
    }

    /// Puts samples in order of time, each time once.
    pub(crate) fn once(&mut self) {
        if !self.floats.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
            self.floats.sort_by_key(|sample| sample.timestamp);
            self.floats.dedup_by_key(|sample| sample.timestamp);
        }
        if !self.histograms.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
            self.histograms.sort_by_key(|sample| sample.timestamp);
            self.histograms.dedup_by_key(|sample| sample.timestamp);
        }
    }

    /// Chunks of what is in order, floats first.
    pub(crate) fn encode(&self, effort: Effort) -> Vec<Encoded> {
        let mut chunks = Vec::new();
        if !self.floats.is_empty() {
            chunks = chunk::encode_all(&self.floats, effort);
        }
        chunks.extend(histogram_chunk::encode_all(&self.histograms, effort));
        chunks
    }

    /// The first and last time of what is in order.
    pub(crate) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let (floats, histograms) = (&self.floats, &self.histograms);
        let firsts = [floats.first().map(|sample| sample.timestamp), histograms.first().map(|sample| sample.timestamp)];
        let lasts = [floats.last().map(|sample| sample.timestamp), histograms.last().map(|sample| sample.timestamp)];
        Some((firsts.into_iter().flatten().min()?, lasts.into_iter().flatten().max()?))
    }

    /// What is said of these samples, which are in order.
    pub(crate) fn starts(&self, told: Vec<Start>) -> Vec<Start> {
        match self.span() {
            Some((first, last)) if !told.is_empty() => starts::between(&starts::once(told), first, last),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use watchbell_model::Histogram;

    use super::*;

    #[test]
    fn of_two_kinds_at_one_time_the_first_stays() {
        let float = |time: i64| Sample { timestamp: Timestamp(time), value: 1.0 };
        let histogram = |time: i64| HistogramSample { timestamp: Timestamp(time), histogram: Arc::default() };
        let mut both = Both { floats: vec![float(10), float(20)], histograms: vec![histogram(15)] };
        let since = both.mark();
        both.floats.extend([float(12), float(15), float(20)]);
        both.histograms.extend([histogram(10), histogram(13)]);
        both.settle(since);
        both.once();
        let floats: Vec<i64> = both.floats.iter().map(|sample| sample.timestamp.0).collect();
        let histograms: Vec<i64> = both.histograms.iter().map(|sample| sample.timestamp.0).collect();
        assert_eq!((floats, histograms), (vec![10, 12, 20], vec![13, 15]));
        assert_eq!(both.span(), Some((Timestamp(10), Timestamp(20))));
        assert_eq!(both.histograms[0].histogram, Arc::new(Histogram::default()));
    }
}
