//! Prometheus' XOR chunks of floats: in its block files, and in streamed remote read.
//!
//! A count of two bytes, then bits, highest first: the first sample whole, the second with its distance in time, each
//! further one with the change of that distance and the changed bits of the value.
//!
//! Source: `tsdb/chunkenc/xor.go` and `tsdb/docs/format/chunks.md`.

use watchbell_model::{Sample, Timestamp};

use crate::proto::{unzigzag, zigzag};

/// How many samples Prometheus puts into a chunk.
pub const XOR_SAMPLES: usize = 120;

/// A chunk that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an XOR chunk is cut off or damaged")]
pub struct XorError;

/// Reads a chunk; adds its samples to `out`.
pub fn read_xor(chunk: &[u8], out: &mut Vec<Sample>) -> Result<(), XorError> {
    let (count, bytes) = chunk.split_first_chunk::<2>().ok_or(XorError)?;
    let count = u16::from_be_bytes(*count);
    let mut bits = Bits { bytes, at: 0 };
    let (mut time, mut value, mut step) = (0i64, 0u64, 0i64);
    let (mut leading, mut trailing) = (u8::MAX, 0u8);
    for number in 0..count {
        match number {
            0 => {
                time = unzigzag(bits.uvarint()?);
                value = bits.take(64)?;
            }
            _ => {
                step = if number == 1 {
                    i64::try_from(bits.uvarint()?).map_err(|_| XorError)?
                } else {
                    step.wrapping_add(bits.step_change()?)
                };
                time = time.wrapping_add(step);
                if bits.take(1)? == 1 {
                    if bits.take(1)? == 1 {
                        leading = bits.take(5)? as u8;
                        let length = match bits.take(6)? as u8 {
                            0 => 64,
                            length => length,
                        };
                        trailing = 64u8.checked_sub(leading + length).ok_or(XorError)?;
                    } else if leading == u8::MAX {
                        return Err(XorError);
                    }
                    value ^= bits.take(64 - leading - trailing)? << trailing;
                }
            }
        }
        out.push(Sample { timestamp: Timestamp(time), value: f64::from_bits(value) });
    }
    Ok(())
}

/// Writes samples, which are in order of time, as one chunk.
///
/// # Panics
/// With more than 65,535 samples, which no chunk can count.
pub fn write_xor(samples: &[Sample]) -> Vec<u8> {
    let count = u16::try_from(samples.len()).expect("a chunk has few samples");
    let mut to = BitsOut::after(count.to_be_bytes().to_vec());
    let (mut last, mut step) = (Sample { timestamp: Timestamp(0), value: 0.0 }, 0i64);
    let mut window = None;
    for (number, sample) in samples.iter().enumerate() {
        let (time, value) = (sample.timestamp.0, sample.value.to_bits());
        let new_step = time.wrapping_sub(last.timestamp.0);
        match number {
            0 => {
                to.uvarint(zigzag(time));
                to.put(value, 64);
            }
            1 => to.uvarint(new_step as u64),
            _ => to.step_change(new_step.wrapping_sub(step)),
        }
        if number > 0 {
            to.value_change(value ^ last.value.to_bits(), &mut window);
            step = new_step;
        }
        last = *sample;
    }
    to.bytes
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u8) -> Result<u64, XorError> {
        let mut value = 0;
        let mut wanted = usize::from(count);
        while wanted > 0 {
            let byte = *self.bytes.get(self.at / 8).ok_or(XorError)?;
            let (used, have) = (self.at % 8, 8 - self.at % 8);
            let taken = have.min(wanted);
            let bits = (byte << used) >> (8 - taken);
            value = value << taken | u64::from(bits);
            self.at += taken;
            wanted -= taken;
        }
        Ok(value)
    }

    fn uvarint(&mut self) -> Result<u64, XorError> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.take(8)?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(XorError)
    }

    fn step_change(&mut self) -> Result<i64, XorError> {
        let mut ones = 0;
        while ones < 4 && self.take(1)? == 1 {
            ones += 1;
        }
        let width = [0, 14, 17, 20, 64][ones];
        let bits = self.take(width)?;
        if width == 0 || width == 64 {
            return Ok(bits as i64);
        }
        // The range is one up from two's complement: -(2^(n-1)-1) to 2^(n-1).
        let half = 1u64 << (width - 1);
        Ok(if bits > half { bits as i64 - (1i64 << width) } else { bits as i64 })
    }
}

