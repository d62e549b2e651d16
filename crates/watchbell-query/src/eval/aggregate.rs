//! Aggregations: many elements to one for each group, or to some of each group.

use std::sync::Arc;

use watchbell_model::{Histogram, Labels, ResetHint};

use super::EvalError;
use super::column::{Column, Columns, Grid, absent, is_present};
use super::evaluator::Evaluator;
use super::kahan::{Mean, Sum};
use super::keys::Keys;
use super::lot;
use super::note::Note;
use super::window::quantile;
use crate::histogram::{self, Incompatible, Met, Tally};
use crate::number::{format_general, format_plain};
use crate::promql::{Aggregation, Aggregator, Expr, Grouping, Node, TextSpan, is_utf8, quote};

impl Evaluator<'_> {
    /// An aggregation at every step.
    pub(super) fn aggregate(&self, aggregation: &Aggregation, grid: &Grid) -> Result<Vec<Column>, EvalError> {
        let parameter = aggregation.parameter.as_deref();
        if aggregation.op == Aggregator::CountValues {
            let columns = self.vector(&aggregation.inner, grid)?;
            return self.count_values(parameter, &aggregation.grouping, columns, grid);
        }
        let parameters = match parameter {
            Some(parameter) => self.scalar(parameter, grid)?,
            None => Vec::new(),
        };
        let looks_at_names = match (aggregation.op, &aggregation.grouping) {
            (Aggregator::Topk | Aggregator::Bottomk | Aggregator::Limitk | Aggregator::LimitRatio, _) => true,
            (_, Grouping::By(labels)) => labels.iter().any(|label| label.starts_with("__")),
            (_, Grouping::Without(_)) => false,
        };
        let columns = match looks_at_names {
            true => self.vector(&aggregation.inner, grid)?,
            false => self.vector_but_for_names(&aggregation.inner, grid)?,
        };
        let groups = group(&columns, &aggregation.grouping);
        self.charge(groups.len().saturating_mul(grid.count))?;
        let op = aggregation.op;
        match op {
            Aggregator::Topk | Aggregator::Bottomk | Aggregator::Limitk | Aggregator::LimitRatio => {
                self.check_parameters(op, &parameters, parameter)?;
                let asked = |step: usize| parameters.get(step).is_some_and(|parameter| *parameter >= 1.0);
                let ignored =
                    |column: &Column| (0..grid.count).any(|step| asked(step) && column.histogram(step).is_some());
                if let Aggregator::Topk | Aggregator::Bottomk = op
                    && columns.iter().any(ignored)
                {
                    self.note(Note::ignored(op.as_str(), aggregation.inner.span));
                }
                Ok(pick(op, columns, &groups, &parameters, grid))
            }
            _ => {
                if op == Aggregator::Quantile
                    && let Some(parameter) = parameter
                {
                    for wrong in parameters.iter().filter(|value| !(0.0..=1.0).contains(*value)) {
                        self.note(Note::quantile(*wrong, parameter.span));
                    }
                }
                let span = aggregation.inner.span;
                let reduced =
                    groups.into_iter().map(|group| self.reduce(op, &columns, group, &parameters, (grid.count, span)));
                Ok(reduced.filter(Column::has_values).collect())
            }
        }
    }

    fn check_parameters(&self, op: Aggregator, values: &[f64], parameter: Option<&Expr>) -> Result<(), EvalError> {
        let refuse = |message: String| Err(EvalError::Argument(message));
        let ratio = op == Aggregator::LimitRatio;
        let max = values.iter().copied().fold(f64::MIN, f64::max);
        let min = values.iter().copied().fold(f64::MAX, f64::min);
        let nan = values.iter().any(|value| value.is_nan());
        if ratio {
            if nan {
                return refuse("Ratio value is NaN".into());
            }
            for (wrong, limit) in [(max > 1.0, 1.0), (min < -1.0, -1.0)] {
                if wrong && let Some(parameter) = parameter {
                    let got = format_general(if limit > 0.0 { max } else { min });
                    let message = format!("ratio value should be between -1 and 1, got {got}, capping to {limit}");
                    self.note(Note::warning(message, parameter.span));
                }
            }
            return Ok(());
        }
        // A number of elements below one selects nothing, whatever else is wrong with it.
        if !nan && max < 1.0 {
            return Ok(());
        }
        if nan {
            return refuse("Parameter value is NaN".into());
        }
        if min <= i64::MIN as f64 {
            return refuse(format!("Scalar value {} underflows int64", format_general(min)));
        }
        if max >= i64::MAX as f64 {
            return refuse(format!("Scalar value {} overflows int64", format_general(max)));
        }
        Ok(())
    }

    fn count_values(
        &self,
        parameter: Option<&Expr>,
        grouping: &Grouping,
        columns: Vec<Column>,
        grid: &Grid,
    ) -> Result<Vec<Column>, EvalError> {
        let Some(Node::Text(label)) = parameter.map(|parameter| &parameter.unwrapped().node) else {
            return Err(EvalError::Type("count_values takes the name of a label".into()));
        };
        if label.is_empty() || !is_utf8(label) {
            return Err(EvalError::Argument(format!("invalid label name {}", quote(label))));
        }
        let grouping = match grouping {
            Grouping::By(labels) => Grouping::By(labels.iter().chain([label]).cloned().collect()),
            without => without.clone(),
        };
        let mut counts = Columns::default();
        for column in columns {
            // Most series keep a value for many steps.
            let mut last: Option<(u64, usize)> = None;
            for (step, histogram) in column.histograms.iter().enumerate() {
                let Some(histogram) = histogram else { continue };
                let labels = column.labels.with(label, &histogram::format(histogram));
                let place = counts.place(&labels.filtered(|name| is_grouped_by(name, &grouping)), false, grid.count);
                let count = counts.value(place, step);
                *count = if is_present(*count) { *count + 1.0 } else { 1.0 };
            }
            for (step, value) in column.values.iter().enumerate().filter(|(_, value)| is_present(**value)) {
                let place = match last {
                    Some((bits, place)) if bits == value.to_bits() => place,
                    _ => {
                        let labels = column.labels.with(label, &format_plain(*value));
                        let labels = labels.filtered(|name| is_grouped_by(name, &grouping));
                        let place = counts.place(&labels, false, grid.count);
                        last = Some((value.to_bits(), place));
                        place
                    }
                };
                let count = counts.value(place, step);
                *count = if is_present(*count) { *count + 1.0 } else { 1.0 };
            }
        }
        Ok(counts.finish())
    }

    /// One value for a group at each step, taking its elements in order.
    fn reduce(
        &self,
        op: Aggregator,
        columns: &[Column],
        group: Group,
        parameters: &[f64],
        (count, span): (usize, TextSpan),
    ) -> Column {
        let members: Vec<&Column> = group.members.iter().map(|at| &columns[*at]).collect();
        let histograms = members.iter().any(|column| !column.histograms.is_empty());
        let drop_name = members.iter().any(|column| column.drop_name);
        let mut reduced = Column { drop_name, ..Column::new(group.labels, Vec::new()) };
        if !histograms {
            reduced.values = numbers(op, &members, parameters, count);
            return reduced;
        }
        match op {
            Aggregator::Count | Aggregator::Group => {
                let of = |step: usize| match members.iter().filter(|column| column.has(step)).count() {
                    0 => absent(),
                    many if op == Aggregator::Count => many as f64,
                    _ => 1.0,
                };
                reduced.values = (0..count).map(of).collect();
            }
            Aggregator::Sum | Aggregator::Avg => {
                reduced.values = numbers(op, &members, parameters, count);
                for step in 0..count {
                    let met: Vec<(&Histogram, &str)> = members
                        .iter()
                        .filter_map(|column| Some((&**column.histogram(step)?, column.labels.name().unwrap_or(""))))
                        .collect();
                    if met.is_empty() {
                        continue;
                    }
                    if is_present(reduced.values[step]) {
                        self.note(Note::mixed("aggregation", span));
                        reduced.values[step] = absent();
                    } else if let Some(total) = self.total(&met, op == Aggregator::Avg, span) {
                        reduced.set_histogram(step, Arc::new(total));
                    }
                }
            }
            _ => {
                self.note(Note::ignored(op.as_str(), span));
                reduced.values = numbers(op, &members, parameters, count);
            }
        }
        reduced
    }

    /// The sum or the mean of histograms.
    fn total(&self, histograms: &[(&Histogram, &str)], mean: bool, span: TextSpan) -> Option<Histogram> {
        let any = |hint: ResetHint| histograms.iter().any(|(it, _)| it.reset == hint);
        let resets_collide = any(ResetHint::Reset) && any(ResetHint::NotReset);
        let mut notes = Note::of_meeting(Met { resets_collide, bounds_differ: false }, "aggregation", span);
        let mut total = Tally::of(histograms[0].0);
        let mut overflowed = false;
        for (seen, (histogram, metric)) in histograms.iter().enumerate().skip(1) {
            let (mut next, count) = (Tally::of(histogram), (seen + 1) as f64);
            if overflowed {
                total.multiply(seen as f64 / count);
                next.divide(count);
            }
            let before = total.clone();
            match total.add(&next) {
                Ok(met) => notes.extend(Note::of_meeting(Met { resets_collide: false, ..met }, "aggregation", span)),
                Err(Incompatible) => {
                    self.note(Note::mixed_buckets(metric, span));
                    return None;
                }
            }
            if mean && !overflowed && total.overflows() {
                // From here on a mean is kept instead of a sum.
                overflowed = true;
                total = before;
                total.divide(seen as f64);
                total.multiply(seen as f64 / count);
                next.divide(count);
                total.add(&next).ok()?;
            }
        }
        notes.into_iter().for_each(|note| self.note(note));
        if mean && !overflowed {
            total.divide(histograms.len() as f64);
        }
        Some(total.finish())
    }
}

