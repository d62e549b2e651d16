//! What the index of a block says of each series: its labels, and where its chunks are.
//!
//! Neighbours have most of it in common, so entries lie in groups, each told by what it has other than the one before;
//! a reader goes through a group from its beginning. Small chunks lie in the entry itself. Layout:
//! `docs/formats/metrics.md`.

use watchbell_model::Start;

use super::block_index::BlockIndex;
use super::bytes::{Cursor, put_signed, put_varint};
use super::chunk::{Encoded, Kind};
use super::starts;

/// Series of one group.
pub(crate) const GROUP: u32 = 16;
/// A chunk up to this length lies in the entry of its series, where the checksum of the page is its own.
pub(crate) const INSIDE_MAX: usize = 40;

/// Bytes before a chunk that lies outside.
const CHECKSUM: usize = 4;

/// The names of the labels are those of the series before.
const LIKE_NAMES: u8 = 1;
/// The chunks are of the kinds and times of those of the series before.
const LIKE_EXTENTS: u8 = 2;
/// Behind the chunks it is said when counting began.
const STARTS: u8 = 4;

/// How many bits of an entry's number of chunks are flags, in version 2.
const FLAGS_2: u32 = 2;
/// Flag of version 2: each chunk of the entry says its kind; without it all are floats.
const MIXED_2: u64 = 1;
/// Flag of version 2: behind the chunks the entry says when counting began.
const STARTS_2: u64 = 2;

/// What a chunk covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) kind: Kind,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) count: usize,
}

/// A chunk and where its bytes are in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) extent: Extent,
    pub(crate) offset: usize,
    /// With the checksum, if there is one.
    pub(crate) len: usize,
    /// Whether that is in the entry: then there is no checksum before them.
    pub(crate) inside: bool,
}

/// Entries on their way into a block.
#[derive(Default)]
pub(crate) struct Group {
    bytes: Vec<u8>,
    series: u32,
    labels: Vec<(u32, u32)>,
    extents: Vec<Extent>,
}

impl Group {
    /// Adds a series; `outside` is where the first of its chunks is that is not in its entry.
    pub(crate) fn add(&mut self, labels: &[(u32, u32)], chunks: &[Encoded], starts: &[Start], outside: u64) {
        let out = &mut self.bytes;
        if self.series == 0 {
            put_varint(out, outside);
        }
        let extents: Vec<Extent> = chunks.iter().map(Encoded::extent).collect();
        let names = |labels: &[(u32, u32)]| labels.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let like_names = self.series > 0 && labels.len() <= 64 && names(labels) == names(&self.labels);
        let like_extents = self.series > 0 && extents == self.extents;
        let flag = |is: bool, flag| if is { flag } else { 0 };
        let flags = flag(like_names, LIKE_NAMES) | flag(like_extents, LIKE_EXTENTS) | flag(!starts.is_empty(), STARTS);
        out.push(flags);
        if like_names {
            let other = |at: &usize| labels[*at] != self.labels[*at];
            put_varint(out, (0..labels.len()).filter(other).fold(0, |mask, at| mask | 1 << at));
            for at in (0..labels.len()).filter(other) {
                put_signed(out, i64::from(labels[at].1) - i64::from(self.labels[at].1));
            }
        } else {
            put_varint(out, labels.len() as u64);
            for (name, value) in labels {
                put_varint(out, u64::from(*name));
                put_varint(out, u64::from(*value));
            }
        }
        if !like_extents {
            put_varint(out, extents.len() as u64);
            let mut last = 0;
            for extent in &extents {
                put_varint(out, (extent.count as u64) << 2 | u64::from(extent.kind.code()));
                put_signed(out, extent.first.wrapping_sub(last));
                put_varint(out, extent.last.wrapping_sub(extent.first) as u64);
                last = extent.last;
            }
        }
        for chunk in chunks {
            put_varint(out, (chunk.bytes.len() as u64) << 1 | u64::from(is_inside(chunk)));
            if is_inside(chunk) {
                out.extend_from_slice(&chunk.bytes);
            }
        }
        if !starts.is_empty() {
            starts::encode(starts, out);
        }
        self.labels.clear();
        self.labels.extend_from_slice(labels);
        self.extents = extents;
        self.series += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.series == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.series == GROUP
    }

    /// The bytes of the group; the next one begins.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        self.series = 0;
        std::mem::take(&mut self.bytes)
    }
}

/// Whether a chunk lies in its series' entry.
pub(crate) fn is_inside(chunk: &Encoded) -> bool {
    chunk.bytes.len() <= INSIDE_MAX
}

