//! How much there is, in figures for a person.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use watchbell_model::{Counted, Figures, Part, StoredBlock, Timestamp};

use super::block::Block;
use super::block_entries::Reader;
use super::{Inner, MetricStore};

/// Counts series by what their labels say.
#[derive(Default)]
struct Tally {
    series: u64,
    /// Series by pair; a pair as the places of its two texts.
    pairs: HashMap<(u32, u32), u64>,
    texts: HashMap<Box<str>, u32>,
}

impl Tally {
    fn text(&mut self, text: &str) -> u32 {
        let next = self.texts.len() as u32;
        match self.texts.get(text) {
            Some(known) => *known,
            None => *self.texts.entry(text.into()).or_insert(next),
        }
    }

    fn figures(&self, top: usize) -> Figures {
        let mut texts = vec![""; self.texts.len()];
        self.texts.iter().for_each(|(text, place)| texts[*place as usize] = text);
        let (mut metrics, mut pairs) = (Vec::new(), Vec::new());
        let mut labels = HashMap::<&str, (u64, u64)>::new();
        for ((name, value), series) in &self.pairs {
            let (name, value) = (texts[*name as usize], texts[*value as usize]);
            let (values, bytes) = labels.entry(name).or_default();
            *values += 1;
            *bytes += value.len() as u64;
            pairs.push((name, value, *series));
            if name == watchbell_model::Labels::NAME {
                metrics.push((value.to_owned(), *series));
            }
        }
        // Only the texts of the few that are shown are made.
        pairs.sort_unstable_by(|a, b| b.2.cmp(&a.2).then_with(|| (a.0, a.1).cmp(&(b.0, b.1))));
        pairs.truncate(top);
        Figures {
            series: self.series,
            pairs: self.pairs.len() as u64,
            metrics: greatest(metrics, top),
            labels: greatest(labels.iter().map(|(name, (values, _))| ((*name).to_owned(), *values)).collect(), top),
            label_bytes: greatest(labels.iter().map(|(name, (_, bytes))| ((*name).to_owned(), *bytes)).collect(), top),
            label_pairs: pairs.into_iter().map(|(name, value, count)| (format!("{name}={value}"), count)).collect(),
            ..Figures::default()
        }
    }
}

fn greatest(mut all: Counted, top: usize) -> Counted {
    all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(top);
    all
}

impl MetricStore {
    /// See [`watchbell_model::Upkeep::figures`].
    pub(crate) fn count(&self, top: usize, history: bool) -> Figures {
        let inner = &self.inner;
        let (mut tally, active) = inner.tally_head();
        if history {
            inner.tally_blocks(&mut tally);
        }
        let mut figures = tally.figures(top);
        figures.active = active;
        figures.parts = self.parts();
        figures.blocks = self.stored_blocks();
        figures
    }

    fn stored_blocks(&self) -> Vec<StoredBlock> {
        let one = |block: &Arc<Block>| StoredBlock {
            name: format!("{:010}", block.number),
            range: (Timestamp(block.meta.first), Timestamp(block.meta.last)),
            series: block.meta.series,
            samples: block.meta.samples,
            bytes: block.bytes(),
            merged: !block.meta.replaces.is_empty(),
            version: block.index.version(),
        };
        let mut blocks: Vec<StoredBlock> = self.inner.blocks.serving().iter().map(one).collect();
        blocks.sort_by(|a, b| (a.range, &a.name).cmp(&(b.range, &b.name)));
        blocks
    }

    fn parts(&self) -> Vec<Part> {
        let (inner, stats) = (&self.inner, self.stats());
        let blocks = inner.blocks.serving();
        let range = blocks.iter().map(|block| (block.meta.first, block.meta.last));
        let range = range.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let mut parts = vec![
            Part {
                name: "memory".into(),
                pieces: stats.series,
                samples: Some(stats.head_samples),
                bytes: stats.head_bytes,
                range: inner.heads.span().map(|(first, last)| (Timestamp(first), Timestamp(last))),
            },
            Part { name: "log".into(), pieces: 1, samples: None, bytes: stats.wal_bytes, range: None },
            Part {
                name: "blocks".into(),
                pieces: stats.blocks,
                samples: Some(stats.block_samples),
                bytes: stats.block_bytes,
                range: range.map(|(first, last)| (Timestamp(first), Timestamp(last))),
            },
        ];
        if stats.rollup_blocks > 0 {
            let (pieces, bytes) = (stats.rollup_blocks, stats.rollup_bytes);
            parts.push(Part { name: "coarse copies".into(), pieces, samples: None, bytes, range: None });
        }
        parts
    }
}

impl Inner {
    /// The active series; the lock is held while they are counted, which is a few milliseconds for 100,000.
    fn tally_head(&self) -> (Tally, u64) {
        let index = self.heads.index();
        let mut by_pair = HashMap::<u32, u64>::new();
        for series in index.live() {
            for pair in index.pairs_of(series) {
                *by_pair.entry(pair).or_default() += 1;
            }
        }
        let active = index.live().len();
        let mut tally = Tally { series: active, ..Tally::default() };
        for (pair, series) in by_pair {
            let (name, value) = index.texts_of(pair);
            let pair = (tally.text(name), tally.text(value));
            tally.pairs.insert(pair, series);
        }
        (tally, active)
    }

    /// The series that are in blocks only.
    fn tally_blocks(&self, tally: &mut Tally) {
        let mut seen: HashSet<u64> = {
            let index = self.heads.index();
            index.live().iter().map(|series| index.labels(series).fingerprint()).collect()
        };
        for block in self.blocks.serving().iter() {
            // The texts of a block as places of the tally's, made when they are first met.
            let mut places = vec![None; block.index.symbol_count() as usize];
            let mut reader = Reader::default();
            for series in 0..block.meta.series as u32 {
                if !seen.insert(block.labels_by(&mut reader, series).fingerprint()) {
                    continue;
                }
                tally.series += 1;
                for (name, value) in reader.labels.iter().copied() {
                    let mut place = |symbol: u32| match places.get_mut(symbol as usize) {
                        Some(place) => *place.get_or_insert_with(|| tally.text(block.index.symbol(symbol))),
                        None => tally.text(""),
                    };
                    let pair = (place(name), place(value));
                    *tally.pairs.entry(pair).or_default() += 1;
                }
            }
        }
    }
}
