//! Expressions to values, over the port `watchbell_model::Query`.
//!
//! A query is evaluated column by column: each node is evaluated once for all steps, into one column of values for
//! each series. Each selector is read from the source once, for all steps.
//!
//! Leaves out: clocks. A caller that bounds the time of a query sets a flag when it is up; the
//! memory of a query is bounded by its samples.

mod aggregate;
mod binary;
mod column;
mod date;
mod evaluator;
mod explain;
mod function;
mod histogram;
mod info;
mod kahan;
mod keys;
mod labels;
mod lot;
mod memo;
mod mixed;
mod note;
mod select;
mod since;
mod stats;
mod window;

pub use explain::Explained;
pub(crate) use kahan::Sum;
pub use note::{Note, NoteLevel};
pub use stats::QueryStats;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use watchbell_model::{Histogram, Labels, Query, QueryError, Sample, Series, Span, Timestamp};

use crate::promql::{Expr, ValueType};
use column::Grid;
use evaluator::{Evaluated, Evaluator};
use explain::Trace;
use memo::Memo;

/// Limits and defaults of an [`Engine`].
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How old the newest sample of a series may be for the series to have a value.
    pub lookback: Span,
    /// Most samples one query may hold: those read from the source and those of the results on the way.
    pub samples_max: usize,
    /// Step of a subquery that names none.
    pub default_step: Span,
    /// Whether a name that is to be dropped can be grouped by and matched on until the query is done, as with
    /// Prometheus' `promql-delayed-name-removal`; otherwise each function and operator drops it at once, as there.
    pub delayed_name_removal: bool,
}

impl Default for EngineOptions {
    /// 5 minutes and 1 minute, as in Prometheus; 10 million samples, which are 160 MB, so that a small machine survives.
    fn default() -> EngineOptions {
        EngineOptions {
            lookback: Span::minutes(5),
            samples_max: 10_000_000,
            default_step: Span::minutes(1),
            delayed_name_removal: false,
        }
    }
}

/// What an expression is worth at one moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One number.
    Scalar(Timestamp, f64),
    /// One sample of each series; in the order of `sort` or `topk` if that is what was asked.
    Vector(Vec<Element>),
    /// Many samples of each series, sorted by labels.
    Matrix(Vec<Series>),
    /// A text.
    String(Timestamp, String),
}

/// One element of an instant vector: a number or a histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// Whose sample it is.
    pub labels: Labels,
    /// When, and the number; zero in its place if it is a histogram.
    pub sample: Sample,
    /// The histogram, if it is one.
    pub histogram: Option<Arc<Histogram>>,
}

/// A value and what the reader should know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<V> {
    /// What was asked for.
    pub value: V,
    /// Warnings and infos, each once.
    pub notes: Vec<Note>,
    /// What it took.
    pub stats: QueryStats,
}

/// Why there is no value. Never to be taken for "no data": a failed judgement does not resolve.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EvalError {
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] QueryError),
    /// The query would hold more samples than the engine allows.
    #[error("query processing would load too many samples into memory in query execution (limit {limit})")]
    TooMany {
        /// The limit that stopped it.
        limit: usize,
    },
    /// The expression is of a type that cannot be evaluated this way, or its steps make no sense.
    #[error("{0}")]
    Type(String),
    /// Two series would have the same labels, or matching finds more than one partner.
    #[error("{0}")]
    Duplicate(String),
    /// An argument is outside of what the function takes.
    #[error("{0}")]
    Argument(String),
    /// The caller's flag was set before the query was done.
    #[error("the query was stopped before it was done")]
    Stopped,
}

/// Evaluates expressions. Holds no data and no state.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    options: EngineOptions,
    stop: Option<Arc<AtomicBool>>,
    memo: Option<Arc<Memo>>,
}

impl Engine {
    /// An engine with these limits.
    pub fn new(options: EngineOptions) -> Engine {
        Engine { options, stop: None, memo: None }
    }

    /// The same engine for queries that end with [`EvalError::Stopped`] soon after `stop` is set.
    pub fn stopped_by(&self, stop: Arc<AtomicBool>) -> Engine {
        Engine { stop: Some(stop), ..self.clone() }
    }

    /// The same engine for many expressions over one source, such as rules: what parts of them are worth at a moment is
    /// remembered for the others that have the same parts, until another moment is asked for.
    ///
    /// Only [`Engine::instant`] shares, since warnings belong to places in one text. Who writes to the source meanwhile
    /// tells the engine by [`Engine::written`].
    pub fn sharing(&self) -> Engine {
        Engine { memo: Some(Arc::default()), ..self.clone() }
    }

    /// Forgets what was remembered of series with these labels.
    pub fn written(&self, series: &[Labels]) {
        if let Some(memo) = &self.memo {
            memo.forget(series);
        }
    }

    /// What an expression is worth at a moment.
    ///
    /// # Errors
    /// When the source fails, a limit is passed, or the expression has no defined value for this data.
    pub fn instant(&self, source: &dyn Query, expr: &Expr, at: Timestamp) -> Result<Value, EvalError> {
        Ok(self.instant_with(source, expr, at, self.memo.as_deref(), None)?.value)
    }

    /// As [`Engine::instant`], with warnings.
    ///
    /// # Errors
    /// As [`Engine::instant`].
    pub fn instant_answer(&self, source: &dyn Query, expr: &Expr, at: Timestamp) -> Result<Answer<Value>, EvalError> {
        self.instant_with(source, expr, at, None, None)
    }

