//! One query under evaluation: walks the expression and gives each node its columns.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use watchbell_model::{Labels, Query};

use super::column::{self, Column, Grid, absent, is_present};
use super::explain::Trace;
use super::memo::{self, Memo, Recalled};
use super::note::{self, Note};
use super::select::Take;
use super::stats::{Counts, QueryStats};
use super::{EngineOptions, EvalError};
use crate::histogram::Tally;
use crate::promql::{Expr, Node, ValueType};

/// Of more samples at once no more are counted: they pass any limit, and the count stays a number.
const SAMPLES_AT_ONCE: usize = usize::MAX >> 16;

/// What a node is worth at every step.
pub(super) enum Evaluated {
    /// A number for each step.
    Scalar(Vec<f64>),
    /// A column for each series.
    Vector(Vec<Column>),
    /// A text.
    Text(String),
}

/// What is asked, the same for all threads that work on a query.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) source: &'a dyn Query,
    pub(super) lookback: i64,
    pub(super) default_step: i64,
    /// Start of the whole query.
    pub(super) start: i64,
    /// End of the whole query.
    pub(super) end: i64,
    /// Step of the whole query, 0 for an instant.
    pub(super) step: i64,
    delayed_name_removal: bool,
    samples_max: usize,
    stop: Option<&'a AtomicBool>,
    /// How many steps there are.
    steps: usize,
}

/// One query, or a part of it on a thread of its own: what is asked, and what came up on the way.
pub(super) struct Evaluator<'a> {
    pub(super) asked: Asked<'a>,
    /// Of all parts together.
    samples: Arc<AtomicUsize>,
    /// Whether of histograms only counts and sums are looked at. As in Prometheus, which then reads no buckets, each
    /// says for certain whether it follows a reset.
    pub(super) counts_only: Cell<bool>,
    notes: RefCell<Vec<Note>>,
    /// Who wants to know what each part takes.
    pub(super) trace: Option<&'a Trace<'a>>,
    /// What other expressions have found out.
    pub(super) memo: Option<&'a Memo>,
    pub(super) counts: Counts,
}

/// What makes an [`Evaluator`] for a part of a query, on whichever thread.
#[derive(Clone)]
pub(super) struct Seed<'a> {
    asked: Asked<'a>,
    samples: Arc<AtomicUsize>,
    counts_only: bool,
    is_inside: bool,
}

/// What came up in parts of a query and is the same in whatever order.
#[derive(Default)]
pub(super) struct Found {
    per_step: Vec<u64>,
    read: u64,
}

impl Found {
    /// Takes in what came up in one part more, but for its notes.
    pub(super) fn add(&mut self, part: Evaluator<'_>) -> Vec<Note> {
        self.read += part.counts.read.get();
        let per_step = part.counts.per_step();
        if self.per_step.len() < per_step.len() {
            self.per_step.resize(per_step.len(), 0);
        }
        self.per_step.iter_mut().zip(per_step).for_each(|(count, more)| *count += more);
        part.notes.into_inner()
    }
}