/// The elements that fall together: their places, in order.
struct Group {
    labels: Labels,
    members: Vec<usize>,
}

fn group(columns: &[Column], grouping: &Grouping) -> Vec<Group> {
    let mut keys = Keys::default();
    let mut groups: Vec<Group> = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let place = keys.place(&column.labels, |name| is_grouped_by(name, grouping));
        if place == groups.len() {
            groups.push(Group { labels: keys.part(place).clone(), members: Vec::new() });
        }
        groups[place].members.push(at);
    }
    groups
}

fn is_grouped_by(name: &str, grouping: &Grouping) -> bool {
    match grouping {
        Grouping::By(kept) => kept.iter().any(|label| label == name),
        Grouping::Without(left_out) => name != Labels::NAME && !left_out.iter().any(|label| label == name),
    }
}

/// One number for some elements at each step, taking them in order.
fn numbers(op: Aggregator, members: &[&Column], parameters: &[f64], count: usize) -> Vec<f64> {
    let members = || members.iter().copied();
    match op {
        Aggregator::Sum => sums(members(), count),
        Aggregator::Avg => finish(fold(members(), count, Mean::of, Mean::add), Mean::value),
        Aggregator::Count => finish(fold(members(), count, |_| 1.0, |count, _| *count += 1.0), |count| count),
        Aggregator::Group => finish(fold(members(), count, |_| 1.0, |_, _| {}), |one| one),
        Aggregator::Min | Aggregator::Max => {
            let max = op == Aggregator::Max;
            let take = |best: &mut f64, value: f64| {
                if best.is_nan() || (max && *best < value) || (!max && *best > value) {
                    *best = value;
                }
            };
            finish(fold(members(), count, |value| value, take), |best| best)
        }
        Aggregator::Stdvar => finish(fold(members(), count, Variance::of, Variance::add), Variance::value),
        Aggregator::Stddev => {
            finish(fold(members(), count, Variance::of, Variance::add), |variance| variance.value().sqrt())
        }
        _ => {
            let all = fold(members(), count, |value| vec![value], |values: &mut Vec<f64>, value| values.push(value));
            let quantiles = all.into_iter().zip(parameters);
            let one = |(values, q): (Option<Vec<f64>>, &f64)| values.map_or(absent(), |mut v| quantile(*q, &mut v));
            quantiles.map(one).collect()
        }
    }
}

