//! Which values the axis shows, and where it has marks.

use crate::unit::{Base, Unit};

/// Marks wanted.
const MARKS: f64 = 5.0;
/// Less than this part of the height is too little for the data, whatever the threshold is.
const DATA_PART_MIN: f64 = 0.2;

/// So near to a mark, in parts of the way to the next, is on it.
const EDGE: f64 = 0.05;
/// Values beyond are shown at the edge; further in, differences of values are numbers too.
const LARGEST: f64 = 1e300;
const SMALLEST: f64 = 1e-300;

/// The axis of values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) step: f64,
}

impl Scale {
    /// For finite values; with the threshold where that leaves room for them.
    pub(crate) fn of(values: impl Iterator<Item = f64>, threshold: Option<f64>, unit: Unit) -> Scale {
        let (mut low, mut high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| (low.min(it), high.max(it)));
        let threshold = threshold.filter(|it| it.abs() <= LARGEST);
        let bounded = |it: f64| it.clamp(-LARGEST, LARGEST);
        (low, high) = (bounded(low), bounded(high));
        if low > high {
            let only = threshold.unwrap_or(0.0);
            (low, high) = (only.min(0.0), only.max(0.0));
        }
        if let Some(threshold) = threshold {
            let (with_low, with_high) = (low.min(threshold), high.max(threshold));
            let (data, all) = (high - low, with_high - with_low);
            // A constant is seen beside any threshold; what moves must be seen to.
            if all <= 0.0 || data <= 0.0 || data / all >= DATA_PART_MIN || is_near(threshold, low, high) {
                (low, high) = (with_low, with_high);
            }
        }
        let (lowest, highest) = (low, high);
        // Nothing is a good place to begin where it is not far.
        if low > 0.0 && low < 0.6 * high {
            low = 0.0;
        }
        if high < 0.0 && high > 0.6 * low {
            high = 0.0;
        }
        // Closer together than numbers can be told apart is the same.
        if high - low <= (16.0 * f64::EPSILON * high.abs().max(low.abs())).max(SMALLEST) {
            let pad = if high.abs() <= SMALLEST { 1.0 } else { high.abs() * 0.1 };
            (low, high) = match (low >= 0.0, high <= 0.0) {
                (true, true) => (0.0, pad),
                (true, false) => ((low - pad).max(0.0), high + pad),
                _ => (low - pad, high + pad),
            };
        }
        let step = step((high - low) / MARKS, unit);
        let mut below = (low / step).floor() * step;
        let mut above = (high / step).ceil() * step;
        // What lies on an edge is not seen well, unless the edge is nothing or all.
        let full = match unit {
            Unit::Percent => 100.0,
            Unit::Ratio => 1.0,
            _ => 0.0,
        };
        let is_end = |value: f64| value == 0.0 || (value - full).abs() < step * EDGE;
        if lowest - below < step * EDGE && !is_end(below) {
            below -= step;
        }
        if above - highest < step * EDGE && !is_end(above) {
            above += step;
        }
        Scale { low: below, high: if above > below { above } else { below + step }, step }
    }

    /// Its marks, from below.
    pub(crate) fn marks(&self) -> Vec<f64> {
        let count = ((self.high - self.low) / self.step).round().clamp(1.0, 20.0) as usize;
        (0..=count).map(|at| self.low + at as f64 * self.step).collect()
    }

