//! Series from the source onto the steps of a query: instant selectors, ranges, subqueries.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use watchbell_model::{
    Histogram, HistogramSample, Labels, Matcher, ResetHint, Sample, Series, Start, Timestamp, is_stale,
};

use super::EvalError;
use super::column::{Column, Grid, absent, is_present};
use super::evaluator::{Evaluator, Found};
use super::note::Note;
use super::since::start_at;
use super::window::{interpolated, with_ends, within};
use crate::histogram::{Incompatible, is_reset};
use crate::promql::{Anchor, BinaryOp, Expr, Length, LengthNode, Node, Reach, Selector, Subquery, TextSpan, quote};

/// What an instant selector gives for a sample.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// Its value.
    Value,
    /// Its time, in seconds.
    Time,
    /// Since when it counts, in seconds; zero if that is not known.
    Start,
    /// The time of a number; a histogram as it is.
    TimeOfNumber,
}

/// Which moment a step stands for.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    /// How far before.
    pub(super) offset: i64,
    /// In place of the step.
    pub(super) anchor: Option<i64>,
}

/// Series with the samples that windows slide over, one window for each step.
pub(super) struct Ranges {
    pub(super) series: Vec<RangeSeries>,
    /// Length of the window.
    pub(super) range: i64,
    /// How far before its step a window ends.
    offset: i64,
    /// The end of all windows, in place of their steps.
    anchor: Option<i64>,
    /// Whether windows reach beyond their ends, and how far.
    pub(super) reach: Option<Reach>,
    lookback: i64,
}

/// One series of [`Ranges`].
pub(super) struct RangeSeries {
    pub(super) labels: Labels,
    pub(super) drop_name: bool,
    /// Oldest first, without staleness markers.
    pub(super) samples: Vec<Sample>,
    /// Likewise, at times of their own.
    pub(super) histograms: Vec<HistogramSample>,
    /// Since when they count.
    pub(super) starts: Vec<Start>,
}

impl Ranges {
    /// The end of the window of a step, which is part of the window; its start is not.
    #[inline]
    pub(super) fn end(&self, at: i64) -> i64 {
        self.anchor.unwrap_or(at).saturating_sub(self.offset)
    }

    /// The time after which and the time until which samples belong to the window of a step.
    #[inline]
    pub(super) fn bounds(&self, at: i64) -> (i64, i64) {
        let end = self.end(at);
        let start = end.saturating_sub(self.range);
        match self.reach {
            None => (start, end),
            Some(Reach::Anchored) => (start.saturating_sub(self.lookback), end),
            Some(Reach::Smoothed) => (start.saturating_sub(self.lookback), end.saturating_add(self.lookback)),
        }
    }
}