/// The sum of some elements at each step. What most aggregations are, so that steps are added up side by side.
fn sums<'a>(columns: impl Iterator<Item = &'a Column>, count: usize) -> Vec<f64> {
    let (mut sums, mut lost) = (vec![absent(); count], vec![0.0; count]);
    for column in columns {
        for ((sum, lost), value) in sums.iter_mut().zip(&mut lost).zip(&column.values) {
            let next = Sum { sum: *sum, lost: *lost }.add(*value);
            let (is_first, is_none) = (!is_present(*sum), !is_present(*value));
            *lost = if is_none || is_first { *lost } else { next.lost };
            *sum = match (is_none, is_first) {
                (true, _) => *sum,
                (false, true) => *value,
                (false, false) => next.sum,
            };
        }
    }
    for (sum, lost) in sums.iter_mut().zip(lost).filter(|(sum, _)| is_present(**sum)) {
        *sum = Sum { sum: *sum, lost }.total();
    }
    sums
}

fn fold<'a, T: Clone>(
    columns: impl Iterator<Item = &'a Column>,
    count: usize,
    first: impl Fn(f64) -> T,
    next: impl Fn(&mut T, f64),
) -> Vec<Option<T>> {
    let mut states: Vec<Option<T>> = vec![None; count];
    for column in columns {
        for (state, value) in states.iter_mut().zip(&column.values).filter(|(_, value)| is_present(**value)) {
            match state {
                Some(state) => next(state, *value),
                None => *state = Some(first(*value)),
            }
        }
    }
    states
}

