//! Native histograms in PromQL: arithmetic over bucket layouts that differ, and what can be estimated from buckets.
//!
//! Source: Prometheus' native histograms specification and the behaviour of its engine. Buckets are kept by their index
//! and only while they hold something, so that layouts need no merging; results are therefore compact.

mod bounds;
mod estimate;
mod reset;
mod trim;

use std::collections::BTreeMap;

use watchbell_model::{BucketSpan, Buckets, Histogram, ResetHint};

use crate::eval::Sum;
use crate::number::format_general;
pub use bounds::{HistogramBucket, buckets};
pub(crate) use estimate::{Estimate, NanEffect, deviation, fraction, quantile};
pub use reset::is_reset;
pub(crate) use trim::trim;

/// Exponential and custom buckets cannot be brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incompatible;

/// What happened while two histograms were brought together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Met {
    /// One said that it follows a reset, the other that it does not.
    pub(crate) resets_collide: bool,
    /// Their custom bounds differed; only those that both have are left.
    pub(crate) bounds_differ: bool,
}

/// Populated buckets of one sign by index.
type Side = BTreeMap<i32, Sum>;

/// A histogram under calculation.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) reset: ResetHint,
    schema: i32,
    zero_threshold: f64,
    zero: Sum,
    count: Sum,
    sum: Sum,
    positive: Side,
    negative: Side,
    bounds: Vec<f64>,
}

impl Tally {
    pub(crate) fn of(histogram: &Histogram) -> Tally {
        let exactly = |sum: f64| Sum { sum, lost: 0.0 };
        let side =
            |buckets: &Buckets| -> Side { indexed(buckets).map(|(index, count)| (index, exactly(count))).collect() };
        Tally {
            reset: histogram.reset,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero: exactly(histogram.zero_count),
            count: exactly(histogram.count),
            sum: exactly(histogram.sum),
            positive: side(&histogram.positive),
            negative: side(&histogram.negative),
            bounds: histogram.custom_values.clone(),
        }
    }

    /// An empty one of the same layout.
    pub(crate) fn empty_like(histogram: &Histogram) -> Tally {
        let (schema, custom_values) = (histogram.schema, histogram.custom_values.clone());
        Tally::of(&Histogram { schema, custom_values, ..Histogram::default() })
    }

    fn is_custom(&self) -> bool {
        self.schema == Histogram::CUSTOM_BUCKETS
    }

    pub(crate) fn finish(&self) -> Histogram {
        Histogram {
            reset: self.reset,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero.total(),
            count: self.count.total(),
            sum: self.sum.total(),
            positive: spanned(&self.positive),
            negative: spanned(&self.negative),
            custom_values: self.bounds.clone(),
        }
    }

    /// Adds another one so that small addends are not lost.
    pub(crate) fn add(&mut self, other: &Tally) -> Result<Met, Incompatible> {
        self.combine(other, &|sum, addend| *sum = sum.add(addend))
    }

    /// Adds another one as the operator `+` does.
    pub(crate) fn add_plainly(&mut self, other: &Tally) -> Result<Met, Incompatible> {
        self.combine(other, &|sum, addend| sum.sum += addend)
    }

    /// Takes another one away.
    pub(crate) fn subtract(&mut self, other: &Tally) -> Result<Met, Incompatible> {
        self.combine(other, &|sum, addend| sum.sum -= addend)
    }

