//! Native histograms as Prometheus' chunks of float histograms, for those who read streams of chunks.
//!
//! The buckets' places are the chunk's, their counts change from sample to sample. A chunk ends where the layout
//! changes, where counters begin anew and behind the marker of an end, so that within one no sample follows a reset.
//!
//! Source: `tsdb/chunkenc/float_histogram.go` and `histogram_meta.go`; read back by [`tsdb`](super::tsdb).

use watchbell_model::{BucketSpan, Histogram, HistogramSample, ResetHint};

use super::xor::BitsOut;

const GAUGE: u8 = 0b1100_0000;
const RESET: u8 = 0b1000_0000;
const UNKNOWN: u8 = 0;

/// Writes the longest head of samples, which are in order of time, that fits into one chunk; gives it and how many
/// samples it has.
///
/// # Panics
/// Without samples, or with a most of none.
pub fn write_histograms(samples: &[HistogramSample], most: usize) -> (Vec<u8>, usize) {
    let most = most.min(usize::from(u16::MAX));
    let count = 1 + samples.windows(2).take(most - 1).take_while(|pair| follows(&pair[0], &pair[1])).count();
    (write(&samples[..count]), count)
}

/// Whether a sample may stand in the chunk of the one before it.
fn follows(before: &HistogramSample, next: &HistogramSample) -> bool {
    let (before, next) = (&*before.histogram, &*next.histogram);
    if before.is_stale() {
        return false;
    }
    let is_gauge = |histogram: &Histogram| histogram.reset == ResetHint::Gauge;
    next.is_stale()
        || (is_gauge(before) == is_gauge(next)
            && same_layout(before, next)
            && (is_gauge(next) || !is_reset(before, next)))
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive.spans == b.positive.spans
        && a.negative.spans == b.negative.spans
        && a.custom_values == b.custom_values
}

fn is_reset(before: &Histogram, next: &Histogram) -> bool {
    let less = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(a, b)| b < a);
    next.reset == ResetHint::Reset
        || next.count < before.count
        || next.zero_count < before.zero_count
        || less(&before.positive.counts, &next.positive.counts)
        || less(&before.negative.counts, &next.negative.counts)
}

fn write(samples: &[HistogramSample]) -> Vec<u8> {
    let first = &*samples[0].histogram;
    let flags = match first.reset {
        ResetHint::Gauge => GAUGE,
        ResetHint::Reset => RESET,
        // Of the sample before it nothing is known here.
        _ => UNKNOWN,
    };
    let count = u16::try_from(samples.len()).expect("a chunk has few samples");
    let mut head = count.to_be_bytes().to_vec();
    head.push(flags);
    let mut to = BitsOut::after(head);
    layout(&mut to, first);
    let (mut time, mut step) = (samples[0].timestamp.0, 0i64);
    signed(&mut to, time);
    let mut values = numbers(first);
    values.iter().for_each(|value| to.put(value.to_bits(), 64));
    let mut windows = vec![None; values.len()];
    for sample in &samples[1..] {
        let new_step = sample.timestamp.0.wrapping_sub(time);
        signed(&mut to, new_step.wrapping_sub(step));
        (time, step) = (sample.timestamp.0, new_step);
        let new = match sample.histogram.is_stale() {
            // A marker has no buckets.
            true => vec![0.0, 0.0, sample.histogram.sum],
            false => numbers(&sample.histogram),
        };
        for ((new, old), window) in new.iter().zip(&mut values).zip(&mut windows) {
            to.value_change(new.to_bits() ^ old.to_bits(), window);
            *old = *new;
        }
    }
    to.bytes
}

/// All numbers of a sample, in the order of the chunk.
fn numbers(histogram: &Histogram) -> Vec<f64> {
    let three = [histogram.count, histogram.zero_count, histogram.sum];
    three.into_iter().chain(histogram.positive.counts.iter().chain(&histogram.negative.counts).copied()).collect()
}

fn layout(to: &mut BitsOut, histogram: &Histogram) {
    if histogram.zero_threshold == 0.0 {
        to.put(0, 8);
    } else {
        to.put(255, 8);
        to.put(histogram.zero_threshold.to_bits(), 64);
    }
    signed(to, i64::from(histogram.schema));
    spans(to, &histogram.positive.spans);
    spans(to, &histogram.negative.spans);
    if histogram.has_custom_buckets() {
        unsigned(to, histogram.custom_values.len() as u64);
        for bound in &histogram.custom_values {
            unsigned(to, 0);
            to.put(bound.to_bits(), 64);
        }
    }
}

fn spans(to: &mut BitsOut, spans: &[BucketSpan]) {
    unsigned(to, spans.len() as u64);
    for span in spans {
        unsigned(to, u64::from(span.length));
        signed(to, i64::from(span.offset));
    }
}

