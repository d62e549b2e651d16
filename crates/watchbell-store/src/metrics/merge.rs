//! Merging: small blocks that were sealed early become one of two hours, those of a finished day one of a day, days one
//! of ten days. Fewer files, longer chunks, and each sample once.
//!
//! One series is in memory at a time. A crash at any step leaves the old blocks or the new one, which names those it
//! was made from.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use watchbell_model::Severity;
use watchbell_runtime::fault;

use super::Inner;
use super::block::{Block, ChunkRef};
use super::block_entries::Reader;
use super::block_writer::BlockWriter;
use super::blocks::display;
use super::both::Both;
use super::chunk::{Effort, Encoded};
use super::series::WINDOW;
use super::starts;

const DAY: i64 = 86_400_000;
/// How much time merged blocks cover; beyond the shortest never more than a tenth of the retention, so that what is too
/// old can go.
const WIDTHS: [i64; 3] = [WINDOW, DAY, 10 * DAY];
/// So many blocks of like size are merged though their span is not over: each of them costs every query a look.
const ALIKE: usize = 8;
/// A block is not alike that is so many times as big as the others are on average.
const UNLIKE: u64 = 3;

/// The blocks to be merged next: at least two that lie within one span of time which is over at `now`, or many within
/// one that goes on; the oldest span first, the narrowest width first.
pub(crate) fn due(blocks: &[Arc<Block>], now: i64, retention: i64) -> Option<Vec<Arc<Block>>> {
    for width in WIDTHS.into_iter().filter(|width| *width == WINDOW || width.saturating_mul(10) <= retention) {
        let mut spans = BTreeMap::<i64, Vec<&Arc<Block>>>::new();
        for block in blocks {
            let span = block.meta.first.div_euclid(width);
            if block.meta.last.div_euclid(width) == span {
                spans.entry(span).or_default().push(block);
            }
        }
        for (span, group) in spans {
            // Late samples still come for one window after the span is over.
            let over = (span + 1).saturating_mul(width).saturating_add(WINDOW + WINDOW / 2) <= now;
            let group = if over {
                in_order(group, blocks)
            } else if width == WINDOW {
                in_order(alike(group), blocks)
            } else {
                continue;
            };
            if group.len() > 1 {
                return Some(group.into_iter().cloned().collect());
            }
        }
    }
    None
}

/// Blocks of like size, next to one another in the order of writing, if they are many.
fn alike(group: Vec<&Arc<Block>>) -> Vec<&Arc<Block>> {
    let mut run = Vec::<&Arc<Block>>::new();
    let mut bytes = 0;
    for block in group {
        let average = bytes / run.len().max(1) as u64;
        if !run.is_empty() && (block.bytes() > average * UNLIKE || block.bytes() * UNLIKE < average) {
            if run.len() >= ALIKE {
                break;
            }
            (run, bytes) = (Vec::new(), 0);
        }
        bytes += block.bytes();
        run.push(block);
    }
    if run.len() >= ALIKE { run } else { Vec::new() }
}

/// As many of these, which are in the order of writing, as can become one: what was written between two of them and
/// has the time of the later one must stay between them, or of two values for one time the wrong one would count.
fn in_order<'a>(group: Vec<&'a Arc<Block>>, all: &[Arc<Block>]) -> Vec<&'a Arc<Block>> {
    let place = |block: &Block| (block.meta.order, block.number);
    let mut run = Vec::<&Arc<Block>>::new();
    for block in group {
        let between = |other: &&Arc<Block>| {
            run.first().is_some_and(|first| place(first) < place(other) && place(other) < place(block))
                && !run.iter().any(|member| member.number == other.number)
                && other.overlaps(block.meta.first, block.meta.last)
        };
        if all.iter().any(|other| between(&other)) {
            if run.len() > 1 {
                break;
            }
            run.clear();
        }
        run.push(block);
    }
    run
}

