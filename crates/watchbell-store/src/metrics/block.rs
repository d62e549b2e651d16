//! A block: all series with samples in some span of time, in one immutable file that is mapped into memory.
//!
//! Layout: `docs/formats/metrics.md`. Pages of the index are checked when they are first touched, each chunk when it is
//! read; damage fails the query that finds it (an alarm must not take it for "no data") and is left out of those that
//! follow: a chunk alone, or the block if its index is damaged.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use watchbell_model::Labels;
use watchbell_runtime::Disk;

use super::block_entries::{Extent, GROUP, Part, Reader};
use super::block_index::BlockIndex;
use super::blocks::display;
use super::both::Both;
use super::bytes::{Cursor, put_signed, put_varint};
use super::chunk::{self, Kind};
use super::histogram_chunk;
use super::rollup::Row;
use super::rollup_chunk;
use super::tombstones::{self, Gone};

/// What a block says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Its place in the order of writing: of two values for one time the one in the lower place counts.
    pub(crate) order: u64,
    /// The first and last time in it.
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) series: u64,
    pub(crate) samples: u64,
    /// The blocks it was merged from: any that is still there is a leftover.
    pub(crate) replaces: Vec<u64>,
}

impl Meta {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.order);
        put_signed(&mut out, self.first);
        put_signed(&mut out, self.last);
        put_varint(&mut out, self.series);
        put_varint(&mut out, self.samples);
        put_varint(&mut out, self.replaces.len() as u64);
        self.replaces.iter().for_each(|number| put_varint(&mut out, *number));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Meta> {
        let mut from = Cursor(bytes);
        Some(Meta {
            order: from.varint()?,
            first: from.signed()?,
            last: from.signed()?,
            series: from.varint()?,
            samples: from.varint()?,
            replaces: (0..from.varint()?).map(|_| from.varint()).collect::<Option<_>>()?,
        })
    }
}

/// Where a chunk is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkRef {
    pub(crate) kind: Kind,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) count: usize,
    /// Whether some of its time was deleted.
    pub(crate) cut: bool,
    series: u32,
    offset: usize,
    pub(crate) len: usize,
    /// Whether it lies in its series' entry.
    inside: bool,
}

impl ChunkRef {
    /// Whether merging copies it as it is.
    pub(crate) fn is_full(&self) -> bool {
        self.count
            >= match self.kind {
                Kind::Floats => chunk::CHUNK_FULL,
                Kind::Histograms => histogram_chunk::CHUNK_FULL,
                // Put together anew each time: they are few.
                Kind::Rows => usize::MAX,
            }
    }
}

/// A chunk's checksum does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) meta: Meta,
    pub(crate) index: BlockIndex,
    /// Offsets of chunks that were found damaged.
    bad: Mutex<HashSet<usize>>,
    /// Why the file is not to be relied on, in words.
    given_up: OnceLock<String>,
    /// What was deleted since it was written.
    gone: RwLock<Arc<Gone>>,
}

impl Block {
    /// Opens a file; the inner error says in words how it is damaged.
    pub(crate) fn open(disk: &Disk, path: &Path, number: u64) -> io::Result<Result<Block, String>> {
        let opened = BlockIndex::open(disk.map(path)?).map_err(str::to_owned);
        let block = |(index, meta)| {
            let (bad, gone, given_up) = (Mutex::default(), RwLock::default(), OnceLock::new());
            Block { number, path: path.to_owned(), meta, index, bad, given_up, gone }
        };
        Ok(opened.map(block))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.index.content().len() as u64
    }

    /// What was deleted of it.
    pub(crate) fn gone(&self) -> Arc<Gone> {
        Arc::clone(&self.gone.read().expect("no panic while held"))
    }