    fn combine(&mut self, other: &Tally, take: &dyn Fn(&mut Sum, f64)) -> Result<Met, Incompatible> {
        if self.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let mut met = Met { resets_collide: self.meet_reset(other.reset), bounds_differ: false };
        take(&mut self.count, other.count.total());
        take(&mut self.sum, other.sum.total());
        let mut other = other.clone();
        if self.is_custom() {
            if self.bounds != other.bounds {
                met.bounds_differ = true;
                let both = common(&self.bounds, &other.bounds);
                self.rebound(&both);
                other.rebound(&both);
            }
        } else {
            while self.zero_threshold != other.zero_threshold {
                let threshold = self.zero_threshold.max(other.zero_threshold);
                self.widen_zero(threshold);
                other.widen_zero(threshold);
            }
            take(&mut self.zero, other.zero.total());
            let schema = self.schema.min(other.schema);
            self.coarsen(schema);
            other.coarsen(schema);
        }
        for (mine, theirs) in [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)] {
            for (index, count) in theirs {
                take(mine.entry(*index).or_default(), count.total());
            }
        }
        Ok(met)
    }

    /// What is known of resets when a histogram that says `other` comes in; whether they contradict each other.
    fn meet_reset(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, Unknown};
        self.reset = match (self.reset, other) {
            (mine, other) if mine == other => mine,
            (Gauge, _) | (_, Gauge) => Gauge,
            (Unknown, _) | (_, Unknown) => Unknown,
            _ => {
                self.reset = Unknown;
                return true;
            }
        };
        false
    }

    /// Changes every count, and the sum.
    fn scale(&mut self, change: impl Fn(f64) -> f64) {
        let sides = self.positive.values_mut().chain(self.negative.values_mut());
        for number in sides.chain([&mut self.zero, &mut self.count, &mut self.sum]) {
            *number = Sum { sum: change(number.sum), lost: change(number.lost) };
        }
    }

    pub(crate) fn multiply(&mut self, factor: f64) {
        self.scale(|number| number * factor);
        if factor < 0.0 {
            self.reset = ResetHint::Gauge;
        }
    }

    /// Dividing by zero leaves no bucket.
    pub(crate) fn divide(&mut self, divisor: f64) {
        if divisor == 0.0 {
            self.positive.clear();
            self.negative.clear();
            for number in [&mut self.zero, &mut self.count, &mut self.sum] {
                *number = Sum { sum: number.total() / divisor, lost: 0.0 };
            }
            return;
        }
        self.scale(|number| number / divisor);
        if divisor < 0.0 {
            self.reset = ResetHint::Gauge;
        }
    }

    /// Whether a number grew beyond all bounds.
    pub(crate) fn overflows(&self) -> bool {
        let sides = self.positive.values().chain(self.negative.values());
        sides.chain([&self.zero, &self.count, &self.sum]).any(|number| number.sum.is_infinite())
    }

    /// Makes buckets wider until they are those of `schema`.
    pub(crate) fn coarsen(&mut self, schema: i32) {
        if schema >= self.schema {
            return;
        }
        let by = self.schema - schema;
        for side in [&mut self.positive, &mut self.negative] {
            let fine = std::mem::take(side);
            for (index, count) in fine {
                let sum = side.entry(((index - 1) >> by) + 1).or_default();
                *sum = sum.add(count.total());
            }
        }
        self.schema = schema;
    }

    /// Makes the zero bucket reach at least to `threshold`, further where that would cut a populated bucket in two.
    fn widen_zero(&mut self, mut threshold: f64) {
        if threshold <= self.zero_threshold {
            return;
        }
        let bound = |index: i32| bounds::exponential(index, self.schema);
        let cut = |threshold: f64| {
            let indexes = self.positive.keys().chain(self.negative.keys());
            let cut = indexes.filter(|index| bound(**index - 1) < threshold && bound(**index) > threshold);
            cut.map(|index| bound(*index)).fold(threshold, f64::max)
        };
        while cut(threshold) > threshold {
            threshold = cut(threshold);
        }
        let mut zero = self.zero;
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|index, count| {
                let within = bounds::exponential(*index - 1, self.schema) < threshold;
                if within {
                    zero = zero.add(count.total());
                }
                !within
            });
        }
        (self.zero, self.zero_threshold) = (zero, threshold);
    }

    /// Puts what is counted under fewer custom bounds.
    fn rebound(&mut self, to: &[f64]) {
        let from = std::mem::replace(&mut self.bounds, to.to_vec());
        let buckets = std::mem::take(&mut self.positive);
        for (index, count) in buckets {
            let upper = from.get(index as usize).copied().unwrap_or(f64::INFINITY);
            let place = to.partition_point(|bound| *bound < upper) as i32;
            let sum = self.positive.entry(place).or_default();
            *sum = sum.add(count.total());
        }
    }
}

/// Bounds that both have.
fn common(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().copied().filter(|bound| b.contains(bound)).collect()
}

/// Buckets with their indexes, the empty ones too.
fn indexed(buckets: &Buckets) -> impl Iterator<Item = (i32, f64)> {
    let mut next = 0_i32;
    let mut indexes = Vec::with_capacity(buckets.counts.len());
    for span in &buckets.spans {
        next = next.saturating_add(span.offset);
        for _ in 0..span.length {
            indexes.push(next);
            next = next.saturating_add(1);
        }
    }
    indexes.into_iter().zip(buckets.counts.iter().copied())
}

fn spanned(side: &Side) -> Buckets {
    let mut buckets = Buckets::default();
    let mut next = 0_i32;
    for (index, count) in side.iter().map(|(index, count)| (*index, count.total())).filter(|(_, count)| *count != 0.0) {
        match buckets.spans.last_mut().filter(|_| index == next) {
            Some(span) => span.length += 1,
            None => buckets.spans.push(BucketSpan { offset: index - next, length: 1 }),
        }
        buckets.counts.push(count);
        next = index + 1;
    }
    buckets
}

/// A histogram as Prometheus writes it: `{count:4, sum:5, (1,2]:3, (2,4]:1}`.
pub fn format(histogram: &Histogram) -> String {
    let mut text = format!("{{count:{}, sum:{}", format_general(histogram.count), format_general(histogram.sum));
    let mut all = buckets(histogram);
    if histogram.zero_count < 0.0 {
        // One of less than nothing is no bucket for most purposes, but is written.
        let (lower, upper) = (-histogram.zero_threshold, histogram.zero_threshold);
        let place = all.partition_point(|bucket| bucket.upper <= lower);
        let count = histogram.zero_count;
        all.insert(place, HistogramBucket { lower, upper, lower_inclusive: true, upper_inclusive: true, count });
    }
    for bucket in all.iter().filter(|bucket| bucket.count != 0.0) {
        let (open, close) =
            (if bucket.lower_inclusive { '[' } else { '(' }, if bucket.upper_inclusive { ']' } else { ')' });
        let [lower, upper, count] = [bucket.lower, bucket.upper, bucket.count].map(format_general);
        text.push_str(&format!(", {open}{lower},{upper}{close}:{count}"));
    }
    text + "}"
}

/// The same histogram without empty buckets.
pub(crate) fn compact(histogram: &Histogram) -> Histogram {
    Tally::of(histogram).finish()
}

/// Whether two hold the same, whatever they say of resets (`==` in PromQL).
pub(crate) fn equal(a: &Histogram, b: &Histogram) -> bool {
    let plain = |histogram: &Histogram| Histogram { reset: ResetHint::Unknown, ..compact(histogram) };
    plain(a) == plain(b)
}
