//! Recording rules over the past: what they would have recorded, had they been there.
//!
//! As `promtool tsdb create-blocks-from rules`, but rules see what the ones before them recorded.

use std::collections::BTreeSet;

use watchbell_model::{Labels, Query, Series, Span, Timestamp};
use watchbell_query::promql;
use watchbell_query::{Engine, EngineOptions};

use super::evaluate::RuleError;
use super::group::{GroupSpec, RuleSpec};

impl GroupSpec {
    /// The first moment from `from` on at which the group is evaluated; the others follow by its interval. They are the
    /// same as live, so that what was recorded already is met again.
    pub fn slot_from(&self, from: Timestamp) -> Timestamp {
        self.next(Timestamp(from.as_millis().saturating_sub(1)))
    }
}

impl RuleSpec {
    /// What a recording rule yields at the moments from `first` to `last`, `step` apart, each looking `offset` back;
    /// samples bear the moments that were looked at. `default_step` is that of subqueries that name none.
    ///
    /// # Errors
    /// If the expression cannot be evaluated, or yields one series twice. Too much at once is
    /// [`RuleError::is_too_much`]: ask for a shorter time.
    pub fn record_past(
        &self,
        query: &dyn Query,
        (first, last, step): (Timestamp, Timestamp, Span),
        offset: Span,
        default_step: Span,
    ) -> Result<Vec<Series>, RuleError> {
        let options = EngineOptions { default_step, ..EngineOptions::default() };
        let (first, last) = (first - offset.duration(), last - offset.duration());
        let found = Engine::new(options).range(query, &self.expr, first, last, step)?;
        let mut seen = BTreeSet::new();
        let mut recorded = Vec::with_capacity(found.len());
        for series in found {
            let own = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let labels: Labels = series.labels.iter().chain(own).chain([(Labels::NAME, self.name.as_str())]).collect();
            if !seen.insert(labels.clone()) {
                return Err(RuleError::Duplicate(labels));
            }
            recorded.push(Series { histograms: series.histograms, ..Series::new(labels, series.samples) });
        }
        Ok(recorded)
    }

    /// Whether its expression may read a metric.
    pub fn may_read(&self, metric: &str) -> bool {
        promql::selectors(&self.expr).iter().any(|matchers| {
            let mut names = matchers.iter().filter(|matcher| matcher.name == Labels::NAME);
            names.all(|matcher| matcher.matches(metric))
        })
    }
}
