//! Functions over the samples of one series in one window of time.
//!
//! A window holds the samples after its start up to and including its end, never a staleness marker, never none.

use std::cell::Cell;

use watchbell_model::{Sample, Start, Timestamp};

use super::EvalError;
use super::kahan::{Mean, Sum, Sums};
use super::since::Since;
use crate::promql::Reach;

/// A window and what a function may need to know of it.
pub(super) struct Window<'a> {
    /// Oldest first, at least one.
    pub(super) samples: &'a [Sample],
    /// The window's end, in milliseconds; the start is `range` before it.
    pub(super) end: i64,
    /// The window's length in milliseconds.
    pub(super) range: i64,
    /// Whether there are samples from beyond the ends among those given.
    pub(super) reach: Option<Reach>,
    /// The step that is evaluated, which is not the window's end under `offset` and `@`.
    pub(super) now: i64,
    /// The function's scalar arguments at this step.
    pub(super) arguments: &'a [f64],
    /// Since when samples count.
    pub(super) starts: &'a [Start],
    /// Whether no value is below the one before it: then no counter began anew, as far as values tell.
    pub(super) rising: bool,
    /// Set when samples count the same twice.
    pub(super) overlap: &'a Cell<bool>,
}

/// Gives the value of a window, or none.
pub(super) type WindowFunction = fn(&Window<'_>) -> Option<f64>;

/// The function of a name.
pub(super) fn function(name: &str) -> Option<WindowFunction> {
    Some(match name {
        "avg_over_time" => avg,
        "changes" => changes,
        "count_over_time" => |window| Some(window.samples.len() as f64),
        "delta" => |window| extrapolated(window, false, false),
        "deriv" => deriv,
        "double_exponential_smoothing" => double_exponential_smoothing,
        "first_over_time" => |window| Some(window.first().value),
        "idelta" => |window| instant_difference(window, false),
        "increase" => increase,
        "irate" => |window| instant_difference(window, true),
        "last_over_time" => |window| Some(window.last().value),
        "mad_over_time" => mad,
        "max_over_time" => |window| Some(best(window, |new, best| new > best).value),
        "min_over_time" => |window| Some(best(window, |new, best| new < best).value),
        "predict_linear" => predict_linear,
        "absent_over_time" | "present_over_time" => |_| Some(1.0),
        "quantile_over_time" => |window| Some(quantile(window.arguments[0], &mut window.values())),
        "rate" => rate,
        "resets" => resets,
        "stddev_over_time" => |window| Some(variance(window).sqrt()),
        "stdvar_over_time" => |window| Some(variance(window)),
        "sum_over_time" => |window| Some(sum(window)),
        "ts_of_first_over_time" => |window| Some(window.first().timestamp.as_seconds()),
        "ts_of_last_over_time" => |window| Some(window.last().timestamp.as_seconds()),
        "ts_of_max_over_time" => |window| Some(best(window, |new, best| new >= best).timestamp.as_seconds()),
        "ts_of_min_over_time" => |window| Some(best(window, |new, best| new <= best).timestamp.as_seconds()),
        _ => return None,
    })
}

/// Whether a function can work on samples from beyond its window.
pub(super) fn check_reach(name: &str, reach: Reach) -> Result<(), EvalError> {
    let able: &[&str] = match reach {
        Reach::Anchored => &["changes", "delta", "increase", "rate", "resets"],
        Reach::Smoothed => &["delta", "increase", "rate"],
    };
    if able.contains(&name) {
        return Ok(());
    }
    let (word, able) = (reach.as_str(), able.join(", "));
    Err(EvalError::Argument(format!("{word} modifier can only be used with: {able} - not with {name}")))
}

/// The samples after a start up to and including an end.
pub(super) fn within(samples: &[Sample], (start, end): (i64, i64)) -> &[Sample] {
    let from = samples.partition_point(|sample| sample.timestamp.0 <= start);
    let to = samples.partition_point(|sample| sample.timestamp.0 <= end);
    samples.get(from..to).unwrap_or(&[])
}

/// The value at a time on the line between two samples; a counter that was reset between them began at zero.
pub(super) fn interpolated(before: Sample, after: Sample, at: i64, counter: bool) -> f64 {
    let start = if counter && after.value < before.value { 0.0 } else { before.value };
    let share = (at - before.timestamp.0) as f64 / (after.timestamp.0 - before.timestamp.0) as f64;
    start + (after.value - start) * share
}

/// Whether a function's scalar arguments are in its domain.
pub(super) fn check_arguments(name: &str, arguments: &[f64]) -> Result<(), EvalError> {
    if name != "double_exponential_smoothing" {
        return Ok(());
    }
    for (what, mark, value) in [("smoothing", "sf", arguments[0]), ("trend", "tf", arguments[1])] {
        if !(value > 0.0 && value < 1.0) {
            let message = format!("invalid {what} factor. Expected: 0 < {mark} < 1, got: {value:.6}");
            return Err(EvalError::Argument(message));
        }
    }
    Ok(())
}

impl Window<'_> {
    fn first(&self) -> Sample {
        self.samples[0]
    }

    fn last(&self) -> Sample {
        self.samples[self.samples.len() - 1]
    }

    fn values(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.value).collect()
    }

    /// Whether a counter began anew between two samples, by their values or by since when they count.
    fn is_reset(&self, before: Sample, after: Sample) -> bool {
        after.value < before.value || self.since(after.timestamp).began_anew(self.since(before.timestamp))
    }

    /// A sample's time and since when it counts.
    pub(super) fn since(&self, at: Timestamp) -> Since {
        Since::of(self.starts, at)
    }

    /// Since when the first sample counts, if that lies in the window before it.
    pub(super) fn begins_within(&self, first: Timestamp) -> Option<i64> {
        let since = self.since(first);
        let within = since.start != 0 && since.start > self.end.saturating_sub(self.range) && since.start < since.at;
        within.then_some(since.start)
    }

    /// Notes whether samples count the same twice.
    pub(super) fn look_for_overlap(&self, times: impl Iterator<Item = Timestamp>) {
        let mut before = None;
        for at in times {
            let since = self.since(at);
            if before.replace(since).is_some_and(|before| since.overlaps(before)) {
                self.overlap.set(true);
            }
        }
    }

    /// Neighbours.
    fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        self.samples.windows(2).map(|pair| (pair[0].value, pair[1].value))
    }
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// Whether no value is below the one before it.
pub(super) fn is_rising(samples: &[Sample]) -> bool {
    !samples.windows(2).any(|pair| pair[1].value < pair[0].value)
}

