//! What stands in a rule file.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Labels, Path, Problems, Span};
use watchbell_query::promql::{self, Features, ValueType};
use watchbell_template::prometheus as template;

use super::addition;

/// Alerting and recording rules in groups, as in Prometheus' rule files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// Groups of rules; each is evaluated on its own schedule.
    #[serde(default)]
    pub groups: Vec<GroupConfig>,
}

/// Rules that are evaluated one after the other at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Its name, unique in the file.
    pub name: String,
    /// How often its rules are evaluated; if it is left out or 0, as often as `global.evaluation_interval` says, or each minute.
    #[serde(default)]
    pub interval: Option<Span>,
    /// How many alerts an alerting rule, or series a recording rule, may yield; 0 is no limit.
    #[serde(default)]
    pub limit: u64,
    /// How far back rules look, for data that arrives late.
    #[serde(default)]
    pub query_offset: Option<Span>,
    /// Labels of all its rules; a rule's own label of the same name wins.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The rules, in the order in which they are evaluated: a rule sees what the ones before it recorded.
    #[serde(default)]
    pub rules: Vec<RuleConfig>,
}

/// One rule: either `alert` or `record`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// The name of the alert that each series of the result raises.
    #[serde(default)]
    pub alert: Option<String>,
    /// The name of the metric under which the result is stored.
    #[serde(default)]
    pub record: Option<String>,
    /// What is evaluated: a PromQL expression that yields a vector or a number.
    pub expr: String,
    /// How long a series must be in the result, in every evaluation, until its alert fires.
    #[serde(default, rename = "for")]
    pub hold: Span,
    /// How long an alert goes on firing after its series left the result.
    #[serde(default)]
    pub keep_firing_for: Span,
    /// Labels of the alert or of the recorded series; an empty value takes the series' label away. Those of alerts may
    /// be templates over `$labels` and `$value`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What a person reads, as templates over `$labels` and `$value`: `summary`, `description`, `runbook_url`.
    /// `watchbell_runbook` names a run book of ours in place of `runbook_url`; `watchbell_no_data` says what it means
    /// that the expression finds no data (`ok`, `alarm`, `keep` or `insufficient_data`); `watchbell_recovery` is an
    /// expression that must hold for an alert to end; `watchbell_expires` says how long an alert lasts that no evaluation
    /// confirms.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl RuleConfig {
    /// The alert's or the metric's name.
    pub fn name(&self) -> &str {
        self.alert.as_deref().or(self.record.as_deref()).unwrap_or_default()
    }
}

impl RuleFile {
    /// Finds everything that is wrong with it; `path` is the place of the file's root, `features` what its expressions
    /// may use.
    pub fn check(&self, features: Features, path: &Path, problems: &mut Problems) {
        let mut names = BTreeSet::new();
        let mut rules = BTreeMap::new();
        for (at, group) in self.groups.iter().enumerate() {
            let path = path.field("groups").index(at);
            if group.name.is_empty() {
                problems.error(&path.field("name"), "a group has no name").hint("give it one, such as `name: host`");
            } else if !names.insert(&group.name) {
                problems
                    .error(&path.field("name"), format!("there are two groups `{}` in this file", group.name))
                    .hint("give each group of a file a name of its own");
            }
            check_label_names(&group.labels, &path.field("labels"), problems);
            for (at, rule) in group.rules.iter().enumerate() {
                let path = path.field("rules").index(at);
                rule.check(features, &group.labels, &path, problems);
                let labels: BTreeMap<_, _> = group.labels.iter().chain(&rule.labels).collect();
                match rules.entry((rule.name(), labels)) {
                    Entry::Vacant(free) => {
                        free.insert(path);
                    }
                    Entry::Occupied(first) => {
                        let message = format!("`{}` is there twice with the same labels", rule.name());
                        let hint = match (&rule.record, first.get()) {
                            (Some(_), first) => format!("the first is {first}; both write the same series"),
                            (None, first) => format!("the first is {first}; give each a label of its own"),
                        };
                        problems.warning(&path, message).hint(hint);
                    }
                }
            }
        }
    }
}

