//! Chunks that grow: delta of delta times and XORed values, a bit at a time (after Facebook's Gorilla).
//!
//! Used where samples arrive one by one: in the head, and in blocks where a chunk is too short for anything better.
//! The bit layout is drawn in `docs/formats/metrics.md`. Values are bits, never numbers: markers and NaNs stay.

use std::sync::Arc;

use watchbell_model::{Sample, Timestamp};

use super::bits::{Bits, Reader};

/// A chunk that still takes samples, each later than the one before.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    bits: Bits,
    count: u32,
    first: (i64, u64),
    last: (i64, u64),
    delta: i64,
    leading: u32,
    trailing: u32,
}

/// A chunk that takes no more.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    pub(crate) first: (i64, u64),
    pub(crate) last: i64,
    pub(crate) count: u32,
    pub(crate) bytes: Arc<[u8]>,
    /// It is being written into a block, and goes when that is in place.
    pub(crate) sealing: bool,
}

/// Widths of a delta of deltas, each behind one more leading one; the last holds anything.
const WIDTHS: [u32; 4] = [7, 14, 20, 64];

impl Open {
    pub(crate) fn new(time: i64, value: u64) -> Open {
        let first = (time, value);
        Open { bits: Bits::default(), count: 1, first, last: first, delta: 0, leading: u32::MAX, trailing: 0 }
    }

    pub(crate) fn first(&self) -> i64 {
        self.first.0
    }

    pub(crate) fn last(&self) -> i64 {
        self.last.0
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bits.bytes.len()
    }

    pub(crate) fn push(&mut self, time: i64, value: u64) {
        debug_assert!(time > self.last.0);
        let delta = time.wrapping_sub(self.last.0);
        self.put_time(delta.wrapping_sub(self.delta));
        self.delta = delta;
        self.put_value(value ^ self.last.1);
        self.last = (time, value);
        self.count += 1;
    }

    fn put_time(&mut self, change: i64) {
        if change == 0 {
            return self.bits.put(0, 1);
        }
        for (at, width) in WIDTHS.into_iter().enumerate() {
            if width == 64 || (-(1 << (width - 1))..1 << (width - 1)).contains(&change) {
                // As many ones as the width's place from one, then a zero unless it is the last.
                let ones = at as u32 + 1;
                let prefix = (1 << ones) - 1;
                if width == 64 {
                    self.bits.put(prefix, ones)
                } else {
                    self.bits.put(prefix << 1, ones + 1)
                }
                return self.bits.put(change as u64, width);
            }
        }
    }

    fn put_value(&mut self, xor: u64) {
        if xor == 0 {
            return self.bits.put(0, 1);
        }
        let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        let fits = self.leading != u32::MAX && leading >= self.leading && trailing >= self.trailing;
        // A window much wider than needed costs more than saying a new one.
        if fits && (leading - self.leading) + (trailing - self.trailing) < 13 {
            self.bits.put(0b10, 2);
        } else {
            (self.leading, self.trailing) = (leading, trailing);
            self.bits.put(0b11, 2);
            self.bits.put(u64::from(leading), 5);
            self.bits.put(u64::from(64 - leading - trailing - 1), 6);
        }
        self.bits.put(xor >> self.trailing, 64 - self.leading - self.trailing);
    }

    /// The value at a time, if there is one.
    pub(crate) fn value_at(&self, time: i64) -> Option<u64> {
        value_at(self.first, self.count, &self.bits.bytes, time)
    }

    pub(crate) fn freeze(self) -> Frozen {
        self.copy()
    }

    /// What it holds so far.
    pub(crate) fn copy(&self) -> Frozen {
        let bytes = Arc::from(&self.bits.bytes[..]);
        Frozen { first: self.first, last: self.last.0, count: self.count, bytes, sealing: false }
    }
}

impl Frozen {
    /// The value at a time, if there is one.
    pub(crate) fn value_at(&self, time: i64) -> Option<u64> {
        value_at(self.first, self.count, &self.bytes, time)
    }

    /// The samples from `start` to `end`, both included, added to `out`. Fails on bytes that nobody wrote.
    pub(crate) fn read(&self, start: i64, end: i64, out: &mut Vec<Sample>) -> Option<()> {
        if self.last < start || self.first.0 > end {
            return Some(());
        }
        read(self.first, self.count, &self.bytes, start, end, out)
    }
}