#[inline]
pub(super) fn rate(window: &Window<'_>) -> Option<f64> {
    extrapolated(window, true, true)
}

#[inline]
pub(super) fn increase(window: &Window<'_>) -> Option<f64> {
    extrapolated(window, true, false)
}

/// The difference from first to last sample, stretched to the window's ends where the samples come near enough.
///
/// Near enough is within 1.1 times the mean distance of samples; else the series is taken to begin or end half such a
/// distance outside of its samples. A counter is not stretched below zero, and what it lost in resets is added.
#[inline]
fn extrapolated(window: &Window<'_>, counter: bool, per_second: bool) -> Option<f64> {
    if let Some(reach) = window.reach {
        return extended(window, reach, counter, per_second);
    }
    let (first, last) = (window.first(), window.last());
    let told = counter && !window.starts.is_empty();
    let begin = if told { window.begins_within(first.timestamp) } else { None };
    if window.samples.len() < 2 && begin.is_none() {
        return None;
    }
    let mut difference = last.value - first.value;
    if counter && !told && !window.rising {
        // What most rates are made of, so that it does nothing that is not needed.
        for pair in window.samples.windows(2) {
            if pair[1].value < pair[0].value {
                difference += pair[0].value;
            }
        }
    } else if told {
        for pair in window.samples.windows(2) {
            if window.is_reset(pair[0], pair[1]) {
                difference += pair[0].value;
            }
        }
        window.look_for_overlap(window.samples.iter().map(|sample| sample.timestamp));
    }
    let stretch = Stretch::of(window, first.timestamp, last.timestamp, window.samples.len(), begin);
    if begin.is_some() {
        difference += first.value;
    }
    let sampled = stretch.sampled;
    let to_zero = (begin.is_none() && counter && difference > 0.0 && first.value >= 0.0)
        .then(|| sampled * (first.value / difference));
    let mut factor = stretch.factor(to_zero);
    if per_second {
        factor /= seconds(window.range);
    }
    Some(difference * factor)
}

/// How samples lie in a window, in seconds.
pub(super) struct Stretch {
    /// From the window's start to the first sample.
    pub(super) to_start: f64,
    /// From the last sample to the window's end.
    pub(super) to_end: f64,
    /// From the first to the last sample.
    pub(super) sampled: f64,
    /// Between samples, on average.
    pub(super) distance: f64,
}

