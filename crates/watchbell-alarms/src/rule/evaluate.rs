//! One evaluation of a rule: the engine's answer, with labels and templates written.
//!
//! Pure but for the reading of series. Fails as a whole: half a result would resolve what it lacks.

use std::collections::BTreeSet;
use std::sync::Arc;

use watchbell_model::{Histogram, Labels, Query, Sample, Timestamp};
use watchbell_query::promql::{self, Expr};
use watchbell_query::{Element, Engine, EngineOptions, EvalError, Value};
use watchbell_template::prometheus as template;

use super::group::RuleSpec;

/// How many alerts or series a rule may yield where its group names no limit, or a higher one.
pub(crate) const SERIES_MAX: usize = 10_000;

/// Why a rule has no result. Nothing follows from it: what fires goes on.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum RuleError {
    #[error(transparent)]
    Eval(#[from] EvalError),
    #[error("the expression yields neither a vector nor a number")]
    Type,
    #[error("the result has the same label set twice after the rule's labels are applied: {0}")]
    Duplicate(Labels),
    #[error("exceeded limit of {limit} with {count} {what}")]
    Limit { limit: usize, count: usize, what: &'static str },
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

/// Evaluates a rule for the moment `at`; `site_url` is what templates call `externalURL`.
pub(crate) fn evaluate(
    rule: &RuleSpec,
    limit: u64,
    query: &dyn Query,
    at: Timestamp,
    site_url: &str,
) -> Result<Vec<Found>, RuleError> {
    let result = instant(query, &rule.expr, at)?;
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).map_or(SERIES_MAX, |it| it.min(SERIES_MAX));
    if result.len() > limit {
        let what = if rule.alerts { "alerts" } else { "series" };
        return Err(RuleError::Limit { limit, count: result.len(), what });
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::with_capacity(result.len());
    for Element { labels, sample: Sample { value, .. }, histogram } in result {
        let one = if rule.alerts {
            alert(rule, query, &labels, value, at, site_url)
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
    Ok(found)
}

fn alert(rule: &RuleSpec, query: &dyn Query, labels: &Labels, value: f64, at: Timestamp, site_url: &str) -> Found {
    let ask = |text: &str| -> Result<watchbell_template::Vector, String> {
        let expr = promql::parse(text).map_err(|error| error.to_string())?;
        let found = instant(query, &expr, at).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|element| (element.labels, element.sample.value)).collect())
    };
    // As in Prometheus, an alert whose text is broken still fires, and says so.
    let write = |text: &str| {
        template::expand(text, labels, value, &Labels::empty(), site_url, &ask, at)
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

fn instant(query: &dyn Query, expr: &Expr, at: Timestamp) -> Result<Vec<Element>, RuleError> {
    match Engine::new(EngineOptions::default()).instant(query, expr, at)? {
        Value::Scalar(timestamp, value) => {
            Ok(vec![Element { labels: Labels::empty(), sample: Sample { timestamp, value }, histogram: None }])
        }
        Value::Vector(vector) => Ok(vector),
        Value::Matrix(_) | Value::String(..) => Err(RuleError::Type),
    }
}
