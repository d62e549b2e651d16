//! Quantiles and fractions of histograms: of native ones, and of classic ones, which are series of cumulative counts
//! that differ in the label `le`.

use watchbell_model::Labels;

use super::EvalError;
use super::column::{Column, Columns, Grid, absent, is_present};
use super::evaluator::Evaluator;
use super::keys::Keys;
use super::note::{Note, Repair};
use crate::histogram::{self, Estimate, NanEffect};
use crate::number::format_general;
use crate::promql::{Expr, TextSpan, quote};

/// Counts that differ by less than this share are taken as equal: they stem from rounding.
const TOLERANCE: f64 = 1e-12;

const BUCKET: &str = "le";

/// How many observations were at most `bound`.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    bound: f64,
    count: f64,
}

/// The series of one histogram.
struct Group {
    labels: Labels,
    buckets: Vec<(f64, Column)>,
}

impl Group {
    /// The buckets that have a value at a step, sorted, those of equal bounds made one.
    fn at(&self, step: usize) -> Vec<Bucket> {
        let at_step = self.buckets.iter().map(|(bound, column)| Bucket { bound: *bound, count: column.values[step] });
        let mut buckets: Vec<Bucket> = at_step.filter(|bucket| is_present(bucket.count)).collect();
        buckets.sort_by(|a, b| a.bound.total_cmp(&b.bound));
        buckets.dedup_by(|next, kept| {
            let same = next.bound == kept.bound;
            if same {
                kept.count += next.count;
            }
            same
        });
        buckets
    }
}

impl Evaluator<'_> {
    /// A quantile of each histogram at each step; with `label`, the quantile becomes the value of that label.
    pub(super) fn histogram_quantile(
        &self,
        quantiles: &[f64],
        columns: Vec<Column>,
        label: Option<&str>,
        (quantile_argument, argument): (&Expr, &Expr),
        grid: &Grid,
    ) -> Result<Vec<Column>, EvalError> {
        for quantile in quantiles.iter().filter(|quantile| !(0.0..=1.0).contains(*quantile)) {
            self.note(Note::quantile(*quantile, quantile_argument.span));
        }
        let mut results = Columns::default();
        let labels_of = |labels: &Labels, quantile: f64| match label {
            Some(label) => labels.with(label, &label_value(quantile)),
            None => labels.clone(),
        };
        let (groups, native) = self.groups(columns, argument.span);
        for column in &native {
            for (step, quantile) in quantiles.iter().enumerate() {
                let Some(histogram) = column.histogram(step) else { continue };
                let estimate = histogram::quantile(*quantile, histogram);
                self.note_nan(estimate, "histogram_quantile", &column.labels, argument.span);
                let place = results.place(&labels_of(&column.labels, *quantile), true, quantiles.len());
                results.set(place, step, estimate.value)?;
            }
        }
        for group in groups {
            for (step, quantile) in quantiles.iter().enumerate() {
                let mut buckets = group.at(step);
                if buckets.is_empty() {
                    continue;
                }
                let (value, repair) = bucket_quantile(*quantile, &mut buckets);
                if let Some((bucket_min, bucket_max, difference_max)) = repair {
                    let at = grid.at(step);
                    let repair = Repair { first: at, last: at, bucket_min, bucket_max, difference_max, count: 1 };
                    self.note(Note::repaired(not_monotonic(&group.labels), argument.span, repair));
                }
                let place = results.place(&labels_of(&group.labels, *quantile), true, quantiles.len());
                results.set(place, step, value)?;
            }
        }
        Ok(results.finish())
    }

    /// The share of observations between two bounds, of each histogram at each step.
    pub(super) fn histogram_fraction(
        &self,
        lower: &[f64],
        upper: &[f64],
        columns: Vec<Column>,
        argument: &Expr,
    ) -> Result<Vec<Column>, EvalError> {
        let count = lower.len();
        let mut results = Columns::default();
        let (groups, native) = self.groups(columns, argument.span);
        for column in &native {
            for (step, (lower, upper)) in lower.iter().zip(upper).enumerate() {
                let Some(histogram) = column.histogram(step) else { continue };
                let estimate = histogram::fraction(*lower, *upper, histogram);
                self.note_nan(estimate, "histogram_fraction", &column.labels, argument.span);
                let place = results.place(&column.labels, true, count);
                results.set(place, step, estimate.value)?;
            }
        }
        for group in groups {
            for (step, (lower, upper)) in lower.iter().zip(upper).enumerate() {
                let buckets = group.at(step);
                if !buckets.is_empty() {
                    let place = results.place(&group.labels, true, count);
                    results.set(place, step, bucket_fraction(*lower, *upper, &buckets))?;
                }
            }
        }
        Ok(results.finish())
    }

    /// Classic histograms, and the columns that have native ones; where a step has both of one name neither counts.
    fn groups(&self, columns: Vec<Column>, span: TextSpan) -> (Vec<Group>, Vec<Column>) {
        let mut keys = Keys::default();
        let mut groups: Vec<Group> = Vec::new();
        let mut native = Vec::new();
        for mut column in columns {
            if !column.histograms.is_empty() {
                let numbers = Column::new(column.labels.clone(), std::mem::take(&mut column.values));
                column.values = vec![absent(); numbers.values.len()];
                native.push(column);
                column = numbers;
            }
            if !column.has_values() {
                continue;
            }
            let written = column.labels.get(BUCKET).unwrap_or("");
            let Ok(bound) = written.parse::<f64>() else {
                let message = format!(
                    "bucket label \"le\" is missing or has a malformed value of {}{}",
                    quote(written),
                    of_metric(&column.labels)
                );
                self.note(Note::warning(message, span));
                continue;
            };
            let place = keys.place(&column.labels, |name| name != BUCKET);
            if place == groups.len() {
                groups.push(Group { labels: keys.part(place).clone(), buckets: Vec::new() });
            }
            groups[place].buckets.push((bound, column));
        }
        for column in &mut native {
            let Some(place) = keys.find(&column.labels, |_| true) else { continue };
            for step in 0..column.values.len() {
                if column.histogram(step).is_some() && !groups[place].at(step).is_empty() {
                    let message = "vector contains a mix of classic and native histograms";
                    self.note(Note::warning(format!("{message}{}", of_metric(&column.labels)), span));
                    column.clear(step);
                    groups[place].buckets.iter_mut().for_each(|(_, bucket)| bucket.clear(step));
                }
            }
        }
        (groups, native)
    }

    fn note_nan(&self, estimate: Estimate, function: &str, labels: &Labels, span: TextSpan) {
        let what = match estimate.nan {
            NanEffect::None => return,
            NanEffect::Result => "result is NaN",
            NanEffect::Skew => "result is skewed higher",
            NanEffect::Excluded => "which are excluded from all fractions",
        };
        let message = format!("input to {function} has NaN observations, {what}{}", of_metric(labels));
        self.note(Note::info(message, span));
    }
}

