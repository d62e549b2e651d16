//! The index of a block: label names and values, entries of series, postings. Mapped, and read in place.
//!
//! Nothing of it is read when a block is opened: a start with millions of series in blocks takes no time. Its pages have
//! a checksum each, which is looked at when a page is first touched. What lies in a damaged page is not there for the
//! reader, who must ask [`BlockIndex::is_damaged`] before it relies on what it did not find.
//!
//! Version 1 has one checksum for each part; those blocks are checked whole when they are opened. Versions 1 and 2 have
//! an entry of its own for each series.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use roaring::RoaringBitmap;
use watchbell_runtime::disk::Mapped;

use super::block::Meta;
use super::block_entries::{GROUP, Reader};
use super::bytes::Cursor;
use super::matching::{Postings, Union};

pub(crate) const MAGIC: [u8; 8] = *b"WBBLOCK\x04";
/// As version 4, but that the checksum of the table does not cover it: one bit turns it into [`MAGIC_2`].
const MAGIC_3: [u8; 8] = *b"WBBLOCK\x03";
const MAGIC_2: [u8; 8] = *b"WBBLOCK\x02";
const MAGIC_1: [u8; 8] = *b"WBBLOCK\x01";
pub(crate) const END: [u8; 8] = *b"WBBLKEND";
/// Offset, length, checksum.
const SECTION: usize = 20;
/// The checksum of the table, [`END`].
const TAIL: usize = 4 + END.len();
/// Bytes with one checksum.
pub(crate) const PAGE: usize = 16 << 10;

/// A posting list of this kind is its numbers, each as the distance to the one before.
pub(crate) const FEW: u8 = 0;
/// A posting list of this kind is a roaring bitmap in its portable format.
pub(crate) const MANY: u8 = 1;

pub(crate) struct BlockIndex {
    map: Mapped,
    version: u8,
    symbols: Range<usize>,
    series: Range<usize>,
    postings: Range<usize>,
    /// What has pages: symbols, series and postings, one behind the other.
    paged: Range<usize>,
    /// How many series there are; only since version 3, before that `series` says so.
    count: u32,
    /// The checksums of the pages; empty in version 1.
    sums: Range<usize>,
    /// A bit for each page whose checksum fits.
    checked: Box<[AtomicU64]>,
    damaged: AtomicBool,
}

/// The checksum of a block's table and of what the block begins with.
pub(crate) fn sum_of_table(table: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(table), &MAGIC)
}