    /// From now on this is what was deleted of it.
    pub(crate) fn set_gone(&self, mut gone: Gone) {
        let is_whole = |series: u32| {
            let stretches = gone.of(series);
            let left = self.chunks_but(&mut Reader::default(), stretches, series, i64::MIN, i64::MAX);
            !left.iter().any(|chunk| {
                let mut samples = Both::default();
                // What is damaged is found, and told, by whoever asks for it: here it must not be taken note of.
                !chunk.cut || chunk.kind == Kind::Rows || {
                    let read = self.decode(*chunk, i64::MIN, i64::MAX, &mut samples);
                    samples.retain((0, 0), |time| !tombstones::covers(stretches, time, time));
                    read.is_none() || !samples.is_empty()
                }
            })
        };
        gone.whole = gone.series().filter(|series| is_whole(*series)).collect();
        *self.gone.write().expect("no panic while held") = Arc::new(gone);
    }

    pub(crate) fn overlaps(&self, start: i64, end: i64) -> bool {
        self.meta.first <= end && self.meta.last >= start
    }

    /// The chunks of a series that overlap the range, with their place; empty if there is none.
    pub(crate) fn chunks(&self, series: u32, start: i64, end: i64) -> Vec<ChunkRef> {
        self.chunks_by(&mut Reader::default(), series, start, end)
    }

    /// The same by a reader, which is quick where it was at a series shortly before.
    pub(crate) fn chunks_by(&self, reader: &mut Reader, series: u32, start: i64, end: i64) -> Vec<ChunkRef> {
        self.chunks_but(reader, self.gone().of(series), series, start, end)
    }

    fn chunks_but(&self, reader: &mut Reader, gone: &[(i64, i64)], series: u32, start: i64, end: i64) -> Vec<ChunkRef> {
        reader.go(&self.index, series);
        let asked = |part: &&Part| {
            let (first, last) = (part.extent.first, part.extent.last);
            first <= end && last >= start && !tombstones::covers(gone, first, last)
        };
        let chunk = |part: &Part| {
            let Extent { kind, first, last, count } = part.extent;
            let cut = tombstones::cuts(gone, first, last);
            ChunkRef { kind, first, last, count, cut, series, offset: part.offset, len: part.len, inside: part.inside }
        };
        reader.parts.iter().filter(asked).map(chunk).collect()
    }

    pub(crate) fn labels(&self, series: u32) -> Labels {
        self.labels_by(&mut Reader::default(), series)
    }

    /// The same by a reader.
    pub(crate) fn labels_by(&self, reader: &mut Reader, series: u32) -> Labels {
        reader.go(&self.index, series);
        // They are sorted, unless a part of the index is damaged.
        Labels::from_pairs(
            reader.labels.iter().map(|(name, value)| (self.index.symbol(*name), self.index.symbol(*value))),
        )
    }

    /// The same, where those of another series, whose places in the symbols are given, have most in common.
    pub(crate) fn labels_like(
        &self,
        reader: &mut Reader,
        series: u32,
        places: &[(u32, u32)],
        others: &Labels,
    ) -> Labels {
        reader.go(&self.index, series);
        let mut others = places.iter().zip(others.iter());
        Labels::from_pairs(reader.labels.iter().map(|(name, value)| match others.next() {
            Some((place, pair)) if place == &(*name, *value) => pair,
            _ => (self.index.symbol(*name), self.index.symbol(*value)),
        }))
    }

    /// The series with these labels.
    pub(crate) fn find(&self, labels: &Labels) -> Option<u32> {
        let symbol = |text| self.index.find_symbol(text);
        let wanted = labels.iter().map(|(name, value)| Some((symbol(name)?, symbol(value)?)));
        let wanted: Vec<(u32, u32)> = wanted.collect::<Option<_>>()?;
        let (mut from, mut to) = (0, self.index.series());
        let mut reader = Reader::default();
        while from < to {
            // The first of a group is found at once, those behind it by going on from there.
            let middle = from + (to - from) / 2;
            let at = Some(middle / GROUP * GROUP).filter(|at| *at > from).unwrap_or(from);
            reader.go(&self.index, at);
            match reader.labels.cmp(&wanted) {
                std::cmp::Ordering::Equal => return Some(at),
                std::cmp::Ordering::Less => from = at + 1,
                std::cmp::Ordering::Greater => to = at,
            }
        }
        None
    }