impl RuleConfig {
    fn check(&self, features: Features, group_labels: &BTreeMap<String, String>, path: &Path, problems: &mut Problems) {
        match (&self.alert, &self.record) {
            (Some(name), None) => {
                if name.is_empty() {
                    problems.error(&path.field("alert"), "an alert has no name").hint("such as `alert: DiskFull`");
                }
                self.check_alert(name, group_labels, path, problems);
            }
            (None, Some(name)) => self.check_record(name, path, problems),
            (Some(_), Some(_)) => {
                problems
                    .error(path, "a rule has both `alert` and `record`")
                    .hint("write two rules: one that records, one that alerts");
            }
            (None, None) => {
                problems
                    .error(path, "a rule has neither `alert` nor `record`")
                    .hint("write `alert: NAME` to raise alerts or `record: NAME` to store the result");
            }
        }
        check_label_names(&self.labels, &path.field("labels"), problems);
        check_label_names(&self.annotations, &path.field("annotations"), problems);
        let at = path.field("expr");
        let parsed = promql::parse_with(&self.expr, features);
        if self.alert.is_some() {
            addition::check(&self.annotations, features, parsed.as_ref().ok(), &path.field("annotations"), problems);
        }
        match parsed {
            Ok(expr) if !matches!(expr.value_type(), ValueType::Vector | ValueType::Scalar) => {
                problems
                    .error(&at, "the expression yields neither a vector nor a number")
                    .hint("apply a function to it, such as `rate(…[5m])`");
            }
            Ok(_) => {}
            Err(error) => {
                let place = format!("line {}, column {} of the expression", error.line, error.column);
                let problem = problems.error(&at, format!("{} ({place})", error.message));
                let hint = if promql::parse(&self.expr).is_ok() {
                    let names = Features::NAMES.join("`, `");
                    Some(format!("switch it on: `query: {{enable_features: […]}}`, of `{names}`"))
                } else {
                    error.hint
                };
                if let Some(hint) = hint {
                    problem.hint(hint);
                }
            }
        }
    }

    fn check_alert(&self, name: &str, group_labels: &BTreeMap<String, String>, path: &Path, problems: &mut Problems) {
        for (field, set) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            for (label, text) in set.iter() {
                if let Err(error) = template::check(text) {
                    let place = format!("line {}, column {} of the template", error.line, error.column);
                    problems
                        .error(&path.field(field).field(label.as_str()), format!("{} ({place})", error.message))
                        .hint("templates are Go's, such as `{{ $labels.instance }} at {{ $value | humanize }}`");
                }
            }
        }
        if self.labels.get("severity").or(group_labels.get("severity")).is_none() {
            problems
                .warning(path, format!("the alert `{name}` has no label `severity`"))
                .hint("routes choose by it: `labels: {severity: critical}`, or `warning` or `info`");
        }
        if !["runbook_url", "watchbell_runbook"].iter().any(|name| self.annotations.contains_key(*name)) {
            problems
                .warning(path, format!("the alert `{name}` has no annotation `runbook_url`"))
                .hint("say what to do: `annotations: {runbook_url: https://…}`; without it the page gets a stub");
        }
    }

    fn check_record(&self, name: &str, path: &Path, problems: &mut Problems) {
        if name.is_empty() || name.contains(['{', '}']) {
            problems
                .error(&path.field("record"), format!("`{name}` is no name of a metric"))
                .hint("a name such as `job:requests:rate5m`; labels go into `labels`");
        } else if !is_metric_name(name) {
            problems
                .warning(&path.field("record"), format!("`{name}` must be quoted wherever it is asked for"))
                .hint("letters, digits, `_` and `:` need no quotes, such as `job:requests:rate5m`");
        }
        let only_alerts = [
            ("for", !self.hold.is_zero()),
            ("keep_firing_for", !self.keep_firing_for.is_zero()),
            ("annotations", !self.annotations.is_empty()),
        ];
        for (field, there) in only_alerts {
            if there {
                problems
                    .error(&path.field(field), format!("a recording rule has no `{field}`"))
                    .hint("take it out, or write `alert` in place of `record`");
            }
        }
    }
}

fn check_label_names(labels: &BTreeMap<String, String>, path: &Path, problems: &mut Problems) {
    for name in labels.keys() {
        let mut bytes = name.bytes();
        let plain = bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic())
            && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric());
        let at = path.field(name.as_str());
        if name.is_empty() || name == Labels::NAME {
            problems.error(&at, format!("`{name}` is no name of a label")).hint("a name such as `severity`");
        } else if !plain {
            problems
                .warning(&at, format!("`{name}` must be quoted wherever it is asked for"))
                .hint("letters, digits and `_`, not beginning with a digit, need no quotes");
        }
    }
}

fn is_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b == b'_' || b == b':' || b.is_ascii_alphabetic())
        && bytes.all(|b| b == b'_' || b == b':' || b.is_ascii_alphanumeric())
}
