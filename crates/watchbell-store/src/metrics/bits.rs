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
    pub(crate) fn take(&mut self, width: u32) -> Option<u64> {
        let end = self.at + width as usize;
        if end > self.bytes.len() * 8 {
            return None;
        }
        let mut value = 0;
        while self.at < end {
            let free = 8 - self.at % 8;
            let take = free.min(end - self.at);
            let part = (self.bytes[self.at / 8] >> (free - take)) & (0xff >> (8 - take));
            value = (value << take) | u64::from(part);
            self.at += take;
        }
        Some(value)
    }
}
