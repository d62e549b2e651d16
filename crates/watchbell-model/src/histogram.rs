//! Native histograms: a whole distribution as one sample.
//!
//! Source: Prometheus' native histograms specification. Counts are floats throughout: whole counts up to 2^53 are exact
//! in them, and a histogram that came as whole numbers is served as the same numbers.

/// What is known about a counter reset between this histogram and the one before it in its series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResetHint {
    /// Not known: readers must compare.
    #[default]
    Unknown,
    /// This one begins anew.
    Reset,
    /// This one goes on.
    NotReset,
    /// A gauge: goes up and down, resets mean nothing.
    Gauge,
}

/// A run of buckets that are next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BucketSpan {
    /// How many buckets are left out before it; for the first one the index of its first bucket.
    pub offset: i32,
    /// How many buckets it has.
    pub length: u32,
}

/// Buckets of one sign.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Where they are.
    pub spans: Vec<BucketSpan>,
    /// How many observations each has, as many as the spans' lengths add up to.
    pub counts: Vec<f64>,
}

/// A native histogram.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// What is known about a reset before it.
    pub reset: ResetHint,
    /// -4 to 8: bucket `i` ends at `2^(i * 2^-schema)`. [`Histogram::CUSTOM_BUCKETS`]: at `custom_values[i]`.
    pub schema: i32,
    /// How far from zero the zero bucket reaches.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations, those that are not a number included.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Buckets of positive observations.
    pub positive: Buckets,
    /// Buckets of negative observations.
    pub negative: Buckets,
    /// With custom buckets: their upper bounds, ascending, without the last, infinite one.
    pub custom_values: Vec<f64>,
}

/// Equal to the last bit, so that markers and NaNs compare.
impl PartialEq for Histogram {
    fn eq(&self, other: &Histogram) -> bool {
        let same =
            |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        let numbers = |h: &Histogram| [h.zero_threshold, h.zero_count, h.count, h.sum];
        (self.reset, self.schema) == (other.reset, other.schema)
            && same(&numbers(self), &numbers(other))
            && same(&self.custom_values, &other.custom_values)
            && [(&self.positive, &other.positive), (&self.negative, &other.negative)]
                .iter()
                .all(|(a, b)| a.spans == b.spans && same(&a.counts, &b.counts))
    }
}

/// Why a histogram is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a histogram {0}")]
pub struct HistogramError(pub String);

impl Histogram {
    /// The schema of histograms whose bounds are given one by one.
    pub const CUSTOM_BUCKETS: i32 = -53;

    /// Whether its bounds are given one by one.
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == Histogram::CUSTOM_BUCKETS
    }

    /// As how many samples it counts against limits.
    pub fn size(&self) -> usize {
        let numbers = self.positive.counts.len() + self.negative.counts.len() + self.custom_values.len();
        1 + numbers / 10
    }

    /// The marker that a series of histograms ended.
    pub fn stale() -> Histogram {
        Histogram { sum: crate::stale_nan(), ..Histogram::default() }
    }

    /// Whether it is that marker.
    pub fn is_stale(&self) -> bool {
        crate::is_stale(self.sum)
    }

    /// Whether it is one that Prometheus would take (`histogram.Validate`).
    pub fn check(&self) -> Result<(), HistogramError> {
        let fail = |text: String| Err(HistogramError(text));
        if !(-4..=8).contains(&self.schema) && !self.has_custom_buckets() {
            return fail(format!("has the unknown schema {}", self.schema));
        }
        for (sign, buckets) in [("positive", &self.positive), ("negative", &self.negative)] {
            if buckets.spans.iter().skip(1).any(|span| span.offset < 0) {
                return fail(format!("has {sign} spans that overlap"));
            }
            let wanted: u64 = buckets.spans.iter().map(|span| u64::from(span.length)).sum();
            if wanted != buckets.counts.len() as u64 {
                return fail(format!("has {} {sign} buckets where its spans say {wanted}", buckets.counts.len()));
            }
            if buckets.counts.iter().any(|count| *count < 0.0) {
                return fail(format!("has a {sign} bucket with a count below zero"));
            }
        }
        if self.zero_count < 0.0 || self.count < 0.0 {
            return fail("has a count below zero".into());
        }
        if self.has_custom_buckets() {
            if !self.negative.counts.is_empty() || self.zero_count != 0.0 || self.zero_threshold != 0.0 {
                return fail("with custom buckets has negative buckets or a zero bucket".into());
            }
            if !self.custom_values.is_sorted_by(|a, b| a < b) || self.custom_values.iter().any(|bound| bound.is_nan()) {
                return fail("has custom bounds that do not ascend".into());
            }
            let end: i64 = self.positive.spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length)).sum();
            if self.positive.spans.first().is_some_and(|span| span.offset < 0)
                || end > self.custom_values.len() as i64 + 1
            {
                return fail(format!("has buckets beyond its {} custom bounds", self.custom_values.len()));
            }
        } else if !self.custom_values.is_empty() {
            return fail("has custom bounds, but not their schema".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Histogram), expected: &str) {
        let buckets = Buckets { spans: vec![BucketSpan { offset: 0, length: 2 }], counts: vec![1.0, 2.0] };
        let mut histogram = Histogram { count: 3.0, sum: 4.0, positive: buckets, ..Histogram::default() };
        change(&mut histogram);
        assert_eq!(histogram.check().err().map(|error| error.to_string()).unwrap_or_default(), expected);
    }

    #[test]
    fn a_histogram_that_makes_no_sense_is_refused() {
        check(|_| {}, "");
        check(|h| h.schema = 9, "a histogram has the unknown schema 9");
        check(|h| h.positive.counts.push(1.0), "a histogram has 3 positive buckets where its spans say 2");
        check(|h| h.positive.counts[0] = -1.0, "a histogram has a positive bucket with a count below zero");
        check(|h| h.custom_values = vec![1.0], "a histogram has custom bounds, but not their schema");
        let custom = |bounds: &[f64]| {
            let bounds = bounds.to_vec();
            move |h: &mut Histogram| (h.schema, h.custom_values) = (Histogram::CUSTOM_BUCKETS, bounds)
        };
        check(custom(&[1.0]), "");
        check(custom(&[]), "a histogram has buckets beyond its 0 custom bounds");
        check(custom(&[2.0, 1.0]), "a histogram has custom bounds that do not ascend");
    }

    #[test]
    fn the_marker_of_an_end_is_known_by_its_bits() {
        assert!(Histogram::stale().is_stale() && !Histogram { sum: f64::NAN, ..Histogram::default() }.is_stale());
        assert_eq!(Histogram::stale(), Histogram::stale());
    }
}
