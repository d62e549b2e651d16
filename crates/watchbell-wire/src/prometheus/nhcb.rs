//! Classic histograms as native ones with custom buckets, as Prometheus' `convert_classic_histograms_to_nhcb` makes them.

use std::sync::Arc;

use watchbell_model::{BucketSpan, Buckets, Histogram, Labels};

use super::encode::series_text;
use super::{Entry, Exemplar, Format, HistogramLine, Limits, Line, MetricType, Sample, labels};

/// A classic histogram as its numbers come in.
#[derive(Debug, Default)]
pub(super) struct Classic {
    /// Upper bounds with cumulative counts, ascending.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    /// Whether its counts make no sense.
    broken: bool,
}

impl Classic {
    pub(super) fn set_count(&mut self, count: f64) {
        self.broken |= count < 0.0;
        self.count = Some(count);
    }

    pub(super) fn set_sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    pub(super) fn set_bucket(&mut self, bound: f64, count: f64) {
        if bound.is_nan() || count < 0.0 {
            self.broken = true;
            return;
        }
        let at = self.buckets.partition_point(|(have, _)| *have < bound);
        if self.buckets.get(at).is_some_and(|(have, _)| *have == bound) {
            return;
        }
        let below = at.checked_sub(1).map_or(0.0, |before| self.buckets[before].1);
        let above = self.buckets.get(at).map_or(f64::INFINITY, |(_, count)| *count);
        self.broken |= count < below || count > above;
        self.buckets.insert(at, (bound, count));
    }

    /// The native histogram; `None` where the counts make no sense.
    pub(super) fn native(mut self) -> Option<Histogram> {
        let count = self.count.or(self.buckets.last().map(|(_, count)| *count)).unwrap_or_default();
        if self.buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        if self.broken || self.buckets.last().is_some_and(|(_, last)| *last != count) {
            return None;
        }
        let mut last = 0.0;
        let counts = self.buckets.iter().map(|(_, count)| {
            let own = count - last;
            last = *count;
            own
        });
        let counts: Vec<f64> = counts.collect();
        let histogram = Histogram {
            schema: Histogram::CUSTOM_BUCKETS,
            count,
            sum: self.sum,
            positive: without_empty(0, &counts),
            custom_values: self.buckets[..self.buckets.len() - 1].iter().map(|(bound, _)| *bound).collect(),
            ..Histogram::default()
        };
        histogram.check().is_ok().then_some(histogram)
    }
}

/// Buckets next to each other, the first at `index`, as spans that leave the empty ones out.
fn without_empty(index: i32, counts: &[f64]) -> Buckets {
    let mut buckets = Buckets::default();
    let mut gap = index;
    for count in counts {
        if *count == 0.0 {
            gap += 1;
            continue;
        }
        match buckets.spans.last_mut() {
            Some(span) if gap == 0 => span.length += 1,
            _ => buckets.spans.push(BucketSpan { offset: gap, length: 1 }),
        }
        gap = 0;
        buckets.counts.push(*count);
    }
    buckets
}

/// Collects the lines of one classic histogram after the other.
pub(super) struct Collector {
    format: Format,
    limits: Limits,
    family: Option<String>,
    open: Option<Open>,
}

struct Open {
    labels: Labels,
    seconds: Option<f64>,
    classic: Classic,
    exemplars: Vec<Exemplar<'static>>,
}

/// One that is complete.
pub(super) struct Done {
    series: String,
    seconds: Option<f64>,
    histogram: Arc<Histogram>,
    exemplars: Vec<Exemplar<'static>>,
}

impl Done {
    pub(super) fn entry(self) -> Entry<'static> {
        let Done { series, seconds, histogram, exemplars } = self;
        Entry::Histogram(HistogramLine { series: series.into(), histogram, seconds, exemplars })
    }
}

enum Part {
    Bucket(f64),
    Count,
    Sum,
}

impl Collector {
    pub(super) fn new(format: Format, limits: Limits) -> Collector {
        Collector { format, limits, family: None, open: None }
    }

    /// The histogram that this line does not belong to any more.
    pub(super) fn before(&mut self, line: &Line<'_>) -> Option<Done> {
        let goes_on = match line {
            Line::Sample(sample) => {
                let own = self.part(sample).map(|(labels, _)| labels);
                self.open.as_ref().is_some_and(|open| own.as_ref() == Some(&open.labels))
            }
            _ => false,
        };
        if goes_on { None } else { self.end() }
    }

    /// Takes a line in; says whether it is part of a classic histogram.
    pub(super) fn take(&mut self, line: &Line<'_>) -> bool {
        let sample = match line {
            Line::Type { metric, kind } => {
                self.family = (*kind == MetricType::Histogram).then(|| metric.to_string());
                return false;
            }
            Line::Sample(sample) => sample,
            _ => return false,
        };
        let Some((labels, part)) = self.part(sample) else { return false };
        let open = self.open.get_or_insert_with(|| Open {
            labels,
            seconds: None,
            classic: Classic::default(),
            exemplars: Vec::new(),
        });
        open.seconds = sample.seconds;
        match part {
            Part::Bucket(bound) => open.classic.set_bucket(bound, sample.value),
            Part::Count => open.classic.set_count(sample.value),
            Part::Sum => open.classic.set_sum(sample.value),
        }
        open.exemplars.extend(sample.exemplar.iter().filter(|it| it.seconds.is_some()).map(Exemplar::to_static));
        true
    }

    pub(super) fn end(&mut self) -> Option<Done> {
        let Open { labels, seconds, classic, exemplars } = self.open.take()?;
        let pairs = labels.iter().filter(|(name, _)| *name != Labels::NAME);
        let series = series_text(labels.name().unwrap_or_default(), pairs);
        Some(Done { series, seconds, histogram: Arc::new(classic.native()?), exemplars })
    }

    /// The labels of the whole histogram, and which part of it a sample is.
    fn part(&self, sample: &Sample<'_>) -> Option<(Labels, Part)> {
        let family = self.family.as_deref()?;
        let labels = labels(sample.series, self.format, &self.limits).ok()?;
        let suffix = labels.name()?.strip_prefix(family)?;
        let part = match suffix {
            "_bucket" => {
                let bound: f64 = labels.get("le")?.parse().ok()?;
                Part::Bucket(Some(bound).filter(|bound| !bound.is_nan())?)
            }
            "_count" => Part::Count,
            "_sum" => Part::Sum,
            _ => return None,
        };
        Some((labels.with("le", "").with(Labels::NAME, family), part))
    }
}
