//! A block: everything of some span of time, in a folder with `meta.json`, `index`, `tombstones` and `chunks/`.

use std::ops::ControlFlow;

use serde::Deserialize;
use watchbell_model::Series;

use super::cursor::Cursor;
use super::index::{ChunkAt, Index};
use super::tombstones::Tombstones;
use super::{Damage, Samples, chunk};

const CHUNKS_MAGIC: u32 = 0x85BD_40DD;
/// Magic, version, padding.
const CHUNKS_HEADER: usize = 8;
/// A ULID: how a block's folder is called.
const NAME: usize = 26;

/// Whether a folder's name is that of a block.
pub fn is_block(name: &str) -> bool {
    name.len() == NAME && name.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// What `meta.json` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct BlockMeta {
    /// The block's name.
    pub ulid: String,
    /// The first time in it, in milliseconds.
    #[serde(rename = "minTime")]
    pub min_time: i64,
    /// The time after the last in it.
    #[serde(rename = "maxTime")]
    pub max_time: i64,
    /// How much is in it.
    #[serde(default)]
    pub stats: BlockStats,
}

/// How much is in a block, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BlockStats {
    /// Samples of every kind.
    #[serde(rename = "numSamples")]
    pub samples: u64,
    /// Series.
    #[serde(rename = "numSeries")]
    pub series: u64,
    /// Chunks.
    #[serde(rename = "numChunks")]
    pub chunks: u64,
}

impl BlockMeta {
    /// Reads `meta.json`.
    pub fn read(bytes: &[u8]) -> Result<BlockMeta, Damage> {
        serde_json::from_slice(bytes).map_err(|error| Damage::new("meta.json", error.to_string()))
    }
}

/// The content of a block's files.
#[derive(Debug)]
pub struct Block<'a> {
    index: Index<'a>,
    segments: Vec<Option<&'a [u8]>>,
    tombstones: Tombstones,
}

impl<'a> Block<'a> {
    /// `segments`: the files of `chunks/` in order, `None` for one that cannot be read. Damage besides the block is
    /// damage that leaves the rest readable.
    pub fn open(
        index: &'a [u8],
        segments: Vec<Option<&'a [u8]>>,
        tombstones: Option<&[u8]>,
    ) -> Result<(Block<'a>, Vec<Damage>), Damage> {
        let index = Index::open(index)?;
        let mut damage = Vec::new();
        let tombstones = match tombstones.map(Tombstones::read) {
            None => Tombstones::default(),
            Some(Some(read)) => read,
            // Going on would bring back what was deleted, for whatever reason that was.
            Some(None) => return Err(Damage::new("tombstones", "they are damaged, so what was deleted is not known")),
        };
        let segments = (1..).zip(segments).map(|(number, bytes)| {
            let bytes = bytes?;
            let mut from = Cursor(bytes);
            if (from.u32(), from.u8()) != (Some(CHUNKS_MAGIC), Some(1)) {
                damage.push(Damage::new(format!("chunks/{number:06}"), "it does not begin as chunks of version 1"));
                return None;
            }
            Some(bytes)
        });
        let segments = segments.collect();
        Ok((Block { index, segments, tombstones }, damage))
    }

    /// Hands over every series with its samples from `start` to `end`, both included, in the order of labels, until
    /// `visit` says to stop. Series without samples there are left out; damaged chunks are told of and left out.
    pub fn each(
        &self,
        start: i64,
        end: i64,
        damaged: &mut dyn FnMut(Damage),
        visit: &mut dyn FnMut(Series) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for entry in self.index.series() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(damage) => {
                    damaged(damage);
                    continue;
                }
            };
            let mut samples = Samples::default();
            for at in entry.chunks.iter().filter(|at| at.first <= end && at.last >= start) {
                let before = (samples.values.len(), samples.histograms.len());
                if let Err(damage) = self.chunk(*at, &mut samples) {
                    samples.values.truncate(before.0);
                    samples.histograms.truncate(before.1);
                    damaged(damage);
                }
            }
            let gone = self.tombstones.of(entry.id);
            samples.retain(|time| {
                (start..=end).contains(&time) && !gone.iter().any(|(from, to)| (*from..=*to).contains(&time))
            });
            if !samples.is_empty() {
                visit(samples.into_series(entry.labels))?;
            }
        }
        ControlFlow::Continue(())
    }

    fn chunk(&self, at: ChunkAt, out: &mut Samples) -> Result<(), Damage> {
        let part = format!("chunks/{:06} at {}", u64::from(at.segment) + 1, at.offset);
        let segment = self.segments.get(at.segment as usize).copied().flatten();
        let segment = segment.ok_or_else(|| Damage::new(part.clone(), "the file is missing or damaged"))?;
        let read = || {
            let mut from = Cursor(segment.get(at.offset.max(CHUNKS_HEADER)..)?);
            let len = from.count()?;
            let content = from.take(len + 1)?;
            (from.u32()? == crc32c::crc32c(content)).then_some(content)
        };
        let content = read().ok_or_else(|| Damage::new(part.clone(), "the chunk's checksum does not fit"))?;
        chunk::decode(content[0], &content[1..], out)
            .map_err(|reason| Damage::new(part, format!("the chunk: {reason}")))
    }
}