impl Inner {
    /// Puts one block in the place of these; none, if nothing is left of them. Answers its bytes. Ends early, as
    /// interrupted, when `stop` says so.
    pub(crate) fn merge(&self, inputs: &[Arc<Block>], stop: &dyn Fn() -> bool) -> io::Result<u64> {
        // What a block has in a damaged page of its index must not be taken for nothing.
        if let Some(damaged) = inputs.iter().find(|block| !block.index.verify()) {
            self.lost(damaged)?;
            return Err(io::ErrorKind::Interrupted.into());
        }
        let begun = self.runtime.clock.monotonic();
        let read: u64 = inputs.iter().map(|block| block.bytes()).sum();
        self.leave_room_for(read)?;
        // What was removed before must not come back: the new block does not name it.
        self.blocks.sync()?;
        let gone_before: Vec<_> = inputs.iter().map(|block| block.gone()).collect();
        let (number, path) = self.blocks.reserve();
        let merging = Merging::new(inputs);
        let order = inputs.iter().map(|block| block.meta.order).min().unwrap_or(number);
        let gone: Vec<u64> = inputs.iter().map(|block| block.number).collect();
        let mut writer = BlockWriter::begin(&self.runtime.disk, &path, &merging.symbols, order, gone.clone())?;
        let mut series = 0_u64;
        let mut readers: Vec<Reader> = inputs.iter().map(|_| Reader::default()).collect();
        merging.each(stop, |labels, same| {
            let chunks = self.merge_series(inputs, &mut readers, same);
            if !chunks.is_empty() {
                series += 1;
                let told = same.iter().flat_map(|(input, _)| readers[*input].starts.iter().copied());
                writer.add(labels, &chunks, &starts::once(told.collect()))?;
            }
            Ok(())
        })?;
        let written = if series > 0 { writer.complete()? } else { 0 };
        fault::point("store.merge_written");
        let mut shelf = self.shelf.lock().expect("no panic while held");
        if inputs.iter().zip(&gone_before).any(|(block, before)| !Arc::ptr_eq(&block.gone(), before)) {
            // Something was deleted meanwhile that the new block has; it is made anew.
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut merged = Vec::new();
        if series > 0 {
            merged.push(self.blocks.place(writer, number, &path)?);
            fault::point("store.merged");
        }
        self.blocks.replace(merged, &gone);
        self.save_list(&mut shelf, true);
        drop(shelf);
        self.blocks.remove(inputs)?;
        self.work.merges.inc();
        self.work.read.add(read);
        self.work.written.add(written);
        self.work.seconds.observe(self.runtime.clock.monotonic().saturating_sub(begun).as_secs_f64());
        Ok(written)
    }

    /// Full chunks that nothing overlaps are copied as they are, the others are put together anew.
    fn merge_series(&self, inputs: &[Arc<Block>], readers: &mut [Reader], series: &[(usize, u32)]) -> Vec<Encoded> {
        let mut chunks: Vec<(usize, &Block, ChunkRef)> = Vec::new();
        for (input, series) in series {
            let block = &*inputs[*input];
            let found = block.chunks_by(&mut readers[*input], *series, i64::MIN, i64::MAX);
            chunks.extend(found.into_iter().map(|chunk| (*input, block, chunk)));
        }
        let apart = chunks.windows(2).all(|pair| pair[0].2.last < pair[1].2.first);
        let (mut merged, mut samples, mut since, mut of) = (Vec::new(), Both::default(), (0, 0), None);
        for (input, block, chunk) in chunks {
            if of.replace(input) != Some(input) {
                samples.settle(since);
                since = samples.mark();
            }
            if apart
                && !chunk.cut
                && chunk.is_full()
                && let Some(bytes) = block.copy(chunk)
            {
                flush(&mut samples, &mut merged);
                since = (0, 0);
                merged.push(Encoded {
                    kind: chunk.kind,
                    first: chunk.first,
                    last: chunk.last,
                    count: chunk.count,
                    bytes: bytes.to_vec(),
                });
            } else if block.read(chunk, i64::MIN, i64::MAX, &mut samples).is_err() {
                self.found_damaged(block);
            }
        }
        samples.settle(since);
        flush(&mut samples, &mut merged);
        merged
    }

    /// The index of a block is damaged: it no longer serves and is set aside. Says so on the board.
    pub(crate) fn lost(&self, block: &Block) -> io::Result<()> {
        self.say_damaged(block);
        let mut shelf = self.shelf.lock().expect("no panic while held");
        if let Some(level) = self.level_of(block) {
            level.drop_block(block.number);
            shelf.unsaved = true;
            self.save_list(&mut shelf, false);
            return level.blocks.remove(&[block]);
        }
        self.blocks.replace(Vec::new(), &[block.number]);
        self.save_list(&mut shelf, true);
        drop(shelf);
        self.blocks.remove(&[block])
    }

    /// A chunk's checksum did not fit: says so on the board, once for each block.
    pub(crate) fn found_damaged(&self, block: &Block) {
        self.counters.damaged_chunks.inc();
        let name = display(&block.path);
        if let Some(words) = block.damage() {
            self.runtime.troubles.set(&format!("metrics/damaged/{name}"), Severity::Warning, words);
        }
    }
}

fn flush(samples: &mut Both, merged: &mut Vec<Encoded>) {
    samples.once();
    merged.extend(samples.encode(Effort::Thorough));
    samples.clear();
}

/// Blocks whose series are gone through together, in the order of their labels.
pub(crate) struct Merging<'a> {
    inputs: &'a [Arc<Block>],
    /// All symbols of all inputs, sorted.
    pub(crate) symbols: Vec<&'a str>,
    /// For each input the place of each of its own symbols in them.
    places: Vec<Vec<u32>>,
}

