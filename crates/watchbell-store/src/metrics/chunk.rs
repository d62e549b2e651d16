//! Chunks of floats in blocks: the samples of one series over some time, as few bytes as can be had.
//!
//! Columns of times and values ([`super::columns`]); where there are few samples a stream of bits
//! ([`super::gorilla`]) is tried too, and the shorter is kept. Layout: `docs/formats/metrics.md`.

use watchbell_model::{Sample, Timestamp};

use super::block_entries::{Extent, INSIDE_MAX};
use super::bytes::{Cursor, put_varint};
pub(crate) use super::columns::Effort;
use super::columns::{put_times, put_values, take_times, take_values};
use super::gorilla;

/// How many samples one chunk holds at most.
pub(crate) const CHUNK_MAX: usize = 4096;
/// A chunk with so many is full: merging copies it as it is.
pub(crate) const CHUNK_FULL: usize = 2048;
/// With more samples than this columns are always shorter than a stream.
const STREAM_TRIED_MAX: usize = 512;

/// What a chunk of a block holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    #[default]
    Floats,
    Histograms,
    /// Only in blocks of rollups.
    Rows,
}

impl Kind {
    /// As the entry of a series says it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Kind::Floats => 0,
            Kind::Histograms => 1,
            Kind::Rows => 2,
        }
    }

    pub(crate) fn of(code: u8) -> Option<Kind> {
        [Kind::Floats, Kind::Histograms, Kind::Rows].into_iter().find(|kind| kind.code() == code)
    }
}

/// A chunk on its way into a block.
pub(crate) struct Encoded {
    pub(crate) kind: Kind,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) count: usize,
    /// Without a checksum.
    pub(crate) bytes: Vec<u8>,
}

impl Encoded {
    pub(crate) fn extent(&self) -> Extent {
        Extent { kind: self.kind, first: self.first, last: self.last, count: self.count }
    }
}

const STREAM: u8 = 0;
const COLUMNS: u8 = 1;
/// Columns without times: those lie at equal distances.
const EVEN: u8 = 2;

/// Encodes samples, which are in order of time and not empty, as chunks of about equal size.
pub(crate) fn encode_all(samples: &[Sample], effort: Effort) -> Vec<Encoded> {
    let chunks = samples.len().div_ceil(CHUNK_MAX).max(1);
    samples.chunks(samples.len().div_ceil(chunks).max(1)).map(|samples| encode(samples, effort)).collect()
}

fn encode(samples: &[Sample], effort: Effort) -> Encoded {
    let columns = as_columns(samples, effort);
    let bytes = match columns {
        Some(columns) if samples.len() > STREAM_TRIED_MAX || columns.len() <= INSIDE_MAX => columns,
        columns => {
            let stream = as_stream(samples);
            columns.filter(|columns| columns.len() <= stream.len()).unwrap_or(stream)
        }
    };
    let (first, last) = (samples[0].timestamp.0, samples[samples.len() - 1].timestamp.0);
    Encoded { kind: Kind::Floats, first, last, count: samples.len(), bytes }
}

fn as_stream(samples: &[Sample]) -> Vec<u8> {
    let bits = |sample: &Sample| (sample.timestamp.0, sample.value.to_bits());
    let (time, value) = bits(&samples[0]);
    let mut open = gorilla::Open::new(time, value);
    for (time, value) in samples[1..].iter().map(bits) {
        open.push(time, value);
    }
    let mut body = vec![STREAM];
    put_varint(&mut body, value.swap_bytes());
    body.extend_from_slice(&open.freeze().bytes);
    body
}

/// `None` if the numbers cannot be compressed.
fn as_columns(samples: &[Sample], effort: Effort) -> Option<Vec<u8>> {
    let times: Vec<i64> = samples.iter().map(|sample| sample.timestamp.0).collect();
    let mut body = if is_even(&times) {
        vec![EVEN]
    } else {
        let mut body = vec![COLUMNS];
        put_times(&mut body, &times, effort)?;
        body
    };
    put_values(&mut body, &samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), effort)?;
    Some(body)
}

fn is_even(times: &[i64]) -> bool {
    let mut steps = times.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    let step = steps.next();
    let spans = times.last().zip(times.first()).and_then(|(last, first)| last.checked_sub(*first));
    spans.is_some() && steps.all(|other| step == Some(other))
}

/// Adds the samples from `start` to `end`, both included; `None` if the chunk is damaged.
pub(crate) fn decode(
    body: &[u8],
    (first, last): (i64, i64),
    count: usize,
    start: i64,
    end: i64,
    out: &mut Vec<Sample>,
) -> Option<()> {
    let mut from = Some(Cursor(body)).filter(|_| (1..=CHUNK_MAX).contains(&count))?;
    match from.u8()? {
        STREAM => {
            let value = from.varint()?.swap_bytes();
            gorilla::read((first, value), count as u32, from.0, start, end, out)
        }
        COLUMNS => {
            let times = take_times(&mut from, first, count)?;
            put_samples(out, from, count, (start, end), |at| times[at])
        }
        EVEN => {
            let step = if count > 1 { last.checked_sub(first)? / (count as i64 - 1) } else { 0 };
            put_samples(out, from, count, (start, end), |at| first.wrapping_add(step.wrapping_mul(at as i64)))
        }
        _ => None,
    }
}

/// Adds the samples from `start` to `end` of a column of `count` values, whose times ascend.
fn put_samples(
    out: &mut Vec<Sample>,
    from: Cursor<'_>,
    count: usize,
    (start, end): (i64, i64),
    time: impl Fn(usize) -> i64,
) -> Option<()> {
    let asked = first(count, |at| time(at) >= start)..first(count, |at| time(at) > end);
    if !asked.is_empty() {
        let values = take_values(from, count, asked.end)?;
        let both = asked.clone().zip(&values[asked]);
        out.extend(both.map(|(at, value)| Sample { timestamp: Timestamp(time(at)), value: *value }));
    }
    Some(())
}