/// By how many bits a number takes: the bits before it, and how many those are.
const CLASSES: [(u8, u64, u8); 9] = [
    (0, 0b0, 1),
    (3, 0b10, 2),
    (6, 0b110, 3),
    (9, 0b1110, 4),
    (12, 0b11110, 5),
    (18, 0b111110, 6),
    (25, 0b1111110, 7),
    (56, 0b11111110, 8),
    (64, 0b11111111, 8),
];

fn signed(to: &mut BitsOut, value: i64) {
    let fits = |bits: u8| match bits {
        0 => value == 0,
        64 => true,
        // The range is one up from two's complement.
        _ => (-((1i64 << (bits - 1)) - 1)..=1i64 << (bits - 1)).contains(&value),
    };
    classed(to, value as u64, fits);
}

fn unsigned(to: &mut BitsOut, value: u64) {
    classed(to, value, |bits| bits == 64 || value >> bits == 0);
}

fn classed(to: &mut BitsOut, value: u64, fits: impl Fn(u8) -> bool) {
    let (bits, prefix, length) = *CLASSES.iter().find(|(bits, ..)| fits(*bits)).expect("64 bits hold all");
    to.put(prefix, length);
    to.put(value, bits);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use watchbell_model::{Buckets, Timestamp};

    use super::super::tsdb::Samples;
    use super::super::tsdb::chunk::{FLOAT_HISTOGRAM, decode};
    use super::*;

    fn read_back(samples: &[HistogramSample]) -> (Vec<HistogramSample>, usize) {
        let (mut left, mut read, mut chunks) = (samples, Samples::default(), 0);
        while !left.is_empty() {
            let (chunk, count) = write_histograms(left, 120);
            decode(FLOAT_HISTOGRAM, &chunk, &mut read).unwrap();
            (left, chunks) = (&left[count..], chunks + 1);
        }
        (read.histograms, chunks)
    }

    fn sample(at: i64, counts: &[f64], reset: ResetHint) -> HistogramSample {
        let spans = vec![BucketSpan { offset: -2, length: counts.len() as u32 }];
        let positive = Buckets { spans, counts: counts.to_vec() };
        let count = counts.iter().sum::<f64>() + 1.0;
        let histogram = Histogram {
            reset,
            schema: 3,
            zero_threshold: 1e-9,
            zero_count: 1.0,
            count,
            sum: count * 0.3,
            positive,
            ..Histogram::default()
        };
        HistogramSample { timestamp: Timestamp(at), histogram: Arc::new(histogram) }
    }

    #[test]
    fn a_chunk_ends_where_counters_begin_anew() {
        use ResetHint::{Gauge, NotReset, Reset, Unknown};
        let stale = HistogramSample { timestamp: Timestamp(50), histogram: Arc::new(Histogram::stale()) };
        let samples = [
            sample(10, &[1.0, 2.0], Unknown),
            sample(20, &[2.0, 2.0], NotReset),
            sample(30, &[1.0, 9.0], Reset),
            sample(40, &[1.0, 9.0, 1.0], Unknown),
            stale,
            sample(60, &[1.0, 9.5, 1.0], Unknown),
            sample(70, &[0.5, 0.25, 0.125], Gauge),
            sample(80, &[0.25, 0.25, 0.125], Gauge),
        ];
        let (read, chunks) = read_back(&samples);
        assert_eq!(chunks, 5);
        for (read, wrote) in read.iter().zip(&samples) {
            let bare = |sample: &HistogramSample| Histogram { reset: Unknown, ..(*sample.histogram).clone() };
            assert_eq!((read.timestamp, bare(read)), (wrote.timestamp, bare(wrote)));
        }
        let hints: Vec<ResetHint> = read.iter().map(|sample| sample.histogram.reset).collect();
        assert_eq!(hints, [Unknown, NotReset, Unknown, Unknown, Unknown, Unknown, Gauge, Gauge]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            steps in prop::collection::vec((1i64..1 << 44, prop::collection::vec(0.0..1e6f64, 3)), 1..200),
            schema in -4i32..9,
            offset in any::<i16>(),
        ) {
            let (mut time, mut samples) = (-7, Vec::new());
            for (step, counts) in steps {
                time += step;
                let positive = Buckets { spans: vec![BucketSpan { offset: i32::from(offset), length: 3 }], counts };
                let sum = positive.counts[0];
                let histogram = Histogram { schema, sum, count: 1.0, positive, ..Histogram::default() };
                samples.push(HistogramSample { timestamp: Timestamp(time), histogram: Arc::new(histogram) });
            }
            let (read, _) = read_back(&samples);
            prop_assert_eq!(read.len(), samples.len());
            for (read, wrote) in read.iter().zip(&samples) {
                prop_assert_eq!(read.timestamp, wrote.timestamp);
                prop_assert_eq!(&read.histogram.positive, &wrote.histogram.positive);
                prop_assert_eq!(read.histogram.schema, schema);
            }
        }
    }
}
