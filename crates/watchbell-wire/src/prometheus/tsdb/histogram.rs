//! Chunks of native histograms.
//!
//! The buckets' places are the chunk's, their counts change from sample to sample.

use std::sync::Arc;

use watchbell_model::{BucketSpan, Buckets, Histogram, HistogramSample, ResetHint, Timestamp, is_stale};

use super::cursor::{Bits, Cursor, Xor, buckets_of};

/// A chunk that holds no more than this many buckets is one that Prometheus would write.
const BUCKETS_MAX: u64 = 1 << 20;
const FLAGS: u8 = 0b1100_0000;
const GAUGE: u8 = 0b1100_0000;

/// What all histograms of a chunk share.
struct Layout {
    gauge: bool,
    schema: i32,
    zero_threshold: f64,
    positive: Vec<BucketSpan>,
    negative: Vec<BucketSpan>,
    custom_values: Vec<f64>,
}

impl Layout {
    fn read(flags: u8, from: &mut Bits<'_>) -> Option<Layout> {
        let zero_threshold = match from.byte()? {
            0 => 0.0,
            255 => from.f64()?,
            // Powers of two, the most common ones.
            power => 2_f64.powi(i32::from(power) - 244),
        };
        let schema = i32::try_from(from.varbit()?).ok()?;
        let (positive, negative) = (spans(from)?, spans(from)?);
        let mut custom_values = Vec::new();
        if schema == Histogram::CUSTOM_BUCKETS {
            for _ in 0..counted(from)? {
                custom_values.push(match from.varbit_unsigned()? {
                    0 => from.f64()?,
                    thousandths => (thousandths - 1) as f64 / 1000.0,
                });
            }
        }
        if buckets_of(&positive) + buckets_of(&negative) > BUCKETS_MAX {
            return None;
        }
        Some(Layout { gauge: flags & FLAGS == GAUGE, schema, zero_threshold, positive, negative, custom_values })
    }

    /// A sample of these numbers, as the `at`-th of its chunk.
    fn sample(&self, at: u16, time: i64, numbers: Numbers<'_>) -> HistogramSample {
        let Numbers { count, zero_count, sum, positive, negative } = numbers;
        let histogram = if is_stale(sum) {
            Histogram::stale()
        } else {
            Histogram {
                reset: match at {
                    _ if self.gauge => ResetHint::Gauge,
                    // A chunk of counters ends where they begin anew.
                    1.. => ResetHint::NotReset,
                    0 => ResetHint::Unknown,
                },
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count,
                count,
                sum,
                positive: Buckets { spans: self.positive.clone(), counts: positive.to_vec() },
                negative: Buckets { spans: self.negative.clone(), counts: negative.to_vec() },
                custom_values: self.custom_values.clone(),
            }
        };
        HistogramSample { timestamp: Timestamp(time), histogram: Arc::new(histogram) }
    }
}

struct Numbers<'a> {
    count: f64,
    zero_count: f64,
    sum: f64,
    positive: &'a [f64],
    negative: &'a [f64],
}

fn counted(from: &mut Bits<'_>) -> Option<u64> {
    let left = from.left() as u64;
    from.varbit_unsigned().filter(|count| *count <= left)
}

fn spans(from: &mut Bits<'_>) -> Option<Vec<BucketSpan>> {
    let count = counted(from)?;
    let mut spans = Vec::new();
    for _ in 0..count {
        let length = u32::try_from(from.varbit_unsigned()?).ok()?;
        let offset = i32::try_from(from.varbit()?).ok()?;
        spans.push(BucketSpan { offset, length });
    }
    Some(spans)
}

/// A number whose change changes little.
#[derive(Clone, Copy, Default)]
struct Second {
    value: i64,
    step: i64,
}

impl Second {
    fn read(&mut self, from: &mut Bits<'_>) -> Option<i64> {
        self.step = self.step.wrapping_add(from.varbit()?);
        self.value = self.value.wrapping_add(self.step);
        Some(self.value)
    }
}

