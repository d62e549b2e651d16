//! Plays series through rules, round by round, with the code that judges live.

use std::collections::BTreeSet;

use watchbell_model::{Labels, Sample, SeriesKey, Span, Timestamp, stale_nan};
use watchbell_query::promql::{self, Item, histogram_notation, series_description};
use watchbell_query::{Element, Engine, MemorySeries, Value, format_value};

use super::compare::{self, Failure};
use super::file::{AlertTest, ExpressionTest, TestCase};
use super::{ROUNDS_MAX, compare::Said};
use crate::rule::evaluate::{Scene, evaluate};
use crate::rule::instance::{Instances, step};
use crate::rule::run::{points, recorded};
use crate::rule::{GroupSpec, RuleGlobals};

/// What all tests of a file share.
pub(super) struct Setting {
    pub(super) interval: Span,
    pub(super) groups: Vec<GroupSpec>,
    pub(super) fuzzy: bool,
}

/// Rules in made-up time.
pub(super) struct Player<'a> {
    setting: &'a Setting,
    start: Timestamp,
    globals: RuleGlobals,
    engine: Engine,
    site_url: String,
    memory: MemorySeries,
    /// What is still to come, the latest first.
    input: Vec<(i64, Labels, Item)>,
    /// By group and rule.
    rules: Vec<Vec<Played>>,
}

/// What a rule remembers.
#[derive(Default)]
struct Played {
    instances: Instances,
    written: BTreeSet<Labels>,
}

impl<'a> Player<'a> {
    /// Series are given as in promtool's files, each with its samples.
    pub(super) fn new<'s>(
        setting: &'a Setting,
        start: Timestamp,
        interval: Option<Span>,
        series: impl Iterator<Item = (&'s str, &'s str)>,
    ) -> Result<Player<'a>, String> {
        let step = interval.filter(|interval| !interval.is_zero()).unwrap_or(setting.interval);
        let step = i64::try_from(step.duration().as_millis()).map_err(|error| error.to_string())?;
        let mut input = Vec::new();
        for (series, values) in series {
            let (labels, items) = series_description(&format!("{series} {values}"))?;
            for (at, item) in items.into_iter().enumerate().filter(|(_, item)| *item != Item::Omitted) {
                let after = i64::try_from(at).ok().and_then(|at| at.checked_mul(step));
                let at = after.and_then(|after| after.checked_add(start.0));
                input.push((at.ok_or("the samples reach beyond all time")?, labels.clone(), item));
            }
        }
        input.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        let rules = setting.groups.iter().map(|group| group.rules.iter().map(|_| Played::default()).collect());
        let globals = RuleGlobals { default_step: setting.interval, ..RuleGlobals::default() };
        Ok(Player {
            engine: globals.engine(),
            globals,
            site_url: String::new(),
            memory: MemorySeries::default(),
            rules: rules.collect(),
            setting,
            start,
            input,
        })
    }

    pub(super) fn external(&mut self, labels: Labels, site_url: &str) {
        self.globals.external_labels = labels;
        self.site_url = site_url.to_owned();
    }

    /// How long after the start the last sample is.
    pub(super) fn length(&self) -> Span {
        let last = self.input.first().map_or(0, |(at, ..)| at.saturating_sub(self.start.0));
        Span::millis(u64::try_from(last).unwrap_or(0))
    }

    /// Lets every rule judge the moment `at`; answers which could not.
    pub(super) fn round(&mut self, at: Timestamp) -> Vec<(String, String)> {
        while let Some((time, labels, item)) = self.input.pop_if(|(time, ..)| *time <= at.0) {
            match item {
                Item::Value(value) => self.memory.put(&labels, time, value),
                Item::Histogram { histogram, .. } => self.memory.put_histogram(&labels, time, histogram),
                Item::Omitted => {}
            }
        }
        let mut errors = Vec::new();
        for (group, played) in self.setting.groups.iter().zip(&mut self.rules) {
            let data_at = at - group.query_offset.duration();
            for (rule, played) in group.rules.iter().zip(played) {
                let scene = Scene {
                    engine: &self.engine,
                    query: &self.memory,
                    globals: &self.globals,
                    site_url: &self.site_url,
                    at,
                    data_at,
                };
                let round = match evaluate(rule, group.limit, scene) {
                    Ok(round) => round,
                    Err(error) => {
                        errors.push((rule.name.clone(), error.to_string()));
                        continue;
                    }
                };
                let mut written = BTreeSet::new();
                if rule.alerts {
                    played.instances = step(&played.instances, &round, rule, true, at);
                    for point in points(&played.instances, data_at) {
                        self.memory.put(&point.labels, point.timestamp.0, point.value);
                        written.insert(point.labels);
                    }
                } else {
                    let batch = recorded(round.found, data_at);
                    let labels = |at: u32| match &batch.series[at as usize] {
                        SeriesKey::Labels(labels) => Some(labels.clone()),
                        _ => None,
                    };
                    for sample in &batch.samples {
                        let Some(labels) = labels(sample.series) else { continue };
                        self.memory.put(&labels, sample.timestamp.0, sample.value);
                        written.insert(labels);
                    }
                    for sample in &batch.histograms {
                        let Some(labels) = labels(sample.series) else { continue };
                        self.memory.put_histogram(&labels, sample.timestamp.0, (*sample.histogram).clone());
                        written.insert(labels);
                    }
                }
                for labels in played.written.difference(&written) {
                    self.memory.put(labels, data_at.0, stale_nan());
                }
                played.written = written;
            }
        }
        errors
    }

    /// The label sets of all alerting rules.
    pub(super) fn instances(&self) -> impl Iterator<Item = (&str, &Instances)> {
        let groups = self.setting.groups.iter().zip(&self.rules);
        let rules = groups.flat_map(|(group, played)| group.rules.iter().zip(played));
        rules.filter(|(rule, _)| rule.alerts).map(|(rule, played)| (rule.name.as_str(), &played.instances))
    }
}

