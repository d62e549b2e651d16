//! The operators `</` and `>/`: a histogram without its observations above or below a value.

use watchbell_model::Histogram;

use super::bounds::{Bucket, negative, positive};
use super::compact;

/// What is kept: observations below the value, or those above.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Below,
    Above,
}

/// The histogram with only the observations below `value` (`upper`) or above it; buckets that it cuts are shared out.
pub(crate) fn trim(histogram: &Histogram, value: f64, upper: bool) -> Histogram {
    let keep = if upper { Keep::Below } else { Keep::Above };
    let mut trimmed = histogram.clone();
    let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
    let custom = histogram.has_custom_buckets();
    let mut populated = [false; 2];
    let sides =
        [(positive(histogram), &mut trimmed.positive.counts), (negative(histogram), &mut trimmed.negative.counts)];
    for (side, (buckets, counts)) in sides.into_iter().enumerate() {
        let is_positive = side == 0;
        for (bucket, kept) in buckets.iter().zip(counts.iter_mut()).filter(|(bucket, _)| bucket.count != 0.0) {
            populated[side] = true;
            let (inside, outside) = match keep {
                Keep::Below => (bucket.upper <= value, bucket.lower >= value),
                Keep::Above => (bucket.lower >= value, bucket.upper <= value),
            };
            let (share, middle) = if inside {
                (bucket.count, middle(bucket.lower, bucket.upper, is_positive, custom))
            } else if outside {
                (0.0, 0.0)
            } else {
                cut(bucket, value, keep, is_positive, custom)
            };
            count += share;
            sum += middle * share;
            changed |= share != *kept || outside;
            *kept = share;
        }
    }
    if histogram.zero_count > 0.0 {
        let (share, middle) = cut_zero(histogram, value, keep, populated);
        changed |= share != histogram.zero_count;
        trimmed.zero_count = share;
        count += share;
        sum += middle * share;
    }
    if !changed {
        return histogram.clone();
    }
    compact(&Histogram { count, sum, ..trimmed })
}

/// How much of a bucket stays, and where its middle then is.
fn cut(bucket: &Bucket, value: f64, keep: Keep, is_positive: bool, custom: bool) -> (f64, f64) {
    let Bucket { lower, upper, count, .. } = *bucket;
    if lower.is_infinite() || upper.is_infinite() {
        return cut_endless(bucket, value, keep);
    }
    let below = count * bucket.share_below(value, custom);
    match keep {
        Keep::Below => (below, middle(lower, value, is_positive, custom)),
        Keep::Above => (count - below, middle(value, upper, is_positive, custom)),
    }
}

/// Nothing is known of how observations spread over a bucket without a bound, but that a lowest bucket that ends above
/// zero is taken to begin there.
fn cut_endless(bucket: &Bucket, value: f64, keep: Keep) -> (f64, f64) {
    let Bucket { lower, upper, count, .. } = *bucket;
    let finite = |bound: f64| if bound.is_infinite() { 0.0 } else { bound };
    if lower == f64::NEG_INFINITY {
        return match keep {
            Keep::Below if value >= upper => (count, 0.0),
            Keep::Below if value > 0.0 && upper > 0.0 && upper.is_finite() => (count * value / upper, value / 2.0),
            Keep::Below if upper <= 0.0 => (count, value),
            Keep::Above if value <= lower => (count, 0.0),
            Keep::Above if value >= 0.0 && upper > value && upper.is_finite() => {
                (count * (1.0 - value / upper), (value + upper) / 2.0)
            }
            _ => (0.0, finite(upper)),
        };
    }
    match keep {
        Keep::Above if value >= lower => (count, value),
        _ => (0.0, finite(lower)),
    }
}

fn cut_zero(histogram: &Histogram, value: f64, keep: Keep, populated: [bool; 2]) -> (f64, f64) {
    let threshold = histogram.zero_threshold;
    let (mut lower, mut upper) = (-threshold, threshold);
    match populated {
        [true, false] => lower = 0.0,
        [false, true] => upper = 0.0,
        _ => {}
    }
    let (whole, none) = ((histogram.zero_count, (lower + upper) / 2.0), (0.0, 0.0));
    let width = upper - lower;
    match keep {
        Keep::Below if value <= lower => none,
        Keep::Below if value >= upper => whole,
        Keep::Below => (histogram.zero_count * ((value - lower) / width), (lower + value) / 2.0),
        Keep::Above if value <= lower => whole,
        Keep::Above if value >= upper => none,
        Keep::Above => (histogram.zero_count * ((upper - value) / width), (value + upper) / 2.0),
    }
}

/// Where the observations between two values are taken to be.
fn middle(lower: f64, upper: f64, is_positive: bool, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if linear => (lower + upper) / 2.0,
        (false, false) if is_positive => (lower * upper).abs().sqrt(),
        (false, false) => -(lower * upper).abs().sqrt(),
    }
}
