//! Prometheus' own data directory, read only: blocks, the chunks of the head, and the log.
//!
//! Bytes in, samples out; whoever reads the files hands them in. [`Block`] reads a block's index, chunks and
//! tombstones, [`HeadChunks`] a file of `chunks_head`, [`wal`] the segments of `wal`, `wbl` and checkpoints.
//! Postings are left out, since whoever imports wants every series; so are the chunk encodings behind feature flags of
//! Prometheus 3.5 and later (`XOR2`, start times in histograms) and logs compressed by zstd: each is named as such.
//! Source: Prometheus' `tsdb/docs/format`, and its own files as the proof.
//!
//! Always: what a checksum does not vouch for is not used; damage is a [`Damage`] with the place and never a panic; no
//! number in a file makes us take more memory than the file has bytes, but for a small factor.

mod block;
pub(crate) mod chunk;
mod cursor;
mod head;
mod head_chunks;
mod histogram;
mod index;
mod record;
#[cfg(test)]
mod tests;
mod tombstones;
pub mod wal;

use watchbell_model::{HistogramSample, Sample, Series};

pub use block::{Block, BlockMeta, is_block};
pub use head::Head;
pub use head_chunks::{HeadChunk, HeadChunks};
pub use record::{Record, decode as decode_record, is_of_samples};

/// Something in a data directory that cannot be read; the rest can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {reason}")]
pub struct Damage {
    /// Which part, such as `index` or `chunks/000001 at 4711`.
    pub part: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Damage {
    pub(crate) fn new(part: impl Into<String>, reason: impl Into<String>) -> Damage {
        Damage { part: part.into(), reason: reason.into() }
    }
}

/// Samples of both kinds, in the order of their chunk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Values.
    pub values: Vec<Sample>,
    /// Native histograms.
    pub histograms: Vec<HistogramSample>,
}

impl Samples {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len() + self.histograms.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps those whose time passes.
    pub fn retain(&mut self, keep: impl Fn(i64) -> bool) {
        self.values.retain(|sample| keep(sample.timestamp.0));
        self.histograms.retain(|sample| keep(sample.timestamp.0));
    }

    /// As a series. Chunks may overlap: samples are put in order of time, and of two for one time the first stays.
    pub fn into_series(mut self, labels: watchbell_model::Labels) -> Series {
        if !self.values.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
            self.values.sort_by_key(|sample| sample.timestamp);
            self.values.dedup_by_key(|sample| sample.timestamp);
        }
        if !self.histograms.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
            self.histograms.sort_by_key(|sample| sample.timestamp);
            self.histograms.dedup_by_key(|sample| sample.timestamp);
        }
        Series { labels, samples: self.values, histograms: self.histograms, starts: Vec::new() }
    }
}