/// A moment after the start, if there is such a one.
pub(super) fn after(start: Timestamp, span: Span) -> Option<Timestamp> {
    i64::try_from(span.duration().as_millis()).ok().and_then(|millis| start.0.checked_add(millis)).map(Timestamp)
}

/// Runs one test of promtool's form.
pub(super) fn case(test: &TestCase, setting: &Setting) -> Vec<Failure> {
    let series = test.input_series.iter().map(|it| (it.series.as_str(), it.values.as_str()));
    let mut player = match Player::new(setting, test.start(), test.interval, series) {
        Ok(player) => player,
        Err(words) => return vec![Failure::error("input_series", None, words)],
    };
    player.external(test.external_labels.iter().collect(), &test.external_url);
    let mut failures = Vec::new();
    let moments =
        test.alert_rule_test.iter().map(|it| it.eval_time).chain(test.promql_expr_test.iter().map(|it| it.eval_time));
    let end = moments.max().unwrap_or_default();
    let rounds = end.duration().as_millis() / setting.interval.duration().as_millis().max(1);
    let Ok(rounds) = u64::try_from(rounds).map_err(drop).and_then(|it| if it <= ROUNDS_MAX { Ok(it) } else { Err(()) })
    else {
        return vec![Failure::error(
            "eval_time",
            Some(end),
            format!("that is more than {ROUNDS_MAX} evaluations away"),
        )];
    };
    let mut alerts: Vec<&AlertTest> = test.alert_rule_test.iter().collect();
    alerts.sort_by_key(|alert| alert.eval_time);
    let mut alerts = alerts.into_iter().peekable();
    let step = setting.interval.duration();
    for round in 0..=rounds {
        let passed = Span(step.saturating_mul(u32::try_from(round).unwrap_or(u32::MAX)));
        let Some(at) = after(test.start(), passed) else { break };
        let errors = player.round(at);
        if !errors.is_empty() {
            let error = |(rule, words)| Failure::error(&format!("rule {rule}"), Some(passed), words);
            failures.extend(errors.into_iter().map(error));
            return failures;
        }
        while let Some(alert) = alerts.next_if(|alert| alert.eval_time.duration() < passed.duration() + step) {
            failures.extend(check_alerts(alert, &player));
        }
    }
    for expression in &test.promql_expr_test {
        failures.extend(check_expression(expression, &player, test.start(), setting));
    }
    failures
}