impl BlockIndex {
    /// Finds the parts of a block; the error says in words how it is damaged.
    pub(crate) fn open(map: Mapped) -> Result<(BlockIndex, Meta), &'static str> {
        let bytes = (*map).as_ref();
        let version = match bytes.get(..MAGIC.len()) {
            Some(magic) if magic == MAGIC => 4,
            Some(magic) if magic == MAGIC_3 => 3,
            Some(magic) if magic == MAGIC_2 => 2,
            Some(magic) if magic == MAGIC_1 => 1,
            _ => return Err("it does not begin as a block of a known version"),
        };
        let footer = if version == 1 { 4 } else { 5 } * SECTION + TAIL;
        let footer = bytes.len().checked_sub(footer).filter(|at| *at >= MAGIC.len()).ok_or("it is cut short")?;
        let mut from = Cursor(&bytes[footer..]);
        let table = from.take(bytes.len() - TAIL - footer).expect("a footer is longer");
        let sum = if version > 3 { sum_of_table(table) } else { crc32c::crc32c(table) };
        if from.u32() != Some(sum) || from.0 != END {
            return Err("it is cut short, or its end is damaged");
        }
        let mut sections = [const { 0..0 }; 5];
        let mut from = Cursor(table);
        for (at, section) in sections.iter_mut().enumerate().take(table.len() / SECTION) {
            let (offset, len, sum) = (from.u64(), from.u64(), from.u32());
            let offset = offset.unwrap_or(u64::MAX).min(footer as u64) as usize;
            let end = offset.saturating_add(len.unwrap_or(u64::MAX) as usize).min(footer);
            if (version == 1 || at >= 3) && sum != Some(crc32c::crc32c(&bytes[offset..end])) {
                return Err("a checksum of its index does not fit");
            }
            *section = offset..end;
        }
        let [symbols, series, postings, meta, sums] = sections;
        let meta = Meta::decode(&bytes[meta]).ok_or("its description makes no sense")?;
        let paged = symbols.start..postings.end;
        let pages = sums.len() / 4;
        if version > 1 && pages != paged.len().div_ceil(PAGE) {
            return Err("its description makes no sense");
        }
        let checked = std::iter::repeat_with(AtomicU64::default).take(pages.div_ceil(64)).collect();
        let damaged = AtomicBool::new(false);
        // Whatever it says, each group takes four bytes at least.
        let count = meta.series.min(series.len() as u64 / 4 * u64::from(GROUP)) as u32;
        // Whoever walks over all series believes the description.
        if meta.series > u64::from(count) {
            return Err("its description makes no sense");
        }
        let index = BlockIndex { map, version, symbols, series, postings, paged, count, sums, checked, damaged };
        Ok((index, meta))
    }

    /// The version of the block's format.
    pub(crate) fn version(&self) -> u8 {
        self.version
    }

    /// All bytes of the block, none of them checked.
    pub(crate) fn content(&self) -> &[u8] {
        (*self.map).as_ref()
    }

    /// Whether a page was touched whose checksum does not fit.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Looks at every page; whether all are whole.
    pub(crate) fn verify(&self) -> bool {
        (0..self.pages()).for_each(|page| _ = self.is_whole(page));
        !self.is_damaged()
    }

    /// How many pages there are; none in version 1.
    pub(crate) fn pages(&self) -> usize {
        self.sums.len() / 4
    }

    /// Whether the checksum of a page fits.
    pub(crate) fn is_whole(&self, page: usize) -> bool {
        let (word, bit) = (&self.checked[page / 64], 1_u64 << (page % 64));
        if word.load(Ordering::Relaxed) & bit != 0 {
            return true;
        }
        let from = self.paged.start + page * PAGE;
        let content = &self.content()[from..(from + PAGE).min(self.paged.end)];
        let sum = &self.content()[self.sums.start + page * 4..][..4];
        let whole = crc32c::crc32c(content).to_le_bytes() == sum;
        if whole {
            word.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.damaged.store(true, Ordering::Relaxed);
        }
        whole
    }

    /// Some bytes of the index, if they are whole.
    fn bytes(&self, from: usize, to: usize) -> Option<&[u8]> {
        if from > to || from < self.paged.start || to > self.paged.end {
            return None;
        }
        if self.version > 1 && from < to {
            let pages = (from - self.paged.start) / PAGE..=(to - 1 - self.paged.start) / PAGE;
            if !pages.into_iter().all(|page| self.is_whole(page)) {
                return None;
            }
        }
        self.content().get(from..to)
    }

    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(at, at.checked_add(4)?)?.try_into().ok()?))
    }

    fn count(&self, section: &Range<usize>) -> u32 {
        // Whatever it says, each takes four bytes at least.
        self.word(section.start).unwrap_or(0).min((section.len() / 4) as u32)
    }

    /// An item of a section that is a count, one offset more than items, and the items.
    fn item(&self, section: &Range<usize>, at: u32) -> Option<&[u8]> {
        self.content().get(self.place(section, at)?)
    }

    /// Where in the file an item is.
    fn place(&self, section: &Range<usize>, at: u32) -> Option<Range<usize>> {
        let count = self.count(section);
        if at >= count {
            return None;
        }
        let items = section.start + 4 * (count as usize + 2);
        let place = section.start + 4 * (at as usize + 1);
        let (from, to) = (self.word(place)? as usize, self.word(place + 4)? as usize);
        self.bytes(items.checked_add(from)?, items.checked_add(to)?)?;
        Some(items + from..items + to)
    }

    /// How many series there are.
    pub(crate) fn series(&self) -> u32 {
        if self.version > 2 { self.count } else { self.count(&self.series) }
    }

    /// Where in the file the entries of a group of series are, or, before version 3, the one of a series. Series are in
    /// the order of their labels.
    pub(crate) fn entries(&self, at: u32) -> Option<Range<usize>> {
        self.place(&self.series, at)
    }

    pub(crate) fn symbol_count(&self) -> u32 {
        self.count(&self.symbols)
    }

    /// Names and values are sorted.
    pub(crate) fn symbol(&self, at: u32) -> &str {
        self.item(&self.symbols, at).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("")
    }

    /// The place of the first symbol that is `text` or comes after it.
    fn symbol_from(&self, text: &str) -> u32 {
        first(0..self.symbol_count(), |at| self.symbol(at) >= text)
    }

    pub(crate) fn find_symbol(&self, text: &str) -> Option<u32> {
        Some(self.symbol_from(text)).filter(|at| *at < self.symbol_count() && self.symbol(*at) == text)
    }

    /// How many label names there are.
    fn names(&self) -> u32 {
        self.count(&self.postings)
    }

    fn name_width(&self) -> usize {
        if self.version == 1 { 8 } else { 12 }
    }

    /// A label name and the place of its first pair.
    fn name_at(&self, at: u32) -> Option<(u32, u32)> {
        let place = self.postings.start + 4 + at as usize * self.name_width();
        Some((self.word(place)?, self.word(place + 4)?))
    }

    /// Where the table of pairs begins: behind the names and one more, which only ends the last one's pairs.
    fn pairs(&self) -> usize {
        self.postings.start + 4 + (self.names() as usize + 1) * self.name_width()
    }

    /// The pairs of a name, by their values.
    fn pairs_of(&self, name: u32) -> Range<u32> {
        let most = (self.postings.len() / 8) as u32;
        let range = || Some(self.name_at(name)?.1..self.name_at(name + 1)?.1.min(most));
        range().unwrap_or(0..0)
    }

    /// A value and the place of its posting list.
    fn pair_at(&self, at: u32) -> Option<(u32, u32)> {
        let place = self.pairs() + at as usize * 8;
        Some((self.word(place)?, self.word(place + 4)?))
    }

    /// The posting list of a pair: its kind, then its content.
    fn list(&self, pair: u32) -> Option<(u8, &[u8])> {
        let all = self.name_at(self.names())?.1;
        let lists = self.pairs() + (all as usize + 1) * 8;
        let (from, end) = (self.pair_at(pair)?.1 as usize, self.pair_at(pair + 1)?.1 as usize);
        let (kind, list) = self.bytes(lists + from, lists + end)?.split_first()?;
        Some((*kind, list))
    }

    /// All label names.
    pub(crate) fn name_texts(&self) -> impl Iterator<Item = &str> {
        (0..self.names()).filter_map(|at| Some(self.symbol(self.name_at(at)?.0)))
    }
}