impl<'a> Seed<'a> {
    pub(super) fn evaluator(&self) -> Evaluator<'a> {
        Evaluator {
            asked: self.asked,
            samples: Arc::clone(&self.samples),
            counts_only: Cell::new(self.counts_only),
            notes: RefCell::default(),
            trace: None,
            memo: None,
            counts: Counts::new(if self.is_inside { 0 } else { self.asked.steps }),
        }
    }
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(
        source: &'a dyn Query,
        options: &EngineOptions,
        stop: Option<&'a AtomicBool>,
        (start, end, step): (i64, i64, i64),
        steps: usize,
    ) -> Evaluator<'a> {
        let millis = |span: watchbell_model::Span| i64::try_from(span.duration().as_millis()).unwrap_or(i64::MAX);
        let asked = Asked {
            source,
            lookback: millis(options.lookback),
            default_step: millis(options.default_step).max(1),
            start,
            end,
            step,
            delayed_name_removal: options.delayed_name_removal,
            samples_max: options.samples_max,
            stop,
            steps,
        };
        Seed { asked, samples: Arc::default(), counts_only: false, is_inside: false }.evaluator()
    }

    /// What makes evaluators for parts of this query; what comes up there is taken [in](Evaluator::take_in) here.
    pub(super) fn seed(&self) -> Seed<'a> {
        Seed {
            asked: self.asked,
            samples: Arc::clone(&self.samples),
            counts_only: self.counts_only.get(),
            is_inside: self.counts.is_inside(),
        }
    }

    /// Takes in what came up in parts.
    pub(super) fn take_in(&self, parts: &Found) {
        self.counts.add(&parts.per_step, parts.read);
        if let Some(trace) = self.trace {
            trace.read(parts.read as usize);
        }
    }

    /// What the reader should know, and what it took.
    pub(super) fn finish(self) -> (Vec<Note>, QueryStats) {
        (self.notes.into_inner(), self.counts.finish(self.samples.load(Ordering::Relaxed)))
    }

    pub(super) fn note(&self, note: Note) {
        note::add(&mut self.notes.borrow_mut(), note);
    }

    /// Evaluates a part of which [`Evaluator::counts_only`] holds, or does not.
    pub(super) fn counting_only<T>(&self, only: bool, part: impl FnOnce() -> T) -> T {
        let before = self.counts_only.replace(only);
        let result = part();
        self.counts_only.set(before);
        result
    }

    /// Counts samples against the query's limit, before they take memory where that can be known.
    pub(super) fn charge(&self, samples: usize) -> Result<(), EvalError> {
        let max = self.asked.samples_max;
        let before = self.samples.fetch_add(samples.min(SAMPLES_AT_ONCE), Ordering::Relaxed);
        if before.saturating_add(samples) > max { Err(EvalError::TooMany { limit: max }) } else { Ok(()) }
    }

    /// Fails once the caller has set its flag. Asked before any piece of work that may be long.
    pub(super) fn check_stop(&self) -> Result<(), EvalError> {
        match self.asked.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            true => Err(EvalError::Stopped),
            false => Ok(()),
        }
    }

    /// Evaluates a node at every step. What does not depend on the step is evaluated once.
    pub(super) fn eval(&self, expr: &Expr, grid: &Grid) -> Result<Evaluated, EvalError> {
        self.check_stop()?;
        if let Some(memo) = self.memo
            && grid.count == 1
            && grid.start == self.asked.start
            && !self.counts_only.get()
            && memo::may_be_kept(expr)
        {
            let key = expr.to_string();
            let keep = match memo.recall(grid.start, &key) {
                Recalled::Worth(columns) => return Ok(Evaluated::Vector(columns)),
                Recalled::Keep => true,
                Recalled::New => false,
            };
            let value = self.eval_steps(expr, grid)?;
            if let Evaluated::Vector(columns) = &value
                && keep
            {
                memo.keep(grid.start, key, expr, columns);
            }
            return Ok(value);
        }
        if grid.count < 2 || !is_invariant(expr) || matches!(expr.node, Node::Number { .. } | Node::Text(_)) {
            return self.eval_steps(expr, grid);
        }
        let once = self.counts.once(grid, || self.eval_steps(expr, &Grid { count: 1, ..*grid }))?;
        Ok(match once {
            Evaluated::Scalar(values) => Evaluated::Scalar(vec![values[0]; grid.count]),
            Evaluated::Text(text) => Evaluated::Text(text),
            Evaluated::Vector(mut columns) => {
                self.charge(columns.len().saturating_mul(grid.count))?;
                columns.iter_mut().for_each(|column| column.repeat(grid.count));
                Evaluated::Vector(columns)
            }
        })
    }

    fn eval_steps(&self, expr: &Expr, grid: &Grid) -> Result<Evaluated, EvalError> {
        match self.eval_node(expr, grid)? {
            Evaluated::Vector(columns) if !self.asked.delayed_name_removal => {
                Ok(Evaluated::Vector(column::drop_names_at_once(columns, is_over_range(expr))?))
            }
            other => Ok(other),
        }
    }

    /// As [`Evaluator::vector`], for one who does not look at names: where dropping them makes no two series one, they
    /// are still there.
    pub(super) fn vector_but_for_names(&self, expr: &Expr, grid: &Grid) -> Result<Vec<Column>, EvalError> {
        let expr = expr.unwrapped();
        if self.asked.delayed_name_removal || !is_over_range(expr) || (grid.count > 1 && is_invariant(expr)) {
            return self.vector(expr, grid);
        }
        self.check_stop()?;
        match self.eval_node(expr, grid)? {
            Evaluated::Vector(columns) if column::is_of_one_name(&columns) => Ok(columns),
            Evaluated::Vector(columns) => column::drop_names_at_once(columns, true),
            Evaluated::Scalar(_) | Evaluated::Text(_) => Err(EvalError::Type("a vector belongs here".into())),
        }
    }

    fn eval_node(&self, expr: &Expr, grid: &Grid) -> Result<Evaluated, EvalError> {
        let Some(trace) = self.trace.filter(|_| !matches!(expr.node, Node::Number { .. } | Node::Text(_))) else {
            return self.eval_by_kind(expr, grid);
        };
        trace.enter(expr, grid.count);
        let value = self.eval_by_kind(expr, grid);
        trace.leave(match &value {
            Ok(Evaluated::Vector(columns)) => columns.len(),
            Ok(Evaluated::Scalar(_)) => 1,
            Ok(Evaluated::Text(_)) | Err(_) => 0,
        });
        value
    }

    fn eval_by_kind(&self, expr: &Expr, grid: &Grid) -> Result<Evaluated, EvalError> {
        match &expr.node {
            Node::Number { value, .. } => Ok(Evaluated::Scalar(vec![*value; grid.count])),
            Node::Text(text) => Ok(Evaluated::Text(text.clone())),
            Node::Paren(inner) => self.eval(inner, grid),
            Node::Selector(selector) => {
                Ok(Evaluated::Vector(self.instant((selector, expr.span), grid, Take::Value)?))
            }
            Node::Range { .. } | Node::Subquery(_) => {
                Err(EvalError::Type("a range vector has no value at a step; a function over it has".into()))
            }
            Node::Unary { minus, operand } => {
                let mut value = self.eval(operand, grid)?;
                if *minus {
                    negate(&mut value);
                }
                Ok(value)
            }
            Node::Aggregate(aggregation) => Ok(Evaluated::Vector(self.aggregate(aggregation, grid)?)),
            Node::Binary { op, return_bool, matching, left, right } => {
                self.binary((*op, expr.span), *return_bool, matching, left, right, grid)
            }
            Node::Call { function, arguments } => self.call(function, arguments, expr.span, grid),
        }
    }

    /// Evaluates a node that the parser knows to be an instant vector.
    pub(super) fn vector(&self, expr: &Expr, grid: &Grid) -> Result<Vec<Column>, EvalError> {
        match self.eval(expr, grid)? {
            Evaluated::Vector(columns) => Ok(columns),
            Evaluated::Scalar(values) => Ok(vec![Column::new(Labels::empty(), values)]),
            Evaluated::Text(_) => Err(EvalError::Type("a string is no vector".into())),
        }
    }

    /// Evaluates a node that the parser knows to be a scalar.
    pub(super) fn scalar(&self, expr: &Expr, grid: &Grid) -> Result<Vec<f64>, EvalError> {
        match self.eval(expr, grid)? {
            Evaluated::Scalar(values) => Ok(values),
            _ => Err(EvalError::Type("a scalar belongs here".into())),
        }
    }
}

