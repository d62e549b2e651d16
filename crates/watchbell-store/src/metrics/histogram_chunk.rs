//! Chunks of histograms in blocks: a column for each bucket, over all samples.
//!
//! Pure; exact to the last bit. Buckets may come and go within a chunk: it names the layouts it has, and its columns
//! are those of all of them. Whole counts, which are nearly all, become steps from sample to sample in one column of
//! columns, so that a hundred buckets cost one header. Layout: `docs/formats/metrics.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchbell_model::{Histogram, HistogramSample, ResetHint, Timestamp};

use super::bytes::{Cursor, put_varint};
use super::chunk::{Encoded, Kind};
use super::columns::{
    Effort, as_whole, put_sized, put_times, put_values, put_whole, take_sized, take_times, take_values, take_whole,
};
use super::histogram_layout::{Bucket, Layout, Numbers, counts, hint_code, hint_of};

/// How many histograms one chunk holds at most.
pub(crate) const CHUNK_MAX: usize = 1024;
/// A chunk with so many is full: merging copies it as it is.
pub(crate) const CHUNK_FULL: usize = 512;
/// How many numbers one chunk holds at most, unless it has a single histogram.
const NUMBERS_MAX: usize = 1 << 17;
/// How many layouts one chunk names at most.
const LAYOUTS_MAX: usize = 64;
/// More buckets than any sender can have: a bound on what damaged bytes can ask for.
const BUCKETS_MAX: usize = 1 << 24;

/// In place of a layout: the marker of a series' end, which has none.
const ENDED: usize = 0;

// How counts are kept.
const WHOLE_TOGETHER: u8 = 0;
const WHOLE_APART: u8 = 1;
const FLOATS: u8 = 2;

/// Encodes histograms, which are in order of time, as chunks.
pub(crate) fn encode_all(samples: &[HistogramSample], effort: Effort) -> Vec<Encoded> {
    let mut chunks = Vec::new();
    let mut rest = samples;
    while !rest.is_empty() {
        let shape = Shape::of(rest);
        let (now, later) = rest.split_at(shape.which.len());
        let (first, last) = (now[0].timestamp.0, now[now.len() - 1].timestamp.0);
        let bytes = shape.encode(now, effort);
        chunks.push(Encoded { kind: Kind::Histograms, first, last, count: now.len(), bytes });
        rest = later;
    }
    chunks
}

/// Which histograms of a chunk have which layout, and where each bucket's column is.
struct Shape {
    layouts: Vec<Layout>,
    /// For each histogram the place of its layout, from one; or [`ENDED`].
    which: Vec<usize>,
    /// Places of columns, in the order of buckets.
    columns: BTreeMap<Bucket, usize>,
}

impl Shape {
    /// Of as many of the first samples as fit a chunk.
    fn of(samples: &[HistogramSample]) -> Shape {
        let (mut layouts, mut which) = (Vec::<Layout>::new(), Vec::new());
        let mut columns = BTreeMap::<Bucket, usize>::new();
        for sample in &samples[..samples.len().min(CHUNK_MAX)] {
            let histogram = &*sample.histogram;
            if is_marker(sample) {
                which.push(ENDED);
                continue;
            }
            // The last ones first: layouts change rarely, and hardly ever back.
            let at = match layouts.iter().rposition(|layout| layout.is_of(histogram)) {
                Some(at) => at,
                None => {
                    let layout = Layout::of(histogram);
                    let buckets = layout.buckets();
                    let new = buckets.iter().filter(|bucket| !columns.contains_key(bucket)).count();
                    let numbers = (columns.len() + new + 3).saturating_mul(which.len() + 1);
                    if !which.is_empty() && (layouts.len() == LAYOUTS_MAX || numbers > NUMBERS_MAX) {
                        break;
                    }
                    columns.extend(buckets.into_iter().map(|bucket| (bucket, 0)));
                    layouts.push(layout);
                    layouts.len() - 1
                }
            };
            if !which.is_empty() && (columns.len() + 3).saturating_mul(which.len() + 1) > NUMBERS_MAX {
                break;
            }
            which.push(at + 1);
        }
        Shape::new(layouts, which)
    }

    fn new(layouts: Vec<Layout>, which: Vec<usize>) -> Shape {
        let mut columns: BTreeMap<Bucket, usize> =
            layouts.iter().flat_map(Layout::buckets).map(|bucket| (bucket, 0)).collect();
        columns.values_mut().enumerate().for_each(|(at, place)| *place = at);
        Shape { layouts, which, columns }
    }

    /// For each layout the columns of its buckets.
    fn places(&self) -> Vec<Vec<usize>> {
        let places = |layout: &Layout| layout.buckets().iter().map(|bucket| self.columns[bucket]).collect();
        self.layouts.iter().map(places).collect()
    }

