//! Merging: blocks of a finished day become one, days become one of ten days. Fewer files, longer chunks, and each
//! sample once.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use watchbell_model::{Sample, Severity};
use watchbell_runtime::fault;

use super::Inner;
use super::block::{Block, ChunkRef};
use super::block_writer::BlockWriter;
use super::chunk::{self, CHUNK_FULL, Effort, Encoded};
use super::series::WINDOW;
use super::starts;

const DAY: i64 = 86_400_000;
/// How much time merged blocks cover; never more than a tenth of the retention, so that what is too old can go.
const WIDTHS: [i64; 2] = [DAY, 10 * DAY];

/// The blocks to be merged next: at least two that lie within one span of time which is over at `now`; the oldest
/// span first, the narrowest width first.
pub(crate) fn due(blocks: &[Arc<Block>], now: i64, retention: i64) -> Option<Vec<Arc<Block>>> {
    for width in WIDTHS.into_iter().filter(|width| width.saturating_mul(10) <= retention) {
        let mut spans = BTreeMap::<i64, Vec<&Arc<Block>>>::new();
        for block in blocks {
            let span = block.meta.first.div_euclid(width);
            // Late samples still come for one window after the span is over.
            let over = (span + 1).saturating_mul(width).saturating_add(WINDOW + WINDOW / 2) <= now;
            if over && block.meta.last.div_euclid(width) == span {
                spans.entry(span).or_default().push(block);
            }
        }
        if let Some(group) = spans.into_values().find(|group| group.len() > 1) {
            return Some(group.into_iter().cloned().collect());
        }
    }
    None
}

/// Whether all of a block's samples lie within a span of time, both ends included.
pub(crate) fn lies_within(block: &Block, start: i64, end: i64) -> bool {
    start <= block.meta.first && block.meta.last <= end
}

impl Inner {
    /// Puts one block in the place of these.
    pub(crate) fn merge(&self, inputs: &[Arc<Block>]) -> io::Result<()> {
        // What a block has in a damaged page of its index must not be taken for nothing.
        if let Some(damaged) = inputs.iter().find(|block| !block.index.verify()) {
            return self.lost(damaged);
        }
        let (number, path) = self.blocks.reserve();
        let (symbols, places) = union(inputs);
        let order = inputs.iter().map(|block| block.meta.order).min().unwrap_or(number);
        let gone: Vec<u64> = inputs.iter().map(|block| block.number).collect();
        let mut writer = BlockWriter::begin(&self.runtime.disk, &path, symbols, order, gone.clone())?;
        let labels = |input: usize, series: u32| -> Vec<(u32, u32)> {
            let place = |symbol: u32| places[input][symbol as usize];
            let pairs = inputs[input].index.symbols_of(series);
            pairs.map(|(name, value)| (place(name), place(value))).collect()
        };
        // The next series of each input, by labels; inputs with the same labels in the order of writing.
        let mut next = BTreeMap::<(Vec<(u32, u32)>, usize), u32>::new();
        let add = |next: &mut BTreeMap<_, _>, input: usize, series: u32| {
            if u64::from(series) < inputs[input].meta.series {
                next.insert((labels(input, series), input), series);
            }
        };
        (0..inputs.len()).for_each(|input| add(&mut next, input, 0));
        while let Some(((labels, first), series)) = next.pop_first() {
            let mut same = vec![(first, series)];
            add(&mut next, first, series + 1);
            while let Some(entry) = next.first_entry().filter(|entry| entry.key().0 == labels) {
                let ((_, input), series) = entry.remove_entry();
                same.push((input, series));
                add(&mut next, input, series + 1);
            }
            let chunks = self.merge_series(inputs, &same);
            let told = same.iter().map(|(input, series)| inputs[*input].starts(*series));
            let starts = starts::once(told.flatten().collect());
            if !chunks.is_empty() {
                writer.add(&labels, &chunks, &starts)?;
            }
        }
        writer.finish()?;
        fault::point("store.merged");
        let merged = self.blocks.open_written(number, &path)?;
        self.blocks.replace(vec![merged], &gone);
        for block in inputs {
            self.blocks.remove(block)?;
        }
        self.blocks.sync()
    }

    /// Full chunks that nothing overlaps are copied as they are, the others are put together anew.
    fn merge_series(&self, inputs: &[Arc<Block>], series: &[(usize, u32)]) -> Vec<Encoded> {
        let mut chunks: Vec<(&Block, ChunkRef)> = Vec::new();
        for (input, series) in series {
            let block = &*inputs[*input];
            chunks.extend(block.chunks(*series, i64::MIN, i64::MAX).into_iter().map(|chunk| (block, chunk)));
        }
        let apart = chunks.windows(2).all(|pair| pair[0].1.last < pair[1].1.first);
        let (mut merged, mut samples) = (Vec::new(), Vec::<Sample>::new());
        for (block, chunk) in chunks {
            if apart
                && chunk.count >= CHUNK_FULL
                && let Some(bytes) = block.copy(chunk)
            {
                flush(&mut samples, &mut merged);
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
        flush(&mut samples, &mut merged);
        merged
    }

    /// The index of a block is damaged: it no longer serves and is set aside. Says so on the board.
    pub(crate) fn lost(&self, block: &Block) -> io::Result<()> {
        self.blocks.replace(Vec::new(), &[block.number]);
        let name = block.path.file_name().unwrap_or_default().to_string_lossy();
        let words = format!("the index of the block {name} is damaged; its samples are lost, the rest serves");
        self.runtime.troubles.set(&format!("metrics/damaged/{name}"), Severity::Warning, words);
        self.blocks.remove(block)
    }

    /// A chunk's checksum did not fit: says so on the board, once for each block.
    pub(crate) fn found_damaged(&self, block: &Block) {
        self.counters.damaged_chunks.inc();
        let name = block.path.file_name().unwrap_or_default().to_string_lossy();
        let words = format!("a part of the block {name} is damaged; its samples are lost, the rest serves");
        self.runtime.troubles.set(&format!("metrics/damaged/{name}"), Severity::Warning, words);
    }
}

fn flush(samples: &mut Vec<Sample>, merged: &mut Vec<Encoded>) {
    once(samples);
    if !samples.is_empty() {
        merged.extend(chunk::encode_all(samples, Effort::Thorough));
        samples.clear();
    }
}

/// Puts samples in order of time; of two for one time the one that came first stays.
pub(crate) fn once(samples: &mut Vec<Sample>) {
    if !samples.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
        samples.sort_by_key(|sample| sample.timestamp);
        samples.dedup_by_key(|sample| sample.timestamp);
    }
}

/// All symbols of all inputs, sorted, and for each input the place of each of its own in them.
fn union(inputs: &[Arc<Block>]) -> (Vec<&str>, Vec<Vec<u32>>) {
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
    (symbols, places)
}
