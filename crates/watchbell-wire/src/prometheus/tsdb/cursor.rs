//! Big-endian numbers, varints and single bits, never past the end.

use watchbell_model::BucketSpan;

/// Bytes that are still to be read; `None` as soon as something does not fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        Some(self.u64()? as i64)
    }

    pub(super) fn f64(&mut self) -> Option<f64> {
        Some(f64::from_bits(self.u64()?))
    }

    pub(super) fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn varint(&mut self) -> Option<i64> {
        let value = self.uvarint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A count of things that take at least one byte each: more of them than bytes is damage.
    pub(super) fn count(&mut self) -> Option<usize> {
        usize::try_from(self.uvarint()?).ok().filter(|count| *count <= self.0.len())
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let len = self.count()?;
        std::str::from_utf8(self.take(len)?).ok()
    }
}

/// Bits, highest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, at: 0 }
    }

    pub(super) fn bit(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Some(bit)
    }

    /// Up to 64 of them.
    pub(super) fn bits(&mut self, count: u32) -> Option<u64> {
        let end = self.at + count as usize;
        if end > self.bytes.len() * 8 {
            return None;
        }
        let mut value = 0_u64;
        while self.at < end {
            let (offset, left) = (self.at % 8, end - self.at);
            let taken = (8 - offset).min(left);
            let byte = u64::from(self.bytes[self.at / 8]);
            let piece = byte >> (8 - offset - taken) & ((1 << taken) - 1);
            value = value << taken | piece;
            self.at += taken;
        }
        Some(value)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        Some(self.bits(8)? as u8)
    }

    pub(super) fn f64(&mut self) -> Option<f64> {
        Some(f64::from_bits(self.bits(64)?))
    }

    /// How many ones come before a zero, up to `max`; the zero is read too.
    pub(super) fn ones(&mut self, max: u32) -> Option<u32> {
        let mut ones = 0;
        while ones < max && self.bit()? {
            ones += 1;
        }
        Some(ones)
    }

    /// Bits as a number of either sign: all but the upper half of the range are positive.
    pub(super) fn signed(&mut self, count: u32) -> Option<i64> {
        let bits = self.bits(count)?;
        if count == 64 {
            return Some(bits as i64);
        }
        let bits = bits as i64;
        Some(if bits > 1 << (count - 1) { bits - (1 << count) } else { bits })
    }

    /// How many bits a number of this class takes.
    fn varbit_len(&mut self) -> Option<u32> {
        const LENGTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];
        Some(LENGTHS[self.ones(8)? as usize])
    }

    pub(super) fn varbit(&mut self) -> Option<i64> {
        let len = self.varbit_len()?;
        if len == 0 { Some(0) } else { self.signed(len) }
    }

    pub(super) fn varbit_unsigned(&mut self) -> Option<u64> {
        let len = self.varbit_len()?;
        self.bits(len)
    }

    /// Bits that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }
}

/// A value that is written as what differs from the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Xor {
    pub(super) value: u64,
    leading: u32,
    trailing: u32,
}

impl Xor {
    pub(super) fn new(value: u64) -> Xor {
        Xor { value, leading: 0, trailing: 0 }
    }

    pub(super) fn read(&mut self, from: &mut Bits<'_>) -> Option<f64> {
        if from.bit()? {
            if from.bit()? {
                self.leading = from.bits(5)? as u32;
                let length = match from.bits(6)? as u32 {
                    0 => 64,
                    length => length,
                };
                self.trailing = 64_u32.checked_sub(self.leading + length)?;
            }
            let length = 64 - self.leading - self.trailing;
            self.value ^= from.bits(length)? << self.trailing;
        }
        Some(f64::from_bits(self.value))
    }
}

/// How many buckets spans have.
pub(super) fn buckets_of(spans: &[BucketSpan]) -> u64 {
    spans.iter().map(|span| u64::from(span.length)).sum()
}
