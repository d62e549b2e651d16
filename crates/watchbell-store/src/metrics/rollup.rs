//! Rows: some time of a series summed up, so that sums over any longer time can be made of them.
//!
//! A row knows nothing of its neighbours (it keeps its first value, and growth within itself only), so rows are made
//! for each day alone, and what is deleted or comes late changes no row but its own. Layout of their chunks:
//! `docs/formats/metrics.md`. Pure.

use watchbell_model::{Rollup, Sample, Timestamp, is_stale};

use super::columns::{decimals, scaled, unscaled};

/// Values in one window, markers and NaNs left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    /// The window's first millisecond.
    pub(crate) start: i64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) sum: f64,
    pub(crate) count: u64,
    pub(crate) first: f64,
    pub(crate) last: Sample,
    /// By how much a counter grew from the first value to the last, resets made good.
    pub(crate) growth: f64,
}

/// By how much a counter grew from one value to the next: one that is below its last value began anew, at zero.
fn growth(from: f64, to: f64) -> f64 {
    if to >= from { to - from } else { to }
}

impl Row {
    /// Sums up samples, which are in order of time, over windows that begin at multiples of `width`.
    pub(crate) fn of(samples: &[Sample], width: i64) -> Vec<Row> {
        let start = |sample: &Sample| sample.timestamp.0.div_euclid(width).saturating_mul(width);
        let numbers: Vec<Sample> =
            samples.iter().filter(|sample| !sample.value.is_nan() && !is_stale(sample.value)).copied().collect();
        numbers.chunk_by(|a, b| start(a) == start(b)).map(|window| Row::of_one(start(&window[0]), window)).collect()
    }

    /// Sums up the samples of one window, of which there is one at least.
    fn of_one(start: i64, samples: &[Sample]) -> Row {
        let (first, last) = (samples[0].value, samples[samples.len() - 1]);
        let (mut min, mut max) = (first, first);
        for Sample { value, .. } in samples {
            (min, max) = (min.min(*value), max.max(*value));
        }
        let (sum, growth) = exact(samples).unwrap_or_else(|| {
            let grown = samples.windows(2).map(|pair| growth(pair[0].value, pair[1].value)).sum::<f64>();
            (samples.iter().map(|sample| sample.value).sum(), grown)
        });
        // The sum of no floats is -0.
        Row { start, min, max, sum, count: samples.len() as u64, first, last, growth: growth + 0.0 }
    }
}

/// The sum and the growth of decimals, summed up without an error; `None` if they are none, or too big for that.
fn exact(samples: &[Sample]) -> Option<(f64, f64)> {
    let decimals = decimals(samples.iter().map(|sample| sample.value))?;
    let (mut sum, mut grown, mut before) = (0_i64, 0_i64, None);
    for sample in samples {
        let value = scaled(sample.value, decimals)?;
        sum = sum.checked_add(value)?;
        if let Some(before) = before {
            grown = grown.checked_add(if value >= before { value.checked_sub(before)? } else { value })?;
        }
        before = Some(value);
    }
    Some((unscaled(sum, decimals)?, unscaled(grown, decimals)?))
}

/// Rows of the same window of `width`, a multiple of theirs, as one each; they are in order of time.
pub(crate) fn join(rows: Vec<Row>, width: i64) -> Vec<Row> {
    let mut joined = Vec::<Row>::new();
    for row in rows {
        match joined.last_mut().filter(|last| last.start.div_euclid(width) == row.start.div_euclid(width)) {
            Some(last) => {
                last.growth += growth(last.last.value, row.first) + row.growth;
                last.min = last.min.min(row.min);
                last.max = last.max.max(row.max);
                last.sum += row.sum;
                last.count += row.count;
                last.last = row.last;
            }
            None => joined.push(row),
        }
    }
    joined
}