impl Stretch {
    /// Of `count` samples; with `begin`, when counting began in the window, the first one stands there, at zero.
    #[inline]
    pub(super) fn of(
        window: &Window<'_>,
        first: Timestamp,
        last: Timestamp,
        count: usize,
        begin: Option<i64>,
    ) -> Stretch {
        let sampled = seconds(last.0 - first.0);
        Stretch {
            to_start: if begin.is_some() { 0.0 } else { seconds(first.0 - window.end.saturating_sub(window.range)) },
            to_end: seconds(window.end - last.0),
            sampled: begin.map_or(sampled, |begin| seconds(last.0 - begin)),
            distance: if count > 1 { sampled / (count - 1) as f64 } else { 0.0 },
        }
    }

    /// By how much a difference between first and last sample grows when it is stretched to the window's ends;
    /// `to_zero`: how long before the first sample a counter was at zero.
    #[inline]
    pub(super) fn factor(&self, to_zero: Option<f64>) -> f64 {
        let near = |distance: f64| if distance >= self.distance * 1.1 { self.distance / 2.0 } else { distance };
        let mut to_start = near(self.to_start);
        if let Some(to_zero) = to_zero.filter(|to_zero| *to_zero < to_start) {
            to_start = to_zero;
        }
        if self.sampled == 0.0 { 1.0 } else { (self.sampled + to_start + near(self.to_end)) / self.sampled }
    }
}

/// The samples that stand for the ends of a window that reaches beyond them.
pub(super) struct Ends {
    /// Where the first sample that counts stands.
    first: usize,
    /// Where the last sample that counts stands.
    last: usize,
    /// The value at the start.
    left: f64,
    /// The value at the end.
    right: f64,
}

impl Ends {
    /// Finds them; none when the window has nothing to say. There must be a sample.
    pub(super) fn of(samples: &[Sample], start: i64, end: i64, reach: Reach, counter: bool) -> Option<Ends> {
        let newest = samples.len() - 1;
        let first = samples[..newest].partition_point(|sample| sample.timestamp.0 <= start).saturating_sub(1);
        let smoothed = reach == Reach::Smoothed;
        let last = if smoothed { samples[..newest].partition_point(|sample| sample.timestamp.0 < end) } else { newest };
        if samples[last].timestamp.0 <= start || (smoothed && samples[first].timestamp.0 > end) {
            return None;
        }
        let left = match smoothed && samples[first].timestamp.0 < start {
            true => interpolated(samples[first], samples[first + 1], start, counter),
            false => samples[first].value,
        };
        let right = match smoothed && last > 0 && samples[last].timestamp.0 > end {
            true => interpolated(samples[last - 1], samples[last], end, counter),
            false => samples[last].value,
        };
        Some(Ends { first, last, left, right })
    }

    /// The samples between the ends, which do not stand for an end themselves.
    fn between<'a>(&self, samples: &'a [Sample], start: i64, end: i64) -> &'a [Sample] {
        let from = self.first + usize::from(samples[self.first].timestamp.0 <= start);
        let to = self.last + usize::from(samples[self.last].timestamp.0 < end);
        samples.get(from..to).unwrap_or(&[])
    }
}

/// The samples of a window that reaches beyond its ends, with a sample at each end.
pub(super) fn with_ends(samples: &[Sample], start: i64, end: i64, reach: Reach) -> Vec<Sample> {
    let Some(ends) = (!samples.is_empty()).then(|| Ends::of(samples, start, end, reach, false)).flatten() else {
        return Vec::new();
    };
    let at = |at: i64, value: f64| Sample { timestamp: Timestamp(at), value };
    let between = ends.between(samples, start, end).iter().copied();
    std::iter::once(at(start, ends.left)).chain(between).chain([at(end, ends.right)]).collect()
}

/// The difference between the ends of a window that reaches beyond them, with what a counter lost in resets.
fn extended(window: &Window<'_>, reach: Reach, counter: bool, per_second: bool) -> Option<f64> {
    let (start, end) = (window.end.saturating_sub(window.range), window.end);
    let ends = Ends::of(window.samples, start, end, reach, counter)?;
    let mut difference = ends.right - ends.left;
    if counter {
        let mut before = ends.left;
        let between = ends.between(window.samples, start, end).iter().map(|sample| sample.value);
        for value in between.chain([ends.right]) {
            if value < before {
                difference += before;
            }
            before = value;
        }
    }
    Some(if per_second { difference / seconds(window.range) } else { difference })
}