/// Reads entries; going on to one that follows costs less than looking for any other.
#[derive(Default)]
pub(crate) struct Reader {
    /// The series whose entry this is.
    at: Option<u32>,
    /// Names and values as places in the symbols, in the order of names.
    pub(crate) labels: Vec<(u32, u32)>,
    /// Chunks: each kind in the order of time.
    pub(crate) parts: Vec<Part>,
    /// Since when it counts.
    pub(crate) starts: Vec<Start>,
    extents: Vec<Extent>,
    /// From where in the file the group goes on, and where it ends.
    next: usize,
    end: usize,
    /// Where the next chunk is that lies outside.
    outside: usize,
}

impl Reader {
    /// Reads the entry of a series; `false`, and nothing is known of it, if there is none or it lies in a damaged page.
    pub(crate) fn go(&mut self, index: &BlockIndex, series: u32) -> bool {
        if self.at == Some(series) {
            return true;
        }
        let from = self.at.take();
        let read = if index.version() < 3 { self.read_alone(index, series) } else { self.go_on(index, from, series) };
        if read.is_some() {
            self.at = Some(series);
        } else {
            *self = Reader::default();
        }
        read.is_some()
    }

    /// From the series it was at, if that is before this one in its group.
    fn go_on(&mut self, index: &BlockIndex, from: Option<u32>, series: u32) -> Option<()> {
        if series >= index.series() {
            return None;
        }
        let group = series / GROUP;
        let mut next = match from.filter(|from| from / GROUP == group && *from < series) {
            Some(from) => from + 1,
            None => {
                let span = index.entries(group)?;
                let mut from = Cursor(index.content().get(span.clone())?);
                self.outside = usize::try_from(from.varint()?).ok()?;
                (self.next, self.end) = (span.end - from.0.len(), span.end);
                self.labels.clear();
                self.extents.clear();
                group * GROUP
            }
        };
        while next <= series {
            self.read(index)?;
            next += 1;
        }
        Some(())
    }

    fn read(&mut self, index: &BlockIndex) -> Option<()> {
        let mut from = Cursor(index.content().get(self.next..self.end)?);
        let flags = from.u8()?;
        if flags & LIKE_NAMES != 0 {
            let mut mask = from.varint()?;
            while mask != 0 {
                let (_, value) = self.labels.get_mut(mask.trailing_zeros() as usize)?;
                *value = value.wrapping_add(from.signed()? as u32);
                mask &= mask - 1;
            }
        } else {
            self.labels.clear();
            for _ in 0..from.varint()? {
                self.labels.push((from.varint()? as u32, from.varint()? as u32));
            }
        }
        if flags & LIKE_EXTENTS == 0 {
            self.extents.clear();
            let mut last = 0_i64;
            for _ in 0..from.varint()? {
                let count = from.varint()?;
                let first = last.wrapping_add(from.signed()?);
                last = first.wrapping_add(from.varint()? as i64);
                let kind = Kind::of((count & 3) as u8)?;
                self.extents.push(Extent { kind, first, last, count: usize::try_from(count >> 2).ok()? });
            }
        }
        self.parts.clear();
        for extent in &self.extents {
            let len = from.varint()?;
            let (len, inside) = (usize::try_from(len >> 1).ok()?, len & 1 != 0);
            let (offset, len) = if inside {
                let offset = self.end - from.0.len();
                from.take(len)?;
                (offset, len)
            } else {
                let (offset, len) = (self.outside, len.checked_add(CHECKSUM)?);
                self.outside = offset.checked_add(len)?;
                (offset, len)
            };
            self.parts.push(Part { extent: *extent, offset, len, inside });
        }
        self.starts = if flags & STARTS != 0 { starts::decode(&mut from)? } else { Vec::new() };
        self.next = self.end - from.0.len();
        Some(())
    }