    /// As [`Engine::instant_answer`], with what each part took by a clock that the caller reads: `now` is the time from
    /// any moment on.
    ///
    /// # Errors
    /// As [`Engine::instant`].
    pub fn explain_instant(
        &self,
        source: &dyn Query,
        expr: &Expr,
        at: Timestamp,
        now: &dyn Fn() -> Duration,
    ) -> Result<(Answer<Value>, Option<Explained>), EvalError> {
        let trace = Trace::new(now);
        let answer = self.instant_with(source, expr, at, None, Some(&trace))?;
        Ok((answer, trace.finish()))
    }

    /// As [`Engine::range_answer`], with what each part took; see [`Engine::explain_instant`].
    ///
    /// # Errors
    /// As [`Engine::range`].
    pub fn explain_range(
        &self,
        source: &dyn Query,
        expr: &Expr,
        (start, end, step): (Timestamp, Timestamp, Span),
        now: &dyn Fn() -> Duration,
    ) -> Result<(Answer<Vec<Series>>, Option<Explained>), EvalError> {
        let trace = Trace::new(now);
        let answer = self.range_with(source, expr, (start, end, step), Some(&trace))?;
        Ok((answer, trace.finish()))
    }

    fn instant_with<'a>(
        &'a self,
        source: &'a dyn Query,
        expr: &Expr,
        at: Timestamp,
        memo: Option<&'a Memo>,
        trace: Option<&'a Trace<'a>>,
    ) -> Result<Answer<Value>, EvalError> {
        let grid = Grid { start: at.0, step: 1, count: 1 };
        let mut evaluator = self.evaluator(source, (at, at, 0), 1);
        (evaluator.memo, evaluator.trace) = (memo, trace);
        let value = match expr.value_type() {
            ValueType::Matrix => Value::Matrix(evaluator.matrix(expr, &grid)?),
            _ => match evaluator.eval(expr, &grid)? {
                Evaluated::Scalar(values) => Value::Scalar(at, values[0]),
                Evaluated::Text(text) => Value::String(at, text),
                Evaluated::Vector(columns) => {
                    let columns = column::drop_names(columns)?;
                    let element = |column: column::Column| {
                        let histogram = column.histogram(0).cloned();
                        let value = if histogram.is_some() { 0.0 } else { column.values[0] };
                        Element { labels: column.labels, sample: Sample { timestamp: at, value }, histogram }
                    };
                    Value::Vector(columns.into_iter().filter(|column| column.has(0)).map(element).collect())
                }
            },
        };
        let (notes, stats) = evaluator.finish();
        Ok(Answer { value, notes, stats })
    }

    /// What an expression is worth at each step from `start` to `end`; series sorted by labels.
    ///
    /// # Errors
    /// As [`Engine::instant`]; also when the expression is a range vector or a string, or `step` is zero.
    pub fn range(
        &self,
        source: &dyn Query,
        expr: &Expr,
        start: Timestamp,
        end: Timestamp,
        step: Span,
    ) -> Result<Vec<Series>, EvalError> {
        Ok(self.range_answer(source, expr, start, end, step)?.value)
    }

    /// As [`Engine::range`], with warnings.
    ///
    /// # Errors
    /// As [`Engine::range`].
    pub fn range_answer(
        &self,
        source: &dyn Query,
        expr: &Expr,
        start: Timestamp,
        end: Timestamp,
        step: Span,
    ) -> Result<Answer<Vec<Series>>, EvalError> {
        self.range_with(source, expr, (start, end, step), None)
    }

    fn range_with<'a>(
        &'a self,
        source: &'a dyn Query,
        expr: &Expr,
        (start, end, step): (Timestamp, Timestamp, Span),
        trace: Option<&'a Trace<'a>>,
    ) -> Result<Answer<Vec<Series>>, EvalError> {
        let kind = expr.value_type();
        if !matches!(kind, ValueType::Scalar | ValueType::Vector) {
            let message = format!("a range query takes a scalar or an instant vector, but this is a {kind}");
            return Err(EvalError::Type(message));
        }
        let step = i64::try_from(step.duration().as_millis()).unwrap_or(i64::MAX);
        if step == 0 {
            return Err(EvalError::Type("the step of a range query must be at least a millisecond".into()));
        }
        if end < start {
            return Ok(Answer { value: Vec::new(), notes: Vec::new(), stats: QueryStats::default() });
        }
        let steps = (i128::from(end.0) - i128::from(start.0)) / i128::from(step) + 1;
        let limit = self.options.samples_max;
        let count = usize::try_from(steps).ok().filter(|count| *count <= limit);
        let Some(count) = count else { return Err(EvalError::TooMany { limit }) };
        let grid = Grid { start: start.0, step, count };
        let mut evaluator = self.evaluator(source, (start, end, step), count);
        evaluator.trace = trace;
        let columns = match evaluator.eval(expr, &grid)? {
            Evaluated::Scalar(values) => vec![column::Column::new(Labels::empty(), values)],
            Evaluated::Vector(columns) => column::drop_names(columns)?,
            Evaluated::Text(_) => unreachable!("the type of the expression was looked at"),
        };
        let mut value: Vec<Series> = columns.into_iter().filter_map(|column| column.into_series(&grid)).collect();
        value.sort_by(|a, b| a.labels.cmp(&b.labels));
        let (notes, stats) = evaluator.finish();
        Ok(Answer { value, notes, stats })
    }

    fn evaluator<'a>(
        &'a self,
        source: &'a dyn Query,
        (start, end, step): (Timestamp, Timestamp, i64),
        count: usize,
    ) -> Evaluator<'a> {
        Evaluator::new(source, &self.options, self.stop.as_deref(), (start.0, end.0, step), count)
    }
}
