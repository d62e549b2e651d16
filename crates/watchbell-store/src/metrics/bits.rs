//! Bits of a growing chunk, one behind the other.

/// Bits, highest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    pub(crate) bytes: Vec<u8>,
    free: u32,
}

impl Bits {
    /// Adds the lowest `width` bits.
    pub(crate) fn put(&mut self, value: u64, width: u32) {
        let mut left = width;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let take = left.min(self.free);
            let part = (value >> (left - take)) as u8 & (0xff >> (8 - take));
            *self.bytes.last_mut().expect("just pushed") |= part << (self.free - take);
            self.free -= take;
            left -= take;
        }
    }
}

/// Reads what was put; `None` past the end.
pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl Reader<'_> {
    /// What comes next, at the top: 57 bits at least, zeros past the end.
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
        self.word(self.at / 8) << (self.at % 8)
    }

    /// Passes over some bits.
    #[inline]
    pub(crate) fn skip(&mut self, width: u32) -> Option<()> {
        let end = self.at + width as usize;
        (end <= self.bytes.len() * 8).then(|| self.at = end)
    }

    /// The next bits, from 1 to 64.
    #[inline]
    pub(crate) fn take(&mut self, width: u32) -> Option<u64> {
        let (byte, passed) = (self.at / 8, (self.at % 8) as u32);
        self.skip(width)?;
        let word = self.word(byte) << passed;
        if width + passed <= 64 {
            return Some(word >> (64 - width));
        }
        let missing = width + passed - 64;
        Some((word >> (64 - width)) | u64::from(self.bytes[byte + 8] >> (8 - missing)))
    }

    /// Eight bytes from one on.
    #[inline]
    fn word(&self, byte: usize) -> u64 {
        match self.bytes.get(byte..byte + 8) {
            Some(eight) => u64::from_be_bytes(eight.try_into().expect("they are eight")),
            None => {
                let (mut eight, left) = ([0; 8], self.bytes.get(byte..).unwrap_or_default());
                eight[..left.len()].copy_from_slice(left);
                u64::from_be_bytes(eight)
            }
        }
    }
}
