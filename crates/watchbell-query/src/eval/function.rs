//! Calls of functions.

use std::cell::Cell;

use watchbell_model::{Histogram, Labels};

use super::column::{Column, Columns, Grid, absent, is_present};
use super::evaluator::{Evaluated, Evaluator, filter_map, map};
use super::note::Note;
use super::select::{RangeSeries, Ranges, Take};
use super::window::{self, Window};
use super::{EvalError, date, labels};
use crate::histogram;
use crate::promql::{Expr, Function, Node, TextSpan, ValueType};

impl Evaluator<'_> {
    /// A function of its arguments at every step.
    pub(super) fn call(
        &self,
        function: &Function,
        arguments: &[Expr],
        span: TextSpan,
        grid: &Grid,
    ) -> Result<Evaluated, EvalError> {
        let name = function.name;
        if let Some(at) = arguments.iter().position(|argument| argument.value_type() == ValueType::Matrix) {
            return Ok(Evaluated::Vector(self.over_range(name, arguments, at, grid)?));
        }
        let fill = |value: f64| Ok(Evaluated::Scalar(vec![value; grid.count]));
        match name {
            "info" => return Ok(Evaluated::Vector(self.info(arguments, grid)?)),
            "time" => {
                return Ok(Evaluated::Scalar((0..grid.count).map(|step| grid.at(step) as f64 / 1000.0).collect()));
            }
            "pi" => return fill(std::f64::consts::PI),
            "start" => return fill(self.asked.start as f64 / 1000.0),
            "end" => return fill(self.asked.end as f64 / 1000.0),
            "step" => {
                return fill(if self.asked.start == self.asked.end { 0.0 } else { self.asked.step as f64 / 1000.0 });
            }
            "range" => return fill(self.asked.end.saturating_sub(self.asked.start) as f64 / 1000.0),
            "min_of" | "max_of" => {
                let mut values = self.scalar(&arguments[0], grid)?;
                let pick = if name == "min_of" { smaller } else { larger };
                for (value, other) in values.iter_mut().zip(self.scalar(&arguments[1], grid)?) {
                    *value = pick(*value, other);
                }
                return Ok(Evaluated::Scalar(values));
            }
            "scalar" => return Ok(Evaluated::Scalar(only(&self.vector(&arguments[0], grid)?, grid.count))),
            _ => {}
        }
        Ok(Evaluated::Vector(self.call_vector(name, arguments, span, grid)?))
    }

    fn call_vector(
        &self,
        name: &str,
        arguments: &[Expr],
        span: TextSpan,
        grid: &Grid,
    ) -> Result<Vec<Column>, EvalError> {
        let first = || match name {
            "histogram_avg" | "histogram_count" | "histogram_sum" => {
                self.counting_only(true, || self.vector(&arguments[0], grid))
            }
            "histogram_quantiles" | "histogram_stddev" | "histogram_stdvar" => {
                self.counting_only(false, || self.vector(&arguments[0], grid))
            }
            _ => self.vector(&arguments[0], grid),
        };
        if let Some(change) = elementwise(name) {
            return Ok(mapped(first()?, change));
        }
        if let Some(part) = date::part(name) {
            if arguments.is_empty() {
                let at = |step: usize| part((grid.at(step) / 1000) as f64);
                return Ok(vec![Column::new(Labels::empty(), (0..grid.count).map(at).collect())]);
            }
            return Ok(mapped(first()?, part));
        }
        match name {
            "absent" => {
                let mut values = vec![1.0; grid.count];
                for column in first()? {
                    for (step, value) in values.iter_mut().enumerate() {
                        if column.has(step) {
                            *value = absent();
                        }
                    }
                }
                Ok(vec![Column::new(labels::of_absence(&arguments[0]), values)])
            }
            "vector" => Ok(vec![Column::new(Labels::empty(), self.scalar(&arguments[0], grid)?)]),
            "timestamp" => self.timestamp(&arguments[0], grid),
            "start_timestamp" => match &arguments[0].unwrapped().node {
                Node::Selector(selector) => {
                    let mut columns = self.instant((selector, arguments[0].span), grid, Take::Start)?;
                    columns.iter_mut().for_each(|column| column.drop_name = true);
                    Ok(columns)
                }
                // What is calculated began at no time.
                _ => self.vector(&arguments[0], grid).map(|_| Vec::new()),
            },
            "round" => {
                let nearest = match arguments.get(1) {
                    Some(nearest) => self.scalar(nearest, grid)?,
                    None => vec![1.0; grid.count],
                };
                let round = |value: f64, step: usize| {
                    let inverse = 1.0 / nearest[step];
                    Some((value * inverse + 0.5).floor() / inverse)
                };
                Ok(mapped_by_step(first()?, round))
            }
            "clamp" | "clamp_min" | "clamp_max" => {
                let low = match name {
                    "clamp_max" => vec![f64::NEG_INFINITY; grid.count],
                    _ => self.scalar(&arguments[1], grid)?,
                };
                let high = match name {
                    "clamp_min" => vec![f64::INFINITY; grid.count],
                    _ => self.scalar(&arguments[arguments.len() - 1], grid)?,
                };
                let clamp = |value: f64, step: usize| {
                    let (low, high) = (low[step], high[step]);
                    (high >= low || high.is_nan() || low.is_nan()).then(|| larger(low, smaller(high, value)))
                };
                Ok(mapped_by_step(first()?, clamp))
            }
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
                let mut columns = first()?;
                if self.asked.start != self.asked.end {
                    let message = "sort is ineffective for range queries since results are always ordered by labels";
                    self.note(Note::warning(message, span));
                }
                if let "sort" | "sort_desc" = name {
                    columns.iter_mut().for_each(|column| column.histograms.clear());
                    columns.retain(Column::has_values);
                }
                if grid.count == 1 {
                    sort(name, &mut columns, &texts(&arguments[1..]));
                }
                Ok(columns)
            }
            "label_replace" => labels::replace(first()?, &texts(&arguments[1..])),
            "label_join" => labels::join(first()?, &texts(&arguments[1..])),
            "histogram_quantile" => {
                let quantiles = self.scalar(&arguments[0], grid)?;
                let columns = self.counting_only(false, || self.vector(&arguments[1], grid))?;
                self.histogram_quantile(&quantiles, columns, None, (&arguments[0], &arguments[1]), grid)
            }
            "histogram_quantiles" => {
                let columns = first()?;
                let label = texts(&arguments[1..2]).remove(0);
                let mut all = Columns::default();
                for argument in &arguments[2..] {
                    let quantiles = self.scalar(argument, grid)?;
                    let part = (argument, &arguments[0]);
                    for column in self.histogram_quantile(&quantiles, columns.clone(), Some(&label), part, grid)? {
                        all.add(column)?;
                    }
                }
                Ok(all.finish())
            }
            "histogram_fraction" => {
                let lower = self.scalar(&arguments[0], grid)?;
                let upper = self.scalar(&arguments[1], grid)?;
                let columns = self.counting_only(false, || self.vector(&arguments[2], grid))?;
                self.histogram_fraction(&lower, &upper, columns, &arguments[2])
            }
            // These look at native histograms only, and answer nothing for floats.
            "histogram_avg" => Ok(of_histograms(first()?, |it| it.sum / it.count)),
            "histogram_count" => Ok(of_histograms(first()?, |it| it.count)),
            "histogram_stddev" => Ok(of_histograms(first()?, |it| histogram::deviation(it).sqrt())),
            "histogram_stdvar" => Ok(of_histograms(first()?, histogram::deviation)),
            "histogram_sum" => Ok(of_histograms(first()?, |it| it.sum)),
            _ => Err(EvalError::Type(format!("`{name}` cannot be evaluated"))),
        }
    }

    /// Of a selector the times of its samples, of anything else the time of the step.
    fn timestamp(&self, argument: &Expr, grid: &Grid) -> Result<Vec<Column>, EvalError> {
        let mut columns = match &argument.unwrapped().node {
            Node::Selector(selector) => self.instant((selector, argument.span), grid, Take::Time)?,
            _ => {
                let mut columns = self.vector(argument, grid)?;
                for column in &mut columns {
                    for step in (0..grid.count).filter(|step| column.has(*step)).collect::<Vec<_>>() {
                        column.clear(step);
                        column.values[step] = grid.at(step) as f64 / 1000.0;
                    }
                }
                columns
            }
        };
        columns.iter_mut().for_each(|column| column.drop_name = true);
        Ok(columns)
    }

    /// A function over a range, window by window.
    fn over_range(
        &self,
        name: &str,
        arguments: &[Expr],
        range_at: usize,
        grid: &Grid,
    ) -> Result<Vec<Column>, EvalError> {
        let Some(function) = window::function(name) else {
            return Err(EvalError::Type(format!("`{name}` cannot be evaluated")));
        };
        let argument = &arguments[range_at];
        let selected = match &argument.unwrapped().node {
            Node::Range { selector, range } => Some((selector, self.windows(selector, range)?)),
            _ => None,
        };
        if let Some(reach) = selected.as_ref().and_then(|(_, windows)| windows.reach) {
            window::check_reach(name, reach)?;
        }
        let mut scalars = Vec::new();
        for (at, argument) in arguments.iter().enumerate() {
            if at != range_at {
                scalars.push(self.scalar(argument, grid)?);
            }
        }
        let columns = match &selected {
            Some((selector, windows)) => self.each_range(selector, windows, grid, &|evaluator, series| {
                evaluator.charge(grid.count)?;
                evaluator.slide(name, function, (windows, &series), &scalars, (grid, argument))
            })?,
            None => {
                let ranges = self.ranges(argument, grid)?;
                self.charge(ranges.series.len().saturating_mul(grid.count))?;
                let column = |series| self.slide(name, function, (&ranges, series), &scalars, (grid, argument));
                ranges.series.iter().filter_map(|series| column(series).transpose()).collect::<Result<Vec<_>, _>>()?
            }
        };
        if name == "quantile_over_time" && !columns.is_empty() {
            for quantile in scalars[0].iter().filter(|quantile| !(0.0..=1.0).contains(*quantile)) {
                self.note(Note::quantile(*quantile, arguments[0].span));
            }
        }
        if matches!(name, "rate" | "increase") {
            for column in columns.iter().filter(|column| column.values.iter().any(|value| is_present(*value))) {
                self.note_not_counter(column, argument);
            }
        }
        if name == "absent_over_time" {
            let mut values = vec![1.0; grid.count];
            for column in columns {
                for (value, found) in values.iter_mut().zip(column.values) {
                    if is_present(found) {
                        *value = absent();
                    }
                }
            }
            let mut column = Column::new(labels::of_absence(argument), values);
            column.drop_name = true;
            return Ok(if column.has_values() { vec![column] } else { Vec::new() });
        }
        Ok(columns)
    }

    fn note_not_counter(&self, column: &Column, argument: &Expr) {
        let Some(metric) = column.labels.name() else { return };
        if !["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| metric.ends_with(suffix)) {
            let quoted = crate::promql::quote(metric);
            let message = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket";
            self.note(Note::info(format!("{message}: {quoted}"), argument.span));
        }
    }

    /// Notes that samples of a series count the same twice.
    pub(super) fn note_overlap(&self, overlap: &Cell<bool>, labels: &Labels, argument: &Expr) {
        if overlap.get() {
            let metric = crate::promql::quote(labels.name().unwrap_or(""));
            let message = "sample has start time that overlaps with previous sample timestamp for metric";
            self.note(Note::warning(format!("{message} {metric}"), argument.span));
        }
    }

    /// The function's value in each window of a series.
    fn slide(
        &self,
        name: &str,
        function: window::WindowFunction,
        (ranges, series): (&Ranges, &RangeSeries),
        scalars: &[Vec<f64>],
        (grid, argument): (&Grid, &Expr),
    ) -> Result<Option<Column>, EvalError> {
        if !series.histograms.is_empty() {
            return self.slide_over_both(name, function, ranges, series, scalars, (grid, argument));
        }
        let (over, at) = ((ranges, series), (grid, argument));
        // What most panels ask for is one loop with its windows; the rest is called.
        match name {
            "rate" => self.slide_with(name, window::rate, over, scalars, at),
            "increase" => self.slide_with(name, window::increase, over, scalars, at),
            _ => self.slide_with(name, function, over, scalars, at),
        }
    }

    /// As [`Evaluator::slide`], of a series of numbers.
    fn slide_with(
        &self,
        name: &str,
        function: impl Fn(&Window<'_>) -> Option<f64>,
        (ranges, series): (&Ranges, &RangeSeries),
        scalars: &[Vec<f64>],
        (grid, argument): (&Grid, &Expr),
    ) -> Result<Option<Column>, EvalError> {
        // These two give a sample of the series itself, which keeps its name.
        let keeps_name = matches!(name, "last_over_time" | "first_over_time");
        let mut now_arguments = vec![0.0; scalars.len()];
        let samples = &series.samples;
        let rising = grid.count > 1 && window::is_rising(samples);
        let mut values = Vec::with_capacity(grid.count);
        let (mut from, mut to) = (0, 0);
        let mut any = false;
        let overlap = Cell::new(false);
        let mut looks = self.counts.each_step();
        for step in 0..grid.count {
            let now = grid.at(step);
            let (start, until) = ranges.bounds(now);
            while to < samples.len() && samples[to].timestamp.0 <= until {
                to += 1;
            }
            while from < to && samples[from].timestamp.0 <= start {
                from += 1;
            }
            if from == to {
                values.push(absent());
                continue;
            }
            if let Some(look) = looks.get_mut(step) {
                *look += (to - from) as u64;
            }
            if !scalars.is_empty() {
                now_arguments.iter_mut().zip(scalars).for_each(|(argument, values)| *argument = values[step]);
                window::check_arguments(name, &now_arguments)?;
            }
            let window = Window {
                samples: &samples[from..to],
                end: ranges.end(now),
                range: ranges.range,
                reach: ranges.reach,
                now,
                arguments: &now_arguments,
                starts: &series.starts,
                rising,
                overlap: &overlap,
            };
            // A window may hold all samples of a series, and there may be one for each of many steps.
            self.check_stop()?;
            let value = function(&window);
            any |= value.is_some();
            values.push(value.unwrap_or_else(absent));
        }
        drop(looks);
        self.note_overlap(&overlap, &series.labels, argument);
        let drop_name = series.drop_name || !keeps_name;
        Ok(any.then(|| Column { drop_name, ..Column::new(series.labels.clone(), values) }))
    }
}

