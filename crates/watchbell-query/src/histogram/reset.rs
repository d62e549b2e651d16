//! Whether a counter began anew between two histograms.

use watchbell_model::{Histogram, ResetHint};

use super::{Tally, common};

/// Whether `now` counts anew after `before`: it has less of something than `before` had, or finer buckets.
pub fn is_reset(now: &Histogram, before: &Histogram) -> bool {
    match now.reset {
        ResetHint::Reset => return true,
        ResetHint::NotReset => return false,
        ResetHint::Unknown | ResetHint::Gauge => {}
    }
    if now.count < before.count {
        return true;
    }
    let (mut now, mut before) = (Tally::of(now), Tally::of(before));
    if now.is_custom() {
        if !before.is_custom() {
            return true;
        }
        if now.bounds != before.bounds {
            let both = common(&now.bounds, &before.bounds);
            now.rebound(&both);
            before.rebound(&both);
        }
    } else {
        if now.schema > before.schema || now.zero_threshold < before.zero_threshold {
            return true;
        }
        before.widen_zero(now.zero_threshold);
        if before.zero_threshold != now.zero_threshold || now.zero.total() < before.zero.total() {
            return true;
        }
        before.coarsen(now.schema);
    }
    [(&now.positive, &before.positive), (&now.negative, &before.negative)].iter().any(|(now, before)| {
        before.iter().any(|(index, count)| now.get(index).map_or(0.0, |count| count.total()) < count.total())
    })
}