    /// Adds the samples of a chunk from `start` to `end` that were not deleted.
    pub(crate) fn read(&self, at: ChunkRef, start: i64, end: i64, out: &mut Both) -> Result<(), Damaged> {
        if self.bad().contains(&at.offset) {
            return Ok(());
        }
        let since = out.mark();
        if self.decode(at, start, end, out).is_none() {
            out.truncate(since);
            self.bad().insert(at.offset);
            return Err(Damaged);
        }
        let gone = self.gone();
        let gone = gone.of(at.series);
        if tombstones::cuts(gone, at.first, at.last) {
            out.retain(since, |time| !tombstones::covers(gone, time, time));
        }
        Ok(())
    }

    /// The rows of a chunk of a coarser copy, deleted ones among them.
    pub(crate) fn read_rows(&self, at: ChunkRef) -> Result<Vec<Row>, Damaged> {
        if self.bad().contains(&at.offset) {
            return Ok(Vec::new());
        }
        let read = self.body(at).and_then(|body| rollup_chunk::decode(body, (at.first, at.last), at.count));
        read.ok_or_else(|| {
            self.bad().insert(at.offset);
            Damaged
        })
    }

    /// Decodes a chunk as it is in the file, also one that was found damaged before.
    pub(crate) fn verify(&self, at: ChunkRef, out: &mut Both) -> Result<(), Damaged> {
        self.decode(at, i64::MIN, i64::MAX, out).ok_or_else(|| {
            self.bad().insert(at.offset);
            Damaged
        })
    }

    fn decode(&self, at: ChunkRef, start: i64, end: i64, out: &mut Both) -> Option<()> {
        let body = self.body(at)?;
        match at.kind {
            Kind::Floats => chunk::decode(body, (at.first, at.last), at.count, start, end, &mut out.floats),
            Kind::Histograms => histogram_chunk::decode(body, at.first, at.count, start, end, &mut out.histograms),
            // No samples: see `read_rows`.
            Kind::Rows => None,
        }
    }

    /// What a chunk holds, if it is whole.
    pub(crate) fn copy(&self, at: ChunkRef) -> Option<&[u8]> {
        self.body(at).filter(|_| !self.bad().contains(&at.offset))
    }

    /// Whether damage was found in it.
    pub(crate) fn is_damaged(&self) -> bool {
        self.given_up.get().is_some() || self.index.is_damaged() || !self.bad().is_empty()
    }

    /// Its file is not to be relied on; what is in memory may be whole. The first reason counts.
    pub(crate) fn give_up(&self, words: String) {
        let _ = self.given_up.set(words);
    }

    /// What was found to be damaged, in words.
    pub(crate) fn damage(&self) -> Option<String> {
        if let Some(words) = self.given_up.get() {
            return Some(words.clone());
        }
        let name = display(&self.path);
        if self.index.is_damaged() {
            return Some(format!("the index of the block {name} is damaged; its samples are lost, the rest serves"));
        }
        let words = format!("a part of the block {name} is damaged; its samples are lost, the rest serves");
        Some(words).filter(|_| !self.bad().is_empty())
    }

    /// A chunk is damaged in the file; whether that was not known.
    pub(crate) fn distrust(&self, at: ChunkRef) -> bool {
        self.bad().insert(at.offset)
    }

    fn bad(&self) -> std::sync::MutexGuard<'_, HashSet<usize>> {
        self.bad.lock().expect("no panic while held")
    }

    /// What a chunk holds, if its checksum fits.
    fn body(&self, at: ChunkRef) -> Option<&[u8]> {
        if at.inside {
            // The page was looked at when the entry was read.
            return self.index.content().get(at.offset..at.offset.checked_add(at.len)?);
        }
        let (sum, body) = self.raw(at)?.split_first_chunk()?;
        (crc32c::crc32c(body) == u32::from_le_bytes(*sum)).then_some(body)
    }

    fn raw(&self, at: ChunkRef) -> Option<&[u8]> {
        self.index.content().get(at.offset..at.offset.checked_add(at.len)?)
    }
}