/// Where it is not known whether a histogram follows a reset, finds out.
fn say_resets(histograms: &mut [HistogramSample]) {
    for at in (1..histograms.len()).rev() {
        let (before, now) = (&histograms[at - 1].histogram, &histograms[at].histogram);
        if now.reset == ResetHint::Unknown && !now.is_stale() && !before.is_stale() {
            let reset = if is_reset(now, before) { ResetHint::Reset } else { ResetHint::NotReset };
            histograms[at].histogram = Arc::new(Histogram { reset, ..Histogram::clone(now) });
        }
    }
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// The histograms after a start up to and including an end.
pub(super) fn near(histograms: &[HistogramSample], (start, end): (i64, i64)) -> &[HistogramSample] {
    let from = histograms.partition_point(|sample| sample.timestamp.0 <= start);
    let to = histograms.partition_point(|sample| sample.timestamp.0 <= end);
    histograms.get(from..to).unwrap_or(&[])
}

/// The histogram at a time on the line between those around it.
fn smoothed_histogram(histograms: &[HistogramSample], at: i64) -> Result<Option<Arc<Histogram>>, Incompatible> {
    let next = histograms.partition_point(|sample| sample.timestamp.0 < at);
    Ok(match (next.checked_sub(1).map(|before| &histograms[before]), histograms.get(next)) {
        (_, Some(next)) if next.timestamp.0 == at => Some(Arc::clone(&next.histogram)),
        (Some(before), Some(next)) => {
            let counter = before.histogram.reset != ResetHint::Gauge && next.histogram.reset != ResetHint::Gauge;
            Some(Arc::new(super::mixed::between((before, next), at, counter)?.0))
        }
        (Some(before), None) => Some(Arc::clone(&before.histogram)),
        (None, _) => None,
    })
}

impl Evaluator<'_> {
    /// An instant selector at each step: the newest sample no older than the lookback.
    pub(super) fn instant(
        &self,
        (selector, span): (&Selector, TextSpan),
        grid: &Grid,
        take: Take,
    ) -> Result<Vec<Column>, EvalError> {
        if selector.reach == Some(Reach::Smoothed) && take == Take::Value {
            return self.smoothed((selector, span), grid);
        }
        let moment = Moment { offset: self.offset(selector.offset.as_ref())?, anchor: self.anchor(selector.at) };
        self.newest(&selector.all_matchers(), moment, grid, take)
    }

    /// The newest sample at each step of the series that pass, no older than the lookback.
    pub(super) fn newest(
        &self,
        matchers: &[Matcher],
        moment: Moment,
        grid: &Grid,
        take: Take,
    ) -> Result<Vec<Column>, EvalError> {
        let reference = |at: i64| moment.anchor.unwrap_or(at).saturating_sub(moment.offset);
        let first = reference(grid.start).saturating_sub(self.asked.lookback).saturating_add(1);
        self.each(matchers, (first, reference(grid.last())), &|evaluator, series| {
            evaluator.charge(grid.count)?;
            Ok(evaluator.newest_of(series, &reference, grid, take))
        })
    }

    fn newest_of(&self, series: Series, reference: &dyn Fn(i64) -> i64, grid: &Grid, take: Take) -> Option<Column> {
        if !series.histograms.is_empty() {
            return self.instant_of_both(&series, reference, grid, take);
        }
        let samples = &series.samples;
        let mut values = Vec::with_capacity(grid.count);
        let mut next = 0;
        let mut any = false;
        for step in 0..grid.count {
            let reference = reference(grid.at(step));
            while next < samples.len() && samples[next].timestamp.0 <= reference {
                next += 1;
            }
            let newest = next.checked_sub(1).map(|at| samples[at]);
            let fresh = newest.filter(|newest| {
                newest.timestamp.0 > reference.saturating_sub(self.asked.lookback) && !is_stale(newest.value)
            });
            any |= fresh.is_some();
            values.push(match (fresh, take) {
                (Some(sample), Take::Value) => sample.value,
                (Some(sample), Take::Time | Take::TimeOfNumber) => sample.timestamp.as_seconds(),
                (Some(sample), Take::Start) => seconds(start_at(&series.starts, sample.timestamp)),
                (None, _) => absent(),
            });
        }
        if any {
            self.counts.look_at_each((0..grid.count).filter(|step| is_present(values[*step])));
        }
        any.then(|| Column::new(series.labels, values))
    }

    /// As [`Evaluator::instant`], of a series with histograms among its samples.
    fn instant_of_both(
        &self,
        series: &Series,
        reference: &dyn Fn(i64) -> i64,
        grid: &Grid,
        take: Take,
    ) -> Option<Column> {
        let mut column = Column::new(series.labels.clone(), vec![absent(); grid.count]);
        for step in 0..grid.count {
            let reference = reference(grid.at(step));
            let float = series.samples.partition_point(|sample| sample.timestamp.0 <= reference).checked_sub(1);
            let other = series.histograms.partition_point(|sample| sample.timestamp.0 <= reference).checked_sub(1);
            let (float, other) = (float.map(|at| series.samples[at]), other.map(|at| &series.histograms[at]));
            let fresh = |at: Timestamp| at.0 > reference.saturating_sub(self.asked.lookback);
            if let Some(sample) = other.filter(|other| float.is_none_or(|float| float.timestamp < other.timestamp)) {
                if !fresh(sample.timestamp) || sample.histogram.is_stale() {
                    continue;
                }
                self.counts.look(step, sample.histogram.size());
                match take {
                    Take::Value | Take::TimeOfNumber => column.set_histogram(step, Arc::clone(&sample.histogram)),
                    Take::Time => column.values[step] = sample.timestamp.as_seconds(),
                    Take::Start => column.values[step] = seconds(start_at(&series.starts, sample.timestamp)),
                }
            } else if let Some(sample) = float.filter(|float| fresh(float.timestamp) && !is_stale(float.value)) {
                self.counts.look(step, 1);
                column.values[step] = match take {
                    Take::Value => sample.value,
                    Take::Time | Take::TimeOfNumber => sample.timestamp.as_seconds(),
                    Take::Start => seconds(start_at(&series.starts, sample.timestamp)),
                };
            }
        }
        column.has_values().then_some(column)
    }

    /// An instant selector on the line between the samples around each step.
    fn smoothed(&self, (selector, span): (&Selector, TextSpan), grid: &Grid) -> Result<Vec<Column>, EvalError> {
        let lookback = self.asked.lookback;
        let offset = self.offset(selector.offset.as_ref())?;
        let anchor = self.anchor(selector.at);
        let reach = Some(Reach::Smoothed);
        let windows = Ranges { series: Vec::new(), range: 0, offset, anchor, reach, lookback };
        let (first, _) = windows.bounds(grid.start);
        let (_, last) = windows.bounds(grid.last());
        let found = self.load(&selector.all_matchers(), first.saturating_add(1), last)?;
        self.charge(found.len().saturating_mul(grid.count))?;
        let columns = found.into_iter().map(|mut series| {
            if series.samples.iter().any(|sample| is_stale(sample.value)) {
                series.samples.retain(|sample| !is_stale(sample.value));
            }
            series.histograms.retain(|sample| !sample.histogram.is_stale());
            let value = |step: usize| {
                let at = windows.end(grid.at(step));
                let samples = within(&series.samples, windows.bounds(grid.at(step)));
                let next = samples.partition_point(|sample| sample.timestamp.0 < at);
                match (next.checked_sub(1).map(|before| samples[before]), samples.get(next)) {
                    (_, Some(next)) if next.timestamp.0 == at => next.value,
                    (Some(before), Some(next)) => interpolated(before, *next, at, false),
                    (Some(before), None) => before.value,
                    (None, _) => absent(),
                }
            };
            let mut column = Column::new(series.labels.clone(), (0..grid.count).map(value).collect());
            self.counts.look_at_each((0..grid.count).filter(|step| is_present(column.values[*step])));
            for step in 0..grid.count {
                let (bounds, at) = (windows.bounds(grid.at(step)), windows.end(grid.at(step)));
                let near = near(&series.histograms, bounds);
                if near.is_empty() {
                    continue;
                }
                let metric = series.labels.name().unwrap_or("");
                let whole = !within(&series.samples, bounds).is_empty();
                column.clear(step);
                match smoothed_histogram(near, at) {
                    _ if whole => self.note(Note::mixed(&format!("metric name {}", quote(metric)), span)),
                    Ok(Some(histogram)) => column.set_histogram(step, histogram),
                    Ok(None) => {}
                    Err(Incompatible) => self.note(Note::mixed_buckets(metric, span)),
                }
            }
            column
        });
        Ok(columns.filter(Column::has_values).collect())
    }

    /// The windows of a range selector or a subquery at each step.
    pub(super) fn ranges(&self, expr: &Expr, grid: &Grid) -> Result<Ranges, EvalError> {
        match &expr.unwrapped().node {
            Node::Range { selector, range } => {
                let mut ranges = self.windows(selector, range)?;
                ranges.series = self.each_range(selector, &ranges, grid, &|_, series| Ok(Some(series)))?;
                Ok(ranges)
            }
            Node::Subquery(subquery) => self.subquery(subquery, grid),
            _ => Err(EvalError::Type("a function over a range was given something else".into())),
        }
    }

    /// How windows over a range selector lie, without series.
    pub(super) fn windows(&self, selector: &Selector, range: &Length) -> Result<Ranges, EvalError> {
        let range = self.length(range, false)?;
        let (offset, anchor) = (self.offset(selector.offset.as_ref())?, self.anchor(selector.at));
        Ok(Ranges { series: Vec::new(), range, offset, anchor, reach: selector.reach, lookback: self.asked.lookback })
    }

    /// What is made of each of the series that windows slide over, so that never all of their samples are held.
    pub(super) fn each_range<T: Send>(
        &self,
        selector: &Selector,
        windows: &Ranges,
        grid: &Grid,
        make: &(dyn Fn(&Evaluator<'_>, RangeSeries) -> Result<Option<T>, EvalError> + Sync),
    ) -> Result<Vec<T>, EvalError> {
        let (first, _) = windows.bounds(grid.start);
        let (_, last) = windows.bounds(grid.last());
        self.each(&selector.all_matchers(), (first.saturating_add(1), last), &|evaluator, mut series| {
            if series.samples.iter().any(|sample| is_stale(sample.value)) {
                series.samples.retain(|sample| !is_stale(sample.value));
            }
            series.histograms.retain(|sample| !sample.histogram.is_stale());
            let Series { labels, samples, histograms, starts } = series;
            make(evaluator, RangeSeries { labels, drop_name: false, samples, histograms, starts })
        })
    }

    fn subquery(&self, subquery: &Subquery, grid: &Grid) -> Result<Ranges, EvalError> {
        let range = self.length(&subquery.range, false)?;
        let step = match &subquery.step {
            Some(step) => self.length(step, false)?,
            None => self.asked.default_step,
        }
        .max(1);
        let (offset, anchor) = (self.offset(subquery.offset.as_ref())?, self.anchor(subquery.at));
        let mut ranges = Ranges { series: Vec::new(), range, offset, anchor, reach: None, lookback: 0 };
        // Steps of a subquery lie at multiples of its step, so that they do not depend on when it is asked.
        let before = ranges.end(grid.start).saturating_sub(range);
        let start = before.div_euclid(step).saturating_add(1).saturating_mul(step);
        let end = ranges.end(grid.last());
        if end < start {
            return Ok(ranges);
        }
        let count = usize::try_from((i128::from(end) - i128::from(start)) / i128::from(step) + 1).unwrap_or(usize::MAX);
        self.charge(count)?;
        let inner = Grid { start, step, count };
        let found = self.counts.inside(|| self.counting_only(false, || self.vector(&subquery.inner, &inner)))?;
        for column in found {
            let samples: Vec<Sample> = column.samples(&inner).collect();
            let mut histograms = column.histogram_samples(&inner);
            // Samples are left out or given twice here, so that what they say of resets between them is not so.
            for sample in &mut histograms {
                if let ResetHint::Reset | ResetHint::NotReset = sample.histogram.reset {
                    let histogram = Histogram { reset: ResetHint::Unknown, ..Histogram::clone(&sample.histogram) };
                    sample.histogram = Arc::new(histogram);
                }
            }
            self.charge(samples.len() + histograms.iter().map(|sample| sample.histogram.size()).sum::<usize>())?;
            let (labels, drop_name) = (column.labels, column.drop_name);
            ranges.series.push(RangeSeries { labels, drop_name, samples, histograms, starts: Vec::new() });
        }
        Ok(ranges)
    }

    /// A range vector at one moment, as the result of a query.
    pub(super) fn matrix(&self, expr: &Expr, grid: &Grid) -> Result<Vec<Series>, EvalError> {
        let mut ranges = self.ranges(expr, grid)?;
        let end = ranges.end(grid.start);
        let mut found: Vec<Series> = Vec::new();
        for series in std::mem::take(&mut ranges.series) {
            let labels =
                if series.drop_name { super::column::without_metadata(&series.labels) } else { series.labels.clone() };
            let samples = match ranges.reach {
                Some(reach) => with_ends(&series.samples, end.saturating_sub(ranges.range), end, reach),
                None => within(&series.samples, ranges.bounds(grid.start)).to_vec(),
            };
            let histograms = near(&series.histograms, ranges.bounds(grid.start)).to_vec();
            let series = Series { histograms, ..Series::new(labels, samples) };
            self.counts.look(0, series.size());
            if !series.is_empty() {
                found.push(series);
            }
        }
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        match found.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
            true => Err(super::column::same_labels()),
            false => Ok(found),
        }
    }

    fn load(&self, matchers: &[Matcher], start: i64, end: i64) -> Result<Vec<Series>, EvalError> {
        self.each(matchers, (start, end), &|_, series| Ok(Some(series)))
    }

    /// What is made of the series that pass, in their order; on as many threads as the source lends.
    fn each<T: Send>(
        &self,
        matchers: &[Matcher],
        (start, end): (i64, i64),
        make: &(dyn Fn(&Evaluator<'_>, Series) -> Result<Option<T>, EvalError> + Sync),
    ) -> Result<Vec<T>, EvalError> {
        let seed = self.seed();
        let gathered = Mutex::new((Vec::<(usize, Result<Vec<T>, EvalError>, Vec<Note>)>::new(), Found::default()));
        self.asked.source.batches(matchers, Timestamp(start), Timestamp(end), &|place, series| {
            let evaluator = seed.evaluator();
            let made = series.into_iter().filter_map(|series| evaluator.one(series, make).transpose());
            let made = made.collect::<Result<Vec<T>, EvalError>>();
            let flow = if made.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
            let (batches, all) = &mut *gathered.lock().unwrap_or_else(PoisonError::into_inner);
            batches.push((place, made, all.add(evaluator)));
            flow
        })?;
        let (mut batches, found) = gathered.into_inner().unwrap_or_else(PoisonError::into_inner);
        batches.sort_unstable_by_key(|(place, ..)| *place);
        self.take_in(&found);
        let mut all = Vec::new();
        for (_, made, notes) in batches {
            notes.into_iter().for_each(|note| self.note(note));
            all.extend(made?);
        }
        Ok(all)
    }

    fn one<T>(
        &self,
        mut series: Series,
        make: &(dyn Fn(&Evaluator<'_>, Series) -> Result<Option<T>, EvalError> + Sync),
    ) -> Result<Option<T>, EvalError> {
        let samples = series.size();
        self.counts.read.set(self.counts.read.get() + samples as u64);
        if self.counts_only.get() {
            say_resets(&mut series.histograms);
        }
        self.check_stop()?;
        self.charge(samples)?;
        make(self, series)
    }

    pub(super) fn anchor(&self, anchor: Option<Anchor>) -> Option<i64> {
        anchor.map(|anchor| match anchor {
            Anchor::Time(at) => at.0,
            Anchor::Start => self.asked.start,
            Anchor::End => self.asked.end,
        })
    }

    pub(super) fn offset(&self, offset: Option<&Length>) -> Result<i64, EvalError> {
        offset.map_or(Ok(0), |offset| self.length(offset, true))
    }

    /// A length in milliseconds.
    fn length(&self, length: &Length, negative: bool) -> Result<i64, EvalError> {
        if let LengthNode::Seconds { value, .. } = length.node {
            // Rounded to nanoseconds first, as Prometheus keeps durations.
            return Ok((value * 1e9).round() as i64 / 1_000_000);
        }
        let refuse = |what: &str| Err(EvalError::Argument(format!("the duration `{length}` {what}")));
        match self.seconds(length)? {
            seconds if !seconds.is_finite() => refuse("is NaN or infinite"),
            seconds if seconds <= 0.0 && !negative => refuse("must be greater than 0"),
            seconds if seconds.abs() > i64::MAX as f64 / 1e9 => refuse("is out of range"),
            seconds => Ok((seconds * 1000.0) as i64),
        }
    }

    fn seconds(&self, length: &Length) -> Result<f64, EvalError> {
        Ok(match &length.node {
            LengthNode::Seconds { value, .. } => *value,
            LengthNode::Step => self.asked.step as f64 / 1000.0,
            LengthNode::Range => self.asked.end.saturating_sub(self.asked.start) as f64 / 1000.0,
            LengthNode::Minus(inner) => -self.seconds(inner)?,
            LengthNode::Paren(inner) => self.seconds(inner)?,
            LengthNode::Least(left, right) => self.seconds(left)?.min(self.seconds(right)?),
            LengthNode::Most(left, right) => self.seconds(left)?.max(self.seconds(right)?),
            LengthNode::Arithmetic(op, left, right) => {
                let (left, right) = (self.seconds(left)?, self.seconds(right)?);
                if right == 0.0 && matches!(op, BinaryOp::Div | BinaryOp::Mod) {
                    return Err(EvalError::Argument(format!("the duration `{length}` divides by zero")));
                }
                super::binary::number(*op, left, right)
            }
        })
    }
}
