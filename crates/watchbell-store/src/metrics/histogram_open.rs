//! Chunks of histograms that grow, a sample at a time, in the head.
//!
//! The first is kept as it is; of the others the bits hold what changed: whole counts as differences of differences,
//! of which most are a single bit, everything else as XORed floats. A sample with another layout, or the first whose
//! counts are not whole, begins a new chunk. Nothing but this process ever reads these bits.

use std::sync::Arc;

use watchbell_model::{Histogram, HistogramSample, ResetHint, Timestamp};

use super::bits::{Bits, Reader};
use super::columns::as_whole;
use super::histogram_layout::{Layout, Numbers, counts, hint_code, hint_of};

/// How many histograms one chunk holds.
const CHUNK_MAX: u32 = 120;
/// Widths of a difference in its zigzag form, each behind one more leading one; the last holds anything.
const WIDTHS: [u32; 6] = [3, 6, 10, 16, 28, 64];

/// A chunk that still takes histograms, each later than the one before.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    first: (i64, Arc<Histogram>),
    layout: Arc<Layout>,
    bits: Bits,
    count: u32,
    last: i64,
    step: i64,
    hint: ResetHint,
    state: State,
}

/// A chunk that takes no more.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) count: u32,
    head: Arc<Histogram>,
    layout: Arc<Layout>,
    bytes: Arc<[u8]>,
    /// What [`Open::bytes`] said last, so that freezing changes no sum.
    size: usize,
    /// It is being written into a block, and goes when that is in place.
    pub(crate) sealing: bool,
}

/// The numbers of the sample before.
#[derive(Clone, Debug)]
struct State {
    /// Bits of the sum, and of all other numbers unless they are whole.
    sum: u64,
    floats: Vec<u64>,
    /// Numbers, and by how much each changed, where all are whole.
    whole: Vec<(i64, i64)>,
}

/// The zero bucket's count, the count, and those of the buckets.
fn numbers(histogram: &Histogram) -> impl Iterator<Item = f64> {
    [histogram.zero_count, histogram.count].into_iter().chain(counts(histogram))
}

impl State {
    fn of(histogram: &Histogram) -> State {
        let whole: Option<Vec<_>> = numbers(histogram).map(|number| Some((as_whole(number)?, 0))).collect();
        let floats = if whole.is_some() { Vec::new() } else { numbers(histogram).map(f64::to_bits).collect() };
        State { sum: histogram.sum.to_bits(), floats, whole: whole.unwrap_or_default() }
    }

    fn is_whole(&self) -> bool {
        self.floats.is_empty()
    }

    fn put(&mut self, histogram: &Histogram, bits: &mut Bits) {
        let sum = histogram.sum.to_bits();
        put_xor(bits, std::mem::replace(&mut self.sum, sum) ^ sum);
        for (last, number) in self.floats.iter_mut().zip(numbers(histogram)) {
            put_xor(bits, std::mem::replace(last, number.to_bits()) ^ number.to_bits());
        }
        for ((last, step), number) in self.whole.iter_mut().zip(numbers(histogram)) {
            let number = as_whole(number).expect("asked before");
            let change = number.wrapping_sub(*last);
            put_signed(bits, change.wrapping_sub(*step));
            (*last, *step) = (number, change);
        }
    }

    fn take(&mut self, bits: &mut Reader<'_>) -> Option<()> {
        self.sum ^= take_xor(bits)?;
        for last in &mut self.floats {
            *last ^= take_xor(bits)?;
        }
        for (last, step) in &mut self.whole {
            *step = step.wrapping_add(take_signed(bits)?);
            *last = last.wrapping_add(*step);
        }
        Some(())
    }

    fn histogram(&self, layout: &Layout, hint: ResetHint) -> Histogram {
        let whole = self.whole.iter().map(|(number, _)| *number as f64);
        let floats = self.floats.iter().map(|bits| f64::from_bits(*bits));
        let numbers: Vec<f64> = whole.chain(floats).collect();
        let (zero_count, count) = (numbers[0], numbers[1]);
        layout.fill(hint, Numbers { zero_count, count, sum: f64::from_bits(self.sum) }, &numbers[2..])
    }
}

impl Open {
    pub(crate) fn new(time: i64, histogram: Arc<Histogram>) -> Open {
        Open {
            layout: Arc::new(Layout::of(&histogram)),
            bits: Bits::default(),
            count: 1,
            last: time,
            step: 0,
            hint: histogram.reset,
            state: State::of(&histogram),
            first: (time, histogram),
        }
    }

