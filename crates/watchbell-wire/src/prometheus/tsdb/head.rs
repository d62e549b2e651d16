//! The last hours, which are not in blocks yet: put together from the log and the chunks of the head.
//!
//! The log is read twice: first what series are called and what was deleted of them ([`Head::learn`]), then samples
//! ([`Head::take`]). They come series by series in one go ([`Head::drain`]), as often as the caller has room for.

use std::collections::{BTreeMap, HashMap};

use watchbell_model::{Exemplar, Labels, Metadata, Series};

use super::{HeadChunk, Record, Samples, decode_record};

/// How many examples are kept; Prometheus keeps as many by default.
const EXEMPLARS_MAX: usize = 100_000;

/// What the log says of series, and samples on their way to whoever wants them.
#[derive(Debug, Default)]
pub struct Head {
    names: HashMap<u64, Labels>,
    gone: HashMap<u64, Vec<(i64, i64)>>,
    held: BTreeMap<u64, Samples>,
    count: usize,
    nameless: u64,
    metadata: BTreeMap<String, Metadata>,
    exemplars: Vec<(u64, Exemplar)>,
}

impl Head {
    /// Takes what a record says but samples.
    pub fn learn(&mut self, record: &[u8]) -> Result<(), String> {
        match decode_record(record)? {
            Record::Series(named) => self.names.extend(named),
            Record::Tombstones(gone) => {
                for (series, first, last) in gone {
                    self.gone.entry(series).or_default().push((first, last));
                }
            }
            Record::Metadata(all) => {
                for (series, metadata) in all {
                    if let Some(name) = self.names.get(&series).and_then(Labels::name) {
                        self.metadata.insert(name.to_owned(), metadata);
                    }
                }
            }
            Record::Exemplars(all) => {
                self.exemplars.extend(all);
                let excess = self.exemplars.len().saturating_sub(EXEMPLARS_MAX);
                self.exemplars.drain(..excess);
            }
            Record::Samples(_) | Record::Histograms(_) | Record::Other => {}
        }
        Ok(())
    }

    /// Takes the samples of a record; answers how many are held now.
    pub fn take(&mut self, record: &[u8]) -> Result<usize, String> {
        match decode_record(record)? {
            Record::Samples(all) => {
                self.count += all.len();
                for (series, sample) in all {
                    self.held.entry(series).or_default().values.push(sample);
                }
            }
            Record::Histograms(all) => {
                // One takes the room of many values.
                self.count += all.iter().map(|(_, sample)| 16 + sample.histogram.size()).sum::<usize>();
                for (series, sample) in all {
                    self.held.entry(series).or_default().histograms.push(sample);
                }
            }
            _ => {}
        }
        Ok(self.count)
    }

    /// Takes the samples of a chunk; answers how many are held now.
    pub fn take_chunk(&mut self, chunk: HeadChunk) -> usize {
        self.count += chunk.samples.len();
        let held = self.held.entry(chunk.series).or_default();
        held.values.extend(chunk.samples.values);
        held.histograms.extend(chunk.samples.histograms);
        self.count
    }

    /// Hands out what is held from `since` on, without what was deleted. What is older than the newest block's end is in
    /// that block, or was deleted from it: only late samples, which have a log of their own, may be older.
    pub fn drain(&mut self, since: i64) -> Vec<Series> {
        self.count = 0;
        let mut all = Vec::new();
        for (series, mut samples) in std::mem::take(&mut self.held) {
            let Some(labels) = self.names.get(&series) else {
                self.nameless += samples.len() as u64;
                continue;
            };
            let gone = self.gone.get(&series).map_or(&[][..], Vec::as_slice);
            samples.retain(|time| time >= since && !gone.iter().any(|(first, last)| (*first..=*last).contains(&time)));
            if !samples.is_empty() {
                all.push(samples.into_series(labels.clone()));
            }
        }
        all
    }

    /// Samples handed out so far that were left out because nothing says what their series is called.
    pub fn nameless(&self) -> u64 {
        self.nameless
    }

    /// What metrics are, as far as the log says it.
    pub fn metadata(&self) -> &BTreeMap<String, Metadata> {
        &self.metadata
    }

    /// The newest examples with their series.
    pub fn exemplars(&self) -> impl Iterator<Item = (&Labels, &Exemplar)> {
        self.exemplars.iter().filter_map(|(series, exemplar)| Some((self.names.get(series)?, exemplar)))
    }
}
