//! Native histograms, which have the same fields in both versions and in remote read.

use watchbell_model::{BucketSpan, Buckets, Histogram, ResetHint, Timestamp};

use crate::ProtoError;
use crate::proto::{
    Fields, put_doubles, put_f64, put_f64_always, put_i64, put_message, put_packed, put_u64, put_varint, unzigzag,
    zigzag,
};

/// Counts up to here are exact as `f64`.
const EXACT_MAX: f64 = (1u64 << 53) as f64;

/// A histogram as it came: when it is of, what it is, when counting began (0 for not said).
pub(crate) struct Read {
    pub(crate) timestamp: Timestamp,
    pub(crate) histogram: Histogram,
    pub(crate) start: i64,
}

/// Reads it; what its numbers must fulfil is [`Histogram::check`]'s to say.
pub(crate) fn read(mut fields: Fields<'_>) -> Result<Read, ProtoError> {
    let mut histogram = Histogram::default();
    let (mut timestamp, mut start) = (0, 0);
    let (mut negative, mut positive) = (Deltas::default(), Deltas::default());
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => histogram.count = field.u64()? as f64,
            2 => histogram.count = field.f64()?,
            3 => histogram.sum = field.f64()?,
            4 => histogram.schema = field.zigzag()? as i32,
            5 => histogram.zero_threshold = field.f64()?,
            6 => histogram.zero_count = field.u64()? as f64,
            7 => histogram.zero_count = field.f64()?,
            8 => histogram.negative.spans.push(span(field.message()?)?),
            9 => field.varints(|delta| negative.add(&mut histogram.negative, delta))?,
            10 => field.doubles(&mut histogram.negative.counts)?,
            11 => histogram.positive.spans.push(span(field.message()?)?),
            12 => field.varints(|delta| positive.add(&mut histogram.positive, delta))?,
            13 => field.doubles(&mut histogram.positive.counts)?,
            14 => {
                histogram.reset = match field.u64()? {
                    1 => ResetHint::Reset,
                    2 => ResetHint::NotReset,
                    3 => ResetHint::Gauge,
                    _ => ResetHint::Unknown,
                }
            }
            15 => timestamp = field.i64()?,
            16 => field.doubles(&mut histogram.custom_values)?,
            17 => start = field.i64()?,
            _ => {}
        }
    }
    Ok(Read { timestamp: Timestamp(timestamp), histogram, start })
}

/// Whole counts come as differences to the bucket before.
#[derive(Default)]
struct Deltas(i64);

impl Deltas {
    fn add(&mut self, to: &mut Buckets, delta: u64) {
        self.0 = self.0.wrapping_add(unzigzag(delta));
        to.counts.push(self.0 as f64);
    }
}

fn span(mut fields: Fields<'_>) -> Result<BucketSpan, ProtoError> {
    let mut span = BucketSpan { offset: 0, length: 0 };
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => span.offset = field.zigzag()? as i32,
            2 => span.length = field.u32()?,
            _ => {}
        }
    }
    Ok(span)
}

/// Writes it: with whole counts as whole numbers, otherwise as a histogram of floats.
pub(crate) fn write(out: &mut Vec<u8>, timestamp: Timestamp, histogram: &Histogram, start: i64) {
    let h = histogram;
    let counts = || h.negative.counts.iter().chain(&h.positive.counts).chain([&h.count, &h.zero_count]);
    let whole = counts().all(|count| count.fract() == 0.0 && (0.0..=EXACT_MAX).contains(count));
    if whole {
        // Members of a `oneof`: their being there says which kind of histogram it is.
        put_varint(out, 1 << 3);
        put_varint(out, h.count as u64);
    } else {
        put_f64_always(out, 2, h.count);
    }
    put_f64(out, 3, h.sum);
    put_u64(out, 4, zigzag(i64::from(h.schema)));
    put_f64(out, 5, h.zero_threshold);
    if whole {
        put_varint(out, 6 << 3);
        put_varint(out, h.zero_count as u64);
    } else {
        put_f64_always(out, 7, h.zero_count);
    }
    for (first, buckets) in [(8, &h.negative), (11, &h.positive)] {
        for span in &buckets.spans {
            put_message(out, first, |out| {
                put_u64(out, 1, zigzag(i64::from(span.offset)));
                put_u64(out, 2, u64::from(span.length));
            });
        }
        if whole {
            let mut last = 0;
            let deltas = buckets.counts.iter().map(|count| {
                let delta = *count as i64 - last;
                last = *count as i64;
                zigzag(delta)
            });
            put_packed(out, first + 1, deltas);
        } else {
            put_doubles(out, first + 2, &buckets.counts);
        }
    }
    let hint = match h.reset {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    };
    put_u64(out, 14, hint);
    put_i64(out, 15, timestamp.0);
    put_doubles(out, 16, &h.custom_values);
    put_i64(out, 17, start);
}
