//! One evaluation of a rule: the engine's answer, with labels and templates written.
//!
//! Pure but for the reading of series. Fails as a whole: half a result would resolve what it lacks.

use std::collections::BTreeSet;
use std::sync::Arc;

use watchbell_model::{Histogram, Labels, Query, QueryError, Relabel, Sample, Span, Timestamp};
use watchbell_query::promql::{self, Expr};
use watchbell_query::{Element, Engine, EngineOptions, EvalError, Value, format_histogram};
use watchbell_template::prometheus as template;

use super::addition::NoData;
use super::group::RuleSpec;

/// How many alerts or series a rule may yield where its group names no limit, or a higher one.
pub(crate) const SERIES_MAX: usize = 10_000;

/// Why a rule has no result. Nothing follows from it: what fires goes on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuleError {
    /// The expression cannot be evaluated.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// It yields something that is no result of a rule.
    #[error("the expression yields neither a vector nor a number")]
    Type,
    /// It yields one series or alert twice.
    #[error("the result has the same label set twice after the rule's labels are applied: {0}")]
    Duplicate(Labels),
    /// It yields too much.
    #[error("exceeded limit of {limit} with {count} {what}")]
    Limit {
        /// What the group allows.
        limit: usize,
        /// What there is.
        count: usize,
        /// Series or alerts.
        what: &'static str,
    },
}

impl RuleError {
    /// Whether a shorter time may do.
    pub fn is_too_much(&self) -> bool {
        let read = |error: &EvalError| matches!(error, EvalError::Source(QueryError::TooMany { .. }));
        matches!(self, RuleError::Eval(error) if matches!(error, EvalError::TooMany { .. }) || read(error))
    }
}

/// One series of the result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// As the alert or the recorded series carries them.
    pub(crate) labels: Labels,
    /// Of alerts only.
    pub(crate) annotations: Labels,
    /// Zero if it is a histogram.
    pub(crate) value: f64,
    pub(crate) histogram: Option<Arc<Histogram>>,
}

/// What an evaluation found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Round {
    /// The series of the result.
    pub(crate) found: Vec<Found>,
    /// Series that have data, whether the condition holds for them or not; if the rule says what no data means.
    pub(crate) with_data: Option<Vec<Labels>>,
    /// Series whose alerts may end; if the rule says when.
    pub(crate) recovered: Option<Vec<Labels>>,
    /// The alert that takes the place of what has no data; if nothing has and the rule takes that for an alarm.
    pub(crate) in_place: Option<Found>,
}

impl Round {
    /// Whether nothing has data, as far as the rule asks.
    pub(crate) fn is_without_data(&self) -> bool {
        self.found.is_empty() && self.with_data.as_ref().is_some_and(Vec::is_empty)
    }
}

/// What all rules share.
#[derive(Clone, Debug)]
pub struct RuleGlobals {
    /// Labels of this watchbell: alerts get those they do not have, and templates see them as `$externalLabels`.
    pub external_labels: Labels,
    /// What is done with the labels of alerts before they are raised; an alert may be dropped.
    pub alert_relabel: Relabel,
    /// The step of subqueries that name none: `global.evaluation_interval`.
    pub default_step: Span,
}

impl Default for RuleGlobals {
    fn default() -> RuleGlobals {
        RuleGlobals {
            external_labels: Labels::empty(),
            alert_relabel: Relabel::default(),
            default_step: Span::minutes(1),
        }
    }
}

impl RuleGlobals {
    /// The engine that evaluates rules.
    pub(crate) fn engine(&self) -> Engine {
        Engine::new(EngineOptions { default_step: self.default_step, ..EngineOptions::default() })
    }
}

/// Where and when a rule is evaluated.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// Shared by the rules of a round, which have parts in common.
    pub(crate) engine: &'a Engine,
    pub(crate) query: &'a dyn Query,
    pub(crate) globals: &'a RuleGlobals,
    /// What templates call `externalURL`.
    pub(crate) site_url: &'a str,
    /// The moment of the evaluation, which templates ask for.
    pub(crate) at: Timestamp,
    /// The moment whose data is judged: the same, less the group's offset.
    pub(crate) data_at: Timestamp,
}

