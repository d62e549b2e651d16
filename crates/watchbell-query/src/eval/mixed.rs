//! Functions over the windows of series that have histograms among their samples.
//!
//! A function of numbers ignores histograms, with a note where there are both; a function that can work on either needs
//! all samples of a window to be of one kind, and has no value, with a warning, where they are not.

use std::cell::Cell as Flag;
use std::sync::Arc;

use watchbell_model::{Histogram, HistogramSample, ResetHint, Sample, Timestamp};

use super::EvalError;
use super::column::{Column, Grid, absent};
use super::evaluator::Evaluator;
use super::note::Note;
use super::select::{RangeSeries, Ranges, near};
use super::window::{self, Window, WindowFunction};
use crate::histogram::{self, Incompatible, Met, Tally, is_reset};
use crate::promql::{BinaryOp, Expr, Reach, TextSpan, quote};

/// The value of a window.
enum Cell {
    Number(f64),
    Histogram(Histogram),
}

/// A sample of either kind.
#[derive(Clone, Copy)]
enum Either<'a> {
    Number(Sample),
    Histogram(&'a HistogramSample),
}

impl Either<'_> {
    fn time(&self) -> i64 {
        match self {
            Either::Number(sample) => sample.timestamp.0,
            Either::Histogram(sample) => sample.timestamp.0,
        }
    }
}

/// A window over both kinds of samples.
struct Both<'a> {
    name: &'a str,
    window: Window<'a>,
    histograms: &'a [HistogramSample],
    /// For notes.
    metric: &'a str,
    span: TextSpan,
}

impl Evaluator<'_> {
    /// As [`Evaluator::slide`], of one series.
    pub(super) fn slide_over_both(
        &self,
        name: &str,
        function: WindowFunction,
        ranges: &Ranges,
        series: &RangeSeries,
        scalars: &[Vec<f64>],
        (grid, argument): (&Grid, &Expr),
    ) -> Result<Option<Column>, EvalError> {
        let keeps_name = matches!(name, "last_over_time" | "first_over_time");
        let mut column = Column::new(series.labels.clone(), vec![absent(); grid.count]);
        column.drop_name = series.drop_name || !keeps_name;
        let metric = series.labels.name().unwrap_or("");
        let overlap = Flag::new(false);
        for step in 0..grid.count {
            self.check_stop()?;
            let now = grid.at(step);
            let (start, end) = ranges.bounds(now);
            let samples = window::within(&series.samples, (start, end));
            let histograms = near(&series.histograms, (start, end));
            if samples.is_empty() && histograms.is_empty() {
                continue;
            }
            let sizes: usize = histograms.iter().map(|sample| sample.histogram.size()).sum();
            self.counts.look(step, samples.len() + sizes);
            let arguments: Vec<f64> = scalars.iter().map(|values| values[step]).collect();
            window::check_arguments(name, &arguments)?;
            let window = Window {
                samples,
                end: ranges.end(now),
                range: ranges.range,
                reach: ranges.reach,
                now,
                arguments: &arguments,
                starts: &series.starts,
                rising: false,
                overlap: &overlap,
            };
            let both = Both { name, window, histograms, metric, span: argument.span };
            let cell = match histograms.is_empty() {
                true => function(&both.window).map(Cell::Number),
                false => both.value(self, function),
            };
            match cell {
                Some(Cell::Number(value)) => column.values[step] = value,
                Some(Cell::Histogram(value)) => column.set_histogram(step, Arc::new(value)),
                None => {}
            }
        }
        self.note_overlap(&overlap, &series.labels, argument);
        Ok(column.has_values().then_some(column))
    }
}

