//! Chunks of rows. Layout: `docs/formats/metrics.md`. Pure.
//!
//! What the columns say follows in part from one another: a counter's least value is its first, and a window begins
//! about where the one before ended. So a column of decimals is kept as whole numbers, less what the columns before it
//! let one expect. Others are kept as they are.

use watchbell_model::{Sample, Timestamp};

use super::bytes::{Cursor, put_varint};
use super::chunk::{Encoded, Kind};
use super::columns::{
    Effort, decimals, divisor, put_sized, put_times, put_values, scaled, take_sized, take_times, take_values, unscaled,
};
use super::rollup::Row;

/// How many rows one chunk holds at most.
const ROWS_MAX: usize = 4096;

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
const MIN: usize = 2;
const MAX: usize = 3;
const SUM: usize = 4;
const GROWTH: usize = 5;
const COUNT: usize = 6;

/// The order in which columns are kept, so that what one is expected from comes before it.
const ORDER: [usize; COUNT] = [LAST, FIRST, MIN, MAX, GROWTH, SUM];

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
/// In place of all columns: whole numbers, less what is expected of them.
const EXPECTED: u8 = 20;
/// Of these: the last value is one unit throughout.
const ONES: u8 = 128;

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
    body.extend_from_slice(&put_expected(rows).or_else(|| put_columns(rows))?);
    let (first, last) = (starts[0], lasts[rows.len() - 1]);
    Some(Encoded { kind: Kind::Rows, first, last, count: rows.len(), bytes: body })
}

/// Adds the columns as they are.
fn put_columns(rows: &[Row]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
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
    Some(body)
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
    let columns = match from.0.split_first() {
        Some((&EXPECTED, rest)) => take_expected(Cursor(rest), count)?,
        _ => take_columns(from, count)?,
    };
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

/// Reads what [`put_columns`] wrote.
fn take_columns(mut from: Cursor<'_>, count: usize) -> Option<Vec<Vec<f64>>> {
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
    Some(columns)
}

/// Adds the columns as whole numbers less what is expected of them; `None` if they are no decimals of a common unit.
fn put_expected(rows: &[Row]) -> Option<Vec<u8>> {
    let values = || rows.iter().flat_map(|row| VALUES[..COUNT].iter().map(move |value| value(row)));
    let decimals = decimals(values())?;
    let whole = values().map(|value| scaled(value, decimals)).collect::<Option<Vec<i64>>>()?;
    let unit = whole.iter().fold(0, |unit, number| divisor(unit, number.unsigned_abs())).max(1);
    let counts: Vec<i64> = rows.iter().map(|row| i64::try_from(row.count).ok()).collect::<Option<_>>()?;
    let news: Vec<i64> = counts.iter().map(|count| count.wrapping_sub(counts[0])).collect();
    let (mut there, mut plain, mut columns, mut known) = (0_u8, 0_u8, vec![column(&news)?], Vec::<Vec<i64>>::new());
    for at in ORDER {
        let numbers: Vec<i64> = whole.iter().skip(at).step_by(COUNT).map(|number| number / unit as i64).collect();
        let more = |row: usize| numbers[row].checked_sub(expected(at, row, &known, &counts));
        let news = (0..rows.len()).map(more).collect::<Option<Vec<i64>>>().and_then(|news| column(&news));
        let as_is = column(&numbers)?;
        columns.push(match news.filter(|news| news.len() <= as_is.len()) {
            Some(news) => news,
            None => {
                plain |= 1 << at;
                as_is
            }
        });
        known.push(numbers);
    }
    if known[0].iter().all(|last| *last == 1) {
        there |= ONES;
        columns[1].clear();
    }
    for (at, column) in columns.iter().enumerate() {
        there |= u8::from(!column.is_empty()) << at;
    }
    let mut body = vec![EXPECTED, there, plain, decimals as u8];
    put_varint(&mut body, unit);
    put_varint(&mut body, rows[0].count);
    columns.iter().filter(|column| !column.is_empty()).for_each(|column| put_sized(&mut body, column));
    Some(body)
}

/// Reads what [`put_expected`] wrote.
fn take_expected(mut from: Cursor<'_>, count: usize) -> Option<Vec<Vec<f64>>> {
    let (there, plain, decimals) = (from.u8()?, from.u8()?, usize::from(from.u8()?));
    let (unit, first) = (from.varint()? as i64, i64::try_from(from.varint()?).ok()?);
    let mut next =
        |bit: usize| if there & 1 << bit == 0 { Some(vec![0; count]) } else { take_column(&mut from, count) };
    let counts: Vec<i64> = next(0)?.into_iter().map(|more| first.wrapping_add(more)).collect();
    let mut known = Vec::<Vec<i64>>::new();
    for (bit, at) in ORDER.into_iter().enumerate() {
        let mut numbers = if bit == 0 && there & ONES != 0 { vec![1; count] } else { next(bit + 1)? };
        if plain & 1 << at == 0 {
            for (row, number) in numbers.iter_mut().enumerate() {
                *number = number.wrapping_add(expected(at, row, &known, &counts));
            }
        }
        known.push(numbers);
    }
    let value = |number: &i64| unscaled(number.wrapping_mul(unit), decimals);
    let mut columns = vec![Vec::new(); COUNT];
    for (at, numbers) in ORDER.into_iter().zip(&known) {
        columns[at] = numbers.iter().map(value).collect::<Option<_>>()?;
    }
    columns.push(counts.into_iter().map(|count| count as f64).collect());
    Some(columns)
}

/// What a column's number should be, from the columns that come before it in [`ORDER`]; wraps around on what nobody wrote.
fn expected(at: usize, row: usize, known: &[Vec<i64>], counts: &[i64]) -> i64 {
    let (last, first) = (|row: usize| known[0][row], |row: usize| known[1][row]);
    match at {
        LAST => 0,
        FIRST => last(row.saturating_sub(1)),
        MIN => first(row).min(last(row)),
        MAX => first(row).max(last(row)),
        GROWTH => last(row).wrapping_sub(first(row)),
        // Half of the values lie above the middle.
        _ => first(row).wrapping_add(last(row)).wrapping_mul(counts[row]) >> 1,
    }
}

/// Whole numbers as values; nothing where all are zero. `None` if they cannot be packed.
fn column(numbers: &[i64]) -> Option<Vec<u8>> {
    let mut packed = Vec::new();
    if numbers.iter().any(|number| *number != 0) {
        let values = numbers.iter().map(|number| unscaled(*number, 0)).collect::<Option<Vec<f64>>>()?;
        put_values(&mut packed, &values, Effort::Thorough)?;
    }
    Some(packed)
}

fn take_column(from: &mut Cursor<'_>, count: usize) -> Option<Vec<i64>> {
    let packed = take_sized(from)?;
    let values = take_values(Cursor(packed), count, count).filter(|values| values.len() == count)?;
    Some(values.into_iter().map(|value| value as i64).collect())
}
