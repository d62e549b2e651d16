//! Chunks of blocks: the samples of one series over some time, as few bytes as can be had.
//!
//! Fixed steps of time and constant values cost a few bytes a chunk; everything else is tried both as numbers (`pco`)
//! and as a stream of bits ([`super::gorilla`], better when there are few), and the shorter is kept. Each chunk has a
//! checksum. Layout: `docs/formats/metrics.md`.

use pco::ChunkConfig;
use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use watchbell_model::{Sample, Timestamp};

use super::bytes::{Cursor, put_signed, put_varint};
use super::gorilla;

/// How many samples one chunk holds at most.
pub(crate) const CHUNK_MAX: usize = 4096;
/// A chunk with so many is full: merging copies it as it is.
pub(crate) const CHUNK_FULL: usize = 2048;

/// How hard to try: blocks of two hours are written often and merged soon, merged ones stay.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    Quick,
    Thorough,
}

/// What a chunk of a block holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    #[default]
    Floats,
    Histograms,
}

impl Kind {
    /// As the entry of a series says it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Kind::Floats => 0,
            Kind::Histograms => 1,
        }
    }

    pub(crate) fn of(code: u8) -> Option<Kind> {
        [Kind::Floats, Kind::Histograms].into_iter().find(|kind| kind.code() == code)
    }
}

/// A chunk on its way into a block.
pub(crate) struct Encoded {
    pub(crate) kind: Kind,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) count: usize,
    pub(crate) bytes: Vec<u8>,
}

const STREAM: u8 = 0;
const COLUMNS: u8 = 1;
const FIXED: u8 = 0;
const CONSTANT: u8 = 0;
const NUMBERS: u8 = 1;
const WHOLE: u8 = 2;
/// Whole numbers up to this are the same as floats.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Encodes samples, which are in order of time and not empty, as chunks of about equal size.
pub(crate) fn encode_all(samples: &[Sample], effort: Effort) -> Vec<Encoded> {
    let chunks = samples.len().div_ceil(CHUNK_MAX).max(1);
    samples.chunks(samples.len().div_ceil(chunks).max(1)).map(|samples| encode(samples, effort)).collect()
}

fn encode(samples: &[Sample], effort: Effort) -> Encoded {
    let stream = as_stream(samples);
    let columns = as_columns(samples, effort);
    let shorter = if columns.as_ref().is_some_and(|columns| columns.len() <= stream.len()) { columns } else { None };
    let body = shorter.unwrap_or(stream);
    let mut bytes = crc32c::crc32c(&body).to_le_bytes().to_vec();
    bytes.extend_from_slice(&body);
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
    let mut body = vec![COLUMNS];
    let step = samples.get(1).map_or(0, |second| second.timestamp.0 - samples[0].timestamp.0);
    if samples.windows(2).all(|pair| pair[1].timestamp.0 - pair[0].timestamp.0 == step) {
        body.push(FIXED);
        put_signed(&mut body, step);
    } else {
        body.push(NUMBERS);
        let times: Vec<i64> = samples.iter().map(|sample| sample.timestamp.0 - samples[0].timestamp.0).collect();
        let packed = pack(&times, effort)?;
        put_varint(&mut body, packed.len() as u64);
        body.extend_from_slice(&packed);
    }
    let first = samples[0].value.to_bits();
    if samples.iter().all(|sample| sample.value.to_bits() == first) {
        body.push(CONSTANT);
        put_varint(&mut body, first.swap_bytes());
    } else if let Some(whole) = samples.iter().map(|sample| as_whole(sample.value)).collect::<Option<Vec<i64>>>() {
        body.push(WHOLE);
        body.extend_from_slice(&pack(&whole, effort)?);
    } else {
        body.push(NUMBERS);
        let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
        body.extend_from_slice(&pack(&values, effort)?);
    }
    Some(body)
}

/// A value as a whole number, if it is one to the last bit: most counters are.
fn as_whole(value: f64) -> Option<i64> {
    let whole = value as i64;
    (value.abs() <= WHOLE_MAX && (whole as f64).to_bits() == value.to_bits()).then_some(whole)
}