fn of_metric(labels: &Labels) -> String {
    labels.name().map(|name| format!(" for metric name {}", quote(name))).unwrap_or_default()
}

fn not_monotonic(labels: &Labels) -> String {
    format!(
        "input to histogram_quantile needed to be fixed for monotonicity \
         (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
        of_metric(labels)
    )
}

/// A number as OpenMetrics writes it in labels: `1.0`, `0.99`, `+Inf`.
fn label_value(value: f64) -> String {
    let text = format_general(value);
    if value.is_finite() && !text.contains(['.', 'e']) { format!("{text}.0") } else { text }
}

/// Bounds and size of what had to be raised to make counts monotonic.
type Repaired = Option<(f64, f64, f64)>;

/// The quantile of buckets, in proportion within the bucket it falls into.
///
/// The lowest bucket begins at 0 if its bound is above 0. In the highest bucket the bound below it is the answer.
fn bucket_quantile(quantile: f64, buckets: &mut [Bucket]) -> (f64, Repaired) {
    match quantile {
        _ if quantile.is_nan() => return (f64::NAN, None),
        _ if quantile < 0.0 => return (f64::NEG_INFINITY, None),
        _ if quantile > 1.0 => return (f64::INFINITY, None),
        _ => {}
    }
    if buckets[buckets.len() - 1].bound != f64::INFINITY {
        return (f64::NAN, None);
    }
    let repaired = make_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return (f64::NAN, repaired);
    }
    let mut rank = quantile * observations;
    let at = buckets[..last].partition_point(|bucket| bucket.count < rank || bucket.count.is_nan() || rank.is_nan());
    if at == last {
        return (buckets[last - 1].bound, repaired);
    }
    let Bucket { bound, mut count } = buckets[at];
    if at == 0 && bound <= 0.0 {
        return (bound, repaired);
    }
    let mut start = 0.0;
    if at > 0 {
        start = buckets[at - 1].bound;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    (start + (bound - start) * (rank / count), repaired)
}

/// Raises counts that are below the one before them; tiny differences are evened out without a word.
fn make_monotonic(buckets: &mut [Bucket]) -> Repaired {
    let mut repaired: Repaired = None;
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == before {
            continue;
        }
        if almost_equal(before, count) {
            bucket.count = before;
        } else if count < before {
            bucket.count = before;
            let (min, max, difference) = repaired.unwrap_or((f64::INFINITY, f64::NEG_INFINITY, 0.0));
            repaired = Some((min.min(bucket.bound), max.max(bucket.bound), difference.max(before - count)));
        } else {
            before = count;
        }
    }
    repaired
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// The share of observations between two bounds.
fn bucket_fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let last = buckets[buckets.len() - 1];
    if last.bound != f64::INFINITY || last.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank = |value: f64| rank_of(value, buckets).unwrap_or(last.count).min(last.count);
    (rank(upper) - rank(lower)) / last.count
}

/// How many observations are at most `value`, in proportion within its bucket.
fn rank_of(value: f64, buckets: &[Bucket]) -> Option<f64> {
    // With a lowest bound above 0, all observations are taken to be positive.
    let mut start = if buckets[0].bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut rank = 0.0;
    for bucket in buckets {
        if start >= value {
            return Some(rank);
        }
        if bucket.bound > value {
            // Nothing is known of how observations spread over a bucket without a lower bound.
            return Some(match start {
                f64::NEG_INFINITY => bucket.count,
                _ => rank + (bucket.count - rank) * (value - start) / (bucket.bound - start),
            });
        }
        rank = bucket.count;
        start = bucket.bound;
    }
    None
}