impl Both<'_> {
    fn value(&self, evaluator: &Evaluator<'_>, function: WindowFunction) -> Option<Cell> {
        let (samples, histograms) = (self.window.samples, self.histograms);
        let seconds = |at: i64| Some(Cell::Number(at as f64 / 1000.0));
        let all = self.merged();
        match self.name {
            "count_over_time" => Some(Cell::Number((samples.len() + histograms.len()) as f64)),
            "present_over_time" | "absent_over_time" => Some(Cell::Number(1.0)),
            "ts_of_first_over_time" => seconds(all[0].time()),
            "ts_of_last_over_time" => seconds(all[all.len() - 1].time()),
            "first_over_time" => Some(kept(all[0])),
            "last_over_time" => Some(kept(all[all.len() - 1])),
            "changes" => self
                .anchored(&all)
                .map(|all| Cell::Number(all.windows(2).filter(|pair| changed(pair[0], pair[1])).count() as f64)),
            "resets" => self.anchored(&all).map(|all| {
                let anew = |pair: &&[Either<'_>]| self.began_anew(pair[0], pair[1]);
                Cell::Number(all.windows(2).filter(anew).count() as f64)
            }),
            "irate" => self.instant_difference(evaluator, &all, true),
            "idelta" => self.instant_difference(evaluator, &all, false),
            "rate" | "increase" | "delta" | "sum_over_time" | "avg_over_time" if !samples.is_empty() => {
                evaluator.note(Note::mixed(&format!("metric name {}", quote(self.metric)), self.span));
                None
            }
            "rate" => self.difference(evaluator, true, true),
            "increase" => self.difference(evaluator, true, false),
            "delta" => self.difference(evaluator, false, false),
            "sum_over_time" => self.total(evaluator).map(|(sum, _)| Cell::Histogram(sum.finish())),
            "avg_over_time" => self.mean(evaluator),
            _ => {
                let value = (!samples.is_empty()).then(|| function(&self.window)).flatten();
                if !samples.is_empty() {
                    let message = "ignored histograms in a range containing both floats and histograms for metric name";
                    evaluator.note(Note::info(format!("{message} {}", quote(self.metric)), self.span));
                }
                value.map(Cell::Number)
            }
        }
    }

    fn began_anew(&self, before: Either<'_>, after: Either<'_>) -> bool {
        let since = |sample: Either<'_>| self.window.since(Timestamp(sample.time()));
        let fell = match (before, after) {
            (Either::Number(a), Either::Number(b)) => b.value < a.value,
            (Either::Histogram(a), Either::Histogram(b)) => is_reset(&b.histogram, &a.histogram),
            _ => return true,
        };
        fell || since(after).began_anew(since(before))
    }

    /// Whether a counter began anew between two histograms.
    fn is_reset(&self, before: &HistogramSample, after: &HistogramSample) -> bool {
        self.began_anew(Either::Histogram(before), Either::Histogram(after))
    }

    /// All samples by time.
    fn merged(&self) -> Vec<Either<'_>> {
        let numbers = self.window.samples.iter().map(|sample| Either::Number(*sample));
        let mut all: Vec<Either<'_>> = numbers.chain(self.histograms.iter().map(Either::Histogram)).collect();
        all.sort_by_key(Either::time);
        all
    }

    /// Of the samples from before the window only the last one; none when there is no sample in it.
    fn anchored<'a>(&self, all: &'a [Either<'a>]) -> Option<&'a [Either<'a>]> {
        let start = self.window.end.saturating_sub(self.window.range);
        let before = all.partition_point(|sample| sample.time() <= start);
        match self.window.reach {
            None => Some(all),
            Some(_) => (before < all.len()).then(|| &all[before.saturating_sub(1)..]),
        }
    }

    /// Notes what happened when histograms met; nothing is left when they cannot.
    fn met(&self, evaluator: &Evaluator<'_>, met: Result<Met, Incompatible>, operation: &str) -> Option<()> {
        match met {
            Ok(met) => {
                // Resets are what the functions themselves look for.
                let met = Met { resets_collide: false, ..met };
                Note::of_meeting(met, operation, self.span).into_iter().for_each(|note| evaluator.note(note));
                Some(())
            }
            Err(Incompatible) => {
                evaluator.note(Note::mixed_buckets(self.metric, self.span));
                None
            }
        }
    }

    fn total(&self, evaluator: &Evaluator<'_>) -> Option<(Tally, f64)> {
        self.note_collision(evaluator);
        let mut sum = Tally::of(&self.histograms[0].histogram);
        for sample in &self.histograms[1..] {
            let met = sum.add(&Tally::of(&sample.histogram));
            self.met(evaluator, met, "aggregation")?;
        }
        Some((sum, self.histograms.len() as f64))
    }

    fn mean(&self, evaluator: &Evaluator<'_>) -> Option<Cell> {
        let (mut sum, count) = self.total(evaluator)?;
        if !sum.overflows() {
            sum.divide(count);
            return Some(Cell::Histogram(sum.finish()));
        }
        let mut mean = Tally::of(&self.histograms[0].histogram);
        for (seen, sample) in self.histograms.iter().enumerate().skip(1) {
            let (mut next, count) = (Tally::of(&sample.histogram), (seen + 1) as f64);
            mean.multiply(seen as f64 / count);
            next.divide(count);
            let met = mean.add(&next);
            self.met(evaluator, met, "aggregation")?;
        }
        Some(Cell::Histogram(mean.finish()))
    }

    fn note_collision(&self, evaluator: &Evaluator<'_>) {
        let any = |hint: ResetHint| self.histograms.iter().any(|sample| sample.histogram.reset == hint);
        if any(ResetHint::Reset) && any(ResetHint::NotReset) {
            let met = Met { resets_collide: true, bounds_differ: false };
            Note::of_meeting(met, "aggregation", self.span).into_iter().for_each(|note| evaluator.note(note));
        }
    }

    fn note_not(&self, evaluator: &Evaluator<'_>, kind: &str) {
        let message = format!("this native histogram metric is not a {kind}: {}", quote(self.metric));
        evaluator.note(Note::warning(message, self.span));
    }

    /// From the last sample but one to the last.
    fn instant_difference(&self, evaluator: &Evaluator<'_>, all: &[Either<'_>], rate: bool) -> Option<Cell> {
        let [.., before, after] = all else { return None };
        let interval = (after.time() - before.time()) as f64 / 1000.0;
        let (before, after) = match (before, after) {
            (Either::Number(before), Either::Number(after)) => {
                let reset = rate && self.began_anew(Either::Number(*before), Either::Number(*after));
                let difference = if reset { after.value } else { after.value - before.value };
                return Some(Cell::Number(if rate { difference / interval } else { difference }));
            }
            (Either::Histogram(before), Either::Histogram(after)) => (*before, *after),
            _ => {
                evaluator.note(Note::mixed(&format!("metric name {}", quote(self.metric)), self.span));
                return None;
            }
        };
        let gauges = [before, after].map(|it| it.histogram.reset == ResetHint::Gauge);
        if rate && gauges.contains(&true) {
            self.note_not(evaluator, "counter");
        }
        if !rate && gauges.contains(&false) {
            self.note_not(evaluator, "gauge");
        }
        let mut difference = Tally::of(&after.histogram);
        if !rate || !self.is_reset(before, after) {
            let met = difference.subtract(&Tally::of(&before.histogram));
            self.met(evaluator, met, "subtraction")?;
        }
        difference.reset = ResetHint::Gauge;
        if rate {
            difference.divide(interval);
        }
        Some(Cell::Histogram(difference.finish()))
    }

    /// As `window::extrapolated`, of histograms.
    fn difference(&self, evaluator: &Evaluator<'_>, counter: bool, per_second: bool) -> Option<Cell> {
        if let Some(reach) = self.window.reach {
            return self.extended(evaluator, reach, counter, per_second);
        }
        let (histograms, window) = (self.histograms, &self.window);
        let (first, last) = (&histograms[0], &histograms[histograms.len() - 1]);
        let begin = if counter { window.begins_within(first.timestamp) } else { None };
        let mut difference = match (histograms.len(), begin) {
            (1, None) => return None,
            (1, Some(_)) => Tally::of(&first.histogram),
            _ => {
                let mut difference = self.sampled_difference(evaluator, counter)?;
                if begin.is_some() {
                    let met = difference.add_plainly(&Tally::of(&first.histogram));
                    self.met(evaluator, met, "addition")?;
                }
                difference
            }
        };
        let stretch = window::Stretch::of(window, first.timestamp, last.timestamp, histograms.len(), begin);
        let grown = difference.finish().count;
        let to_zero = (begin.is_none() && counter && grown > 0.0 && first.histogram.count >= 0.0)
            .then(|| stretch.sampled * (first.histogram.count / grown));
        let mut factor = stretch.factor(to_zero);
        if per_second {
            factor /= window.range as f64 / 1000.0;
        }
        difference.multiply(factor);
        Some(Cell::Histogram(difference.finish()))
    }

    /// From the first to the last histogram, with what a counter lost in resets.
    fn sampled_difference(&self, evaluator: &Evaluator<'_>, counter: bool) -> Option<Tally> {
        let histograms: Vec<&Histogram> = self.histograms.iter().map(|sample| &*sample.histogram).collect();
        let (first, last) = (histograms[0], histograms[histograms.len() - 1]);
        let is_gauge = |it: &&Histogram| it.reset == ResetHint::Gauge;
        if counter && histograms.iter().any(is_gauge) {
            self.note_not(evaluator, "counter");
        }
        if !(counter || is_gauge(&first) && is_gauge(&last)) {
            self.note_not(evaluator, "gauge");
        }
        // Of a counter that began anew after the first sample, that one and its buckets do not matter.
        let fresh = counter && self.is_reset(&self.histograms[0], &self.histograms[1]);
        let begin = if fresh { Tally::empty_like(histograms[1]) } else { Tally::of(first) };
        let looked_at = if counter { &histograms[usize::from(fresh)..] } else { &[first, last][..] };
        if looked_at.iter().any(|it| it.has_custom_buckets() != last.has_custom_buckets()) {
            evaluator.note(Note::mixed_buckets(self.metric, self.span));
            return None;
        }
        let mut difference = Tally::of(last);
        if !last.has_custom_buckets() {
            difference.coarsen(looked_at.iter().map(|it| it.schema).min().unwrap_or(last.schema));
        }
        let met = difference.subtract(&begin);
        self.met(evaluator, met, "subtraction")?;
        if counter {
            for pair in self.histograms[usize::from(fresh)..].windows(2) {
                if self.is_reset(&pair[0], &pair[1]) {
                    let met = difference.add_plainly(&Tally::of(&pair[0].histogram));
                    self.met(evaluator, met, "addition")?;
                }
            }
            if !self.window.starts.is_empty() {
                self.window.look_for_overlap(self.histograms.iter().map(|sample| sample.timestamp));
            }
        }
        difference.reset = ResetHint::Gauge;
        Some(difference)
    }

    /// As `window::extended`, of histograms.
    fn extended(&self, evaluator: &Evaluator<'_>, reach: Reach, counter: bool, per_second: bool) -> Option<Cell> {
        let all = self.histograms;
        let (start, end) = (self.window.end.saturating_sub(self.window.range), self.window.end);
        let smoothed = reach == Reach::Smoothed;
        let newest = all.len() - 1;
        let time = |at: usize| all[at].timestamp.0;
        let first = all[..newest].partition_point(|sample| sample.timestamp.0 <= start).saturating_sub(1);
        let last = match smoothed {
            true => all[..newest].partition_point(|sample| sample.timestamp.0 < end),
            false => newest,
        };
        if time(last) <= start || (smoothed && time(first) > end) {
            return None;
        }
        let within = &all[first..=last];
        if within.iter().any(|it| it.histogram.has_custom_buckets() != all[first].histogram.has_custom_buckets()) {
            evaluator.note(Note::mixed_buckets(self.metric, self.span));
            return None;
        }
        if counter && within.iter().any(|it| it.histogram.reset == ResetHint::Gauge) {
            self.note_not(evaluator, "counter");
        }
        let left = match smoothed && time(first) < start {
            true => self.interpolated(evaluator, (&all[first], &all[first + 1]), start, counter)?,
            false => Histogram::clone(&all[first].histogram),
        };
        let right = match smoothed && last > 0 && time(last) > end {
            true => self.interpolated(evaluator, (&all[last - 1], &all[last]), end, counter)?,
            false => Histogram::clone(&all[last].histogram),
        };
        if !counter && (left.reset != ResetHint::Gauge || right.reset != ResetHint::Gauge) {
            self.note_not(evaluator, "gauge");
        }
        let mut difference = Tally::of(&right);
        let met = difference.subtract(&Tally::of(&left));
        self.met(evaluator, met, "subtraction")?;
        if counter {
            // The left end may lie between the samples of a reset; what follows is then compared with the later one.
            let spanned = smoothed && time(first) < start && is_reset(&all[first + 1].histogram, &all[first].histogram);
            let (mut before, from) = match spanned {
                true => (&*all[first + 1].histogram, first + 2),
                false => (&left, first + 1),
            };
            if from <= last {
                let between = all[from..last].iter().map(|sample| &*sample.histogram);
                for now in between.chain([&right]) {
                    if is_reset(now, before) {
                        let met = difference.add_plainly(&Tally::of(before));
                        self.met(evaluator, met, "addition")?;
                    }
                    before = now;
                }
            }
        }
        if per_second {
            difference.divide(self.window.range as f64 / 1000.0);
        }
        difference.reset = ResetHint::Gauge;
        Some(Cell::Histogram(difference.finish()))
    }

    /// The histogram on the line between two; a counter that began anew between them began at nothing.
    fn interpolated(
        &self,
        evaluator: &Evaluator<'_>,
        (before, after): (&HistogramSample, &HistogramSample),
        at: i64,
        counter: bool,
    ) -> Option<Histogram> {
        let (interpolated, met) = match between((before, after), at, counter) {
            Ok(found) => found,
            Err(Incompatible) => {
                evaluator.note(Note::mixed_buckets(self.metric, self.span));
                return None;
            }
        };
        if met.bounds_differ {
            self.met(evaluator, Ok(met), "subtraction")?;
        }
        Some(interpolated)
    }
}

