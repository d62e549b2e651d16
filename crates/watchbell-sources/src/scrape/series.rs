//! Bodies become samples: labels merged with the target's, ends marked.
//!
//! A series that was seen before is known by its text, so its labels are made once, not at every scrape.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use watchbell_model::{Labels, Point, Timestamp, stale_nan};
use watchbell_wire::prometheus::{Format, Judge, Limits, Line, Parser, labels};

use super::target::Rules;

/// A target's own time further ahead than this is not believed, as in Prometheus.
const FUTURE_MAX: Duration = Duration::from_secs(600);

/// The series of one target that are alive.
#[derive(Default)]
pub(super) struct Alive {
    /// By the text of name and labels.
    series: HashMap<Box<str>, Series>,
    /// Which scrape it is.
    round: u64,
}

struct Series {
    labels: Labels,
    /// The last scrape that had it.
    round: u64,
    /// Whether a scrape that succeeded had it.
    told: bool,
    /// Whether its samples have times of their own; then its end is not marked.
    own_time: bool,
}

/// What a scrape gave.
#[derive(Debug, Default)]
pub(super) struct Scraped {
    /// Samples, and the ends of series that are gone.
    pub(super) points: Vec<Point>,
    /// Samples in the body.
    pub(super) samples: u64,
    /// Series that are new.
    pub(super) added: u64,
    /// Samples that were the second of their series.
    pub(super) duplicate: u64,
    /// Samples too far in the future.
    pub(super) future: u64,
}

impl Alive {
    /// Reads a body that was scraped at `at`. On an error nothing of it counts.
    pub(super) fn read(
        &mut self,
        body: &[u8],
        format: Format,
        target: &Labels,
        rules: &Rules,
        at: Timestamp,
    ) -> Result<Scraped, String> {
        self.round += 1;
        let limits = rules.limits();
        let mut scraped = Scraped { points: Vec::with_capacity(self.series.len() + 8), ..Scraped::default() };
        let mut parser = Parser::new(body, format, limits).map_err(|error| error.to_string())?;
        while let Some(line) = parser.next() {
            let Line::Sample(sample) = line.map_err(|error| error.to_string())? else { continue };
            scraped.samples += 1;
            if rules.samples_max > 0 && scraped.samples > rules.samples_max as u64 {
                return Err(format!("there are more samples than `sample_limit` allows ({})", rules.samples_max));
            }
            if !self.series.contains_key(sample.series) {
                let labels = new_labels(sample.series, format, target, rules, &limits)
                    .map_err(|reason| format!("line {}: {reason}", parser.line()))?;
                let series = Series { labels, round: 0, told: false, own_time: false };
                self.series.insert(sample.series.into(), series);
            }
            let series = self.series.get_mut(sample.series).expect("just put there");
            let own_time = sample.timestamp().filter(|_| rules.honor_timestamps);
            if own_time.is_none() && series.round == self.round {
                scraped.duplicate += 1;
                continue;
            }
            let timestamp = own_time.unwrap_or(at);
            if timestamp > at + FUTURE_MAX {
                scraped.future += 1;
                continue;
            }
            if !series.told && series.round != self.round {
                scraped.added += 1;
            }
            series.round = self.round;
            series.own_time = own_time.is_some();
            scraped.points.push(Point { labels: series.labels.clone(), timestamp, value: sample.value });
        }
        let mut gone = Vec::new();
        self.series.retain(|_, series| {
            let here = series.round == self.round;
            if !here && series.told && !series.own_time {
                gone.push(series.labels.clone());
            }
            series.told = here;
            here
        });
        if !gone.is_empty() {
            // The same labels in another order are another text, but no other series.
            let here: HashSet<&Labels> = self.series.values().map(|series| &series.labels).collect();
            gone.retain(|labels| !here.contains(labels));
        }
        scraped.points.extend(ends(gone, at));
        Ok(scraped)
    }

    /// No series is alive any more: the target is gone, or could not be scraped.
    pub(super) fn end(&mut self, at: Timestamp) -> Vec<Point> {
        let told = self.series.drain().map(|(_, series)| series).filter(|series| series.told && !series.own_time);
        ends(told.map(|series| series.labels).collect(), at)
    }
}

/// In order, so that the same scrape always gives the same batch.
fn ends(mut gone: Vec<Labels>, at: Timestamp) -> Vec<Point> {
    gone.sort();
    gone.dedup();
    gone.into_iter().map(|labels| Point { labels, timestamp: at, value: stale_nan() }).collect()
}

/// What OpenMetrics has against a body that can be read all the same.
pub(super) fn violation(body: &[u8]) -> Option<String> {
    let limits = Limits::default();
    let mut parser = Parser::new(body, Format::OpenMetrics, limits).ok()?;
    let mut judge = Judge::new(limits);
    while let Some(line) = parser.next() {
        if let Err(error) = judge.line(parser.line(), &line.ok()?) {
            return Some(error.to_string());
        }
    }
    judge.end(parser.line()).err().map(|error| error.to_string())
}

fn new_labels(series: &str, format: Format, target: &Labels, rules: &Rules, limits: &Limits) -> Result<Labels, String> {
    let merged = merge(&labels(series, format, limits)?, target, rules.honor_labels);
    if rules.labels_max > 0 && merged.len() > rules.labels_max {
        return Err(format!("{} labels are more than `label_limit` allows ({})", merged.len(), rules.labels_max));
    }
    for (name, value) in merged.iter() {
        if rules.label_name_max > 0 && name.len() > rules.label_name_max {
            return Err(format!("the label `{name}` is longer than `label_name_length_limit` allows"));
        }
        if rules.label_value_max > 0 && value.len() > rules.label_value_max {
            return Err(format!("the value of `{name}` is longer than `label_value_length_limit` allows"));
        }
    }
    Ok(merged)
}

/// Labels that both the target's configuration and the target itself say: either the latter win (`honor_labels`), or
/// they are kept as `exported_<name>`.
fn merge(said: &Labels, target: &Labels, honor_labels: bool) -> Labels {
    if honor_labels {
        return target.iter().chain(said.iter()).collect();
    }
    let mut merged: std::collections::BTreeMap<String, String> =
        said.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut conflicts: Vec<(String, String)> = Vec::new();
    for (name, value) in target.iter() {
        if let Some(said) = merged.insert(name.to_owned(), value.to_owned()) {
            conflicts.push((name.to_owned(), said));
        }
    }
    // The shortest name first, so that `exported_job` is `job`'s before it is its own.
    conflicts.sort_by_key(|(name, _)| name.len());
    for (name, value) in conflicts {
        let mut name = format!("exported_{name}");
        while merged.contains_key(&name) {
            name.insert_str(0, "exported_");
        }
        merged.insert(name, value);
    }
    Labels::from_pairs(merged)
}