/// Label pairs as places in the symbols.
type Pairs = Vec<(u32, u32)>;

impl<'a> Merging<'a> {
    pub(crate) fn new(inputs: &'a [Arc<Block>]) -> Merging<'a> {
        let mut symbols: Vec<&str> =
            inputs.iter().flat_map(|block| (0..block.index.symbol_count()).map(|at| block.index.symbol(at))).collect();
        symbols.sort_unstable();
        symbols.dedup();
        let places = inputs.iter().map(|block| {
            // Both are sorted: the places only ever go up.
            let mut place = 0;
            (0..block.index.symbol_count())
                .map(|at| {
                    let symbol = block.index.symbol(at);
                    place += symbols[place..].partition_point(|have| *have < symbol);
                    place as u32
                })
                .collect()
        });
        let places = places.collect();
        Merging { inputs, symbols, places }
    }

    /// Visits each set of labels with the inputs that have it, in the order of writing, and its number in them.
    pub(crate) fn each(
        &self,
        stop: &dyn Fn() -> bool,
        mut visit: impl FnMut(&[(u32, u32)], &[(usize, u32)]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut next = BTreeMap::<(Pairs, usize), u32>::new();
        let mut readers: Vec<Reader> = self.inputs.iter().map(|_| Reader::default()).collect();
        let mut add = |next: &mut _, input: usize, series| self.add(next, &mut readers[input], input, series);
        (0..self.inputs.len()).for_each(|input| add(&mut next, input, 0));
        while let Some(((labels, first), series)) = next.pop_first() {
            if stop() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let mut same = vec![(first, series)];
            add(&mut next, first, series + 1);
            while let Some(entry) = next.first_entry().filter(|entry| entry.key().0 == labels) {
                let ((_, input), series) = entry.remove_entry();
                same.push((input, series));
                add(&mut next, input, series + 1);
            }
            visit(&labels, &same)?;
        }
        Ok(())
    }

    /// The next series of an input; one whose labels make no sense is left out.
    fn add(&self, next: &mut BTreeMap<(Pairs, usize), u32>, reader: &mut Reader, input: usize, series: u32) {
        let place = |symbol: u32| self.places[input].get(symbol as usize).copied();
        for series in series..u32::try_from(self.inputs[input].meta.series).unwrap_or(u32::MAX) {
            // Without labels: its entry lies in a damaged part.
            if !reader.go(&self.inputs[input].index, series) {
                continue;
            }
            let pairs = reader.labels.iter();
            if let Some(pairs) = pairs.map(|(name, value)| Some((place(*name)?, place(*value)?))).collect() {
                next.insert((pairs, input), series);
                return;
            }
        }
    }
}
