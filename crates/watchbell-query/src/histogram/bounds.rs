//! Where buckets begin and end.

use std::sync::LazyLock;

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
    FRACTIONS[part as usize * (1 << (FINEST - schema.min(FINEST)))] * 2.0 * power(i64::from(whole))
}

/// The finest schema.
const FINEST: i32 = 8;

/// Bounds from 0.5 to 1 in the finest schema; those of coarser ones are among them.
///
/// To the last digit those of Prometheus' table, which was made in this way: from one schema to the next finer one each
/// second bound is new, a factor above the one before it.
static FRACTIONS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let mut bounds = vec![0.5];
    for schema in 1..=FINEST {
        let factor = exp2(exp2(f64::from(-schema)));
        bounds = bounds.into_iter().flat_map(|bound| [bound, bound * factor]).collect();
    }
    bounds
});

/// Two to the power of a number from 0 to 1, as Go computes it: at times its last digit is not the nearest.
fn exp2(x: f64) -> f64 {
    const LN2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
    // A Chebyshev approximation of x (e^x + 1) / (e^x - 1), that of FreeBSD's exp.
    const P: [f64; 5] = [
        1.666_666_666_666_666_6e-1,
        -2.777_777_777_701_559_3e-3,
        6.613_756_321_437_934e-5,
        -1.653_390_220_546_525_2e-6,
        4.138_136_797_057_238_5e-8,
    ];
    let whole = (x + 0.5).floor();
    let (high, low) = ((x - whole) * LN2[0], -(x - whole) * LN2[1]);
    let rest = high - low;
    let square = rest * rest;
    let c = rest - square * P.iter().rev().fold(0.0, |sum, p| sum * square + p);
    let y = 1.0 - ((low - (rest * c) / (2.0 - c)) - high);
    y * power(whole as i64)
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
        assert_eq!([0, 8, 16].map(|index| exponential(index, 3)), [1.0, 2.0, 4.0]);
        assert_eq!([1024, 1023].map(|index| exponential(index, 0)), [f64::MAX, 2_f64.powi(1023)]);
        assert_eq!((exponential(64, -4), exponential(262_144, 8)), (f64::MAX, f64::MAX));
        assert_eq!(exponential(-1074, 0), f64::from_bits(1));
    }

    #[test]
    fn bounds_are_prometheus_to_the_last_digit() {
        // Among them some that are not nearest to the power of two they stand for.
        for (schema, index, bound) in [
            (1, -1, "0.7071067811865475"),
            (2, -3, "0.5946035575013605"),
            (2, -1, "0.8408964152537144"),
            (3, -1, "0.9170040432046711"),
            (8, -255, "0.5013556375251013"),
            (2, 2, "1.414213562373095"),
            (1, 0, "1"),
            (0, 3, "8"),
            (-1, 1, "4"),
        ] {
            assert_eq!(exponential(index, schema).to_string(), bound, "{schema} {index}");
        }
    }
}
