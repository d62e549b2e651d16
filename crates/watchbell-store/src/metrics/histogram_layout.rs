//! What histograms that follow one another share: where their buckets are; and one histogram as bytes for the log.
//!
//! Pure; exact to the last bit. Invariant: no bucket is twice in a layout, which [`Histogram::check`] sees to.

use watchbell_model::{BucketSpan, Buckets, Histogram, ResetHint};

use super::bytes::{Cursor, put_signed, put_varint};
use super::columns::as_whole;

/// Everything of a histogram but its numbers and its reset hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) schema: i32,
    /// Bits.
    zero_threshold: u64,
    positive: Vec<BucketSpan>,
    negative: Vec<BucketSpan>,
    /// Bits.
    custom_values: Vec<u64>,
}

/// A bucket: its histogram's schema, whether it counts negative observations, which one it is.
pub(crate) type Bucket = (i32, bool, i64);

impl Layout {
    pub(crate) fn of(histogram: &Histogram) -> Layout {
        Layout {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold.to_bits(),
            positive: histogram.positive.spans.clone(),
            negative: histogram.negative.spans.clone(),
            custom_values: histogram.custom_values.iter().map(|value| value.to_bits()).collect(),
        }
    }

    /// Whether a histogram has this layout, without making its own.
    pub(crate) fn is_of(&self, histogram: &Histogram) -> bool {
        self.schema == histogram.schema
            && self.zero_threshold == histogram.zero_threshold.to_bits()
            && self.positive == histogram.positive.spans
            && self.negative == histogram.negative.spans
            && self.custom_values.len() == histogram.custom_values.len()
            && self.custom_values.iter().zip(&histogram.custom_values).all(|(have, value)| *have == value.to_bits())
    }

    /// Its buckets in the order of their counts: the positive, then the negative ones.
    pub(crate) fn buckets(&self) -> Vec<Bucket> {
        let mut buckets = Vec::with_capacity(self.positive_len() + self.negative_len());
        for (negative, spans) in [(false, &self.positive), (true, &self.negative)] {
            let mut next = 0_i64;
            for span in spans {
                next += i64::from(span.offset);
                buckets.extend((next..next + i64::from(span.length)).map(|at| (self.schema, negative, at)));
                next += i64::from(span.length);
            }
        }
        buckets
    }

    pub(crate) fn positive_len(&self) -> usize {
        len(&self.positive)
    }

    fn negative_len(&self) -> usize {
        len(&self.negative)
    }

    /// How many buckets it has.
    pub(crate) fn len(&self) -> usize {
        self.positive_len() + self.negative_len()
    }

    /// A histogram of this layout; `counts` are those of all its buckets.
    pub(crate) fn fill(&self, reset: ResetHint, numbers: Numbers, counts: &[f64]) -> Histogram {
        let (positive, negative) = counts.split_at(self.positive_len());
        Histogram {
            reset,
            schema: self.schema,
            zero_threshold: f64::from_bits(self.zero_threshold),
            zero_count: numbers.zero_count,
            count: numbers.count,
            sum: numbers.sum,
            positive: Buckets { spans: self.positive.clone(), counts: positive.to_vec() },
            negative: Buckets { spans: self.negative.clone(), counts: negative.to_vec() },
            custom_values: self.custom_values.iter().map(|bits| f64::from_bits(*bits)).collect(),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_signed(out, i64::from(self.schema));
        put_varint(out, self.zero_threshold.swap_bytes());
        for spans in [&self.positive, &self.negative] {
            put_varint(out, spans.len() as u64);
            for span in spans {
                put_signed(out, i64::from(span.offset));
                put_varint(out, u64::from(span.length));
            }
        }
        put_varint(out, self.custom_values.len() as u64);
        self.custom_values.iter().for_each(|bits| put_varint(out, bits.swap_bytes()));
    }

    /// Reads what [`Layout::encode`] wrote; `None` if the bytes are not that, or it has more than `buckets_max`.
    pub(crate) fn decode(from: &mut Cursor<'_>, buckets_max: usize) -> Option<Layout> {
        let schema = i32::try_from(from.signed()?).ok()?;
        let zero_threshold = from.varint()?.swap_bytes();
        let mut spans = || {
            let count = from.varint()?;
            let span = |_| {
                let offset = i32::try_from(from.signed()?).ok()?;
                Some(BucketSpan { offset, length: u32::try_from(from.varint()?).ok()? })
            };
            (0..count).map(span).collect::<Option<Vec<_>>>()
        };
        let (positive, negative) = (spans()?, spans()?);
        let count = from.varint()?;
        let custom_values = (0..count).map(|_| Some(from.varint()?.swap_bytes())).collect::<Option<Vec<_>>>()?;
        let buckets = positive.iter().chain(&negative).map(|span| u64::from(span.length)).sum::<u64>();
        let layout = Layout { schema, zero_threshold, positive, negative, custom_values };
        (buckets <= buckets_max as u64).then_some(layout)
    }
}

fn len(spans: &[BucketSpan]) -> usize {
    spans.iter().map(|span| span.length as usize).sum()
}

/// The numbers of a histogram that are not counts of its buckets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) zero_count: f64,
    pub(crate) count: f64,
    pub(crate) sum: f64,
}

/// The counts of all buckets, as [`Layout::buckets`] orders them.
pub(crate) fn counts(histogram: &Histogram) -> impl Iterator<Item = f64> {
    histogram.positive.counts.iter().chain(&histogram.negative.counts).copied()
}

pub(crate) fn hint_code(hint: ResetHint) -> u8 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    }
}

pub(crate) fn hint_of(code: u8) -> Option<ResetHint> {
    let all = [ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge];
    all.into_iter().find(|hint| hint_code(*hint) == code)
}

/// Set in the first byte of a histogram in the log whose counts are all whole.
const WHOLE: u8 = 4;

/// A histogram that stands alone.
pub(crate) fn encode(histogram: &Histogram, out: &mut Vec<u8>) {
    let numbers = || [histogram.zero_count, histogram.count].into_iter().chain(counts(histogram));
    let whole = numbers().all(|number| as_whole(number).is_some());
    out.push(hint_code(histogram.reset) | if whole { WHOLE } else { 0 });
    Layout::of(histogram).encode(out);
    out.extend_from_slice(&histogram.sum.to_bits().to_le_bytes());
    let mut last = 0;
    for number in numbers() {
        match as_whole(number) {
            // Neighbours are alike.
            Some(number) if whole => {
                put_signed(out, number.wrapping_sub(last));
                last = number;
            }
            _ => put_varint(out, number.to_bits().swap_bytes()),
        }
    }
}

/// Reads what [`encode`] wrote; `None` if the bytes are not that.
pub(crate) fn decode(from: &mut Cursor<'_>) -> Option<Histogram> {
    let first = from.u8()?;
    let (reset, whole) = (hint_of(first & !WHOLE)?, first & WHOLE != 0);
    // Each count takes a byte at least.
    let layout = Layout::decode(from, from.0.len())?;
    let sum = f64::from_bits(from.u64()?);
    let mut last = 0_i64;
    let mut next = || {
        if whole {
            last = last.wrapping_add(from.signed()?);
            Some(last as f64)
        } else {
            Some(f64::from_bits(from.varint()?.swap_bytes()))
        }
    };
    let (zero_count, count) = (next()?, next()?);
    let counts = (0..layout.len()).map(|_| next()).collect::<Option<Vec<_>>>()?;
    Some(layout.fill(reset, Numbers { zero_count, count, sum }, &counts))
}
