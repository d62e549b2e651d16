//! The index of a block: every series with its labels and where its chunks are.

use watchbell_model::Labels;

use super::Damage;
use super::cursor::Cursor;

const MAGIC: u32 = 0xBAAA_D700;
/// Magic and version.
const HEADER: usize = 5;
/// Six places and a checksum.
const TOC: usize = 6 * 8 + 4;
/// Since version 2 an entry begins at a multiple of this.
const ALIGNED: usize = 16;

/// An index, its ends checked; entries are checked when they are read.
#[derive(Debug)]
pub(super) struct Index<'a> {
    bytes: &'a [u8],
    version: u8,
    /// By number since version 2; version 1 names symbols by their place in the file.
    symbols: Vec<&'a str>,
    /// Where entries are.
    series: (usize, usize),
}

/// A series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// What tombstones call it.
    pub(super) id: u64,
    pub(super) labels: Labels,
    pub(super) chunks: Vec<ChunkAt>,
}

/// Where a chunk is, and of when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkAt {
    pub(super) first: i64,
    pub(super) last: i64,
    /// Which file, from zero.
    pub(super) segment: u32,
    pub(super) offset: usize,
}

impl<'a> Index<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Index<'a>, Damage> {
        let bad = |reason: &str| Damage::new("index", reason);
        let mut from = Cursor(bytes);
        if from.u32() != Some(MAGIC) {
            return Err(bad("it does not begin as an index"));
        }
        let version = from.u8().unwrap_or(0);
        if !(1..=3).contains(&version) {
            return Err(bad(&format!("its version {version} is not known")));
        }
        let toc = bytes.len().checked_sub(TOC).filter(|at| *at >= HEADER).ok_or_else(|| bad("it is cut short"))?;
        let mut from = Cursor(&bytes[toc..]);
        let places = from.take(48).expect("as long as that");
        if from.u32() != Some(crc32c::crc32c(places)) {
            return Err(bad("it is cut short, or its end is damaged"));
        }
        let mut from = Cursor(places);
        let places: Vec<usize> = (0..6).map(|_| from.u64().map_or(0, |at| at.min(toc as u64) as usize)).collect();
        let (symbols, begin) = (places[0], places[1]);
        // Whatever comes next ends the series; sections that are left out are said to be at zero.
        let end = places.iter().copied().filter(|at| *at > begin).min().unwrap_or(toc);
        let symbols = Index::symbols(bytes, symbols).ok_or_else(|| bad("its table of symbols is damaged"))?;
        Ok(Index { bytes, version, symbols, series: (begin.max(HEADER), end) })
    }

    fn symbols(bytes: &'a [u8], at: usize) -> Option<Vec<&'a str>> {
        let mut from = Cursor(bytes.get(at..)?);
        let len = from.u32()? as usize;
        let content = from.take(len)?;
        if from.u32()? != crc32c::crc32c(content) {
            return None;
        }
        let mut from = Cursor(content);
        let count = from.u32()? as usize;
        if count > content.len() {
            return None;
        }
        (0..count).map(|_| from.text()).collect()
    }

    fn symbol(&self, at: u64) -> Option<&'a str> {
        let at = usize::try_from(at).ok()?;
        if self.version == 1 { Cursor(self.bytes.get(at..)?).text() } else { self.symbols.get(at).copied() }
    }

    /// All series in the order of the file; a damaged entry is told of, and the next one that is whole goes on.
    pub(super) fn series(&self) -> Entries<'_, 'a> {
        Entries { index: self, at: self.series.0, lost: false }
    }

    /// The entry at a place and where it ends; `None` if its checksum does not fit or it makes no sense.
    fn entry(&self, at: usize) -> Option<(Entry, usize)> {
        let mut from = Cursor(self.bytes.get(at..self.series.1)?);
        let len = from.count()?;
        let content = from.take(len)?;
        if from.u32()? != crc32c::crc32c(content) {
            return None;
        }
        let end = self.series.1 - from.0.len();
        let mut from = Cursor(content);
        let mut pairs = Vec::new();
        for _ in 0..from.count()? {
            pairs.push((self.symbol(from.uvarint()?)?, self.symbol(from.uvarint()?)?));
        }
        let mut chunks: Vec<ChunkAt> = Vec::new();
        let mut place = 0_i64;
        for at in 0..from.count()? {
            let before = chunks.last().map(|chunk| chunk.last);
            let first = match before {
                None => from.varint()?,
                Some(last) => last.wrapping_add(from.uvarint()? as i64),
            };
            let last = first.wrapping_add(from.uvarint()? as i64);
            place = if at == 0 { from.uvarint()? as i64 } else { place.wrapping_add(from.varint()?) };
            let (segment, offset) = ((place as u64 >> 32) as u32, (place as u64 & 0xffff_ffff) as usize);
            chunks.push(ChunkAt { first, last, segment, offset });
        }
        let id = if self.version == 1 { at } else { at / ALIGNED } as u64;
        Some((Entry { id, labels: Labels::from_pairs(pairs), chunks }, end))
    }

    fn align(&self, at: usize) -> usize {
        if self.version == 1 { at } else { at.next_multiple_of(ALIGNED) }
    }
}

/// See [`Index::series`].
pub(super) struct Entries<'i, 'a> {
    index: &'i Index<'a>,
    at: usize,
    lost: bool,
}

impl Iterator for Entries<'_, '_> {
    type Item = Result<Entry, Damage>;

    fn next(&mut self) -> Option<Result<Entry, Damage>> {
        loop {
            self.at = self.index.align(self.at);
            if self.at >= self.index.series.1 {
                return None;
            }
            // Padding behind the last entry.
            if self.index.bytes[self.at..self.index.series.1].iter().take(ALIGNED).all(|byte| *byte == 0) {
                self.at += ALIGNED;
                continue;
            }
            match self.index.entry(self.at) {
                Some((entry, end)) => {
                    self.lost = false;
                    self.at = end;
                    return Some(Ok(entry));
                }
                None => {
                    let at = self.at;
                    self.at += 1;
                    if !std::mem::replace(&mut self.lost, true) {
                        return Some(Err(Damage::new(format!("index at {at}"), "an entry of a series is damaged")));
                    }
                }
            }
        }
    }
}