/// Sums rows up, which are in order of time, over windows of `width`, a multiple of theirs.
pub(crate) fn fold(rows: &[Row], width: i64) -> Vec<Rollup> {
    let span = |(first, last): (&Row, &Row)| last.start.saturating_sub(first.start) / width.max(1) + 1;
    let most = rows.first().zip(rows.last()).map_or(0, span);
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(rows.len());
    let (mut rollups, mut previous) = (Vec::<Rollup>::with_capacity(most), None);
    for row in rows {
        let start = Timestamp(row.start.div_euclid(width).saturating_mul(width));
        let increase = previous.map_or(0.0, |previous| growth(previous, row.first)) + row.growth;
        previous = Some(row.last.value);
        match rollups.last_mut().filter(|rollup| rollup.start == start) {
            Some(rollup) => {
                rollup.min = rollup.min.min(row.min);
                rollup.max = rollup.max.max(row.max);
                rollup.sum += row.sum;
                rollup.count += row.count;
                rollup.last = row.last;
                rollup.increase += increase;
            }
            None => rollups.push(Rollup {
                start,
                min: row.min,
                max: row.max,
                sum: row.sum,
                count: row.count,
                last: row.last,
                increase,
            }),
        }
    }
    rollups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use watchbell_model::{Span, stale_nan};

    use super::super::rollup_chunk::{decode, encode_all};
    use super::*;

    proptest! {
        /// Whole numbers, so that sums are exact in any order.
        #[test]
        fn rows_say_what_samples_say(
            steps in prop::collection::vec((1..40_000_000_i64, prop_oneof![5 => -50..2000_i64, 4 => 0..3_i64, 1 => Just(i64::MAX)]), 1..400),
            narrow in 1..20_i64,
            factor in 1..12_i64,
        ) {
            let narrow = narrow * 60_000;
            let mut time = -80_000_000;
            let sample = |(step, value): (i64, i64)| {
                time += step;
                let value = if value == i64::MAX { stale_nan() } else { value as f64 };
                Sample { timestamp: Timestamp(time), value }
            };
            let samples: Vec<Sample> = steps.into_iter().map(sample).collect();
            let rows = Row::of(&samples, narrow);
            let width = Span::millis((narrow * factor) as u64);
            prop_assert_eq!(fold(&rows, narrow * factor), Rollup::of(&samples, None, width));
            prop_assert_eq!(fold(&join(rows.clone(), narrow * factor), narrow * factor), Rollup::of(&samples, None, width));
            if !rows.is_empty() {
                let mut read = Vec::new();
                for chunk in encode_all(&rows) {
                    prop_assert_eq!(chunk.first, rows[read.len()].start);
                    read.extend(decode(&chunk.bytes, (chunk.first, chunk.last), chunk.count).unwrap());
                    prop_assert_eq!(chunk.last, read[read.len() - 1].last.timestamp.0);
                }
                prop_assert_eq!(read, rows);
            }
        }
    }

    #[test]
    fn sums_of_decimals_have_no_error() {
        let tenths = |count: i64| -> Vec<Sample> {
            (0..count).map(|at| Sample { timestamp: Timestamp(at * 1000), value: (at % 4) as f64 / 10.0 }).collect()
        };
        let rows = Row::of(&tenths(400), 400_000);
        assert_eq!((rows[0].sum, rows[0].growth), (60.0, 30.0), "added up as floats they are 60.00000000000014 or so");
        let chunk = &encode_all(&rows)[0];
        assert_eq!(decode(&chunk.bytes, (chunk.first, chunk.last), chunk.count).unwrap(), rows);
    }

    #[test]
    fn rows_of_which_all_but_one_column_is_as_expected_read_back() {
        // Twice in each window, 0 and then 1: the first value is 0, where one would expect the 1 of before.
        let samples: Vec<Sample> =
            (0..48).map(|at| Sample { timestamp: Timestamp(at * 1_800_000), value: (at % 2) as f64 }).collect();
        let rows = Row::of(&samples, 3_600_000);
        let chunk = &encode_all(&rows)[0];
        assert_eq!(decode(&chunk.bytes, (chunk.first, chunk.last), chunk.count).unwrap(), rows);
    }

    #[test]
    fn what_stands_still_costs_next_to_nothing() {
        let samples: Vec<Sample> =
            (0..5760).map(|at| Sample { timestamp: Timestamp(at * 15_000), value: 1.0 }).collect();
        let of =
            |samples: &[Sample]| encode_all(&Row::of(samples, 300_000)).iter().map(|c| c.bytes.len()).sum::<usize>();
        let still = of(&samples);
        let counter: Vec<Sample> = samples.iter().map(|s| Sample { value: s.timestamp.0 as f64, ..*s }).collect();
        expect_test::expect!["288 rows: 8 bytes, of a counter 29 bytes"]
            .assert_eq(&format!("288 rows: {still} bytes, of a counter {} bytes", of(&counter)));
    }
}
