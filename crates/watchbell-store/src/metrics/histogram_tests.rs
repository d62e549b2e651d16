//! Histograms through all their forms: growing, in a block, in the log.

use std::sync::Arc;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use watchbell_model::{BucketSpan, Buckets, Histogram, HistogramSample, ResetHint, STALE_NAN_BITS, Timestamp};

use super::bytes::Cursor;
use super::columns::Effort;
use super::{histogram_chunk, histogram_layout, histogram_open};

/// Chunks as the head makes them.
fn grown(samples: &[HistogramSample]) -> Vec<histogram_open::Frozen> {
    let (mut chunks, mut open) = (Vec::new(), None::<histogram_open::Open>);
    for HistogramSample { timestamp, histogram } in samples {
        match &mut open {
            Some(open) if open.takes(histogram) => open.push(timestamp.0, histogram),
            _ => {
                let new = histogram_open::Open::new(timestamp.0, Arc::clone(histogram));
                chunks.extend(open.replace(new).map(histogram_open::Open::freeze));
            }
        }
    }
    chunks.extend(open.map(histogram_open::Open::freeze));
    chunks
}

fn check_all(samples: &[HistogramSample], start: i64, end: i64) -> String {
    let wanted: Vec<_> = samples.iter().filter(|sample| (start..=end).contains(&sample.timestamp.0)).cloned().collect();
    let (frozen, mut read) = (grown(samples), Vec::new());
    frozen.iter().for_each(|chunk| chunk.read(start, end, &mut read).unwrap());
    assert_eq!(read, wanted, "as they grow");
    let mut said = format!("in memory {} chunks", frozen.len());
    said += &format!(" of {} bytes", frozen.iter().map(histogram_open::Frozen::bytes).sum::<usize>());
    for effort in [Effort::Quick, Effort::Thorough] {
        let (chunks, mut read) = (histogram_chunk::encode_all(samples, effort), Vec::new());
        for chunk in &chunks {
            histogram_chunk::decode(&chunk.bytes, chunk.first, chunk.count, start, end, &mut read).unwrap();
        }
        assert_eq!(read, wanted, "in a block, {effort:?}");
        let bytes: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        said += &format!("; {effort:?} {} chunks of {bytes} bytes", chunks.len());
    }
    let mut log = 0;
    for sample in samples {
        let mut out = Vec::new();
        histogram_layout::encode(&sample.histogram, &mut out);
        let mut from = Cursor(&out);
        assert_eq!(histogram_layout::decode(&mut from).as_ref(), Some(&*sample.histogram), "in the log");
        assert!(from.0.is_empty());
        log += out.len();
    }
    said + &format!("; log {log} bytes")
}

/// Latencies of a service: as many observations a step as `rate` says, of which bucket numbers are about normal.
fn service(count: i64, buckets: u32, rate: u64, step: i64) -> Vec<HistogramSample> {
    let mut random = 1_u64;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let (mut counts, mut sum) = (vec![0.0; buckets as usize], 0.0);
    let sample = |at: i64| {
        for _ in 0..rate {
            let bucket = (0..4).map(|_| next() % u64::from(buckets)).sum::<u64>() / 4;
            counts[bucket as usize] += 1.0;
            sum += 1.1_f64.powi(bucket as i32) / 1e3;
        }
        let positive = Buckets { spans: vec![BucketSpan { offset: -20, length: buckets }], counts: counts.clone() };
        let histogram = Histogram { schema: 3, count: counts.iter().sum(), sum, positive, ..Histogram::default() };
        HistogramSample { timestamp: Timestamp(1_700_000_000_000 + at * step), histogram: Arc::new(histogram) }
    };
    (0..count).map(sample).collect()
}

#[test]
fn sizes() {
    let check = |samples: Vec<HistogramSample>, expected: Expect| {
        expected.assert_eq(&check_all(&samples, i64::MIN, i64::MAX));
    };
    check(
        service(480, 40, 10, 15_000),
        expect![
            "in memory 4 chunks of 14330 bytes; Quick 1 chunks of 5273 bytes; Thorough 1 chunks of 5137 bytes; log 28788 bytes"
        ],
    );
    check(
        service(480, 40, 1000, 15_000),
        expect![
            "in memory 4 chunks of 23032 bytes; Quick 1 chunks of 17178 bytes; Thorough 1 chunks of 13231 bytes; log 45632 bytes"
        ],
    );
    check(
        service(2880, 160, 100, 60_000),
        expect![
            "in memory 24 chunks of 279376 bytes; Quick 4 chunks of 113029 bytes; Thorough 4 chunks of 107134 bytes; log 627356 bytes"
        ],
    );
    check(
        service(480, 10, 0, 15_000),
        expect![
            "in memory 4 chunks of 3528 bytes; Quick 1 chunks of 26 bytes; Thorough 1 chunks of 26 bytes; log 13440 bytes"
        ],
    );
    check(
        service(5, 10, 10, 300_000),
        expect![
            "in memory 1 chunks of 709 bytes; Quick 1 chunks of 116 bytes; Thorough 1 chunks of 116 bytes; log 140 bytes"
        ],
    );
    check(
        service(1, 10, 10, 300_000),
        expect![
            "in memory 1 chunks of 656 bytes; Quick 1 chunks of 39 bytes; Thorough 1 chunks of 39 bytes; log 28 bytes"
        ],
    );
}

