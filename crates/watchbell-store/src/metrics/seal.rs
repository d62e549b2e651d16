//! Sealing: samples leave the head for blocks, and the log is cut.
//!
//! Order, so that a reader (head first, then blocks) misses nothing and a crash at any step loses nothing: a new
//! segment of the log, blocks in place, blocks served, samples out of the head, the mark, segments removed. What is
//! both in a block and replayed from the log is the same sample twice, which reading and merging make one.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use watchbell_runtime::{Disk, fault};

use super::Inner;
use super::block::Block;
use super::block_writer::BlockWriter;
use super::bytes::Cursor;
use super::chunk::Effort;
use super::head_order::Gathered;
use super::index::Ref;
use super::series::WINDOW;

/// One sealing makes at most so many blocks; samples of a wider span go into wider blocks.
const BLOCKS_MAX: usize = 32;

/// All samples before `end`, in segments of the log up to `segment`, are in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) segment: u32,
    pub(crate) end: i64,
}

impl Mark {
    const MAGIC: [u8; 8] = *b"WBSEAL\0\x01";

    /// Reads the mark; one that is missing or damaged costs time, not samples: more is replayed than needed. One that the
    /// disk does not give is replaced: numbers of segments begin anew without it, and it would hide those if it came back.
    pub(crate) fn load(disk: &Disk, path: &Path) -> io::Result<Option<Mark>> {
        match disk.read(path) {
            Ok(bytes) => Ok(Self::decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(_) => {
                let mark = Mark { segment: 0, end: i64::MIN };
                mark.save(disk, path)?;
                Ok(Some(mark))
            }
        }
    }

    fn decode(bytes: &[u8]) -> Option<Mark> {
        let mut from = Cursor(bytes.strip_prefix(&Self::MAGIC)?);
        let (sum, rest) = (from.u32()?, from.0);
        let mark = Mark { segment: from.u32()?, end: from.u64()? as i64 };
        // There is always a number behind it for the next segment.
        (crc32c::crc32c(rest) == sum && mark.segment < u32::MAX).then_some(mark)
    }

    /// A mark in its place by which everything that is left of the log is replayed.
    pub(crate) fn voided(self, disk: &Disk, path: &Path) -> io::Result<Mark> {
        let mark = Mark { end: i64::MIN, ..self };
        mark.save(disk, path)?;
        Ok(mark)
    }

    fn save(self, disk: &Disk, path: &Path) -> io::Result<()> {
        let mut rest = self.segment.to_le_bytes().to_vec();
        rest.extend_from_slice(&self.end.to_le_bytes());
        let mut bytes = Self::MAGIC.to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&rest).to_le_bytes());
        bytes.extend_from_slice(&rest);
        disk.write_atomic(path, &bytes)
    }
}

impl Inner {
    /// Moves everything before `end` into blocks. The caller sees to it that only one of these runs at a time.
    pub(crate) fn seal(&self, end: i64) -> io::Result<()> {
        self.leave_room()?;
        let segment = self.log.lock().expect("no panic while held").rotate()?;
        let sealing = self.heads.begin_seal(end);
        let written = self.write_blocks(&sealing);
        fault::point("store.blocks_written");
        match written {
            Ok(blocks) => self.serve(blocks),
            Err(error) => {
                self.heads.end_seal(false);
                return Err(error);
            }
        }
        self.heads.end_seal(true);
        self.save_facts()?;
        let sealed = self.log.lock().expect("no panic while held").sealed_up_to(segment);
        Mark { segment: sealed, end }.save(&self.runtime.disk, &self.mark_path)?;
        fault::point("store.mark_saved");
        self.log.lock().expect("no panic while held").drop_until(segment, end)
    }

    /// One block for each span of time that has samples; none of them serves yet, and all go if one cannot be made.
    fn write_blocks(&self, sealing: &Sealing) -> io::Result<Vec<Block>> {
        let mut blocks = Vec::new();
        for (start, series) in sealing.spans() {
            let (number, path) = self.blocks.reserve();
            match self.write_block(number, &path, &series, start, start.saturating_add(sealing.width - 1)) {
                Ok(block) => blocks.push(block),
                Err(error) => {
                    // Left where they are they would hold again what stays in the head, also once it is deleted there.
                    blocks.iter().for_each(|block: &Block| self.blocks.discard(&block.path));
                    return Err(error);
                }
            }
        }
        Ok(blocks)
    }

    fn write_block(&self, number: u64, path: &Path, series: &[Ref], start: i64, end: i64) -> io::Result<Block> {
        let ordered = Gathered::of(&self.heads, series.iter().copied()).in_order();
        let (symbols, series) = ordered.ranked();
        let mut writer = BlockWriter::begin(&self.runtime.disk, path, symbols, number, Vec::new())?;
        for (series, labels) in series {
            let (samples, starts) = self.heads.read_sealing(series, start, end);
            writer.add(&labels, &samples.encode(Effort::Quick), &starts)?;
        }
        writer.complete()?;
        self.blocks.place(writer, number, path)
    }
}

/// Which series have something to seal, and when.
pub(crate) struct Sealing {
    /// Windows of [`WINDOW`] by their start, with the series that have samples in them.
    pub(crate) windows: BTreeMap<i64, Vec<Ref>>,
    /// How much time one block covers.
    width: i64,
}

impl Sealing {
    pub(crate) fn new(windows: BTreeMap<i64, Vec<Ref>>) -> Sealing {
        let spans = |width: i64| {
            let mut starts: Vec<i64> = windows.keys().map(|start| start.div_euclid(width)).collect();
            starts.dedup();
            starts.len()
        };
        let mut width = WINDOW;
        while spans(width) > BLOCKS_MAX {
            width *= 12;
        }
        Sealing { windows, width }
    }

    fn spans(&self) -> BTreeMap<i64, Vec<Ref>> {
        let mut spans = BTreeMap::<i64, Vec<Ref>>::new();
        for (start, series) in &self.windows {
            spans.entry(start.div_euclid(self.width) * self.width).or_default().extend(series);
        }
        for series in spans.values_mut() {
            series.sort_unstable();
            series.dedup();
        }
        spans
    }
}