/// See [`Both::interpolated`].
pub(super) fn between(
    (before, after): (&HistogramSample, &HistogramSample),
    at: i64,
    counter: bool,
) -> Result<(Histogram, Met), Incompatible> {
    if before.histogram.has_custom_buckets() != after.histogram.has_custom_buckets() {
        return Err(Incompatible);
    }
    let (from, to) = (before.timestamp.0, after.timestamp.0);
    if at == from || at == to {
        let exact = if at == from { before } else { after };
        return Ok((Histogram::clone(&exact.histogram), Met::default()));
    }
    let share = (at - from) as f64 / (to - from) as f64;
    let mut interpolated = Tally::of(&after.histogram);
    let mut met = Met::default();
    if counter && is_reset(&after.histogram, &before.histogram) {
        interpolated.multiply(share);
    } else {
        let start = Tally::of(&before.histogram);
        met = interpolated.subtract(&start)?;
        interpolated.multiply(share);
        interpolated.add_plainly(&start)?;
    }
    Ok((interpolated.finish(), met))
}

/// One side of an operator.
#[derive(Clone, Copy)]
pub(super) enum Operand<'a> {
    Number(f64),
    Histogram(&'a Histogram),
}

impl<'a> Operand<'a> {
    /// The value of a column at a step that has one.
    pub(super) fn of(column: &'a Column, step: usize) -> Operand<'a> {
        column.histogram(step).map_or(Operand::Number(column.values[step]), |histogram| Operand::Histogram(histogram))
    }

    fn kind(self) -> &'static str {
        match self {
            Operand::Number(_) => "float",
            Operand::Histogram(_) => "histogram",
        }
    }
}

