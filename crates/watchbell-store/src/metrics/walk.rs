//! Going through the series that pass, in the order of their labels, with where their samples are: in blocks, in the
//! head, in both. One series at a time; nothing is read but indexes, and no lock is held between two of them.
//!
//! What moves from the head into a block while somebody goes through is missed by nobody: blocks serve before their
//! samples leave the head, so whoever finds other blocks serving after a look at the head looks into those too.

use std::ops::ControlFlow;
use std::sync::Arc;

use roaring::RoaringBitmap;
use watchbell_model::{Labels, Matcher, QueryError, SeriesRef, Start};

use super::Inner;
use super::block::{Block, ChunkRef};
use super::block_entries::Reader;
use super::blocks::Serving;
use super::chunk::{CHUNK_MAX, Kind};
use super::head_order::HeadOrder;
use super::matching::matching;
use super::series::Part;

/// Where samples of a series are.
#[derive(Default)]
pub(crate) struct Pieces {
    /// In the order in which they were written: the block, the number of the series in it, chunks by time.
    pub(crate) blocks: Vec<(Arc<Block>, u32, Vec<ChunkRef>)>,
    pub(crate) head: Option<Part>,
    /// In coarser copies, where samples were forgotten: as in `blocks`, and the stretches of time the copy speaks for.
    pub(crate) past: Vec<(Arc<Block>, u32, Vec<ChunkRef>, Vec<(i64, i64)>)>,
    /// Since when the samples in blocks count.
    pub(crate) starts: Vec<Start>,
}

impl Pieces {
    fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.head.is_none() && self.past.is_empty()
    }

    /// About how many numbers there are from `start` to `end`.
    pub(crate) fn count(&self, start: i64, end: i64) -> usize {
        let blocks = self.blocks.iter().flat_map(|(_, _, chunks)| chunks);
        let blocks = blocks.filter(|chunk| chunk.kind == Kind::Floats);
        let head = self.head.as_ref().map_or(0, |part| part.count(start, end));
        blocks.map(|chunk| share((chunk.first, chunk.last), chunk.count, (start, end))).sum::<usize>() + head
    }
}

/// About how many of a chunk's samples lie in some time. What a damaged index says of their number is not believed.
pub(crate) fn share((first, last): (i64, i64), count: usize, (start, end): (i64, i64)) -> usize {
    let count = count.min(CHUNK_MAX);
    if first >= start && last <= end {
        return count;
    }
    let within = last.min(end).saturating_sub(first.max(start)).max(0);
    (within as f64 / last.saturating_sub(first).max(1) as f64 * count as f64) as usize + 1
}

/// The series of a block that pass, at one of them.
struct InBlock {
    block: Arc<Block>,
    /// Of a coarser copy: the stretches of time it speaks for.
    past: Option<Vec<(i64, i64)>>,
    series: RoaringBitmap,
    reader: Reader,
    /// How many are behind us.
    passed: u64,
    /// The one we are at, unless there is no further one.
    at: Option<(u32, Labels)>,
    /// Its labels as places in the symbols.
    places: Vec<(u32, u32)>,
}

impl InBlock {
    /// The first one behind `last`.
    fn new(block: &Arc<Block>, matchers: &[Matcher], last: Option<&Labels>) -> InBlock {
        let series = matching(&block.index, matchers);
        let mut found = InBlock {
            block: Arc::clone(block),
            past: None,
            series,
            reader: Reader::default(),
            passed: 0,
            at: None,
            places: Vec::new(),
        };
        if let Some(last) = last {
            let (mut from, mut to) = (0, found.series.len());
            while from < to {
                let middle = from + (to - from) / 2;
                let is_behind = found.labels(middle).is_none_or(|labels| labels > *last);
                if is_behind { to = middle } else { from = middle + 1 }
            }
            found.passed = from;
        }
        found.look();
        found
    }

    fn labels(&self, place: u64) -> Option<Labels> {
        self.series.select(place as u32).map(|series| self.block.labels(series))
    }

    fn look(&mut self) {
        let series = self.series.select(self.passed as u32);
        // Neighbours have most of their labels in common.
        let before = self.at.take().map(|(_, labels)| labels).unwrap_or_else(Labels::empty);
        self.at = series.map(|series| {
            let labels = self.block.labels_like(&mut self.reader, series, &self.places, &before);
            self.places.clone_from(&self.reader.labels);
            (series, labels)
        });
    }

    fn pass(&mut self) {
        self.passed += 1;
        self.look();
    }
}

/// On the way through the series that pass and may have samples in some time.
pub(crate) struct Walk<'a> {
    inner: &'a Inner,
    matchers: &'a [Matcher],
    start: i64,
    end: i64,
    head: HeadOrder<'a>,
    in_head: Option<(SeriesRef, Labels)>,
    serving: Serving,
    blocks: Vec<InBlock>,
    last: Option<Labels>,
}