fn negate(value: &mut Evaluated) {
    match value {
        Evaluated::Scalar(values) => values.iter_mut().for_each(|value| *value = -*value),
        Evaluated::Vector(columns) => {
            for column in columns {
                column.drop_name = true;
                map(&mut column.values, |value| -value);
                for histogram in column.histograms.iter_mut().flatten() {
                    let mut negative = Tally::of(histogram);
                    negative.multiply(-1.0);
                    *histogram = Arc::new(negative.finish());
                }
            }
        }
        Evaluated::Text(_) => {}
    }
}

/// Changes the values of the steps that have one.
pub(super) fn map(values: &mut [f64], change: impl Fn(f64) -> f64) {
    for value in values.iter_mut().filter(|value| is_present(**value)) {
        *value = change(*value);
    }
}

/// As [`map`], where a value may go away.
pub(super) fn filter_map(values: &mut [f64], change: impl Fn(f64) -> Option<f64>) {
    for value in values.iter_mut().filter(|value| is_present(**value)) {
        *value = change(*value).unwrap_or_else(absent);
    }
}

/// Whether a node is a function of a range.
fn is_over_range(expr: &Expr) -> bool {
    let matrix = |argument: &Expr| argument.value_type() == ValueType::Matrix;
    matches!(&expr.node, Node::Call { arguments, .. } if arguments.iter().any(matrix))
}

/// Whether a node is worth the same at every step: all it selects is anchored by `@`.
fn is_invariant(expr: &Expr) -> bool {
    match &expr.node {
        Node::Number { .. } | Node::Text(_) => true,
        Node::Selector(selector) | Node::Range { selector, .. } => selector.at.is_some(),
        Node::Subquery(subquery) => subquery.at.is_some(),
        Node::Paren(inner) | Node::Unary { operand: inner, .. } => is_invariant(inner),
        Node::Binary { left, right, .. } => is_invariant(left) && is_invariant(right),
        Node::Aggregate(aggregation) => {
            aggregation.parameter.as_ref().is_none_or(|parameter| is_invariant(parameter))
                && is_invariant(&aggregation.inner)
        }
        Node::Call { function, arguments } => {
            let all = arguments.iter().all(is_invariant);
            match function.name {
                "timestamp" => all && matches!(arguments[0].unwrapped().node, Node::Selector(_)),
                "time" | "predict_linear" => false,
                "day_of_month" | "day_of_week" | "day_of_year" | "days_in_month" | "hour" | "minute" | "month"
                | "year" => all && !arguments.is_empty(),
                _ => all,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse;

    #[test]
    fn only_what_is_anchored_is_worth_the_same_at_every_step() {
        for (text, invariant) in [
            ("1 + 2", true),
            ("up", false),
            ("up @ 10", true),
            ("sum(rate(up[5m] @ start()))", true),
            ("up @ 10 + up", false),
            ("time()", false),
            ("timestamp(up @ 10)", true),
            ("timestamp(abs(up @ 10))", false),
            ("predict_linear(up[5m] @ 10, 1)", false),
            ("hour()", false),
            ("sum_over_time(up[5m:1m] @ 10)", true),
            ("topk(scalar(up), up @ 10)", false),
        ] {
            assert_eq!(is_invariant(&parse(text).unwrap()), invariant, "{text}");
        }
    }
}
