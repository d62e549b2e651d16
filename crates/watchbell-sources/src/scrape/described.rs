//! What a target says of its metrics: type, help and unit, handed on only when it is new or has changed.
//!
//! Kept is a hash for each metric, not the text; when one has changed, the body is looked through a second time.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

use watchbell_model::{Metadata, MetricType};
use watchbell_wire::prometheus::{Entry, Format, Histograms, Limits, Line, walk};

use crate::intake::HELP_BYTES_MAX;

/// How many metrics of one target are known; what it says of further ones is left out.
const METRICS_MAX: usize = 20_000;

/// The metrics of one target that it said something of.
#[derive(Default)]
pub(super) struct Described {
    metrics: HashMap<Box<str>, Said>,
    hasher: RandomState,
    /// Lines that were left out.
    left_out: u64,
}

#[derive(Default)]
struct Said {
    /// The last scrape that had it.
    round: u64,
    /// A hash of all that this scrape says.
    now: u64,
    /// A hash of what the store was told.
    told: Option<u64>,
}

impl Described {
    /// Takes in a line of the body, if it describes a metric.
    pub(super) fn note(&mut self, round: u64, line: &Line<'_>) {
        let (metric, hash) = match line {
            Line::Sample(_) => return,
            Line::Type { metric, kind } => (metric, self.hasher.hash_one((1, kind.as_str()))),
            Line::Help { metric, text } => (metric, self.hasher.hash_one((2, text))),
            Line::Unit { metric, unit } => (metric, self.hasher.hash_one((3, unit))),
        };
        let is_full = self.metrics.len() >= METRICS_MAX;
        let said = match self.metrics.get_mut(&**metric) {
            Some(said) => said,
            None if is_full => {
                self.left_out += 1;
                return;
            }
            None => self.metrics.entry((**metric).into()).or_default(),
        };
        if said.round != round {
            (said.round, said.now) = (round, 0);
        }
        // Lines of one metric may stand in any order.
        said.now = said.now.wrapping_add(hash);
    }

    /// What is to be told of the body that was just read, in order of metrics, if anything is new in it.
    pub(super) fn news(
        &mut self,
        round: u64,
        body: &[u8],
        format: Format,
        limits: Limits,
    ) -> Option<Vec<(String, Metadata)>> {
        self.metrics.retain(|_, said| said.round == round);
        if self.metrics.values().all(|said| said.told == Some(said.now)) {
            return None;
        }
        let is_new = |metric: &str| self.metrics.get(metric).is_some_and(|said| said.told != Some(said.now));
        let mut news: BTreeMap<String, Metadata> = BTreeMap::new();
        // It was read without an error a moment ago.
        let _ = walk(body, format, limits, Histograms::default(), |entry| {
            let Entry::Line(line) = entry else { return Ok(()) };
            let metric = match &line {
                Line::Type { metric, .. } | Line::Help { metric, .. } | Line::Unit { metric, .. } => metric,
                Line::Sample(_) => return Ok(()),
            };
            if !is_new(metric) {
                return Ok(());
            }
            let told = news.entry(metric.to_string()).or_default();
            match line {
                Line::Type { kind, .. } => told.kind = MetricType::parse(kind.as_str()).unwrap_or_default(),
                Line::Help { text, .. } => told.help = text[..text.floor_char_boundary(HELP_BYTES_MAX)].to_owned(),
                Line::Unit { unit, .. } => told.unit = unit.to_owned(),
                Line::Sample(_) => {}
            }
            Ok(())
        });
        // That nothing is known of a metric is nothing to keep.
        Some(news.into_iter().filter(|(_, metadata)| *metadata != Metadata::default()).collect())
    }

    /// The store has taken what was new.
    pub(super) fn told(&mut self) {
        self.metrics.values_mut().for_each(|said| said.told = Some(said.now));
    }

    /// How many lines were left out since it was last asked.
    pub(super) fn left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}
