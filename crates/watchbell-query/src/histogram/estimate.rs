//! Quantiles, fractions and deviation, estimated from buckets.

use watchbell_model::Histogram;

use super::bounds::{Bucket, buckets as all};
use crate::eval::Sum;

/// An estimate and what observations that are not a number did to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) nan: NanEffect,
}

/// What observations that are not a number did to an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NanEffect {
    None,
    /// It is not a number for that.
    Result,
    /// It is higher than it would be.
    Skew,
    /// They are in no fraction.
    Excluded,
}

impl From<f64> for Estimate {
    fn from(value: f64) -> Estimate {
        Estimate { value, nan: NanEffect::None }
    }
}

const NOWHERE: Bucket = Bucket { lower: 0.0, upper: 0.0, lower_inclusive: true, upper_inclusive: true, count: 0.0 };

/// With buckets on one side of zero only, the zero bucket is taken to reach to that side only.
fn one_sided(bucket: &mut Bucket, histogram: &Histogram) {
    match (histogram.negative.counts.is_empty(), histogram.positive.counts.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
}

/// The value that a share of all observations is at most.
///
/// Within a bucket: in proportion for custom buckets and the zero bucket, else as if observations were spread evenly
/// over finer buckets.
pub(crate) fn quantile(quantile: f64, histogram: &Histogram) -> Estimate {
    match quantile {
        _ if quantile < 0.0 => return f64::NEG_INFINITY.into(),
        _ if quantile > 1.0 => return f64::INFINITY.into(),
        _ if quantile.is_nan() || histogram.count == 0.0 => return f64::NAN.into(),
        _ => {}
    }
    let custom = histogram.has_custom_buckets();
    let mut buckets = all(histogram);
    // From the nearer end, so that rounding matters less; observations that are not a number are in no bucket, and
    // count as if they were above all.
    let forwards = histogram.sum.is_nan() || quantile < 0.5;
    if !forwards {
        buckets.reverse();
    }
    let mut rank = if forwards { quantile * histogram.count } else { (1.0 - quantile) * histogram.count };
    let (mut counted, mut bucket, mut rest) = (0.0, NOWHERE, buckets.len());
    for (at, candidate) in buckets.iter().enumerate() {
        bucket = *candidate;
        counted += candidate.count;
        if candidate.count != 0.0 && counted >= rank {
            rest = at + 1;
            break;
        }
    }
    if !custom && bucket.lower < 0.0 && bucket.upper > 0.0 {
        one_sided(&mut bucket, histogram);
    } else if custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return bucket.upper.into();
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return bucket.lower.into();
        }
    }
    counted = counted.min(histogram.count);
    if counted < rank {
        return match histogram.sum.is_nan() {
            true => Estimate { value: f64::NAN, nan: NanEffect::Result },
            false => bucket.upper.into(),
        };
    }
    let mut nan = NanEffect::None;
    if forwards {
        rank -= counted - bucket.count;
    } else {
        rank = counted - rank;
    }
    if histogram.sum.is_nan() {
        let all = counted + buckets[rest..].iter().map(|bucket| bucket.count).sum::<f64>();
        if all < histogram.count {
            nan = NanEffect::Skew;
        }
    }
    let share = rank / bucket.count;
    let Bucket { lower, upper, .. } = bucket;
    let value = if custom || (lower <= 0.0 && upper >= 0.0) {
        lower + (upper - lower) * share
    } else {
        let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
        match lower > 0.0 {
            true => (log_lower + (log_upper - log_lower) * share).exp2(),
            false => -(log_upper + (log_lower - log_upper) * (1.0 - share)).exp2(),
        }
    };
    Estimate { value, nan }
}

/// The share of observations between two values.
pub(crate) fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> Estimate {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN.into();
    }
    if lower >= upper {
        return 0.0.into();
    }
    let buckets = all(histogram);
    let (mut rank, mut lower_rank, mut upper_rank) = (0.0, None, None);
    for bucket in &buckets {
        let mut bucket = *bucket;
        let zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if zero {
            one_sided(&mut bucket, histogram);
        }
        let rank_of = |value: f64| {
            if bucket.lower >= value {
                return Some(rank);
            }
            if bucket.upper <= value {
                return None;
            }
            let linear = histogram.has_custom_buckets() || zero;
            // Nothing is known of how observations spread over a bucket without a lower bound.
            Some(match linear && bucket.lower == f64::NEG_INFINITY {
                true => bucket.count,
                false => rank + bucket.count * bucket.share_below(value, linear),
            })
        };
        lower_rank = lower_rank.or_else(|| rank_of(lower));
        upper_rank = upper_rank.or_else(|| rank_of(upper));
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += bucket.count;
    }
    let (mut counted, mut nan) = (histogram.count, NanEffect::None);
    if histogram.sum.is_nan() {
        counted = buckets.iter().map(|bucket| bucket.count).sum();
        if counted < histogram.count {
            nan = NanEffect::Excluded;
        }
    }
    let within = |rank: Option<f64>| rank.filter(|rank| *rank <= counted).unwrap_or(counted);
    Estimate { value: (within(upper_rank) - within(lower_rank)) / histogram.count, nan }
}

/// The variance of observations, each taken to be in the middle of its bucket.
pub(crate) fn deviation(histogram: &Histogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut squares = Sum::default();
    for bucket in all(histogram).iter().filter(|bucket| bucket.count != 0.0) {
        let middle = match bucket {
            _ if histogram.has_custom_buckets() => (bucket.upper + bucket.lower) / 2.0,
            _ if bucket.lower <= 0.0 && bucket.upper >= 0.0 => 0.0,
            _ => (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper),
        };
        let delta = middle - mean;
        squares = squares.add(bucket.count * delta * delta);
    }
    squares.total() / histogram.count
}