/// Evaluates a rule.
pub(crate) fn evaluate(rule: &RuleSpec, limit: u64, scene: Scene<'_>) -> Result<Round, RuleError> {
    let result = scene.instant(&rule.expr, scene.data_at)?;
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).map_or(SERIES_MAX, |it| it.min(SERIES_MAX));
    if result.len() > limit {
        let what = if rule.alerts { "alerts" } else { "series" };
        return Err(RuleError::Limit { limit, count: result.len(), what });
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::with_capacity(result.len());
    for Element { labels, sample: Sample { value, .. }, histogram } in result {
        let one = if rule.alerts {
            scene.alert(rule, &labels, value, histogram.as_ref())
        } else {
            let own = rule.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let named = labels.iter().chain(own).chain([(Labels::NAME, rule.name.as_str())]);
            Found { labels: named.collect(), annotations: Labels::empty(), value, histogram }
        };
        if !seen.insert(one.labels.clone()) {
            return Err(RuleError::Duplicate(one.labels));
        }
        found.push(one);
    }
    let labels_of = |expr: &Option<Arc<Expr>>| -> Result<Option<Vec<Labels>>, RuleError> {
        let Some(expr) = expr else { return Ok(None) };
        Ok(Some(scene.instant(expr, scene.data_at)?.into_iter().map(|element| element.labels).collect()))
    };
    let with_data = match labels_of(&rule.additions.data) {
        // Without their names series may be the same twice; there is data at any rate.
        Err(RuleError::Eval(EvalError::Duplicate(_))) => Some(vec![Labels::empty()]),
        labels => labels?,
    };
    let recovered = labels_of(&rule.additions.recovery)?;
    let mut round = Round { found, with_data, recovered, in_place: None };
    if rule.additions.no_data == Some(NoData::Alarm) && round.is_without_data() {
        let alert = scene.alert(rule, &Labels::empty(), f64::NAN, None);
        // Templates over a series make no sense where there is none.
        let summary = format!("no data for {}: its expression finds nothing", rule.name);
        let annotations = alert.annotations.with("summary", &summary).with("no_data", NO_DATA);
        round.in_place = Some(Found { annotations, ..alert });
    }
    Ok(round)
}

/// Why an alarm knows nothing.
pub(crate) const NO_DATA: &str = "the expression finds no data";

impl Scene<'_> {
    fn alert(self, rule: &RuleSpec, labels: &Labels, value: f64, histogram: Option<&Arc<Histogram>>) -> Found {
        let in_text = |value: f64, histogram: Option<&Arc<Histogram>>| match histogram {
            Some(it) => watchbell_template::Value::Histogram(Arc::clone(it), format_histogram(it).into()),
            None => value.into(),
        };
        let ask = |text: &str| -> Result<watchbell_template::Vector, String> {
            let expr = promql::parse(text).map_err(|error| error.to_string())?;
            let found = self.instant(&expr, self.at).map_err(|error| error.to_string())?;
            let one = |it: Element| (it.labels, in_text(it.sample.value, it.histogram.as_ref()));
            Ok(found.into_iter().map(one).collect())
        };
        // As in Prometheus, an alert whose text is broken still fires, and says so.
        let write = |text: &str| {
            let external = &self.globals.external_labels;
            template::expand(text, labels, in_text(value, histogram), external, self.site_url, &ask, self.at)
                .unwrap_or_else(|error| format!("<error expanding template: {error}>"))
        };
        let own: Vec<(String, String)> = rule.labels.iter().map(|(name, text)| (name.clone(), write(text))).collect();
        let series = labels.iter().filter(|(name, _)| *name != Labels::NAME).map(|(n, v)| (n.to_owned(), v.to_owned()));
        let name = [("alertname".to_owned(), rule.name.clone())];
        Found {
            labels: series.chain(own).chain(name).collect(),
            annotations: rule.annotations.iter().map(|(name, text)| (name, write(text))).collect(),
            value,
            histogram: None,
        }
    }

    fn instant(self, expr: &Expr, at: Timestamp) -> Result<Vec<Element>, RuleError> {
        match self.engine.instant(self.query, expr, at)? {
            Value::Scalar(timestamp, value) => {
                Ok(vec![Element { labels: Labels::empty(), sample: Sample { timestamp, value }, histogram: None }])
            }
            Value::Vector(vector) => Ok(vector),
            Value::Matrix(_) | Value::String(..) => Err(RuleError::Type),
        }
    }
}