impl Postings for BlockIndex {
    type Place = Reader;

    fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.series());
        all
    }

    fn name(&self, name: &str) -> Option<u32> {
        let symbol = self.find_symbol(name)?;
        let at = first(0..self.names(), |at| self.name_at(at).is_none_or(|(have, _)| have >= symbol));
        (at < self.names() && self.name_at(at)?.0 == symbol).then_some(at)
    }

    /// Not known in version 1.
    fn is_everywhere(&self, name: u32) -> bool {
        let count = || self.word(self.postings.start + 4 + name as usize * self.name_width() + 8);
        self.version > 1 && count() == Some(self.series())
    }

    fn value_count(&self, name: u32) -> u64 {
        self.pairs_of(name).len() as u64
    }

    fn pair(&self, name: u32, value: &str) -> Option<u32> {
        self.pairs_from(name, value).next().filter(|pair| self.value(*pair) == value)
    }

    fn pairs_from(&self, name: u32, from: &str) -> impl Iterator<Item = u32> {
        let pairs = self.pairs_of(name);
        let symbol = if from.is_empty() { 0 } else { self.symbol_from(from) };
        first(pairs.clone(), |at| self.pair_at(at).is_none_or(|(have, _)| have >= symbol))..pairs.end
    }

    fn value(&self, pair: u32) -> &str {
        self.pair_at(pair).map_or("", |(value, _)| self.symbol(value))
    }

    fn size(&self, pair: u32) -> u64 {
        self.list(pair).map_or(0, |(kind, list)| if kind == FEW { list.len() as u64 } else { list.len() as u64 / 2 })
    }

    fn posting(&self, pair: u32) -> Cow<'_, RoaringBitmap> {
        Cow::Owned(Union::of(self, &[pair]))
    }

    fn gather(&self, pair: u32, to: &mut Union) {
        let Some((kind, list)) = self.list(pair) else { return };
        if kind == FEW {
            let (mut from, mut last) = (Cursor(list), 0_u32);
            while let Some(distance) = from.varint() {
                last = last.saturating_add(distance as u32);
                to.few.push(last);
            }
        } else if let Ok(many) = RoaringBitmap::deserialize_from(list) {
            to.many |= many;
        }
    }

    fn value_of(&self, series: u32, name: u32, place: &mut Reader) -> Option<&str> {
        let symbol = self.name_at(name)?.0;
        place.go(self, series);
        place.labels.iter().find(|(name, _)| *name == symbol).map(|(_, value)| self.symbol(*value))
    }
}

/// The first of a range for which it is so, if it is so for all behind it; the range's end if there is none.
fn first(range: Range<u32>, is_so: impl Fn(u32) -> bool) -> u32 {
    let (mut from, mut to) = (range.start, range.end.max(range.start));
    while from < to {
        let middle = from + (to - from) / 2;
        if is_so(middle) { to = middle } else { from = middle + 1 }
    }
    from
}

/// The checksums of the pages of what is added.
#[derive(Default)]
pub(crate) struct PageSums {
    pub(crate) sums: Vec<u8>,
    open: u32,
    filled: usize,
}

impl PageSums {
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(PAGE - self.filled));
            self.open = crc32c::crc32c_append(self.open, now);
            self.filled += now.len();
            if self.filled == PAGE {
                self.end();
            }
            bytes = rest;
        }
    }

    /// Ends the last page.
    pub(crate) fn end(&mut self) {
        if self.filled > 0 {
            self.sums.extend_from_slice(&self.open.to_le_bytes());
            (self.open, self.filled) = (0, 0);
        }
    }
}