    fn encode(&self, samples: &[HistogramSample], effort: Effort) -> Vec<u8> {
        let mut body = Vec::new();
        let times: Vec<i64> = samples.iter().map(|sample| sample.timestamp.0).collect();
        put_times(&mut body, &times, effort).expect("a chunk's times can be packed");
        put_runs(&mut body, samples.iter().map(|sample| u64::from(hint_code(sample.histogram.reset))));
        put_varint(&mut body, self.layouts.len() as u64);
        self.layouts.iter().for_each(|layout| layout.encode(&mut body));
        put_runs(&mut body, self.which.iter().map(|which| *which as u64));
        let places = self.places();
        let live: Vec<(&HistogramSample, &[usize])> = (samples.iter().zip(&self.which))
            .filter(|(_, which)| **which != ENDED)
            .map(|(sample, which)| (sample, &*places[*which - 1]))
            .collect();
        if live.is_empty() {
            return body;
        }
        let sums: Vec<f64> = live.iter().map(|(sample, _)| sample.histogram.sum).collect();
        put_sized(&mut body, &values(&sums, effort));
        match self.whole(&live) {
            Some(columns) => put_whole_columns(&mut body, &columns, effort),
            None => {
                body.push(FLOATS);
                for column in self.floats(&live) {
                    put_sized(&mut body, &values(&column, effort));
                }
            }
        }
        body
    }

    /// Columns of the zero bucket, of what the count has beyond all buckets, and of the buckets; `None` unless all
    /// counts are whole. Where a layout has no such bucket the number before is repeated, which costs nothing.
    fn whole(&self, live: &[(&HistogramSample, &[usize])]) -> Option<Vec<Vec<i64>>> {
        let mut columns = vec![Vec::with_capacity(live.len()); 2 + self.columns.len()];
        for (sample, places) in live {
            let histogram = &*sample.histogram;
            let zero = as_whole(histogram.zero_count)?;
            let mut beyond = as_whole(histogram.count)?.wrapping_sub(zero);
            for (count, place) in counts(histogram).zip(*places) {
                let count = as_whole(count)?;
                beyond = beyond.wrapping_sub(count);
                columns[2 + place].push(count);
            }
            columns[0].push(zero);
            columns[1].push(beyond);
            let len = columns[0].len();
            repeat(&mut columns[2..], len, 0);
        }
        Some(columns)
    }

    /// The same columns with counts as they are.
    fn floats(&self, live: &[(&HistogramSample, &[usize])]) -> Vec<Vec<f64>> {
        let mut columns = vec![Vec::with_capacity(live.len()); 2 + self.columns.len()];
        for (sample, places) in live {
            columns[0].push(sample.histogram.zero_count);
            columns[1].push(sample.histogram.count);
            for (count, place) in counts(&sample.histogram).zip(*places) {
                columns[2 + place].push(count);
            }
            let len = columns[0].len();
            repeat(&mut columns[2..], len, 0.0);
        }
        columns
    }
}

/// Makes all columns `len` long.
fn repeat<T: Copy>(columns: &mut [Vec<T>], len: usize, zero: T) {
    for column in columns.iter_mut().filter(|column| column.len() < len) {
        column.push(column.last().copied().unwrap_or(zero));
    }
}

fn is_marker(sample: &HistogramSample) -> bool {
    *sample.histogram == marker(sample.histogram.reset)
}

fn marker(reset: ResetHint) -> Histogram {
    Histogram { reset, ..Histogram::stale() }
}

fn values(values: &[f64], effort: Effort) -> Vec<u8> {
    let mut out = Vec::new();
    put_values(&mut out, values, effort).expect("a chunk's floats can be packed");
    out
}

fn whole(numbers: &[i64], effort: Effort) -> Vec<u8> {
    let mut out = Vec::new();
    put_whole(&mut out, numbers, effort).expect("a chunk's whole numbers can be packed");
    out
}

/// Either each column for itself, or first numbers and all steps in one: whichever is shorter.
fn put_whole_columns(out: &mut Vec<u8>, columns: &[Vec<i64>], effort: Effort) {
    let firsts: Vec<i64> = columns.iter().map(|column| column[0]).collect();
    let steps: Vec<i64> =
        columns.iter().flat_map(|column| column.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]))).collect();
    let mut together = vec![WHOLE_TOGETHER];
    put_sized(&mut together, &whole(&firsts, effort));
    if !steps.is_empty() {
        put_sized(&mut together, &whole(&steps, effort));
    }
    if effort == Effort::Thorough {
        let mut apart = vec![WHOLE_APART];
        columns.iter().for_each(|column| put_sized(&mut apart, &whole(column, effort)));
        if apart.len() < together.len() {
            together = apart;
        }
    }
    out.extend_from_slice(&together);
}

