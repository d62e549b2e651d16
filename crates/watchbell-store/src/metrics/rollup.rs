//! Rows: some time of a series summed up, so that sums over any longer time can be made of them.
//!
//! A row knows nothing of its neighbours (it keeps its first value, and growth within itself only), so rows are made
//! for each day alone, and what is deleted or comes late changes no row but its own. Layout of their chunks:
//! `docs/formats/metrics.md`. Pure.

use watchbell_model::{Rollup, Sample, Timestamp, is_stale};

use super::bytes::{Cursor, put_varint};
use super::chunk::{Encoded, Kind};
use super::columns::{Effort, put_sized, put_times, put_values, take_sized, take_times, take_values};

/// How many rows one chunk holds at most.
const ROWS_MAX: usize = 4096;

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
        let mut rows = Vec::<Row>::new();
        for sample in samples.iter().filter(|sample| !sample.value.is_nan() && !is_stale(sample.value)) {
            let start = sample.timestamp.0.div_euclid(width).saturating_mul(width);
            let value = sample.value;
            match rows.last_mut().filter(|row| row.start == start) {
                Some(row) => {
                    row.growth += growth(row.last.value, value);
                    row.min = row.min.min(value);
                    row.max = row.max.max(value);
                    row.sum += value;
                    row.count += 1;
                    row.last = *sample;
                }
                None => rows.push(Row {
                    start,
                    min: value,
                    max: value,
                    sum: value,
                    count: 1,
                    first: value,
                    last: *sample,
                    growth: 0.0,
                }),
            }
        }
        rows
    }
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

/// Encodes rows, which are in order of time and not empty, as chunks of about equal size.
pub(crate) fn encode_all(rows: &[Row]) -> Vec<Encoded> {
    let chunks = rows.len().div_ceil(ROWS_MAX).max(1);
    rows.chunks(rows.len().div_ceil(chunks).max(1)).filter_map(encode).collect()
}

/// The values of a chunk's columns, in the order in which they lie there.
const VALUES: [fn(&Row) -> f64; 7] = [
    |row| row.last.value,
    |row| row.first,
    |row| row.min,
    |row| row.max,
    |row| row.sum,
    |row| row.growth,
    |row| row.count as f64,
];

/// The places of columns in [`VALUES`] that others are made from.
const LAST: usize = 0;
const FIRST: usize = 1;
const SUM: usize = 4;
const GROWTH: usize = 5;
const COUNT: usize = 6;

/// Instead of times: starts and last values come every so many minutes.
const EVEN: u8 = 16;
/// What a unit of that is.
const MINUTE: i64 = 60_000;

// Columns that are not written, beside those that are like an earlier one.
/// The sum is the last value as often as there are values.
const OF_LAST: u64 = 16;
/// The growth is from the first value to the last.
const FROM_FIRST: u64 = 17;
const ZEROS: u64 = 18;
/// One whole number for all.
const ONE: u64 = 19;

/// The minutes between two rows, if it is always as many, and from one last value to the next too.
fn minutes(starts: &[i64], lasts: &[i64]) -> Option<u64> {
    let step = if starts.len() > 1 { starts[1].checked_sub(starts[0])? } else { 0 };
    let is_even = |times: &[i64]| times.windows(2).all(|pair| pair[1].checked_sub(pair[0]) == Some(step));
    let whole = step % MINUTE == 0 && is_even(starts) && is_even(lasts);
    u64::try_from(step / MINUTE).ok().filter(|_| whole)
}