#[test]
fn a_flipped_bit_is_no_panic() {
    let chunk = &histogram_chunk::encode_all(&service(30, 10, 3, 15_000), Effort::Quick)[0];
    for bit in 0..chunk.bytes.len() * 8 {
        let mut bytes = chunk.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut out = Vec::new();
        let _ = histogram_chunk::decode(&bytes, chunk.first, chunk.count, i64::MIN, i64::MAX, &mut out);
    }
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        20 => (0..1000_u32).prop_map(f64::from),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(f64::from_bits(STALE_NAN_BITS)),
        1 => Just(-0.0),
        1 => Just(9_007_199_254_740_993.0),
    ]
}

fn buckets() -> impl Strategy<Value = Buckets> {
    let spans = prop::collection::vec((-3..20_i32, 0..4_u32), 0..3);
    (spans, prop::collection::vec(number(), 12)).prop_map(|(spans, mut counts)| {
        // Only the first may lie below zero: others would overlap.
        let offset = |at: usize, offset: i32| if at == 0 { offset } else { offset.abs() };
        let spans = spans.into_iter().enumerate();
        let spans: Vec<_> = spans.map(|(at, (by, length))| BucketSpan { offset: offset(at, by), length }).collect();
        counts.truncate(spans.iter().map(|span| span.length as usize).sum());
        Buckets { spans, counts }
    })
}

fn histogram() -> impl Strategy<Value = Histogram> {
    let schema = prop_oneof![Just(Histogram::CUSTOM_BUCKETS), -4..9_i32];
    let hint = (0..4_u8).prop_map(|code| histogram_layout::hint_of(code).unwrap_or(ResetHint::Unknown));
    let numbers = prop::array::uniform3(number());
    let custom = prop::collection::vec(number(), 0..3);
    let parts = (schema, hint, prop_oneof![4 => Just(0.001), 1 => number()], numbers, buckets(), buckets(), custom);
    let whole =
        parts.prop_map(|(schema, reset, zero_threshold, [zero_count, count, sum], positive, negative, custom)| {
            let custom_values = if schema == Histogram::CUSTOM_BUCKETS { custom } else { Vec::new() };
            Histogram { reset, schema, zero_threshold, zero_count, count, sum, positive, negative, custom_values }
        });
    prop_oneof![1 => Just(Histogram::stale()), 8 => whole]
}

/// Runs in which only numbers change.
fn samples() -> impl Strategy<Value = Vec<HistogramSample>> {
    let run = (histogram(), prop::collection::vec((number(), 1..100_000_i64, 0..12_usize), 0..9));
    prop::collection::vec(run, 1..12).prop_map(|runs| {
        let (mut time, mut samples) = (1_700_000_000_000, Vec::new());
        for (mut histogram, changes) in runs {
            for (number, step, bucket) in changes {
                time += step;
                samples.push(HistogramSample { timestamp: Timestamp(time), histogram: Arc::new(histogram.clone()) });
                if !histogram.is_stale() {
                    histogram.count += 1.0;
                    if let Some(count) = histogram.positive.counts.get_mut(bucket) {
                        *count = number;
                    }
                }
            }
        }
        samples
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]
    #[test]
    fn every_histogram_comes_out_bit_for_bit(samples in samples(), from in 0..1_000_000_i64, to in 0..3_000_000_i64) {
        check_all(&samples, i64::MIN, i64::MAX);
        check_all(&samples, 1_700_000_000_000 + from, 1_700_000_000_000 + to);
    }

    #[test]
    fn bytes_that_nobody_wrote_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), count in 0..20_usize) {
        let _ = histogram_layout::decode(&mut Cursor(&bytes));
        let _ = histogram_chunk::decode(&bytes, 0, count, i64::MIN, i64::MAX, &mut Vec::new());
    }
}