impl Walk<'_> {
    /// The next series and where its samples are.
    pub(crate) fn next(&mut self) -> Result<Option<(Labels, Pieces)>, QueryError> {
        let (start, end) = (self.start, self.end);
        loop {
            let mut next = self.in_head.as_ref().map(|(_, labels)| labels);
            for (_, labels) in self.blocks.iter().filter_map(|block| block.at.as_ref()) {
                next = Some(next.map_or(labels, |next| next.min(labels)));
            }
            let part = match &self.in_head {
                Some((series, labels)) if next == Some(labels) => self.inner.head_part(*series, start, end),
                _ => None,
            };
            let now = self.inner.blocks.serving();
            if !Arc::ptr_eq(&now, &self.serving) {
                // What is behind us had its part of the head taken while the blocks of then served.
                let known = std::mem::take(&mut self.blocks);
                self.blocks = self.inner.in_blocks(&now, known, self.matchers, (start, end), self.last.as_ref())?;
                self.serving = now;
                continue;
            }
            let Some(next) = next.cloned() else { return Ok(None) };
            let mut pieces = Pieces { head: part, ..Pieces::default() };
            if self.in_head.as_ref().is_some_and(|(_, labels)| *labels == next) {
                self.in_head = self.head.next();
            }
            for block in &mut self.blocks {
                if let Some((series, _)) = block.at.as_ref().filter(|(_, labels)| *labels == next) {
                    let chunks = block.block.chunks_by(&mut block.reader, *series, start, end);
                    if let Some(past) = block.past.as_ref().filter(|_| !chunks.is_empty()) {
                        pieces.past.push((Arc::clone(&block.block), *series, chunks, past.clone()));
                    } else if !chunks.is_empty() {
                        pieces.starts.extend_from_slice(&block.reader.starts);
                        pieces.blocks.push((Arc::clone(&block.block), *series, chunks));
                    }
                    block.pass();
                    self.inner.whole(&block.block)?;
                }
            }
            self.last = Some(next.clone());
            if !pieces.is_empty() {
                return Ok(Some((next, pieces)));
            }
        }
    }
}

impl Inner {
    /// A way through all series that pass and may have samples from `start` to `end`.
    pub(crate) fn way<'a>(&'a self, matchers: &'a [Matcher], (start, end): (i64, i64)) -> Result<Walk<'a>, QueryError> {
        // The head first: what is sealed meanwhile is then found twice, never missed.
        let mut head = HeadOrder::new(&self.heads, matchers);
        let in_head = head.next();
        let serving = self.blocks.serving();
        let blocks = self.in_blocks(&serving, Vec::new(), matchers, (start, end), None)?;
        Ok(Walk { inner: self, matchers, start, end, head, in_head, serving, blocks, last: None })
    }

    /// Goes through all series that pass and may have samples from `start` to `end`, until `visit` says that it is
    /// enough or fails.
    pub(crate) fn walk(
        &self,
        matchers: &[Matcher],
        start: i64,
        end: i64,
        visit: &mut dyn FnMut(Labels, Pieces) -> Result<ControlFlow<()>, QueryError>,
    ) -> Result<(), QueryError> {
        let mut way = self.way(matchers, (start, end))?;
        while let Some((labels, pieces)) = way.next()? {
            if visit(labels, pieces)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// What the head has of a series, if it still knows it.
    fn head_part(&self, series: SeriesRef, start: i64, end: i64) -> Option<Part> {
        let index = self.heads.index();
        let part = self.heads.part(index.known(series)?, start, end);
        Some(part).filter(|part| !part.is_empty())
    }

    /// Those that serve now, each at the first series behind `last`; those of `known` that still serve stay where they are.
    fn in_blocks(
        &self,
        serving: &Serving,
        mut known: Vec<InBlock>,
        matchers: &[Matcher],
        (start, end): (i64, i64),
        last: Option<&Labels>,
    ) -> Result<Vec<InBlock>, QueryError> {
        let mut found = Vec::new();
        for block in serving.iter().filter(|block| block.overlaps(start, end)) {
            match known.iter().position(|known| Arc::ptr_eq(&known.block, block)) {
                Some(at) => found.push(known.swap_remove(at)),
                None => {
                    self.uncut(block)?;
                    found.push(InBlock::new(block, matchers, last));
                    self.whole(block)?;
                }
            }
        }
        for (block, past) in self.bygone(start, end) {
            self.uncut(&block)?;
            let mut in_block = InBlock::new(&block, matchers, last);
            in_block.past = Some(past);
            found.push(in_block);
            self.whole(&block)?;
        }
        Ok(found)
    }
}
