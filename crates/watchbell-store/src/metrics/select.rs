//! Reading: the series that pass, from all places that hold samples of them, put together by time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use watchbell_model::{Found, Labels, Lookup, Matcher, Query, QueryError, Sample, Series, Timestamp};

use super::block::{Block, ChunkRef};
use super::matching::{Postings, matching};
use super::merge::once;
use super::series::Part;
use super::{Inner, MetricStore};

/// How many samples one query may load, 16 bytes each: more would be the memory of a small machine.
pub const SELECT_SAMPLES_MAX: usize = 10_000_000;

/// Where some samples of a series are, in the order in which they were first written.
#[derive(Default)]
struct Pieces {
    blocks: Vec<(Arc<Block>, Vec<ChunkRef>)>,
    head: Option<Part>,
}

impl Inner {
    fn gather(&self, matchers: &[Matcher], start: i64, end: i64) -> Result<BTreeMap<Labels, Pieces>, QueryError> {
        let mut found = BTreeMap::<Labels, Pieces>::new();
        // The head first: what is sealed meanwhile is then found twice, never missed.
        for (labels, part) in self.heads.select(matchers, start, end) {
            found.entry(labels).or_default().head = Some(part);
        }
        for block in self.blocks.serving().iter().filter(|block| block.overlaps(start, end)) {
            for series in matching(&block.index, matchers) {
                let chunks = block.chunks(series, start, end);
                if !chunks.is_empty() {
                    found.entry(block.labels(series)).or_default().blocks.push((Arc::clone(block), chunks));
                }
            }
            self.whole(block)?;
        }
        Ok(found)
    }

    /// What was not found in a block is not there, unless its index is damaged: then the query fails, and the block is
    /// left out of those that follow.
    fn whole(&self, block: &Block) -> Result<(), QueryError> {
        if !block.index.is_damaged() {
            return Ok(());
        }
        // It no longer serves, whether or not its file can be moved; if not, that is tried at the next start.
        let _ = self.lost(block);
        Err(QueryError::Unavailable(format!("the index of {} is damaged; ask again without it", block.path.display())))
    }

    /// All samples from `start` to `end`, one per time: of two for one time the one that was written first.
    fn read(&self, pieces: &Pieces, start: i64, end: i64) -> Result<Vec<Sample>, QueryError> {
        let mut samples = Vec::new();
        for (block, chunks) in &pieces.blocks {
            for chunk in chunks {
                block.read(*chunk, start, end, &mut samples).map_err(|_| {
                    self.found_damaged(block);
                    let words = format!("a part of {} is damaged; ask again without it", block.path.display());
                    QueryError::Unavailable(words)
                })?;
            }
        }
        if let Some(part) = &pieces.head {
            part.read(start, end, &mut samples);
        }
        once(&mut samples);
        Ok(samples)
    }

    /// Whether there is a sample from `start` to `end`, reading as little as possible.
    fn has_sample(&self, pieces: &Pieces, start: i64, end: i64) -> Result<bool, QueryError> {
        let within = |chunk: &ChunkRef| chunk.first >= start || chunk.last <= end;
        if pieces.blocks.iter().any(|(_, chunks)| chunks.iter().any(within)) {
            return Ok(true);
        }
        Ok(!self.read(pieces, start, end)?.is_empty())
    }
}

impl Query for MetricStore {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        let (mut found, mut loaded) = (Vec::new(), 0);
        for (labels, pieces) in self.inner.gather(matchers, start.0, end.0)? {
            let samples = self.inner.read(&pieces, start.0, end.0)?;
            loaded += samples.len();
            if loaded > SELECT_SAMPLES_MAX {
                return Err(QueryError::TooMany { limit: SELECT_SAMPLES_MAX });
            }
            if !samples.is_empty() {
                found.push(Series::new(labels, samples));
            }
        }
        Ok(found)
    }

    fn series(&self, lookup: &Lookup<'_>) -> Result<Found<Labels>, QueryError> {
        let (mut found, every) = (BTreeSet::new(), [Vec::new()]);
        for matchers in if lookup.matchers.is_empty() { &every } else { lookup.matchers } {
            for (labels, pieces) in self.inner.gather(matchers, lookup.start.0, lookup.end.0)? {
                if self.inner.has_sample(&pieces, lookup.start.0, lookup.end.0)? {
                    found.insert(labels);
                }
            }
        }
        Ok(Found::new(found, lookup.limit))
    }

    fn label_names(&self, lookup: &Lookup<'_>) -> Result<Found<String>, QueryError> {
        if !lookup.matchers.is_empty() {
            let series = self.series(&Lookup { limit: 0, ..*lookup })?.items;
            let names = series.iter().flat_map(|labels| labels.iter().map(|(name, _)| name.to_owned()));
            return Ok(Found::new(names, lookup.limit));
        }
        let mut names: BTreeSet<String> = self.inner.heads.index().names().map(str::to_owned).collect();
        for block in self.inner.blocks.serving().iter() {
            names.extend(block.index.name_texts().map(str::to_owned));
            self.inner.whole(block)?;
        }
        Ok(Found::new(names, lookup.limit))
    }

    fn label_values(&self, name: &str, lookup: &Lookup<'_>) -> Result<Found<String>, QueryError> {
        if !lookup.matchers.is_empty() {
            let series = self.series(&Lookup { limit: 0, ..*lookup })?.items;
            return Ok(Found::new(
                series.iter().filter_map(|labels| labels.get(name).map(str::to_owned)),
                lookup.limit,
            ));
        }
        let mut values: BTreeSet<String> = self.inner.heads.index().values(name).map(str::to_owned).collect();
        for block in self.inner.blocks.serving().iter() {
            let pairs = block.index.name(name).into_iter().flat_map(|name| block.index.pairs_from(name, ""));
            values.extend(pairs.map(|pair| block.index.value(pair).to_owned()));
            self.inner.whole(block)?;
        }
        Ok(Found::new(values, lookup.limit))
    }
}