fn take_whole_columns(from: &mut Cursor<'_>, form: u8, columns: usize, count: usize) -> Option<Vec<Vec<i64>>> {
    if form == WHOLE_APART {
        return (0..columns).map(|_| take_whole(Cursor(take_sized(from)?), count)).collect();
    }
    let firsts = take_whole(Cursor(take_sized(from)?), columns)?;
    let steps = if count > 1 { take_whole(Cursor(take_sized(from)?), columns * (count - 1))? } else { Vec::new() };
    let column = |(at, first): (usize, i64)| {
        let mut last = first;
        let steps = &steps[at * (count - 1)..(at + 1) * (count - 1)];
        let rest = steps.iter().map(|step| {
            last = last.wrapping_add(*step);
            last
        });
        std::iter::once(first).chain(rest).collect()
    };
    Some(firsts.into_iter().enumerate().map(column).collect())
}

/// Adds the histograms from `start` to `end`, both included; `None` if the chunk is damaged.
pub(crate) fn decode(
    body: &[u8],
    first: i64,
    count: usize,
    start: i64,
    end: i64,
    out: &mut Vec<HistogramSample>,
) -> Option<()> {
    let mut from = Some(Cursor(body)).filter(|_| (1..=CHUNK_MAX).contains(&count))?;
    let times = take_times(&mut from, first, count)?;
    let hints = take_runs(&mut from, count)?;
    let layouts = usize::try_from(from.varint()?).ok().filter(|layouts| *layouts <= LAYOUTS_MAX)?;
    let layouts = (0..layouts).map(|_| Layout::decode(&mut from, BUCKETS_MAX)).collect::<Option<Vec<_>>>()?;
    let which = take_runs(&mut from, count)?.into_iter().map(|which| which as usize).collect::<Vec<_>>();
    if which.iter().any(|which| *which > layouts.len()) {
        return None;
    }
    let shape = Shape::new(layouts, which);
    let live = shape.which.iter().filter(|which| **which != ENDED).count();
    let columns = shape.columns.len() + 2;
    let (mut sums, mut floats, mut wholes) = (Vec::new(), None, None);
    if live > 0 {
        sums = take_values(Cursor(take_sized(&mut from)?), live, live)?;
        match from.u8()? {
            FLOATS => {
                let column = |_| take_values(Cursor(take_sized(&mut from)?), live, live);
                floats = Some((0..columns).map(column).collect::<Option<Vec<_>>>()?);
            }
            form => wholes = Some(take_whole_columns(&mut from, form, columns, live)?),
        }
    }
    let places = shape.places();
    let mut at = 0;
    for ((time, hint), which) in times.iter().zip(hints).zip(&shape.which) {
        let reset = hint_of(u8::try_from(hint).ok()?)?;
        let row = at;
        at += usize::from(*which != ENDED);
        if *time < start || *time > end {
            continue;
        }
        let histogram = if *which == ENDED {
            marker(reset)
        } else {
            let places = &places[*which - 1];
            let (numbers, counts) = match (&floats, &wholes) {
                (Some(columns), _) => float_row(columns, places, row),
                (None, Some(columns)) => whole_row(columns, places, row),
                (None, None) => return None,
            };
            let numbers = Numbers { sum: sums[row], ..numbers };
            shape.layouts[*which - 1].fill(reset, numbers, &counts)
        };
        out.push(HistogramSample { timestamp: Timestamp(*time), histogram: Arc::new(histogram) });
    }
    Some(())
}

fn float_row(columns: &[Vec<f64>], places: &[usize], row: usize) -> (Numbers, Vec<f64>) {
    let numbers = Numbers { zero_count: columns[0][row], count: columns[1][row], sum: 0.0 };
    (numbers, places.iter().map(|place| columns[2 + place][row]).collect())
}

fn whole_row(columns: &[Vec<i64>], places: &[usize], row: usize) -> (Numbers, Vec<f64>) {
    let counts: Vec<i64> = places.iter().map(|place| columns[2 + place][row]).collect();
    let zero = columns[0][row];
    let count = counts.iter().fold(columns[1][row].wrapping_add(zero), |all, count| all.wrapping_add(*count));
    let numbers = Numbers { zero_count: zero as f64, count: count as f64, sum: 0.0 };
    (numbers, counts.into_iter().map(|count| count as f64).collect())
}

/// Adds numbers as runs of equal ones.
fn put_runs(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64>) {
    let mut runs = Vec::<(u64, u64)>::new();
    for number in numbers {
        match runs.last_mut().filter(|(last, _)| *last == number) {
            Some((_, count)) => *count += 1,
            None => runs.push((number, 1)),
        }
    }
    for (number, count) in runs {
        put_varint(out, number);
        put_varint(out, count);
    }
}

fn take_runs(from: &mut Cursor<'_>, count: usize) -> Option<Vec<u64>> {
    let mut numbers = Vec::with_capacity(count);
    while numbers.len() < count {
        let (number, more) = (from.varint()?, from.varint()?);
        if more == 0 || more > (count - numbers.len()) as u64 {
            return None;
        }
        numbers.extend(std::iter::repeat_n(number, more as usize));
    }
    Some(numbers)
}
