//! A block: all series with samples in some span of time, in one immutable file that is mapped into memory.
//!
//! Layout: `docs/formats/metrics.md`. The index is checked whole when the block is opened, each chunk when it is read;
//! a chunk found damaged fails the query that finds it (an alarm must not take it for "no data") and is left out of
//! those that follow.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use roaring::RoaringBitmap;
use watchbell_model::{Labels, Sample};
use watchbell_runtime::Disk;
use watchbell_runtime::disk::Mapped;

use super::bytes::{Cursor, put_signed, put_varint};
use super::chunk;
use super::matching::Postings;
use super::tombstones::{self, Gone};

pub(crate) const MAGIC: [u8; 8] = *b"WBBLOCK\x01";
pub(crate) const END: [u8; 8] = *b"WBBLKEND";
/// Four sections, a checksum, [`END`].
pub(crate) const FOOTER: usize = 4 * SECTION + 4 + END.len();
/// Offset, length, checksum.
pub(crate) const SECTION: usize = 20;

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

    fn decode(bytes: &[u8]) -> Option<Meta> {
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
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) count: usize,
    /// Whether some of its time was deleted.
    pub(crate) cut: bool,
    series: u32,
    offset: usize,
    len: usize,
}

/// A chunk's checksum does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) meta: Meta,
    map: Mapped,
    symbols: (usize, usize),
    series: (usize, usize),
    postings: (usize, usize),
    /// Offsets of chunks that were found damaged.
    bad: Mutex<HashSet<usize>>,
    /// What was deleted since it was written.
    gone: RwLock<Arc<Gone>>,
}

impl Block {
    /// Opens a file; the inner error says in words how it is damaged.
    pub(crate) fn open(disk: &Disk, path: &Path, number: u64) -> io::Result<Result<Block, String>> {
        let map = disk.map(path)?;
        Ok(Block::check(map, path, number).map_err(str::to_owned))
    }