/// Whole counts: each bucket as what it has more than the one before it.
fn absolute(buckets: &[Second], out: &mut Vec<f64>) {
    out.clear();
    let mut count = 0_i64;
    for bucket in buckets {
        count = count.wrapping_add(bucket.value);
        out.push(count as f64);
    }
}

pub(super) fn whole(bytes: &[u8], out: &mut Vec<HistogramSample>) -> Option<()> {
    let mut head = Cursor(bytes);
    let (samples, flags) = (head.u16()?, head.u8()?);
    let from = &mut Bits::new(head.0);
    if samples == 0 {
        return Some(());
    }
    let layout = Layout::read(flags, from)?;
    let new = |value: i64| Second { value, step: 0 };
    let mut time = new(from.varbit()?);
    let mut count = new(from.varbit_unsigned()? as i64);
    let mut zero_count = new(from.varbit_unsigned()? as i64);
    let mut sum = Xor::new(from.bits(64)?);
    let first = |from: &mut Bits<'_>, spans: &[BucketSpan]| {
        let count = buckets_of(spans);
        // Each takes a bit at least.
        if count > from.left() as u64 {
            return None;
        }
        (0..count).map(|_| from.varbit().map(new)).collect::<Option<Vec<Second>>>()
    };
    let mut positive = first(from, &layout.positive)?;
    let mut negative = first(from, &layout.negative)?;
    let (mut above, mut below) = (Vec::new(), Vec::new());
    for at in 0..samples {
        if at > 0 {
            time.read(from)?;
            count.read(from)?;
            zero_count.read(from)?;
            sum.read(from)?;
            if !is_stale(f64::from_bits(sum.value)) {
                for bucket in positive.iter_mut().chain(&mut negative) {
                    bucket.read(from)?;
                }
            }
        }
        absolute(&positive, &mut above);
        absolute(&negative, &mut below);
        let numbers = Numbers {
            count: count.value as u64 as f64,
            zero_count: zero_count.value as u64 as f64,
            sum: f64::from_bits(sum.value),
            positive: &above,
            negative: &below,
        };
        out.push(layout.sample(at, time.value, numbers));
    }
    Some(())
}

pub(super) fn floats(bytes: &[u8], out: &mut Vec<HistogramSample>) -> Option<()> {
    let mut head = Cursor(bytes);
    let (samples, flags) = (head.u16()?, head.u8()?);
    let from = &mut Bits::new(head.0);
    if samples == 0 {
        return Some(());
    }
    let layout = Layout::read(flags, from)?;
    let mut time = Second { value: from.varbit()?, step: 0 };
    let mut count = Xor::new(from.bits(64)?);
    let mut zero_count = Xor::new(from.bits(64)?);
    let mut sum = Xor::new(from.bits(64)?);
    let first = |from: &mut Bits<'_>, spans: &[BucketSpan]| {
        let count = buckets_of(spans);
        if count > from.left() as u64 / 64 {
            return None;
        }
        (0..count).map(|_| from.bits(64).map(Xor::new)).collect::<Option<Vec<Xor>>>()
    };
    let mut positive = first(from, &layout.positive)?;
    let mut negative = first(from, &layout.negative)?;
    let floats = |buckets: &[Xor]| buckets.iter().map(|bucket| f64::from_bits(bucket.value)).collect::<Vec<f64>>();
    for at in 0..samples {
        if at > 0 {
            time.read(from)?;
            count.read(from)?;
            zero_count.read(from)?;
            sum.read(from)?;
            if !is_stale(f64::from_bits(sum.value)) {
                for bucket in positive.iter_mut().chain(&mut negative) {
                    bucket.read(from)?;
                }
            }
        }
        let numbers = Numbers {
            count: f64::from_bits(count.value),
            zero_count: f64::from_bits(zero_count.value),
            sum: f64::from_bits(sum.value),
            positive: &floats(&positive),
            negative: &floats(&negative),
        };
        out.push(layout.sample(at, time.value, numbers));
    }
    Some(())
}