/// Reads `count` samples, of which the first is known.
pub(crate) fn read(
    first: (i64, u64),
    count: u32,
    bytes: &[u8],
    start: i64,
    end: i64,
    out: &mut Vec<Sample>,
) -> Option<()> {
    let mut stream = Stream::new(first, count, bytes);
    while let Some((time, value)) = stream.next()? {
        if time > end {
            break;
        }
        if time >= start {
            out.push(Sample { timestamp: Timestamp(time), value: f64::from_bits(value) });
        }
    }
    Some(())
}

fn value_at(first: (i64, u64), count: u32, bytes: &[u8], time: i64) -> Option<u64> {
    let mut stream = Stream::new(first, count, bytes);
    while let Some((at, value)) = stream.next()? {
        if at >= time {
            return (at == time).then_some(value);
        }
    }
    None
}

/// Samples one after the other.
struct Stream<'a> {
    bits: Reader<'a>,
    at: u32,
    count: u32,
    last: (i64, u64),
    delta: i64,
    leading: u32,
    width: u32,
}

impl Stream<'_> {
    fn new(first: (i64, u64), count: u32, bytes: &[u8]) -> Stream<'_> {
        Stream { bits: Reader { bytes, at: 0 }, at: 0, count, last: first, delta: 0, leading: 0, width: 0 }
    }

    /// The next sample; the inner `None` at the end, the outer one on bytes that nobody wrote.
    #[inline]
    fn next(&mut self) -> Option<Option<(i64, u64)>> {
        if self.at == self.count {
            return Some(None);
        }
        if self.at > 0 {
            let (change, passed) = take_time(&mut self.bits)?;
            self.delta = self.delta.wrapping_add(change);
            self.last.0 = self.last.0.wrapping_add(self.delta);
            // The heads of time and value are together shorter than what is seen at once.
            let word = self.bits.peek() << passed;
            let head = match word >> 62 {
                0b00 | 0b01 => 1,
                0b10 => 2,
                _ => {
                    self.leading = (word >> 57) as u32 & 0x1f;
                    self.width = ((word >> 51) as u32 & 0x3f) + 1;
                    13
                }
            };
            self.bits.skip(passed + head)?;
            if head > 1 {
                if self.width == 0 {
                    return None;
                }
                let trailing = 64_u32.checked_sub(self.leading)?.checked_sub(self.width)?;
                self.last.1 ^= self.bits.take(self.width)? << trailing;
            }
        }
        self.at += 1;
        Some(Some(self.last))
    }
}

/// By how much the step changes, and how many bits said so, which are still to be passed.
#[inline]
fn take_time(bits: &mut Reader<'_>) -> Option<(i64, u32)> {
    let word = bits.peek();
    let ones = word.leading_ones().min(WIDTHS.len() as u32);
    if ones == 0 {
        return Some((0, 1));
    }
    let width = WIDTHS[ones as usize - 1];
    if width == 64 {
        bits.skip(ones)?;
        return Some((bits.take(width)? as i64, 0));
    }
    Some((((word << (ones + 1)) as i64) >> (64 - width), ones + 1 + width))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_went_in_comes_out(
            start in -1_000_000_i64..4_000_000_000_000,
            steps in prop::collection::vec((prop_oneof![Just(15_000_i64), 1..40_000_i64, 1..i64::MAX >> 20], any::<u64>(), any::<bool>()), 0..300),
        ) {
            let mut written = vec![(start, 42.0_f64.to_bits())];
            let mut chunk = Open::new(start, written[0].1);
            for (step, bits, same) in steps {
                let (time, value) = *written.last().unwrap();
                let next = (time + step, if same { value } else { bits });
                chunk.push(next.0, next.1);
                written.push(next);
            }
            let mut read = Vec::new();
            chunk.freeze().read(i64::MIN, i64::MAX, &mut read).unwrap();
            let read: Vec<(i64, u64)> = read.iter().map(|s| (s.timestamp.0, s.value.to_bits())).collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn bytes_that_nobody_wrote_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), count in 0..200_u32) {
            let _ = read((0, 0), count, &bytes, i64::MIN, i64::MAX, &mut Vec::new());
        }
    }
}