/// The first of `count` places of which it is so, as it is of all behind it; `count` if there is none.
fn first(count: usize, is_so: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (0, count);
    while from < to {
        let middle = from + (to - from) / 2;
        if is_so(middle) { to = middle } else { from = middle + 1 }
    }
    from
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use watchbell_model::STALE_NAN_BITS;

    use super::*;

    fn samples(points: impl IntoIterator<Item = (i64, u64)>) -> Vec<Sample> {
        let sample = |(time, bits)| Sample { timestamp: Timestamp(time), value: f64::from_bits(bits) };
        points.into_iter().map(sample).collect()
    }

    fn round(written: &[Sample], effort: Effort) -> Vec<Encoded> {
        let (chunks, mut read) = (encode_all(written, effort), Vec::new());
        for chunk in &chunks {
            decode(&chunk.bytes, (chunk.first, chunk.last), chunk.count, i64::MIN, i64::MAX, &mut read).unwrap();
        }
        assert_eq!(read, written);
        chunks
    }

    fn check(value: impl Fn(i64) -> f64, expected: Expect) {
        let written = samples((0..5760).map(|at| (1_700_000_000_000 + at * 15_000, value(at).to_bits())));
        let chunks = round(&written, Effort::Thorough);
        let sizes: Vec<_> =
            chunks.iter().map(|chunk| format!("{}: {} bytes", chunk.count, chunk.bytes.len())).collect();
        expected.assert_eq(&sizes.join(", "));
    }

    #[test]
    fn what_is_simple_costs_next_to_nothing() {
        check(|_| 1.0, expect!["2880: 5 bytes, 2880: 5 bytes"]);
        check(|at| at as f64, expect!["2880: 14 bytes, 2880: 15 bytes"]);
    }

    #[test]
    fn decimals_are_packed_as_whole_numbers_and_a_marker_spoils_nothing() {
        let noise = |at: i64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) as u64 >> 54) as f64;
        check(|at| (noise(at) + 5000.0) / 1e3, expect!["2880: 585 bytes, 2880: 583 bytes"]);
        check(noise, expect!["2880: 584 bytes, 2880: 583 bytes"]);
        check(
            |at| if at % 700 == 3 { watchbell_model::stale_nan() } else { noise(at) },
            expect!["2880: 661 bytes, 2880: 651 bytes"],
        );
        check(
            |at| if at == 4000 { watchbell_model::stale_nan() } else { 1.0 },
            expect!["2880: 5 bytes, 2880: 18 bytes"],
        );
    }

    #[test]
    fn short_chunks_are_not_mostly_headers() {
        let check = |count: i64, value: &dyn Fn(i64) -> f64, expected: Expect| {
            let written =
                samples((0..count).map(|at| (1_700_000_000_000 + at * 300_000 + at / 9 * 60_000, value(at).to_bits())));
            expected.assert_eq(&format!("{} bytes", round(&written, Effort::Quick)[0].bytes.len()));
        };
        let seconds =
            |at: i64| (12_345_678 + at.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) / (1 << 42)) as f64 / 1e9;
        check(2, &|at| at as f64, expect!["6 bytes"]);
        check(24, &|at| 1e6 + at as f64, expect!["32 bytes"]);
        check(24, &|at| (1e6 + at as f64).sqrt(), expect!["61 bytes"]);
        check(24, &seconds, expect!["92 bytes"]);
        check(288, &seconds, expect!["346 bytes"]);
    }

    #[test]
    fn part_of_a_chunk_can_be_read() {
        let written = samples((0..1000).map(|at| (at * 1000 + at % 7, (at as f64).sqrt().to_bits())));
        let chunk = &round(&written, Effort::Quick)[0];
        let mut read = Vec::new();
        decode(&chunk.bytes, (chunk.first, chunk.last), chunk.count, 100_000, 200_000, &mut read).unwrap();
        assert_eq!(
            read,
            written.iter().copied().filter(|s| (100_000..=200_000).contains(&s.timestamp.0)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_flipped_bit_is_no_panic() {
        let written = samples((0..300).map(|at| (at * 1000, (at as f64).sin().to_bits())));
        let chunk = &encode_all(&written, Effort::Quick)[0];
        for bit in 0..chunk.bytes.len() * 8 {
            let mut bytes = chunk.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(&bytes, (chunk.first, chunk.last), chunk.count, i64::MIN, i64::MAX, &mut Vec::new());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_value_comes_out_bit_for_bit(
            start in 0_i64..4_000_000_000_000,
            points in prop::collection::vec(
                (
                    prop_oneof![4 => Just(15_000_i64), 1 => 1..40_000_i64, 1 => 1..86_400_000_i64],
                    prop_oneof![
                        4 => (0..1000_i64).prop_map(|value| (value as f64).to_bits()),
                        1 => Just(STALE_NAN_BITS),
                        1 => Just(f64::NAN.to_bits()),
                        1 => Just((-0.0_f64).to_bits()),
                        1 => (0..100_000_i64, 0..9).prop_map(|(value, e)| (value as f64 / 10_f64.powi(e)).to_bits()),
                        1 => any::<u64>(),
                    ],
                ),
                1..600,
            ),
        ) {
            let mut time = start;
            let written = samples(points.into_iter().map(|(step, bits)| { time += step; (time, bits) }));
            round(&written, Effort::Quick);
            round(&written, Effort::Thorough);
        }
    }
}