fn check_alerts(test: &AlertTest, player: &Player<'_>) -> Option<Failure> {
    let mine = player.instances().filter(|(name, _)| *name == test.alertname);
    let firing = mine.flat_map(|(_, instances)| instances.values()).filter(|instance| instance.is_firing());
    let got = firing.map(|instance| Said::alert(&instance.labels, &instance.annotations)).collect();
    let expected = test.exp_alerts.iter().map(|expected| {
        let labels: Labels = expected.exp_labels.iter().collect::<Labels>().with("alertname", &test.alertname);
        Said::alert(&labels, &expected.exp_annotations.iter().collect())
    });
    compare::lists(&format!("alert {}", test.alertname), test.eval_time, expected.collect(), got)
}

fn check_expression(
    test: &ExpressionTest,
    player: &Player<'_>,
    start: Timestamp,
    setting: &Setting,
) -> Option<Failure> {
    let about = format!("expr {}", test.expr);
    let fail = |words: String| Some(Failure::error(&about, Some(test.eval_time), words));
    let expr = match promql::parse(&test.expr) {
        Ok(expr) => expr,
        Err(error) => return fail(error.to_string()),
    };
    let Some(at) = after(start, test.eval_time) else { return fail("there is no such moment".to_owned()) };
    let found = match player.engine.instant(&player.memory, &expr, at) {
        Ok(Value::Vector(found)) => found,
        Ok(Value::Scalar(timestamp, value)) => {
            vec![Element { labels: Labels::empty(), sample: Sample { timestamp, value }, histogram: None }]
        }
        Ok(_) => return fail("rule result is not a vector or scalar".to_owned()),
        Err(error) => return fail(error.to_string()),
    };
    let mut expected = Vec::new();
    for sample in &test.exp_samples {
        let labels = if sample.labels.trim().is_empty() { "{}" } else { sample.labels.trim() };
        let (labels, _) = match series_description(labels) {
            Ok(read) => read,
            Err(error) => return fail(format!("labels `{}`: {error}", sample.labels)),
        };
        if !sample.histogram.is_empty() {
            match series_description(&format!("{{}} {}", sample.histogram)).map(|(_, items)| items) {
                Ok(items) => match items.as_slice() {
                    [Item::Histogram { histogram, .. }] => {
                        expected.push(Said::sample(&labels, histogram_notation(histogram), None));
                    }
                    _ => return fail(format!("`{}` is not one histogram", sample.histogram)),
                },
                Err(error) => return fail(format!("`{}`: {error}", sample.histogram)),
            }
            continue;
        }
        let text = sample.value.as_deref().unwrap_or("0");
        let Some(value) = number(text) else { return fail(format!("`{text}` is no number")) };
        expected.push(Said::sample(&labels, format_value(value), Some(value)));
    }
    let got = found.iter().map(|element| match &element.histogram {
        Some(histogram) => Said::sample(&element.labels, histogram_notation(histogram), None),
        None => Said::sample(&element.labels, format_value(element.sample.value), Some(element.sample.value)),
    });
    let mut got: Vec<Said> = got.collect();
    if setting.fuzzy {
        compare::forgive(&expected, &mut got);
    }
    compare::lists(&about, test.eval_time, expected, got)
}

/// A number as YAML writes it, with `.inf` and `.nan`.
fn number(text: &str) -> Option<f64> {
    let plain = text.trim().to_ascii_lowercase();
    let (sign, size) = plain.strip_prefix('-').map_or((1.0, plain.trim_start_matches('+')), |size| (-1.0, size));
    size.strip_prefix('.')
        .filter(|word| matches!(*word, "inf" | "nan"))
        .unwrap_or(size)
        .parse::<f64>()
        .ok()
        .map(|it| it * sign)
}