/// An operator has no meaning for these kinds of samples.
pub(super) fn incompatible(op: BinaryOp, [left, right]: [&str; 2], span: TextSpan) -> Note {
    let op = op.as_str();
    let message = "incompatible sample types encountered for binary operator";
    Note::info(format!("{message} {}: {left} {op} {right}", quote(op)), span)
}

/// What an operator gives for a pair with a histogram in it: a histogram or nothing.
pub(super) fn element(
    (op, span): (BinaryOp, TextSpan),
    left: Operand<'_>,
    right: Operand<'_>,
    note: &mut dyn FnMut(Note),
) -> Option<Arc<Histogram>> {
    use Operand::{Histogram as Whole, Number};
    let changed = |histogram: &Histogram, change: &dyn Fn(&mut Tally)| {
        let mut tally = Tally::of(histogram);
        change(&mut tally);
        Some(Arc::new(tally.finish()))
    };
    match (op, left, right) {
        (BinaryOp::Mul, Whole(histogram), Number(factor)) | (BinaryOp::Mul, Number(factor), Whole(histogram)) => {
            changed(histogram, &|tally| tally.multiply(factor))
        }
        (BinaryOp::Div, Whole(histogram), Number(divisor)) => changed(histogram, &|tally| tally.divide(divisor)),
        (BinaryOp::TrimUpper, Whole(histogram), Number(value)) => {
            Some(Arc::new(histogram::trim(histogram, value, true)))
        }
        (BinaryOp::TrimLower, Whole(histogram), Number(value)) => {
            Some(Arc::new(histogram::trim(histogram, value, false)))
        }
        (BinaryOp::Add | BinaryOp::Sub, Whole(left), Whole(right)) => {
            let (mut tally, right) = (Tally::of(left), Tally::of(right));
            let add = op == BinaryOp::Add;
            let met = if add { tally.add_plainly(&right) } else { tally.subtract(&right) };
            match met {
                Ok(met) => {
                    let operation = if add { "addition" } else { "subtraction" };
                    Note::of_meeting(met, operation, span).into_iter().for_each(note);
                    if !add {
                        tally.reset = ResetHint::Gauge;
                    }
                    Some(Arc::new(tally.finish()))
                }
                Err(Incompatible) => {
                    let message = "incompatible bucket layout encountered for binary operator";
                    note(Note::warning(format!("{message} {}", op.as_str()), span));
                    None
                }
            }
        }
        (BinaryOp::Equal, Whole(left), Whole(right)) => histogram::equal(left, right).then(|| Arc::new(left.clone())),
        (BinaryOp::NotEqual, Whole(left), Whole(right)) => {
            (!histogram::equal(left, right)).then(|| Arc::new(left.clone()))
        }
        (op, left, right) => {
            note(incompatible(op, [left.kind(), right.kind()], span));
            None
        }
    }
}

fn kept(sample: Either<'_>) -> Cell {
    match sample {
        Either::Number(sample) => Cell::Number(sample.value),
        Either::Histogram(sample) => Cell::Histogram(Histogram::clone(&sample.histogram)),
    }
}

fn changed(before: Either<'_>, after: Either<'_>) -> bool {
    match (before, after) {
        (Either::Number(a), Either::Number(b)) => a.value != b.value && !(a.value.is_nan() && b.value.is_nan()),
        (Either::Histogram(a), Either::Histogram(b)) => !histogram::equal(&a.histogram, &b.histogram),
        _ => true,
    }
}
