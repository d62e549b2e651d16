//! Functions over the samples of one series in one window of time.
//!
//! A window holds the samples after its start up to and including its end, never a staleness marker, never none.

use watchbell_model::Sample;

use super::EvalError;
use super::kahan::{Mean, Sum};

/// A window and what a function may need to know of it.
pub(super) struct Window<'a> {
    /// Oldest first, at least one.
    pub(super) samples: &'a [Sample],
    /// The window's end, in milliseconds; the start is `range` before it.
    pub(super) end: i64,
    /// The window's length in milliseconds.
    pub(super) range: i64,
    /// The step that is evaluated, which is not the window's end under `offset` and `@`.
    pub(super) now: i64,
    /// The function's scalar arguments at this step.
    pub(super) arguments: &'a [f64],
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
        "increase" => |window| extrapolated(window, true, false),
        "irate" => |window| instant_difference(window, true),
        "last_over_time" => |window| Some(window.last().value),
        "mad_over_time" => mad,
        "max_over_time" => |window| Some(best(window, |new, best| new > best).value),
        "min_over_time" => |window| Some(best(window, |new, best| new < best).value),
        "predict_linear" => predict_linear,
        "absent_over_time" | "present_over_time" => |_| Some(1.0),
        "quantile_over_time" => |window| Some(quantile(window.arguments[0], &mut window.values())),
        "rate" => |window| extrapolated(window, true, true),
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

    fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        self.samples.windows(2).map(|pair| (pair[0].value, pair[1].value))
    }
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// The difference from first to last sample, stretched to the window's ends where the samples come near enough.
///
/// Near enough is within 1.1 times the mean distance of samples; else the series is taken to begin or end half such a
/// distance outside of its samples. A counter is not stretched below zero, and what it lost in resets is added.
fn extrapolated(window: &Window<'_>, counter: bool, per_second: bool) -> Option<f64> {
    if window.samples.len() < 2 {
        return None;
    }
    let (first, last) = (window.first(), window.last());
    let mut difference = last.value - first.value;
    if counter {
        for (before, after) in window.pairs() {
            if after < before {
                difference += before;
            }
        }
    }
    let start = window.end.saturating_sub(window.range);
    let mut to_start = seconds(first.timestamp.0 - start);
    let mut to_end = seconds(window.end - last.timestamp.0);
    let sampled = seconds(last.timestamp.0 - first.timestamp.0);
    let distance = sampled / (window.samples.len() - 1) as f64;
    let near = distance * 1.1;
    if to_start >= near {
        to_start = distance / 2.0;
    }
    if counter && difference > 0.0 && first.value >= 0.0 {
        let to_zero = sampled * (first.value / difference);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= near {
        to_end = distance / 2.0;
    }
    let mut factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    if per_second {
        factor /= seconds(window.range);
    }
    Some(difference * factor)
}

/// From the last sample but one to the last.
fn instant_difference(window: &Window<'_>, rate: bool) -> Option<f64> {
    let [.., before, after] = window.samples else { return None };
    let interval = after.timestamp.0 - before.timestamp.0;
    let reset = rate && after.value < before.value;
    let difference = if reset { after.value } else { after.value - before.value };
    Some(if rate { difference / seconds(interval) } else { difference })
}

fn changes(window: &Window<'_>) -> Option<f64> {
    let changed = |(before, after): &(f64, f64)| before != after && !(before.is_nan() && after.is_nan());
    Some(window.pairs().filter(changed).count() as f64)
}

fn resets(window: &Window<'_>) -> Option<f64> {
    Some(window.pairs().filter(|(before, after)| after < before).count() as f64)
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
    let (mut x, mut y, mut xy, mut xx) = (Sum::default(), Sum::default(), Sum::default(), Sum::default());
    for sample in samples {
        let time = sample.timestamp.0.saturating_sub(at) as f64 / 1e3;
        x = x.add(time);
        y = y.add(sample.value);
        xy = xy.add(time * sample.value);
        xx = xx.add(time * time);
    }
    let (x, y, xy, xx, count) = (x.total(), y.total(), xy.total(), xx.total(), samples.len() as f64);
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