fn finish<T>(states: Vec<Option<T>>, value: impl Fn(T) -> f64) -> Vec<f64> {
    states.into_iter().map(|state| state.map_or(absent(), &value)).collect()
}

/// Of the population, in one pass (Welford).
#[derive(Clone, Copy)]
struct Variance {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Variance {
    fn of(first: f64) -> Variance {
        Variance { count: 1.0, mean: first, squares: if first.is_finite() { 0.0 } else { f64::NAN } }
    }

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    fn value(self) -> f64 {
        self.squares / self.count
    }
}

/// Some elements of each group. At one step they come group by group, best first; at many they keep their order.
fn pick(op: Aggregator, columns: Vec<Column>, groups: &[Group], parameters: &[f64], grid: &Grid) -> Vec<Column> {
    let mut kept: Vec<Vec<f64>> = vec![Vec::new(); columns.len()];
    let mut kept_histograms: Vec<Vec<Option<Arc<Histogram>>>> = vec![Vec::new(); columns.len()];
    let mut order: Vec<usize> = Vec::new();
    for (step, parameter) in parameters.iter().enumerate() {
        for group in groups {
            for at in choose(op, &columns, group, *parameter, step) {
                let values = &mut kept[at];
                if values.is_empty() {
                    values.resize(grid.count, absent());
                    order.push(at);
                }
                values[step] = columns[at].values[step];
                if let Some(histogram) = columns[at].histogram(step) {
                    let kept = &mut kept_histograms[at];
                    kept.resize(grid.count, None);
                    kept[step] = Some(Arc::clone(histogram));
                }
            }
        }
    }
    if grid.count > 1 {
        order.sort_unstable();
    }
    let mut columns: Vec<Option<Column>> = columns.into_iter().map(Some).collect();
    let picked = order.into_iter().filter_map(|at| {
        let column = columns[at].take()?;
        let (values, histograms) = (std::mem::take(&mut kept[at]), std::mem::take(&mut kept_histograms[at]));
        Some(Column { values, histograms, ..column })
    });
    picked.collect()
}

fn choose(op: Aggregator, columns: &[Column], group: &Group, parameter: f64, step: usize) -> Vec<usize> {
    let ranked = matches!(op, Aggregator::Topk | Aggregator::Bottomk);
    let present = group.members.iter().copied().filter(|at| match ranked {
        true => is_present(columns[*at].values[step]),
        false => columns[*at].has(step),
    });
    if op == Aggregator::LimitRatio {
        let ratio = parameter.clamp(-1.0, 1.0);
        // The same element gets the same lot each time, and a negative ratio gives the rest of the positive one.
        let lot = |at: &usize| lot::of(&columns[*at].labels);
        let drawn = |at: &usize| if ratio >= 0.0 { lot(at) < ratio } else { lot(at) >= 1.0 + ratio };
        return heaped(columns, present.filter(drawn), step);
    }
    let number = if parameter < 1.0 { 0 } else { (parameter as usize).min(group.members.len()) };
    match op {
        Aggregator::Limitk => heaped(columns, present.take(number), step),
        _ => {
            let mut heap = Heap { smallest_out: op == Aggregator::Topk, number, items: Vec::new() };
            present.for_each(|at| heap.offer(columns[at].values[step], at));
            heap.sorted()
        }
    }
}

/// Elements in the order of a heap of their values, smallest on top: that in which Prometheus gives what it does not rank.
fn heaped(columns: &[Column], chosen: impl Iterator<Item = usize>, step: usize) -> Vec<usize> {
    let mut heap = Heap { smallest_out: true, number: usize::MAX, items: Vec::new() };
    for at in chosen {
        let value = columns[at].values[step];
        heap.offer(if is_present(value) { value } else { 0.0 }, at);
    }
    heap.items.into_iter().map(|(_, at)| at).collect()
}

/// The best `number` elements, the worst of them on top. Ties fall as with Go's `container/heap`, as in Prometheus.
struct Heap {
    /// Whether small values are given up for large ones (`topk`) rather than the other way round.
    smallest_out: bool,
    number: usize,
    items: Vec<(f64, usize)>,
}

impl Heap {
    /// Whether `a` is to be given up before `b`; NaN before everything.
    fn worse(&self, a: f64, b: f64) -> bool {
        a.is_nan() || if self.smallest_out { a < b } else { a > b }
    }