/// Functions that change each value by itself.
fn elementwise(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |value| value * 180.0 / std::f64::consts::PI,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => |value| value * std::f64::consts::PI / 180.0,
        "sgn" => |value| match value {
            _ if value < 0.0 => -1.0,
            _ if value > 0.0 => 1.0,
            _ => value,
        },
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return None,
    })
}

/// Histograms have no such value.
fn mapped(mut columns: Vec<Column>, change: impl Fn(f64) -> f64) -> Vec<Column> {
    for column in &mut columns {
        column.drop_name = true;
        column.histograms.clear();
        map(&mut column.values, &change);
    }
    columns.retain(Column::has_values);
    columns
}

/// A number for each histogram; floats have none.
fn of_histograms(columns: Vec<Column>, number: impl Fn(&Histogram) -> f64) -> Vec<Column> {
    let column = |column: Column| {
        let values = (0..column.values.len()).map(|step| column.histogram(step).map_or(absent(), |it| number(it)));
        Column { drop_name: true, ..Column::new(column.labels.clone(), values.collect()) }
    };
    columns.into_iter().map(column).filter(Column::has_values).collect()
}

fn mapped_by_step(mut columns: Vec<Column>, change: impl Fn(f64, usize) -> Option<f64>) -> Vec<Column> {
    for column in &mut columns {
        column.drop_name = true;
        column.histograms.clear();
        for (step, value) in column.values.iter_mut().enumerate() {
            filter_map(std::slice::from_mut(value), |value| change(value, step));
        }
    }
    columns.retain(Column::has_values);
    columns
}

