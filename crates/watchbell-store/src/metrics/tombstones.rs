//! What was deleted of a block: stretches of time of its series, kept in a file beside it (`0000000012.gone`) until
//! the block is written anew without them.
//!
//! Layout: `docs/formats/metrics.md`. Pure but for reading and writing that file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use roaring::RoaringBitmap;
use watchbell_runtime::Disk;

use super::bytes::{Cursor, put_signed, put_varint};

const MAGIC: [u8; 8] = *b"WBGONE\0\x01";

/// Stretches of time, both ends included, apart and in order.
pub(crate) type Stretches = Vec<(i64, i64)>;

/// What is gone, by the number of the series in the block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    series: BTreeMap<u32, Stretches>,
    /// Series of which nothing is left.
    pub(crate) whole: RoaringBitmap,
}

impl Gone {
    /// What is gone of a series.
    pub(crate) fn of(&self, series: u32) -> &[(i64, i64)] {
        self.series.get(&series).map_or(&[], Vec::as_slice)
    }

    /// The series of which something is gone.
    pub(crate) fn series(&self) -> impl Iterator<Item = u32> {
        self.series.keys().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Adds a stretch, put together with those it touches.
    pub(crate) fn add(&mut self, series: u32, start: i64, end: i64) {
        let stretches = self.series.entry(series).or_default();
        let (mut start, mut end) = (start, end);
        stretches.retain(|(from, to)| {
            let touches = *from <= end.saturating_add(1) && start <= to.saturating_add(1);
            if touches {
                (start, end) = (start.min(*from), end.max(*to));
            }
            !touches
        });
        let at = stretches.partition_point(|(from, _)| *from < start);
        stretches.insert(at, (start, end));
    }

    fn path(block: &Path) -> PathBuf {
        block.with_extension("gone")
    }

    /// Reads what is gone of the block at `block`; `None` if the file is damaged.
    pub(crate) fn load(disk: &Disk, block: &Path) -> io::Result<Option<Gone>> {
        let path = Self::path(block);
        if !disk.exists(&path) {
            return Ok(Some(Gone::default()));
        }
        let bytes = disk.read(&path)?;
        Ok(Self::decode(&bytes))
    }

    /// When it answers, it survives power loss.
    pub(crate) fn save(&self, disk: &Disk, block: &Path) -> io::Result<()> {
        let mut rest = Vec::new();
        put_varint(&mut rest, self.series.len() as u64);
        for (series, stretches) in &self.series {
            put_varint(&mut rest, u64::from(*series));
            put_varint(&mut rest, stretches.len() as u64);
            for (start, end) in stretches {
                put_signed(&mut rest, *start);
                put_signed(&mut rest, *end);
            }
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&rest).to_le_bytes());
        bytes.extend_from_slice(&rest);
        disk.write_atomic(&Self::path(block), &bytes)
    }

    /// Takes the file of a block away that is gone itself, durably: with its tombstones gone first it would come back
    /// whole.
    pub(crate) fn forget(disk: &Disk, block: &Path) {
        let path = Self::path(block);
        if disk.exists(&path) {
            // A leftover is removed at the next start.
            let _ = disk.remove(&path);
        }
    }

    fn decode(bytes: &[u8]) -> Option<Gone> {
        let mut from = Cursor(bytes.strip_prefix(&MAGIC)?);
        if from.u32()? != crc32c::crc32c(from.0) {
            return None;
        }
        let mut gone = Gone::default();
        for _ in 0..from.varint()? {
            let series = u32::try_from(from.varint()?).ok()?;
            for _ in 0..from.varint()? {
                let (start, end) = (from.signed()?, from.signed()?);
                gone.add(series, start, end);
            }
        }
        Some(gone)
    }
}

/// Whether all of `first` to `last` is gone.
pub(crate) fn covers(gone: &[(i64, i64)], first: i64, last: i64) -> bool {
    gone.iter().any(|(start, end)| *start <= first && last <= *end)
}

/// Whether something of `first` to `last` is gone.
pub(crate) fn cuts(gone: &[(i64, i64)], first: i64, last: i64) -> bool {
    gone.iter().any(|(start, end)| *start <= last && first <= *end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_added_is_gone_and_nothing_else(
            added in prop::collection::vec((0..3_u32, -50..50_i64, 0..20_i64), 0..20),
        ) {
            let (mut gone, mut truth) = (Gone::default(), std::collections::BTreeSet::new());
            for (series, start, len) in added {
                gone.add(series, start, start + len);
                truth.extend((start..=start + len).map(|time| (series, time)));
            }
            let disk = Disk::Sim(std::sync::Arc::new(watchbell_runtime::sim::SimDisk::new(
                watchbell_runtime::Rng::seeded(1),
            )));
            gone.save(&disk, Path::new("/1.block")).unwrap();
            let read = Gone::load(&disk, Path::new("/1.block")).unwrap().unwrap();
            prop_assert_eq!(&read, &gone);
            for series in 0..3 {
                prop_assert!(read.of(series).windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
                for time in -60..80 {
                    prop_assert_eq!(covers(read.of(series), time, time), truth.contains(&(series, time)));
                }
            }
        }
    }
}
