//! Questions about series that are not "which samples": which labels there are, and what a stretch of time sums up to.

use std::collections::BTreeSet;

use crate::{Matcher, Sample, Series, Span, Timestamp, is_stale};

/// What is asked about series and labels.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// Sets of matchers; a series counts if it passes all of one set. No set: every series.
    pub matchers: &'a [Vec<Matcher>],
    /// Only series with samples between `start` and `end`, as far as a store can tell without reading them.
    pub start: Timestamp,
    /// See `start`.
    pub end: Timestamp,
    /// At most so many answers; `0` for all.
    pub limit: usize,
}

impl Lookup<'_> {
    /// Everything at any time.
    pub const ALL: Lookup<'static> =
        Lookup { matchers: &[], start: Timestamp(i64::MIN), end: Timestamp(i64::MAX), limit: 0 };
}

/// Answers of a lookup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found<T> {
    /// Sorted, each once.
    pub items: Vec<T>,
    /// Whether the limit left some out.
    pub cut: bool,
}

/// Some time of a series, summed up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rollup {
    /// The window's first millisecond; it is as long as the question said.
    pub start: Timestamp,
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// The sum of values.
    pub sum: f64,
    /// How many values there are, markers and NaNs left out.
    pub count: u64,
    /// The last value, and when it was.
    pub last: Sample,
    /// By how much a counter grew since the last value before the window, resets made good; of a gauge it means nothing.
    pub increase: f64,
}

impl<T: Ord> Found<T> {
    /// Sorts and cuts.
    pub fn new(items: impl IntoIterator<Item = T>, limit: usize) -> Found<T> {
        let mut items: Vec<T> = items.into_iter().collect::<BTreeSet<T>>().into_iter().collect();
        let cut = limit > 0 && items.len() > limit;
        if cut {
            items.truncate(limit);
        }
        Found { items, cut }
    }
}

impl Rollup {
    /// Sums samples up, which are in order of time, over windows that begin at multiples of `width`. `before`: the last
    /// value before them, from which the first increase counts; without it counting begins with the first sample.
    pub fn of(samples: &[Sample], before: Option<f64>, width: Span) -> Vec<Rollup> {
        let width = i64::try_from(width.duration().as_millis()).unwrap_or(i64::MAX).max(1);
        let (mut rollups, mut previous) = (Vec::<Rollup>::new(), before);
        for sample in samples.iter().filter(|sample| !sample.value.is_nan() && !is_stale(sample.value)) {
            let start = Timestamp(sample.timestamp.0.div_euclid(width).saturating_mul(width));
            let value = sample.value;
            // A counter that is below its last value began anew, at zero.
            let grown = previous.map_or(0.0, |previous| if value >= previous { value - previous } else { value });
            previous = Some(value);
            match rollups.last_mut().filter(|rollup| rollup.start == start) {
                Some(rollup) => {
                    rollup.min = rollup.min.min(value);
                    rollup.max = rollup.max.max(value);
                    rollup.sum += value;
                    rollup.count += 1;
                    rollup.last = *sample;
                    rollup.increase += grown;
                }
                None => rollups.push(Rollup {
                    start,
                    min: value,
                    max: value,
                    sum: value,
                    count: 1,
                    last: *sample,
                    increase: grown,
                }),
            }
        }
        rollups
    }

    /// Of a whole series.
    pub fn of_series(series: &Series, width: Span) -> Vec<Rollup> {
        Rollup::of(&series.samples, None, width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stale_nan;

    #[test]
    fn a_counter_that_begins_anew_loses_nothing() {
        let values = [(0, 5.0), (60, 7.0), (299, 10.0), (300, 2.0), (400, stale_nan()), (599, 3.0), (900, 4.0)];
        let samples: Vec<Sample> =
            values.iter().map(|(at, value)| Sample { timestamp: Timestamp(at * 1000), value: *value }).collect();
        let said: Vec<String> = Rollup::of(&samples, None, Span::minutes(5))
            .iter()
            .map(|r| {
                let Rollup { min, max, sum, count, increase, .. } = r;
                format!(
                    "{}s min {min} max {max} sum {sum} count {count} last {} +{increase}",
                    r.start.0 / 1000,
                    r.last.value
                )
            })
            .collect();
        expect_test::expect![[r#"
            0s min 5 max 10 sum 22 count 3 last 10 +5
            300s min 2 max 3 sum 5 count 2 last 3 +3
            900s min 4 max 4 sum 4 count 1 last 4 +1"#]]
        .assert_eq(&said.join("\n"));
        assert_eq!(Rollup::of(&samples[..1], Some(2.0), Span::minutes(5))[0].increase, 3.0);
    }
}