/// From the last sample but one to the last.
fn instant_difference(window: &Window<'_>, rate: bool) -> Option<f64> {
    let [.., before, after] = window.samples else { return None };
    let interval = after.timestamp.0 - before.timestamp.0;
    let reset = rate && window.is_reset(*before, *after);
    let difference = if reset { after.value } else { after.value - before.value };
    Some(if rate { difference / seconds(interval) } else { difference })
}

/// The window with, of the samples from before it, only the last one; none when there is no sample in it.
fn anchored<'a>(window: &Window<'a>) -> Option<Window<'a>> {
    let start = window.end.saturating_sub(window.range);
    let before = window.samples.partition_point(|sample| sample.timestamp.0 <= start);
    let samples = &window.samples[before.saturating_sub(1)..];
    (before < window.samples.len()).then_some(Window { samples, ..*window })
}

fn changes(window: &Window<'_>) -> Option<f64> {
    let window = anchored(window)?;
    let changed = |(before, after): &(f64, f64)| before != after && !(before.is_nan() && after.is_nan());
    Some(window.pairs().filter(changed).count() as f64)
}

fn resets(window: &Window<'_>) -> Option<f64> {
    let window = anchored(window)?;
    Some(window.samples.windows(2).filter(|pair| window.is_reset(pair[0], pair[1])).count() as f64)
}

fn avg(window: &Window<'_>) -> Option<f64> {
    let mut mean = Mean::of(window.first().value);
    window.samples[1..].iter().for_each(|sample| mean.add(sample.value));
    Some(mean.value())
}

fn sum(window: &Window<'_>) -> f64 {
    window.samples.iter().fold(Sum::default(), |sum, sample| sum.add(sample.value)).total()
}

/// Of the population, in one pass (Welford).
fn variance(window: &Window<'_>) -> f64 {
    let (mut mean, mut squares) = (Sum::default(), Sum::default());
    let mut count = 0.0;
    for sample in window.samples {
        count += 1.0;
        let delta = sample.value - mean.total();
        mean = mean.add(delta / count);
        squares = squares.add(delta * (sample.value - mean.total()));
    }
    squares.total() / count
}

/// Median of the distances from the median.
fn mad(window: &Window<'_>) -> Option<f64> {
    let mut values = window.values();
    if values.iter().any(|value| value.is_nan()) {
        return Some(f64::NAN);
    }
    let median = quantile(0.5, &mut values);
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    Some(quantile(0.5, &mut values))
}

/// The sample that no other one beats; a NaN is beaten by all.
fn best(window: &Window<'_>, beats: fn(f64, f64) -> bool) -> Sample {
    let mut best = window.first();
    for sample in window.samples {
        if beats(sample.value, best.value) || best.value.is_nan() {
            best = *sample;
        }
    }
    best
}

/// A quantile of values, between two of them in proportion. Sorts them, NaN first.
pub(super) fn quantile(quantile: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan())));
    let last = (values.len() - 1) as f64;
    let rank = quantile * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

/// Least squares: the slope per second and the value at `at`.
fn regression(samples: &[Sample], at: i64) -> (f64, f64) {
    let first = samples[0].value;
    if samples.iter().all(|sample| sample.value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let mut sums = Sums::default();
    for sample in samples {
        let (time, value) = (sample.timestamp.0.saturating_sub(at) as f64 / 1e3, sample.value);
        sums.add([time, value, time * value, time * time]);
    }
    let ([x, y, xy, xx], count) = (sums.totals(), samples.len() as f64);
    let slope = (xy - x * y / count) / (xx - x * x / count);
    (slope, y / count - slope * x / count)
}

fn deriv(window: &Window<'_>) -> Option<f64> {
    // A time near the samples keeps the sums small.
    (window.samples.len() > 1).then(|| regression(window.samples, window.first().timestamp.0).0)
}

fn predict_linear(window: &Window<'_>) -> Option<f64> {
    let (slope, value) = (window.samples.len() > 1).then(|| regression(window.samples, window.now))?;
    Some(slope * window.arguments[0] + value)
}

/// Holt's smoothing of level and trend.
fn double_exponential_smoothing(window: &Window<'_>) -> Option<f64> {
    let [first, second, ..] = window.samples else { return None };
    let (smoothing, trending) = (window.arguments[0], window.arguments[1]);
    let (mut before, mut level) = (0.0, first.value);
    let mut trend = second.value - first.value;
    for (at, sample) in window.samples[1..].iter().enumerate() {
        if at > 0 {
            trend = trending * (level - before) + (1.0 - trending) * trend;
        }
        let next = smoothing * sample.value + (1.0 - smoothing) * (level + trend);
        before = std::mem::replace(&mut level, next);
    }
    Some(level)
}