    /// An entry of version 1 or 2.
    fn read_alone(&mut self, index: &BlockIndex, series: u32) -> Option<()> {
        let span = index.entries(series)?;
        let mut from = Cursor(index.content().get(span)?);
        self.labels.clear();
        for _ in 0..from.varint()? {
            self.labels.push((from.varint()? as u32, from.varint()? as u32));
        }
        let count = from.varint()?;
        let (count, flags) =
            if index.version() > 1 { (count >> FLAGS_2, count & ((1 << FLAGS_2) - 1)) } else { (count, 0) };
        let mut offset = usize::try_from(from.varint()?).ok()?;
        let mut last = 0_i64;
        self.parts.clear();
        for _ in 0..count {
            let kind = if flags & MIXED_2 != 0 { Kind::of(from.u8()?)? } else { Kind::Floats };
            let first = last.wrapping_add(from.signed()?);
            last = first.wrapping_add(from.varint()? as i64);
            let (count, len) = (from.varint()? as usize, from.varint()? as usize);
            self.parts.push(Part { extent: Extent { kind, first, last, count }, offset, len, inside: false });
            offset = offset.checked_add(len)?;
        }
        self.starts = if flags & STARTS_2 != 0 { starts::decode(&mut from)? } else { Vec::new() };
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use watchbell_model::Timestamp;
    use watchbell_runtime::sim;

    use super::super::block::Block;
    use super::super::block_writer::BlockWriter;
    use super::*;

    type Written = (Vec<(u32, u32)>, Vec<(usize, i64, i64, usize)>, Vec<(i64, i64)>);

    /// Labels, chunks (bytes, first, length, samples), starts: often those of the series before.
    fn series() -> impl Strategy<Value = Vec<Written>> {
        let labels = prop::collection::btree_map(0..4_u32, 0..6_u32, 1..4).prop_map(|map| map.into_iter().collect());
        let chunk = (prop_oneof![Just(3), Just(INSIDE_MAX), Just(INSIDE_MAX + 1), 0..200_usize], 0..9_i64, 0..9_i64);
        let chunk = (chunk, 1..9_usize).prop_map(|((bytes, first, length), count)| (bytes, first, length, count));
        let chunks = prop_oneof![
            2 => Just(vec![(5, 1_700_000_000_000, 7_200_000, 480)]),
            1 => prop::collection::vec(chunk, 1..4),
        ];
        let starts = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec((0..99_i64, 0..99_i64), 1..3)];
        prop::collection::vec((labels, chunks, starts), 1..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn what_was_written_is_read_in_any_order(mut written in series(), order in prop::collection::vec(any::<u32>(), 40)) {
            sim::run(1, |world| async move {
                written.sort_by(|a, b| a.0.cmp(&b.0));
                let (disk, path) = (world.runtime().disk, Path::new("/b"));
                let symbols: Vec<String> = (0..10).map(|number| format!("s{number}")).collect();
                let mut writer = BlockWriter::begin(&disk, path, &symbols, 1, Vec::new()).unwrap();
                let starts = |pairs: &[(i64, i64)]| {
                    let mut from = 0;
                    let start = |(more, start): &(i64, i64)| {
                        from += more + 1;
                        Start { from: Timestamp(from), start: Timestamp(*start) }
                    };
                    pairs.iter().map(start).collect::<Vec<_>>()
                };
                let mut all = Vec::new();
                for (number, (labels, chunks, pairs)) in written.iter().enumerate() {
                    let mut last = 0;
                    let chunk = |(at, (bytes, first, length, count)): (usize, &(usize, i64, i64, usize))| {
                        let first = last + first;
                        last = first + length;
                        let kind = if at % 2 == 0 { Kind::Floats } else { Kind::Histograms };
                        Encoded { kind, first, last, count: *count, bytes: vec![number as u8; *bytes] }
                    };
                    let chunks: Vec<Encoded> = chunks.iter().enumerate().map(chunk).collect();
                    writer.add(labels, &chunks, &starts(pairs)).unwrap();
                    all.push((labels.clone(), chunks, starts(pairs)));
                }
                writer.complete().and_then(|_| writer.place()).unwrap();
                let block = Block::open(&disk, path, 1).unwrap().unwrap();
                let count = all.len() as u32;
                assert_eq!(block.index.series(), count);
                let mut reader = Reader::default();
                for series in order.into_iter().map(|number| number % count).chain(0..count) {
                    let (labels, chunks, starts) = &all[series as usize];
                    assert!(reader.go(&block.index, series));
                    assert_eq!((&reader.labels, &reader.starts), (labels, starts));
                    let found = block.chunks_by(&mut reader, series, i64::MIN, i64::MAX);
                    assert_eq!(found.len(), chunks.len());
                    for (found, chunk) in found.into_iter().zip(chunks) {
                        assert_eq!(block.copy(found), Some(&chunk.bytes[..]));
                        let extent = (found.kind, found.first, found.last, found.count);
                        assert_eq!(extent, (chunk.kind, chunk.first, chunk.last, chunk.count));
                    }
                }
                assert!(!reader.go(&block.index, count));
            });
        }
    }
}