    pub(crate) fn first(&self) -> i64 {
        self.first.0
    }

    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        let state = self.state.floats.len() * 8 + self.state.whole.len() * 16;
        let numbers = 8 * (self.layout.len() + 2 * self.first.1.custom_values.len());
        size_of::<Open>() + size_of::<Histogram>() + size_of::<Layout>() + numbers + state + self.bits.bytes.len()
    }

    /// Whether a histogram may follow in this chunk.
    pub(crate) fn takes(&self, histogram: &Histogram) -> bool {
        self.count < CHUNK_MAX
            && self.layout.is_of(histogram)
            && self.state.is_whole() == numbers(histogram).all(|number| as_whole(number).is_some())
    }

    /// Adds a histogram that [`Open::takes`].
    pub(crate) fn push(&mut self, time: i64, histogram: &Histogram) {
        debug_assert!(time > self.last);
        let step = time.wrapping_sub(self.last);
        put_signed(&mut self.bits, step.wrapping_sub(self.step));
        (self.step, self.last) = (step, time);
        if histogram.reset == self.hint {
            self.bits.put(0, 1);
        } else {
            self.hint = histogram.reset;
            self.bits.put(4 | u64::from(hint_code(self.hint)), 3);
        }
        self.state.put(histogram, &mut self.bits);
        self.count += 1;
    }

    pub(crate) fn freeze(self) -> Frozen {
        let size = self.bytes();
        Frozen {
            size,
            first: self.first.0,
            last: self.last,
            count: self.count,
            head: self.first.1,
            layout: self.layout,
            bytes: self.bits.bytes.into(),
            sealing: false,
        }
    }
}

impl Frozen {
    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.size
    }

    /// The histograms from `start` to `end`, both included, added to `out`. Fails on bytes that nobody wrote.
    pub(crate) fn read(&self, start: i64, end: i64, out: &mut Vec<HistogramSample>) -> Option<()> {
        let mut add = |time: i64, histogram: Arc<Histogram>| {
            if (start..=end).contains(&time) {
                out.push(HistogramSample { timestamp: Timestamp(time), histogram });
            }
        };
        let mut bits = Reader { bytes: &self.bytes, at: 0 };
        let (mut state, mut hint) = (State::of(&self.head), self.head.reset);
        let (mut time, mut step) = (self.first, 0_i64);
        add(time, Arc::clone(&self.head));
        for _ in 1..self.count {
            step = step.wrapping_add(take_signed(&mut bits)?);
            time = time.wrapping_add(step);
            if bits.take(1)? == 1 {
                hint = hint_of(bits.take(2)? as u8)?;
            }
            state.take(&mut bits)?;
            if time > end {
                break;
            }
            if time >= start {
                add(time, Arc::new(state.histogram(&self.layout, hint)));
            }
        }
        Some(())
    }
}

fn put_signed(bits: &mut Bits, value: i64) {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    if zigzag == 0 {
        return bits.put(0, 1);
    }
    for (at, width) in WIDTHS.into_iter().enumerate() {
        if width == 64 || zigzag < 1 << width {
            // As many ones as the width's place from one, then a zero unless it is the last.
            let ones = at as u32 + 1;
            let prefix = (1 << ones) - 1;
            if width == 64 {
                bits.put(prefix, ones)
            } else {
                bits.put(prefix << 1, ones + 1)
            }
            return bits.put(zigzag, width);
        }
    }
}

fn take_signed(bits: &mut Reader<'_>) -> Option<i64> {
    let mut ones = 0;
    while ones < WIDTHS.len() && bits.take(1)? == 1 {
        ones += 1;
    }
    let zigzag = if ones == 0 { 0 } else { bits.take(WIDTHS[ones - 1])? };
    Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
}

fn put_xor(bits: &mut Bits, xor: u64) {
    if xor == 0 {
        return bits.put(0, 1);
    }
    let (leading, trailing) = (xor.leading_zeros(), xor.trailing_zeros());
    let width = 64 - leading - trailing;
    bits.put(1, 1);
    bits.put(u64::from(leading), 6);
    bits.put(u64::from(width - 1), 6);
    bits.put(xor >> trailing, width);
}

fn take_xor(bits: &mut Reader<'_>) -> Option<u64> {
    if bits.take(1)? == 0 {
        return Some(0);
    }
    let (leading, width) = (bits.take(6)? as u32, bits.take(6)? as u32 + 1);
    let trailing = 64_u32.checked_sub(leading)?.checked_sub(width)?;
    Some(bits.take(width)? << trailing)
}