/// Adds the samples from `start` to `end`, both included; `None` if the chunk is damaged.
pub(crate) fn decode(
    bytes: &[u8],
    first: i64,
    count: usize,
    start: i64,
    end: i64,
    out: &mut Vec<Sample>,
) -> Option<()> {
    let mut from = Cursor(bytes);
    let sum = from.u32()?;
    if crc32c::crc32c(from.0) != sum || count > CHUNK_MAX {
        return None;
    }
    if from.u8()? == STREAM {
        let value = from.varint()?.swap_bytes();
        return gorilla::read((first, value), count as u32, from.0, start, end, out);
    }
    let mut times = vec![0_i64; count];
    if from.u8()? == FIXED {
        let step = from.signed()?;
        times.iter_mut().enumerate().for_each(|(at, time)| *time = first + step * at as i64);
    } else {
        let len = usize::try_from(from.varint()?).ok()?;
        unpack(from.take(len)?, &mut times)?;
        times.iter_mut().for_each(|time| *time += first);
    }
    let (from_at, to_at) = (times.partition_point(|time| *time < start), times.partition_point(|time| *time <= end));
    if from_at >= to_at {
        return Some(());
    }
    out.reserve(to_at - from_at);
    let sample = |time: i64, value: f64| Sample { timestamp: Timestamp(time), value };
    match from.u8()? {
        CONSTANT => {
            let value = f64::from_bits(from.varint()?.swap_bytes());
            out.extend(times[from_at..to_at].iter().map(|time| sample(*time, value)));
        }
        NUMBERS => {
            let mut values = vec![0_f64; count];
            unpack(from.0, &mut values)?;
            let both = times[from_at..to_at].iter().zip(&values[from_at..to_at]);
            out.extend(both.map(|(time, value)| sample(*time, *value)));
        }
        WHOLE => {
            let mut values = vec![0_i64; count];
            unpack(from.0, &mut values)?;
            let both = times[from_at..to_at].iter().zip(&values[from_at..to_at]);
            out.extend(both.map(|(time, value)| sample(*time, *value as f64)));
        }
        _ => return None,
    }
    Some(())
}

fn pack<T: Number>(numbers: &[T], effort: Effort) -> Option<Vec<u8>> {
    let level = if effort == Effort::Quick { 4 } else { 8 };
    let config = ChunkConfig::default().with_compression_level(level);
    let mut out = Vec::new();
    let file = FileCompressor::default();
    file.write_header(&mut out).ok()?;
    let mut chunk = file.chunk_compressor(numbers, &config).ok()?;
    chunk.write_meta(&mut out).ok()?;
    chunk.write_page(0, &mut out).ok()?;
    Some(out)
}

fn unpack<T: Number>(bytes: &[u8], numbers: &mut [T]) -> Option<()> {
    let (file, rest) = FileDecompressor::new(bytes).ok()?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest).ok()?;
    let mut page = chunk.page_decompressor(rest, numbers.len()).ok()?;
    page.read(numbers).ok()?.finished.then_some(())
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
            decode(&chunk.bytes, chunk.first, chunk.count, i64::MIN, i64::MAX, &mut read).unwrap();
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
        check(|_| 1.0, expect!["2880: 13 bytes, 2880: 13 bytes"]);
        check(|at| at as f64, expect!["2880: 33 bytes, 2880: 33 bytes"]);
    }

    #[test]
    fn part_of_a_chunk_can_be_read() {
        let written = samples((0..1000).map(|at| (at * 1000 + at % 7, (at as f64).sqrt().to_bits())));
        let chunk = &round(&written, Effort::Quick)[0];
        let mut read = Vec::new();
        decode(&chunk.bytes, chunk.first, chunk.count, 100_000, 200_000, &mut read).unwrap();
        assert_eq!(
            read,
            written.iter().copied().filter(|s| (100_000..=200_000).contains(&s.timestamp.0)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let written = samples((0..300).map(|at| (at * 1000, (at as f64).sin().to_bits())));
        let chunk = &encode_all(&written, Effort::Quick)[0];
        for bit in 0..chunk.bytes.len() * 8 {
            let mut bytes = chunk.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes, chunk.first, chunk.count, i64::MIN, i64::MAX, &mut Vec::new()).is_none(), "{bit}");
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