    fn offer(&mut self, value: f64, at: usize) {
        if self.items.len() < self.number {
            self.items.push((value, at));
            self.up();
        } else if let Some((worst, _)) = self.items.first().copied()
            && (self.worse(worst, value) && !(worst.is_nan() && value.is_nan()))
        {
            self.items[0] = (value, at);
            self.down();
        }
    }

    fn up(&mut self) {
        let mut child = self.items.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !self.worse(self.items[child].0, self.items[parent].0) {
                break;
            }
            self.items.swap(child, parent);
            child = parent;
        }
    }

    fn down(&mut self) {
        let mut parent = 0;
        loop {
            let left = 2 * parent + 1;
            if left >= self.items.len() {
                break;
            }
            let right = left + 1;
            let right_is_worse = right < self.items.len() && self.worse(self.items[right].0, self.items[left].0);
            let child = if right_is_worse { right } else { left };
            if !self.worse(self.items[child].0, self.items[parent].0) {
                break;
            }
            self.items.swap(parent, child);
            parent = child;
        }
    }

    /// Best first.
    fn sorted(mut self) -> Vec<usize> {
        let smallest_out = self.smallest_out;
        self.items.sort_by(|(a, _), (b, _)| {
            let order = if smallest_out { b.partial_cmp(a) } else { a.partial_cmp(b) };
            a.is_nan().cmp(&b.is_nan()).then(order.unwrap_or(std::cmp::Ordering::Equal))
        });
        self.items.into_iter().map(|(_, at)| at).collect()
    }
}