fn encode(rows: &[Row]) -> Option<Encoded> {
    let mut body = Vec::new();
    let starts: Vec<i64> = rows.iter().map(|row| row.start).collect();
    let lasts: Vec<i64> = rows.iter().map(|row| row.last.timestamp.0).collect();
    if let Some(minutes) = minutes(&starts, &lasts) {
        body.push(EVEN);
        put_varint(&mut body, minutes);
    } else {
        put_times(&mut body, &starts, Effort::Thorough)?;
        put_varint(&mut body, (lasts[0] - starts[0]) as u64);
        put_times(&mut body, &lasts, Effort::Thorough)?;
    }
    let columns: Vec<Vec<f64>> = VALUES.iter().map(|value| rows.iter().map(value).collect()).collect();
    let mut sum_of_last = false;
    for (at, column) in columns.iter().enumerate() {
        // One that is the same as an earlier one is not written again: of a gauge that stands still all are.
        let same = |other: &Vec<f64>| other.iter().zip(column).all(|(a, b)| a.to_bits() == b.to_bits());
        // The sum is made last, from the count.
        let like = columns[..at].iter().position(same).filter(|like| *like != SUM || !sum_of_last);
        if let Some(like) = like {
            put_varint(&mut body, like as u64 + 1);
            continue;
        }
        let is = |value: fn(&Row) -> f64| rows.iter().zip(column).all(|(row, a)| value(row).to_bits() == a.to_bits());
        if at == SUM && is(|row| row.last.value * row.count as f64) {
            put_varint(&mut body, OF_LAST);
            sum_of_last = true;
            continue;
        }
        if at == GROWTH && is(|row| row.last.value - row.first) {
            put_varint(&mut body, FROM_FIRST);
            continue;
        }
        if is(|_| 0.0) {
            put_varint(&mut body, ZEROS);
            continue;
        }
        if at == COUNT && rows.iter().all(|row| row.count == rows[0].count) {
            put_varint(&mut body, ONE);
            put_varint(&mut body, rows[0].count);
            continue;
        }
        put_varint(&mut body, 0);
        let mut packed = Vec::new();
        put_values(&mut packed, column, Effort::Thorough)?;
        put_sized(&mut body, &packed);
    }
    let (first, last) = (starts[0], lasts[rows.len() - 1]);
    Some(Encoded { kind: Kind::Rows, first, last, count: rows.len(), bytes: body })
}

/// The rows of a chunk; `None` if it is damaged.
pub(crate) fn decode(body: &[u8], (first, last): (i64, i64), count: usize) -> Option<Vec<Row>> {
    if count == 0 || count > ROWS_MAX {
        return None;
    }
    let mut from = Cursor(body);
    let (starts, lasts) = if body.first() == Some(&EVEN) {
        from.u8()?;
        let step = i64::try_from(from.varint()?).ok()?.checked_mul(MINUTE)?;
        let behind = |rows: usize| step.checked_mul(rows as i64);
        let first_last = last.checked_sub(behind(count - 1)?)?;
        let from = |time: i64| (0..count).map(|rows| time.checked_add(behind(rows)?)).collect::<Option<Vec<i64>>>();
        (from(first)?, from(first_last)?)
    } else {
        let starts = take_times(&mut from, first, count)?;
        let last = first.checked_add(i64::try_from(from.varint()?).ok()?)?;
        (starts, take_times(&mut from, last, count)?)
    };
    let mut columns = Vec::<Vec<f64>>::with_capacity(VALUES.len());
    let mut sum_of_last = false;
    for at in 0..VALUES.len() {
        let column = match from.varint()? {
            0 => take_values(Cursor(take_sized(&mut from)?), count, count)?,
            OF_LAST if at == SUM => {
                sum_of_last = true;
                Vec::new()
            }
            FROM_FIRST if at == GROWTH => {
                columns[LAST].iter().zip(&columns[FIRST]).map(|(last, first)| last - first).collect()
            }
            ZEROS => vec![0.0; count],
            ONE => vec![from.varint()? as f64; count],
            like => columns.get(usize::try_from(like).ok()? - 1).filter(|column| column.len() == count)?.clone(),
        };
        columns.push(column);
    }
    if sum_of_last {
        columns[SUM] = columns[LAST].iter().zip(&columns[COUNT]).map(|(last, count)| last * count).collect();
    }
    let row = |at: usize| Row {
        start: starts[at],
        last: Sample { timestamp: Timestamp(lasts[at]), value: columns[0][at] },
        first: columns[1][at],
        min: columns[2][at],
        max: columns[3][at],
        sum: columns[4][at],
        growth: columns[5][at],
        count: columns[6][at] as u64,
    };
    Some((0..count).map(row).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use watchbell_model::{Span, stale_nan};

    use super::*;

    proptest! {
        /// Whole numbers, so that sums are exact in any order.
        #[test]
        fn rows_say_what_samples_say(
            steps in prop::collection::vec((1..40_000_000_i64, prop_oneof![9 => -50..2000_i64, 1 => Just(i64::MAX)]), 1..400),
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
    fn what_stands_still_costs_next_to_nothing() {
        let samples: Vec<Sample> =
            (0..5760).map(|at| Sample { timestamp: Timestamp(at * 15_000), value: 1.0 }).collect();
        let of =
            |samples: &[Sample]| encode_all(&Row::of(samples, 300_000)).iter().map(|c| c.bytes.len()).sum::<usize>();
        let still = of(&samples);
        let counter: Vec<Sample> = samples.iter().map(|s| Sample { value: s.timestamp.0 as f64, ..*s }).collect();
        expect_test::expect!["288 rows: 15 bytes, of a counter 64 bytes"]
            .assert_eq(&format!("288 rows: {still} bytes, of a counter {} bytes", of(&counter)));
    }
}