/// Go's `math.Min`: NaN wins over all but -Inf.
fn smaller(a: f64, b: f64) -> f64 {
    match (a, b) {
        _ if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY => f64::NEG_INFINITY,
        _ if a.is_nan() || b.is_nan() => f64::NAN,
        _ if a == 0.0 && a == b => {
            if a.is_sign_negative() {
                a
            } else {
                b
            }
        }
        _ => a.min(b),
    }
}

/// Go's `math.Max`: NaN wins over all but +Inf.
fn larger(a: f64, b: f64) -> f64 {
    -smaller(-a, -b)
}

/// The value of the only element at each step, NaN where there is not exactly one.
fn only(columns: &[Column], count: usize) -> Vec<f64> {
    let mut found = vec![absent(); count];
    for column in columns {
        for (value, new) in found.iter_mut().zip(&column.values).filter(|(_, new)| is_present(**new)) {
            *value = if is_present(*value) { f64::NAN } else { *new };
        }
    }
    // Two elements make NaN, and a third one leaves it, since NaN is present.
    found.iter_mut().for_each(|value| *value = if is_present(*value) { *value } else { f64::NAN });
    found
}

/// The strings of arguments that are strings.
fn texts(arguments: &[Expr]) -> Vec<String> {
    let text = |argument: &Expr| match &argument.unwrapped().node {
        Node::Text(text) => text.clone(),
        _ => String::new(),
    };
    arguments.iter().map(text).collect()
}

fn sort(name: &str, columns: &mut [Column], sort_labels: &[String]) {
    if let "sort" | "sort_desc" = name {
        let key = |column: &Column| column.values[0];
        columns.sort_by(|a, b| {
            let (a, b) = (key(a), key(b));
            // NaN comes last in either direction.
            let nan = a.is_nan().cmp(&b.is_nan());
            let order = if name == "sort" { a.partial_cmp(&b) } else { b.partial_cmp(&a) };
            nan.then(order.unwrap_or(std::cmp::Ordering::Equal))
        });
        return;
    }
    columns.sort_by(|a, b| {
        let mut order = std::cmp::Ordering::Equal;
        for label in sort_labels {
            let value = |column: &Column| column.labels.get(label).unwrap_or("").to_owned();
            order = order.then_with(|| labels::natural(&value(a), &value(b)));
        }
        let order = order.then_with(|| a.labels.cmp(&b.labels));
        if name == "sort_by_label" { order } else { order.reverse() }
    });
}
