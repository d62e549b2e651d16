//! What is said when a source has too many series: a trouble for as long as it goes on, which names the source, the
//! limit and the label that has the most values.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use watchbell_model::Severity;
use watchbell_runtime::metrics::{Counter, Metrics};

use super::Inner;
use super::index::{Index, Ref};
use super::sources::SeriesLimits;

/// How long after the last series was refused it is over.
const OVER_AFTER: Duration = Duration::from_secs(600);
/// How many series of the source are looked at for the label with the most values.
const LOOK_MAX: usize = 10_000;
/// How many series are looked at in one go: new ones wait for it.
const TURN: usize = 512;

/// Sources that had series refused, by name.
#[derive(Default)]
pub(crate) struct Explosions(BTreeMap<String, Explosion>);

struct Explosion {
    counter: Counter,
    /// When one was refused last, on our own count of time; `None` when it is over.
    last: Option<Duration>,
}

fn counter(metrics: &Metrics, source: &str) -> Counter {
    let help = "Series that were refused because of a limit, by source; counted each time they are sent.";
    metrics.counter("watchbell_metrics_series_refused_total", help, &[("source", source)])
}

fn trouble(source: &str) -> String {
    format!("metrics/cardinality/{source}")
}

impl Inner {
    /// Says which sources have met a limit since the last round, and for which that is over.
    pub(crate) fn look_at_limits(&self, explosions: &mut Explosions) {
        let (now, mut refused) = (self.runtime.clock.monotonic(), Vec::new());
        for (number, source) in self.heads.sources().iter_mut().filter(|(_, source)| source.refused > 0) {
            refused.push((number, source.name.to_string(), std::mem::take(&mut source.refused), source.by_all));
        }
        for (number, source, count, by_all) in refused {
            let new = || Explosion { counter: counter(&self.runtime.metrics, &source), last: None };
            let explosion = explosions.0.entry(source.clone()).or_insert_with(new);
            explosion.counter.add(count);
            if explosion.last.replace(now).is_none() {
                self.runtime.troubles.set(
                    &trouble(&source),
                    Severity::Warning,
                    self.explosion(number, &source, by_all),
                );
            }
        }
        for (source, explosion) in &mut explosions.0 {
            if explosion.last.is_some_and(|last| now.saturating_sub(last) >= OVER_AFTER) {
                explosion.last = None;
                self.runtime.troubles.clear(&trouble(source));
            }
        }
    }

    fn explosion(&self, number: u16, source: &str, by_all: bool) -> String {
        let limits = SeriesLimits::new(&self.config);
        let limit = if by_all {
            format!("there are {} series, which is the limit of all", limits.all())
        } else {
            format!("`{source}` has {} series, which is its limit", limits.of(source))
        };
        let label = self.widest_label(number).map_or(String::new(), |(label, values, series)| {
            format!("; the label with the most values is `{label}`: {values} in {series} series of `{source}`")
        });
        format!("new series of `{source}` are refused, known ones go on: {limit}{label}")
    }

    /// The label with the most values among the newest series of a source, how many those are, and among how many.
    fn widest_label(&self, source: u16) -> Option<(String, usize, usize)> {
        let (mut values, mut looked_at) = (HashMap::<String, HashSet<u32>>::new(), 0);
        let mut from = self.heads.index().live().max();
        while let Some(last) = from.filter(|_| looked_at < LOOK_MAX) {
            let index = self.heads.index();
            let turn: Vec<Ref> = index.live().range(..=last).rev().take(TURN).collect();
            from = turn.last().and_then(|first| first.checked_sub(1));
            for series in turn.iter().filter(|series| index.source(**series) == source) {
                looked_at += 1;
                add_pairs(&index, *series, &mut values);
            }
        }
        let (label, values) = values.into_iter().max_by(|a, b| (a.1.len(), &b.0).cmp(&(b.1.len(), &a.0)))?;
        Some((label, values.len(), looked_at))
    }
}

fn add_pairs(index: &Index, series: Ref, values: &mut HashMap<String, HashSet<u32>>) {
    for pair in index.pairs_of(series) {
        let name = &**index.texts_of(pair).0;
        match values.get_mut(name) {
            Some(values) => _ = values.insert(pair),
            None => _ = values.insert(name.to_owned(), HashSet::from([pair])),
        }
    }
}
