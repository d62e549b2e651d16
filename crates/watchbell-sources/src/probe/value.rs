//! What a value must be: the first value of a query, a field that a server tells of itself.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Number;
use watchbell_model::{Path, Problems};

use super::attempt::{Attempt, Failure};
use super::dialogue::shown;

/// A query, and what its first value must be. Without a condition it must only be answered.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryConfig {
    /// One statement, such as `select count(*) from jobs where failed`. Give it a user that may only read.
    pub sql: String,
    /// The first column of the first row must be this text.
    #[serde(default)]
    pub equals: Option<String>,
    /// It must be a number greater than this.
    #[serde(default)]
    pub above: Option<Number>,
    /// It must be a number less than this.
    #[serde(default)]
    pub below: Option<Number>,
}

impl QueryConfig {
    pub(crate) fn check(&self, has_user: bool, path: &Path, problems: &mut Problems) {
        if self.sql.trim().is_empty() {
            problems.error(&path.field("sql"), "it asks for nothing").hint("such as `select 1`");
        }
        if !has_user {
            problems.error(path, "a query needs a user").hint("give `user`, and what else it signs in with");
        }
    }

    /// Judges the first value; `None` where there was no row, or the value was NULL.
    pub(crate) fn judge(&self, value: Option<&str>) -> Result<String, Failure> {
        let asks = self.equals.is_some() || self.above.is_some() || self.below.is_some();
        match value {
            None if asks => Err(Failure::new("expected a value from the query, but there is none")),
            None => Ok("the query has no value".into()),
            Some(value) => {
                judge("the query's value", value, self.equals.as_deref(), self.above.as_ref(), self.below.as_ref())
                    .map(|()| format!("the query says `{}`", shown(value)))
            }
        }
    }

    /// Keeps the first value as a sample, if it is a number.
    pub(crate) fn saw(attempt: &mut Attempt<'_>, value: Option<&str>) {
        if let Some(number) = value.and_then(|value| value.parse().ok()) {
            attempt.sample("probe_query_value", &[], number);
        }
    }
}

/// Names and meanings of the samples of queries.
pub(crate) const QUERY_DESCRIBED: &[(&str, &str)] = &[("probe_query_value", "The first value of the monitor's query.")];

/// Judges a value.
pub(crate) fn judge(
    name: &str,
    value: &str,
    equals: Option<&str>,
    above: Option<&Number>,
    below: Option<&Number>,
) -> Result<(), Failure> {
    let name = if name.contains(' ') { name.to_owned() } else { format!("`{name}`") };
    let refuse = |wanted: String| Err(Failure(format!("expected {name} to be {wanted}, but it is `{}`", shown(value))));
    let number: Option<f64> = value.trim().parse().ok();
    if let Some(wanted) = equals.filter(|wanted| *wanted != value) {
        return refuse(format!("`{wanted}`"));
    }
    if let Some(bound) = above.and_then(Number::as_f64)
        && number.is_none_or(|have| have <= bound)
    {
        return refuse(format!("above {bound}"));
    }
    if let Some(bound) = below.and_then(Number::as_f64)
        && number.is_none_or(|have| have >= bound)
    {
        return refuse(format!("below {bound}"));
    }
    Ok(())
}