    fn check(map: Mapped, path: &Path, number: u64) -> Result<Block, &'static str> {
        let bytes = (*map).as_ref();
        if !bytes.starts_with(&MAGIC) {
            return Err("it does not begin as a block of a known version");
        }
        let footer = bytes.len().checked_sub(FOOTER).filter(|at| *at >= MAGIC.len()).ok_or("it is cut short")?;
        let mut from = Cursor(&bytes[footer..]);
        let table = from.take(4 * SECTION).expect("a footer is longer");
        if from.u32() != Some(crc32c::crc32c(table)) || from.0 != END {
            return Err("it is cut short, or its end is damaged");
        }
        let mut sections = [(0, 0); 4];
        let mut from = Cursor(table);
        for section in &mut sections {
            let (offset, len, sum) = (from.u64(), from.u64(), from.u32());
            let offset = offset.unwrap_or(u64::MAX).min(footer as u64) as usize;
            let end = offset.saturating_add(len.unwrap_or(u64::MAX) as usize);
            let content = bytes.get(offset..end.min(footer)).unwrap_or(&[]);
            if sum != Some(crc32c::crc32c(content)) {
                return Err("a checksum of its index does not fit");
            }
            *section = (offset, offset + content.len());
        }
        let [symbols, series, postings, meta] = sections;
        let meta = Meta::decode(&bytes[meta.0..meta.1]).ok_or("its description makes no sense")?;
        let (path, bad, gone) = (path.to_owned(), Mutex::default(), RwLock::default());
        Ok(Block { number, path, meta, symbols, series, postings, map, bad, gone })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.content().len() as u64
    }

    /// What was deleted of it.
    pub(crate) fn gone(&self) -> Arc<Gone> {
        Arc::clone(&self.gone.read().expect("no panic while held"))
    }

    /// From now on this is what was deleted of it.
    pub(crate) fn set_gone(&self, mut gone: Gone) {
        let is_whole = |series: u32| {
            let stretches = gone.of(series);
            let left = self.chunks_but(stretches, series, i64::MIN, i64::MAX);
            !left.iter().any(|chunk| {
                let mut samples = Vec::new();
                let read = |samples: &mut _| self.read_but(stretches, *chunk, i64::MIN, i64::MAX, samples).is_ok();
                !chunk.cut || (read(&mut samples) && !samples.is_empty())
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
        self.chunks_but(self.gone().of(series), series, start, end)
    }

    fn chunks_but(&self, gone: &[(i64, i64)], series: u32, start: i64, end: i64) -> Vec<ChunkRef> {
        let read = || {
            let mut from = self.entry(series)?;
            for _ in 0..from.varint()? * 2 {
                from.varint()?;
            }
            let mut found = Vec::new();
            let count = from.varint()?;
            let mut offset = from.varint()? as usize;
            let mut last = 0_i64;
            for _ in 0..count {
                let first = last + from.signed()?;
                last = first + from.varint()? as i64;
                let (count, len) = (from.varint()? as usize, from.varint()? as usize);
                if first <= end && last >= start && !tombstones::covers(gone, first, last) {
                    let cut = tombstones::cuts(gone, first, last);
                    found.push(ChunkRef { first, last, count, cut, series, offset, len });
                }
                offset += len;
            }
            Some(found)
        };
        read().unwrap_or_default()
    }

    /// The labels of a series as places of [`Block::symbol`].
    pub(crate) fn symbols_of(&self, series: u32) -> Vec<(u32, u32)> {
        let read = || {
            let mut from = self.entry(series)?;
            (0..from.varint()?).map(|_| Some((from.varint()? as u32, from.varint()? as u32))).collect::<Option<_>>()
        };
        read().unwrap_or_default()
    }

    pub(crate) fn labels(&self, series: u32) -> Labels {
        let pairs = self.symbols_of(series);
        Labels::from_sorted(pairs.iter().map(|(name, value)| (self.symbol(*name), self.symbol(*value))))
    }

    /// Adds the samples of a chunk from `start` to `end` that were not deleted.
    pub(crate) fn read(&self, at: ChunkRef, start: i64, end: i64, out: &mut Vec<Sample>) -> Result<(), Damaged> {
        self.read_but(self.gone().of(at.series), at, start, end, out)
    }

    fn read_but(
        &self,
        gone: &[(i64, i64)],
        at: ChunkRef,
        start: i64,
        end: i64,
        out: &mut Vec<Sample>,
    ) -> Result<(), Damaged> {
        if self.bad().contains(&at.offset) {
            return Ok(());
        }
        let from = out.len();
        let read = self.raw(at).and_then(|bytes| chunk::decode(bytes, at.first, at.count, start, end, out));
        if read.is_none() {
            out.truncate(from);
            self.bad().insert(at.offset);
            return Err(Damaged);
        }
        if tombstones::cuts(gone, at.first, at.last) {
            let kept = out.split_off(from);
            out.extend(kept.into_iter().filter(|sample| !tombstones::covers(gone, sample.timestamp.0, sample.timestamp.0)));
        }
        Ok(())
    }

    /// Decodes a chunk as it is in the file, also one that was found damaged before.
    pub(crate) fn verify(&self, at: ChunkRef, out: &mut Vec<Sample>) -> Result<(), Damaged> {
        let read = self.raw(at).and_then(|bytes| chunk::decode(bytes, at.first, at.count, i64::MIN, i64::MAX, out));
        read.ok_or_else(|| {
            self.bad().insert(at.offset);
            Damaged
        })
    }

    /// A chunk's bytes, if they are whole.
    pub(crate) fn copy(&self, at: ChunkRef) -> Option<&[u8]> {
        let bytes = self.raw(at)?;
        let mut from = Cursor(bytes);
        (from.u32()? == crc32c::crc32c(from.0)).then_some(bytes)
    }

    /// Whether damage was found in it.
    pub(crate) fn is_damaged(&self) -> bool {
        !self.bad().is_empty()
    }

    pub(crate) fn symbol_count(&self) -> u32 {
        self.count(self.symbols)
    }

    /// Names and values are sorted.
    pub(crate) fn symbol(&self, at: u32) -> &str {
        self.item(self.symbols, at).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("")
    }

    /// Label names of series of which something is left.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let gone = self.gone();
        (0..self.count(self.postings)).filter_map(move |at| {
            let (name, first) = self.name(at)?;
            let mut pairs = first..self.name(at + 1)?.1;
            pairs.any(|pair| self.is_left(pair, &gone)).then(|| self.symbol(name))
        })
    }

    /// Values of a label, of series of which something is left.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let gone = self.gone();
        let pairs = self.find_symbol(name).and_then(|name| self.pairs_of(name)).unwrap_or(0..0);
        pairs.filter(move |pair| self.is_left(*pair, &gone)).filter_map(|at| Some(self.symbol(self.pair(at)?.0)))
    }

    /// Whether something is left of a series that has this pair.
    fn is_left(&self, pair: u32, gone: &Gone) -> bool {
        if gone.whole.is_empty() {
            return true;
        }
        let mut series = RoaringBitmap::new();
        self.add_list(pair, &mut series).is_some() && !series.is_subset(&gone.whole)
    }

    fn bad(&self) -> std::sync::MutexGuard<'_, HashSet<usize>> {
        self.bad.lock().expect("no panic while held")
    }

    fn content(&self) -> &[u8] {
        (*self.map).as_ref()
    }

    fn raw(&self, at: ChunkRef) -> Option<&[u8]> {
        self.content().get(at.offset..at.offset.checked_add(at.len)?)
    }

    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.content().get(at..at + 4)?.try_into().ok()?))
    }

    fn count(&self, section: (usize, usize)) -> u32 {
        self.word(section.0).unwrap_or(0)
    }

    /// An item of a section that is a count, one offset more than items, and the items.
    fn item(&self, section: (usize, usize), at: u32) -> Option<&[u8]> {
        let count = self.count(section);
        if at >= count {
            return None;
        }
        let items = section.0 + 4 * (count as usize + 2);
        let place = section.0 + 4 * (at as usize + 1);
        let (from, to) = (self.word(place)? as usize, self.word(place + 4)? as usize);
        self.content().get(items + from..items + to)
    }

    fn entry(&self, series: u32) -> Option<Cursor<'_>> {
        self.item(self.series, series).map(Cursor)
    }

    fn find_symbol(&self, text: &str) -> Option<u32> {
        let (mut from, mut to) = (0, self.symbol_count());
        while from < to {
            let middle = from + (to - from) / 2;
            match self.symbol(middle).cmp(text) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        None
    }

    /// A label name and the place of its first pair.
    fn name(&self, at: u32) -> Option<(u32, u32)> {
        let place = self.postings.0 + 4 + at as usize * 8;
        Some((self.word(place)?, self.word(place + 4)?))
    }

    /// Where the table of pairs begins: behind the names and one more, which only ends the last one's pairs.
    fn pairs(&self) -> usize {
        self.postings.0 + 4 + (self.count(self.postings) as usize + 1) * 8
    }

    fn pairs_of(&self, name: u32) -> Option<std::ops::Range<u32>> {
        let (mut from, mut to) = (0, self.count(self.postings));
        while from < to {
            let middle = from + (to - from) / 2;
            let (have, first) = self.name(middle)?;
            match have.cmp(&name) {
                std::cmp::Ordering::Equal => return Some(first..self.name(middle + 1)?.1),
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        None
    }

    /// A value and the place of its posting list.
    fn pair(&self, at: u32) -> Option<(u32, u32)> {
        let place = self.pairs() + at as usize * 8;
        Some((self.word(place)?, self.word(place + 4)?))
    }

    fn add_list(&self, pair: u32, to: &mut RoaringBitmap) -> Option<()> {
        let all = self.name(self.count(self.postings))?.1;
        let lists = self.pairs() + (all as usize + 1) * 8;
        let (from, end) = (self.pair(pair)?.1 as usize, self.pair(pair + 1)?.1 as usize);
        let mut from = Cursor(self.content().get(lists + from..lists + end)?);
        if from.u8()? == FEW {
            let mut last = 0;
            while !from.0.is_empty() {
                last += from.varint()? as u32;
                to.insert(last);
            }
        } else {
            *to |= RoaringBitmap::deserialize_from(from.0).ok()?;
        }
        Some(())
    }
}

/// A posting list of this kind is its numbers, each as the distance to the one before.
pub(crate) const FEW: u8 = 0;
/// A posting list of this kind is a roaring bitmap in its portable format.
pub(crate) const MANY: u8 = 1;

impl Postings for Block {
    fn all(&self) -> RoaringBitmap {
        (0..self.count(self.series)).collect::<RoaringBitmap>() - &self.gone().whole
    }

    fn add(&self, name: &str, value: &str, to: &mut RoaringBitmap) {
        let find = || {
            let (name, value) = (self.find_symbol(name)?, self.find_symbol(value)?);
            let (mut from, mut end) = self.pairs_of(name).map(|pairs| (pairs.start, pairs.end))?;
            while from < end {
                let middle = from + (end - from) / 2;
                match self.pair(middle)?.0.cmp(&value) {
                    std::cmp::Ordering::Equal => return Some(middle),
                    std::cmp::Ordering::Less => from = middle + 1,
                    std::cmp::Ordering::Greater => end = middle,
                }
            }
            None
        };
        if let Some(pair) = find() {
            self.add_list(pair, to);
        }
    }

    fn add_where(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool, to: &mut RoaringBitmap) {
        let pairs = self.find_symbol(name).and_then(|name| self.pairs_of(name)).unwrap_or(0..0);
        for pair in pairs {
            if self.pair(pair).is_some_and(|(value, _)| wanted(self.symbol(value))) {
                self.add_list(pair, to);
            }
        }
    }
}
