//! What was deleted of a block and is still in it.

use std::collections::HashMap;

use super::cursor::Cursor;

const MAGIC: u32 = 0x0130_BA30;

/// Spans of time, both ends included, by the series' id in the index.
#[derive(Debug, Default)]
pub(super) struct Tombstones(HashMap<u64, Vec<(i64, i64)>>);

impl Tombstones {
    /// Reads the file; `None` if it is damaged.
    pub(super) fn read(bytes: &[u8]) -> Option<Tombstones> {
        let mut from = Cursor(bytes.split_at_checked(bytes.len().checked_sub(4)?)?.0);
        let sum = Cursor(&bytes[from.0.len()..]).u32()?;
        if from.u32()? != MAGIC || from.u8()? != 1 || sum != crc32c::crc32c(from.0) {
            return None;
        }
        let mut all = Tombstones::default();
        while !from.0.is_empty() {
            let (series, first, last) = (from.uvarint()?, from.varint()?, from.varint()?);
            all.0.entry(series).or_default().push((first, last));
        }
        Some(all)
    }

    pub(super) fn of(&self, series: u64) -> &[(i64, i64)] {
        self.0.get(&series).map_or(&[], Vec::as_slice)
    }
}
