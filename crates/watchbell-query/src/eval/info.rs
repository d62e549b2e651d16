//! `info()`: labels of info metrics, put on the series of the same target.
//!
//! Source: Prometheus' function of that name, experimental there: targets are told apart by `instance` and `job`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use watchbell_model::{Labels, MatchOp, Matcher};

use super::EvalError;
use super::column::{Column, Columns, Grid, is_present};
use super::evaluator::Evaluator;
use super::select::{Moment, Take};
use crate::promql::{Expr, Node};

/// What tells targets apart.
const IDENTIFYING: [&str; 2] = ["instance", "job"];
/// The info metric that is taken where none is named.
const TARGET_INFO: &str = "target_info";

impl Evaluator<'_> {
    /// The first argument with the labels of info metrics, which the second one selects.
    pub(super) fn info(&self, arguments: &[Expr], grid: &Grid) -> Result<Vec<Column>, EvalError> {
        let moment = self.info_moment(&arguments[0])?.unwrap_or(Moment { offset: 0, anchor: None });
        let base = self.vector(&arguments[0], grid)?;
        let wanted = match arguments.get(1).map(|argument| &argument.unwrapped().node) {
            Some(Node::Selector(selector)) => selector.all_matchers(),
            Some(_) => return Err(EvalError::Type("the second argument of `info` must be a label selector".into())),
            None => Vec::new(),
        };
        let (names, data): (Vec<Matcher>, Vec<Matcher>) =
            wanted.into_iter().partition(|matcher| matcher.name == Labels::NAME);
        let names = effective(names);
        let is_info = |column: &Column| {
            let name = column.labels.name().unwrap_or("");
            names.iter().all(|matcher| matcher.matches(name))
        };
        let infos = self.info_series(base.iter().filter(|column| !is_info(column)), &names, &data, moment, grid)?;
        let metrics: BTreeSet<&str> = infos.iter().filter_map(|info| info.labels.name()).collect();
        let may_lack = data.iter().all(|matcher| matcher.matches(""));
        let mut result = Columns::default();
        for step in 0..grid.count {
            let newest = newest(&infos, step)?;
            for column in base.iter().filter(|column| column.has(step)) {
                let mut labels = column.labels.clone();
                if !is_info(column) {
                    let found = metrics.iter().filter_map(|metric| newest.get(&key(metric, &column.labels)));
                    let found: Vec<&Labels> = found.map(|(_, at)| &infos[*at].labels).collect();
                    if found.is_empty() && !may_lack {
                        continue;
                    }
                    labels = enriched(&column.labels, &found, &data)?;
                }
                let place = result.place(&labels, column.drop_name, grid.count);
                match column.histogram(step) {
                    Some(histogram) => result.set_histogram(place, step, Arc::clone(histogram))?,
                    None => result.set(place, step, column.values[step])?,
                }
            }
        }
        Ok(result.finish())
    }

    /// Of which moment info metrics are: that of the first selector.
    fn info_moment(&self, expr: &Expr) -> Result<Option<Moment>, EvalError> {
        if let Node::Selector(selector) | Node::Range { selector, .. } = &expr.node {
            let offset = self.offset(selector.offset.as_ref())?;
            return Ok(Some(Moment { offset, anchor: self.anchor(selector.at) }));
        }
        for child in expr.children() {
            let Some(mut moment) = self.info_moment(child)? else { continue };
            if let Node::Subquery(subquery) = &expr.node
                && moment.anchor.is_none()
            {
                moment.offset += self.offset(subquery.offset.as_ref())?;
                moment.anchor = self.anchor(subquery.at);
            }
            return Ok(Some(moment));
        }
        Ok(None)
    }

    /// Info series of the targets of some columns; their values are the times of their samples.
    fn info_series<'a>(
        &self,
        base: impl Iterator<Item = &'a Column>,
        names: &[Matcher],
        data: &[Matcher],
        moment: Moment,
        grid: &Grid,
    ) -> Result<Vec<Column>, EvalError> {
        let mut targets = BTreeMap::<&str, BTreeSet<&str>>::new();
        for column in base {
            for name in IDENTIFYING {
                targets.entry(name).or_default().extend(column.labels.get(name));
            }
        }
        targets.retain(|_, values| !values.is_empty());
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let mut matchers: Vec<Matcher> = names.iter().chain(data).cloned().collect();
        for (name, values) in targets {
            let values: Vec<String> = values.into_iter().map(regex::escape).collect();
            let any = Matcher::new(name, MatchOp::Regex, values.join("|"));
            matchers.push(any.map_err(|error| EvalError::Argument(error.to_string()))?);
        }
        let found = self.newest(&matchers, moment, grid, Take::TimeOfNumber)?;
        match found.iter().any(|info| !info.histograms.is_empty()) {
            true => Err(EvalError::Type("info sample should be float".into())),
            false => Ok(found),
        }
    }
}

/// The conditions on the names of info metrics: with none `target_info`, with only negative ones names on `_info`.
fn effective(mut names: Vec<Matcher>) -> Vec<Matcher> {
    if names.is_empty() {
        return vec![Matcher::equal(Labels::NAME, TARGET_INFO)];
    }
    if names.iter().all(|matcher| matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegex)) {
        names.push(Matcher::new(Labels::NAME, MatchOp::Regex, ".+_info").expect("the pattern is fixed"));
    }
    names
}

/// A target of an info metric.
fn key(metric: &str, labels: &Labels) -> Labels {
    let identifying = labels.iter().filter(|(name, _)| IDENTIFYING.contains(name));
    identifying.chain([(Labels::NAME, metric)]).collect()
}

/// The newest series of each target and info metric at a step: when its sample is of, and its place.
fn newest(infos: &[Column], step: usize) -> Result<HashMap<Labels, (f64, usize)>, EvalError> {
    let mut newest = HashMap::<Labels, (f64, usize)>::new();
    for (at, info) in infos.iter().enumerate().filter(|(_, info)| is_present(info.values[step])) {
        let (time, target) = (info.values[step], key(info.labels.name().unwrap_or(""), &info.labels));
        match newest.get(&target) {
            Some((have, _)) if *have > time => {}
            Some((have, other)) if *have == time => {
                let millis = time * 1000.0;
                let (other, new) = (&infos[*other].labels, &info.labels);
                let message = "found duplicate series for info metric";
                return Err(EvalError::Duplicate(format!(
                    "{message}: existing {other} @ {millis}, new {new} @ {millis}"
                )));
            }
            _ => _ = newest.insert(target, (time, at)),
        }
    }
    Ok(newest)
}

/// The labels of a series with those of info series; what it has itself stays.
fn enriched(base: &Labels, infos: &[&Labels], data: &[Matcher]) -> Result<Labels, EvalError> {
    let mut added = BTreeMap::<&str, &str>::new();
    for (name, value) in infos.iter().flat_map(|labels| labels.iter()) {
        let wanted = data.is_empty() || data.iter().any(|matcher| matcher.name == name);
        if name == Labels::NAME || !wanted {
            continue;
        }
        if added.get(name).is_some_and(|have| *have != value) {
            return Err(EvalError::Duplicate(format!("conflicting label: {name}")));
        }
        if base.get(name).is_none() {
            added.insert(name, value);
        }
    }
    Ok(base.iter().chain(added).collect())
}
