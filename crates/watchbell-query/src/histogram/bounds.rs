//! Where buckets begin and end.

use watchbell_model::Histogram;

use super::indexed;

/// A bucket of a histogram as a stretch of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistogramBucket {
    /// Where it begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
    /// Whether `lower` itself is in it.
    pub lower_inclusive: bool,
    /// Whether `upper` itself is in it.
    pub upper_inclusive: bool,
    /// How many observations it has.
    pub count: f64,
}

pub(super) use HistogramBucket as Bucket;

impl Bucket {
    /// The share of the bucket that lies at or below a value within it.
    pub(super) fn share_below(&self, value: f64, linear: bool) -> f64 {
        if linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper, value_log) = (self.lower.abs().log2(), self.upper.abs().log2(), value.abs().log2());
        if value > 0.0 { (value_log - lower) / (upper - lower) } else { 1.0 - (value_log - upper) / (lower - upper) }
    }
}

/// The upper bound of an exponential bucket on the positive side.
pub(super) fn exponential(index: i32, schema: i32) -> f64 {
    if schema <= 0 {
        let exponent = i64::from(index) << -schema;
        // The last bucket that has a finite bound holds the greatest number there is.
        return if exponent == 1024 { f64::MAX } else { power(exponent) };
    }
    let (whole, part) = (index >> schema, index & ((1 << schema) - 1));
    if whole == 1024 && part == 0 {
        return f64::MAX;
    }
    let fraction = (f64::from(part) / f64::from(1 << schema)).exp2();
    fraction * power(i64::from(whole))
}

/// A power of two, in two steps, so that those below the smallest normal number are right too.
fn power(exponent: i64) -> f64 {
    let exponent = exponent.clamp(-2000, 2000) as i32;
    let half = exponent / 2;
    2_f64.powi(half) * 2_f64.powi(exponent - half)
}

/// Positive buckets in ascending order, the empty ones too.
pub(super) fn positive(histogram: &Histogram) -> Vec<Bucket> {
    let custom = |index: i32| histogram.custom_values.get(index as usize).copied().unwrap_or(f64::INFINITY);
    let bucket = |(index, count): (i32, f64)| match histogram.has_custom_buckets() {
        true => Bucket {
            lower: if index == 0 { f64::NEG_INFINITY } else { custom(index - 1) },
            upper: custom(index),
            lower_inclusive: index == 0,
            upper_inclusive: true,
            count,
        },
        false => Bucket {
            lower: exponential(index - 1, histogram.schema),
            upper: exponential(index, histogram.schema),
            lower_inclusive: false,
            upper_inclusive: true,
            count,
        },
    };
    indexed(&histogram.positive).map(bucket).collect()
}

/// Negative buckets from zero downwards, the empty ones too.
pub(super) fn negative(histogram: &Histogram) -> Vec<Bucket> {
    let bound = |index: i32| -exponential(index, histogram.schema);
    let bucket = |(index, count): (i32, f64)| Bucket {
        lower: bound(index),
        upper: bound(index - 1),
        lower_inclusive: true,
        upper_inclusive: false,
        count,
    };
    indexed(&histogram.negative).map(bucket).collect()
}

/// All buckets in ascending order; those that overlap with the zero bucket are cut there.
pub fn buckets(histogram: &Histogram) -> Vec<Bucket> {
    let threshold = histogram.zero_threshold;
    let mut all = negative(histogram);
    all.reverse();
    if histogram.zero_count > 0.0 {
        all.push(Bucket {
            lower: -threshold,
            upper: threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: histogram.zero_count,
        });
    }
    let cut = |mut bucket: Bucket| {
        if bucket.upper < 0.0 && bucket.upper > -threshold {
            bucket.upper = -threshold;
        }
        if bucket.lower > 0.0 && bucket.lower < threshold {
            bucket.lower = threshold;
        }
        bucket
    };
    all.extend(positive(histogram));
    all.into_iter().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_powers_of_two_and_parts_between() {
        assert_eq!([0, 1, 2, -1].map(|index| exponential(index, 0)), [1.0, 2.0, 4.0, 0.5]);
        assert_eq!([0, 1, -1].map(|index| exponential(index, -2)), [1.0, 16.0, 0.0625]);
        assert_eq!([0, 8, 4].map(|index| exponential(index, 3)), [1.0, 2.0, 2_f64.sqrt()]);
        assert_eq!([1024, 1023].map(|index| exponential(index, 0)), [f64::MAX, 2_f64.powi(1023)]);
        assert_eq!((exponential(64, -4), exponential(262_144, 8)), (f64::MAX, f64::MAX));
        assert_eq!(exponential(-1074, 0), f64::from_bits(1));
    }
}