/// Bits that are written, highest first.
pub(super) struct BitsOut {
    pub(super) bytes: Vec<u8>,
    /// Bits of the last byte that are still free.
    free: u8,
}

impl BitsOut {
    /// Goes on behind whole bytes.
    pub(super) fn after(bytes: Vec<u8>) -> BitsOut {
        BitsOut { bytes, free: 0 }
    }

    pub(super) fn put(&mut self, value: u64, count: u8) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = self.free.min(left);
            let bits = (value >> (left - taken)) as u8 & (0xff >> (8 - taken));
            *self.bytes.last_mut().expect("just put there") |= bits << (self.free - taken);
            self.free -= taken;
            left -= taken;
        }
    }

    fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    fn step_change(&mut self, change: i64) {
        let fits = |width: u32| (-((1i64 << (width - 1)) - 1)..=1i64 << (width - 1)).contains(&change);
        match change {
            0 => self.put(0, 1),
            _ if fits(14) => self.put_prefixed(0b10, 2, change, 14),
            _ if fits(17) => self.put_prefixed(0b110, 3, change, 17),
            _ if fits(20) => self.put_prefixed(0b1110, 4, change, 20),
            _ => self.put_prefixed(0b1111, 4, change, 64),
        }
    }

    fn put_prefixed(&mut self, prefix: u64, length: u8, value: i64, width: u8) {
        self.put(prefix, length);
        self.put(value as u64, width);
    }

    /// `window`: leading and trailing zeros of the bits that were last told whole.
    pub(super) fn value_change(&mut self, changed: u64, window: &mut Option<(u8, u8)>) {
        if changed == 0 {
            return self.put(0, 1);
        }
        self.put(1, 1);
        let leading = (changed.leading_zeros() as u8).min(31);
        let trailing = changed.trailing_zeros() as u8;
        if let Some((l, t)) = *window
            && leading >= l
            && trailing >= t
        {
            self.put(0, 1);
            return self.put(changed >> t, 64 - l - t);
        }
        *window = Some((leading, trailing));
        let length = 64 - leading - trailing;
        self.put(1, 1);
        self.put(u64::from(leading), 5);
        // 64 does not fit and is written as 0.
        self.put(u64::from(length & 63), 6);
        self.put(changed >> trailing, length);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round(samples: &[Sample]) {
        let mut read = Vec::new();
        read_xor(&write_xor(samples), &mut read).unwrap();
        assert_eq!(read, samples);
    }

    #[test]
    fn steps_at_the_edge_of_each_width() {
        for change in
            [1i64, 8192, 8193, -8191, -8192, 65536, 65537, -65535, 524_288, 524_289, -524_287, -524_288, 1 << 40]
        {
            let sample = |time| Sample { timestamp: Timestamp(time), value: 1.5 };
            let (first, step) = (1_700_000_000_000, 1 << 41);
            round(&[sample(first), sample(first + step), sample(first + 2 * step + change)]);
        }
    }

    #[test]
    fn it_is_prometheus_layout() {
        // Worked out by hand from the description: 1000 ms = zigzag 2000, value 1.0; 15 s later the same value; again.
        let samples: Vec<Sample> =
            [1000, 16_000, 31_000].map(|time| Sample { timestamp: Timestamp(time), value: 1.0 }).to_vec();
        let wanted = [
            &[0, 3][..],
            &[0xd0, 0x0f],
            &1f64.to_bits().to_be_bytes(),
            &[0x98, 0x75],  // 15000
            &[0b0000_0000], // value the same; step the same, value the same
        ];
        assert_eq!(write_xor(&samples), wanted.concat());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(steps in prop::collection::vec((0i64..1 << 45, any::<u64>(), 0u8..4), 0..300)) {
            let (mut time, mut last, mut samples) = (-5, 0u64, Vec::new());
            for (step, bits, kind) in steps {
                time += if kind == 0 { step } else { 15_000 + step % 20 };
                last = match kind { 0 => bits, 1 => last, _ => last ^ (bits & 0xffff00) };
                samples.push(Sample { timestamp: Timestamp(time), value: f64::from_bits(last) });
            }
            round(&samples);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_xor(&bytes, &mut Vec::new());
        }
    }
}