    /// Where a value lies, 0 below and 1 above; outside of both where it is off the axis.
    pub(crate) fn place(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

/// Whether a threshold lies within ten times of what values reach, as seen from nothing: then it says how far they are
/// from it.
fn is_near(threshold: f64, low: f64, high: f64) -> bool {
    let reach = low.abs().max(high.abs());
    threshold.abs() <= 10.0 * reach && reach <= 10.0 * threshold.abs() && low.min(high) * threshold >= 0.0
}

/// A round step of at least `least`.
fn step(least: f64, unit: Unit) -> f64 {
    let round: (f64, &[f64]) = match unit.base(least) {
        Base::Ten => (10.0, &[1.0, 2.0, 5.0]),
        Base::Two => (1024.0, &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0]),
        Base::Sixty => (60.0, &[1.0, 2.0, 5.0, 10.0, 15.0, 30.0]),
    };
    // Days and more are round in tens of themselves.
    let one = match unit.base(least) {
        Base::Sixty if least > 43_200.0 => return step(least / 86_400.0, Unit::Plain) * 86_400.0,
        Base::Sixty if least > 1800.0 => {
            let hours = [3600.0, 7200.0, 10_800.0, 21_600.0, 43_200.0];
            return hours.into_iter().find(|it| *it >= least).unwrap_or(86_400.0);
        }
        _ => round.0.powf((least.ln() / round.0.ln()).floor()),
    };
    let found = round.1.iter().map(|it| it * one).find(|it| *it >= least * 0.999_999);
    found.unwrap_or(one * round.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], threshold: Option<f64>, unit: Unit) -> String {
        let scale = Scale::of(values.iter().copied(), threshold, unit);
        let writer = unit.writer(scale.high.abs().max(scale.low.abs()), scale.step);
        scale.marks().iter().map(|it| writer.write(*it, unit)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn marks_are_round_and_hold_the_data() {
        assert_eq!(check(&[1.0, 9.3], None, Unit::Plain), "0 2 4 6 8 10");
        assert_eq!(check(&[98.0, 99.5], None, Unit::Percent), "97.5 % 98.0 % 98.5 % 99.0 % 99.5 % 100.0 %");
        assert_eq!(check(&[-5.0, 12.0], None, Unit::Plain), "-10 -5 0 5 10 15");
        assert_eq!(check(&[-5e-9, 2e-9], None, Unit::Plain), "-6e-9 -4e-9 -2e-9 0e0 2e-9 4e-9");
        assert_eq!(check(&[1e17, 8e17], None, Unit::Plain), "0e0 2e17 4e17 6e17 8e17 1e18");
        assert_eq!(check(&[0.0, 3e9], None, Unit::Bytes), "0 GiB 1 GiB 2 GiB 3 GiB");
        assert_eq!(check(&[0.0, 1500.0], None, Unit::Seconds), "0 min 5 min 10 min 15 min 20 min 25 min 30 min");
        assert_eq!(check(&[0.0, 20.0 * 3600.0], None, Unit::Seconds), "0 h 6 h 12 h 18 h 24 h");
    }

    #[test]
    fn a_constant_or_nothing_has_an_axis() {
        assert_eq!(check(&[0.0], None, Unit::Plain), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(check(&[5.0, 5.0], None, Unit::Plain), "4.4 4.6 4.8 5.0 5.2 5.4 5.6");
        assert_eq!(check(&[], None, Unit::Plain), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(check(&[], Some(90.0), Unit::Percent), "0 % 20 % 40 % 60 % 80 % 100 %");
    }

    #[test]
    fn a_threshold_is_shown_where_it_leaves_room() {
        assert_eq!(check(&[10.0, 30.0], Some(90.0), Unit::Percent), "0 % 20 % 40 % 60 % 80 % 100 %");
        assert_eq!(check(&[1.0, 3.0], Some(1e6), Unit::Plain), "0 1 2 3 4");
        assert!(Scale::of([1.0, 3.0].into_iter(), Some(1e6), Unit::Plain).place(1e6) > 1.0);
    }

    #[test]
    fn the_ends_of_numbers_are_no_trouble() {
        for values in [vec![f64::MAX, f64::MIN], vec![f64::MIN_POSITIVE], vec![f64::MAX], vec![-f64::MIN_POSITIVE, 1.0]]
        {
            let scale = Scale::of(values.iter().copied(), None, Unit::Plain);
            assert!(scale.low.is_finite() && scale.high.is_finite() && scale.low < scale.high, "{scale:?}");
            assert!(scale.marks().len() <= 21 && scale.step > 0.0, "{scale:?}");
        }
    }
}
