//! Relabelling: rules that change a label set or drop what carries it, as in Prometheus' `relabel_configs`,
//! `metric_relabel_configs`, `write_relabel_configs` and `alert_relabel_configs` (`model/relabel`, Prometheus 3).

use std::collections::BTreeMap;
use std::sync::Arc;

use md5::{Digest, Md5};
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Labels, Path, Problems};

const REGEX_DEFAULT: &str = "(.*)";
const REPLACEMENT_DEFAULT: &str = "$1";
const SEPARATOR_DEFAULT: &str = ";";
/// Largest compiled expression, in bytes.
const REGEX_SIZE_MAX: usize = 8 << 20;

/// One rule, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RelabelConfig {
    /// Labels whose values are put together, in order.
    #[serde(default)]
    pub source_labels: Vec<String>,
    /// What stands between them.
    #[serde(default = "RelabelConfig::default_separator")]
    pub separator: String,
    /// Matched against the whole of what was put together; `.` matches a new line too.
    #[serde(default = "RelabelConfig::default_regex")]
    pub regex: String,
    /// For `hashmod`: the hash is taken modulo this.
    #[serde(default)]
    pub modulus: u64,
    /// The label that is set; `$1` and `${name}` stand for what the expression's groups matched.
    #[serde(default)]
    pub target_label: String,
    /// Its new value; an empty one takes the label away.
    #[serde(default = "RelabelConfig::default_replacement")]
    pub replacement: String,
    /// What the rule does.
    #[serde(default)]
    pub action: RelabelAction,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RelabelAction {
    /// Sets `target_label` to `replacement` if the expression matches.
    #[default]
    #[serde(alias = "Replace")]
    Replace,
    /// Drops what does not match.
    #[serde(alias = "Keep")]
    Keep,
    /// Drops what matches.
    #[serde(alias = "Drop")]
    Drop,
    /// Drops what differs from the value of `target_label`.
    #[serde(alias = "KeepEqual")]
    KeepEqual,
    /// Drops what equals the value of `target_label`.
    #[serde(alias = "DropEqual")]
    DropEqual,
    /// Sets `target_label` to a hash modulo `modulus`.
    #[serde(alias = "HashMod")]
    HashMod,
    /// Copies labels whose names match to names made by `replacement`.
    #[serde(alias = "LabelMap")]
    LabelMap,
    /// Takes away labels whose names match.
    #[serde(alias = "LabelDrop")]
    LabelDrop,
    /// Takes away labels whose names do not match.
    #[serde(alias = "LabelKeep")]
    LabelKeep,
    /// Sets `target_label` to the value in lower case.
    #[serde(alias = "Lowercase")]
    Lowercase,
    /// Sets `target_label` to the value in upper case.
    #[serde(alias = "Uppercase")]
    Uppercase,
}

impl RelabelAction {
    fn as_str(self) -> &'static str {
        match self {
            RelabelAction::Replace => "replace",
            RelabelAction::Keep => "keep",
            RelabelAction::Drop => "drop",
            RelabelAction::KeepEqual => "keepequal",
            RelabelAction::DropEqual => "dropequal",
            RelabelAction::HashMod => "hashmod",
            RelabelAction::LabelMap => "labelmap",
            RelabelAction::LabelDrop => "labeldrop",
            RelabelAction::LabelKeep => "labelkeep",
            RelabelAction::Lowercase => "lowercase",
            RelabelAction::Uppercase => "uppercase",
        }
    }
}

impl RelabelConfig {
    fn default_separator() -> String {
        SEPARATOR_DEFAULT.to_owned()
    }

    fn default_regex() -> String {
        REGEX_DEFAULT.to_owned()
    }

    fn default_replacement() -> String {
        REPLACEMENT_DEFAULT.to_owned()
    }

    /// What is wrong with these rules; what Prometheus refuses is refused.
    pub fn check_all(rules: &[RelabelConfig], path: &Path, problems: &mut Problems) {
        for (at, rule) in rules.iter().enumerate() {
            rule.check(&path.index(at), problems);
        }
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        use RelabelAction::{
            DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace, Uppercase,
        };
        if let Err(reason) = compile(&self.regex) {
            problems
                .error(&path.field("regex"), format!("`{}` is not a regular expression: {reason}", self.regex))
                .hint("a backslash is written once in plain YAML and twice between double quotes");
        }
        let action = self.action.as_str();
        let default_text = self.separator == SEPARATOR_DEFAULT && self.replacement == REPLACEMENT_DEFAULT;
        if self.action == HashMod && self.modulus == 0 {
            problems
                .error(&path.field("modulus"), "`hashmod` asks for a modulus")
                .hint("the number of parts, such as 4");
        }
        match self.action {
            Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual if self.target_label.is_empty() => {
                problems
                    .error(path, format!("`{action}` asks for `target_label`"))
                    .hint("name the label, such as `target_label: instance`");
            }
            Lowercase | Uppercase | KeepEqual | DropEqual if self.replacement != REPLACEMENT_DEFAULT => {
                problems
                    .error(&path.field("replacement"), format!("`{action}` takes no `replacement`"))
                    .hint("leave it out");
            }
            LabelMap if self.replacement.is_empty() => {
                problems
                    .error(&path.field("replacement"), "no label has an empty name")
                    .hint("such as `$1`, the first group of the expression");
            }
            _ => {}
        }
        let plain = self.regex == REGEX_DEFAULT && self.modulus == 0 && default_text;
        if matches!(self.action, KeepEqual | DropEqual) && !plain {
            problems
                .error(path, format!("`{action}` takes `source_labels` and `target_label` only"))
                .hint("leave the other fields out");
        }
        let bare = self.source_labels.is_empty() && self.target_label.is_empty() && self.modulus == 0 && default_text;
        if matches!(self.action, LabelDrop | LabelKeep) && !bare {
            problems.error(path, format!("`{action}` takes `regex` only")).hint("leave the other fields out");
        }
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    let whole = format!("^(?s:{text})$");
    let built = RegexBuilder::new(&whole).size_limit(REGEX_SIZE_MAX).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "it is too big".to_owned(),
        error => error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    })
}

/// Rules, ready to be used. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Relabel(Arc<[Rule]>);

/// What one rule did, for a person.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RelabelStep {
    /// The rule.
    pub rule: RelabelConfig,
    /// The labels after it.
    pub labels: BTreeMap<String, String>,
    /// Whether what carries them is kept.
    pub keep: bool,
}

#[derive(Debug)]
struct Rule {
    config: RelabelConfig,
    regex: Regex,
}

impl Relabel {
    /// Compiles rules; those with a bad expression are left out, since [`RelabelConfig::check_all`] refused them.
    pub fn new(rules: &[RelabelConfig]) -> Relabel {
        let rule = |config: &RelabelConfig| Some(Rule { regex: compile(&config.regex).ok()?, config: config.clone() });
        Relabel(rules.iter().filter_map(rule).collect())
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The labels after all rules; `None` if what carries them is dropped.
    pub fn apply(&self, labels: &Labels) -> Option<Labels> {
        if self.is_empty() {
            return Some(labels.clone());
        }
        let mut set = LabelSet::of(labels);
        self.change(&mut set).then(|| set.labels())
    }

    /// Changes a set in place; says whether what carries it is kept. A rule that drops ends the work.
    pub fn change(&self, set: &mut LabelSet) -> bool {
        self.0.iter().all(|rule| rule.change(set))
    }

    /// Every step, up to the one that drops.
    pub fn steps(&self, labels: &Labels) -> Vec<RelabelStep> {
        let mut set = LabelSet::of(labels);
        let mut steps = Vec::new();
        for rule in self.0.iter() {
            let keep = rule.change(&mut set);
            steps.push(RelabelStep { rule: rule.config.clone(), labels: set.0.clone(), keep });
            if !keep {
                break;
            }
        }
        steps
    }
}

/// Labels that are being changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSet(BTreeMap<String, String>);

impl LabelSet {
    /// These, to begin with.
    pub fn of(labels: &Labels) -> LabelSet {
        LabelSet(labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The value of a label; empty if it has none.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Sets a label; an empty value takes it away.
    pub fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Keeps the labels whose names are wanted.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| wanted(name));
    }

    /// All, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// As they stand.
    pub fn labels(&self) -> Labels {
        Labels::from_sorted(self.iter())
    }
}

impl Rule {
    fn change(&self, set: &mut LabelSet) -> bool {
        let Rule { config, regex } = self;
        let value = self.source(set);
        let target = config.target_label.as_str();
        match config.action {
            RelabelAction::Replace => {
                if let Some(found) = regex.captures(&value) {
                    let (mut name, mut new) = (String::new(), String::new());
                    found.expand(target, &mut name);
                    found.expand(&config.replacement, &mut new);
                    if !name.is_empty() {
                        set.set(&name, &new);
                    }
                }
            }
            RelabelAction::Keep => return regex.is_match(&value),
            RelabelAction::Drop => return !regex.is_match(&value),
            RelabelAction::KeepEqual => return set.get(target) == value,
            RelabelAction::DropEqual => return set.get(target) != value,
            RelabelAction::HashMod => {
                // The last eight bytes, so that parts are the same as Prometheus'.
                let hash = Md5::digest(value.as_bytes());
                let last = u64::from_be_bytes(hash[8..].try_into().expect("a hash has sixteen bytes"));
                set.set(target, &(last % config.modulus.max(1)).to_string());
            }
            RelabelAction::LabelMap => {
                for (name, value) in set.0.clone() {
                    if regex.is_match(&name) {
                        set.set(&regex.replace_all(&name, config.replacement.as_str()), &value);
                    }
                }
            }
            RelabelAction::LabelDrop => set.retain(|name| !regex.is_match(name)),
            RelabelAction::LabelKeep => set.retain(|name| regex.is_match(name)),
            RelabelAction::Lowercase => set.set(target, &value.to_lowercase()),
            RelabelAction::Uppercase => set.set(target, &value.to_uppercase()),
        }
        true
    }

    fn source(&self, set: &LabelSet) -> String {
        match self.config.source_labels.as_slice() {
            [] => String::new(),
            [one] => set.get(one).to_owned(),
            many => many.iter().map(|name| set.get(name)).collect::<Vec<_>>().join(&self.config.separator),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn rules(json: serde_json::Value) -> Vec<RelabelConfig> {
        serde_json::from_value(json).expect("rules")
    }

    fn apply(json: serde_json::Value, labels: &[(&str, &str)]) -> String {
        let changed = Relabel::new(&rules(json)).apply(&Labels::from_pairs(labels.iter().copied()));
        changed.map_or_else(|| "dropped".to_owned(), |labels| labels.to_string())
    }

    #[test]
    fn the_pattern_of_the_blackbox_exporter() {
        let got = apply(
            serde_json::json!([
                {"source_labels": ["__address__"], "target_label": "__param_target"},
                {"source_labels": ["__param_target"], "target_label": "instance"},
                {"target_label": "__address__", "replacement": "127.0.0.1:9115"},
            ]),
            &[("__address__", "https://example.org")],
        );
        expect![[
            r#"{__address__="127.0.0.1:9115", __param_target="https://example.org", instance="https://example.org"}"#
        ]]
        .assert_eq(&got);
    }

    #[test]
    fn each_action() {
        let labels = [("a", "foo"), ("b", "bar"), ("c", "baz"), ("__tmp_x", "1")];
        let cases = [
            serde_json::json!([{"source_labels": ["a", "b"], "regex": "f(.*);(.*)r", "target_label": "d", "replacement": "ch${1}-ch${1}"}]),
            serde_json::json!([{"source_labels": ["a"], "regex": "f", "target_label": "d"}]),
            serde_json::json!([{"source_labels": ["a"], "regex": ".*o", "action": "drop"}]),
            serde_json::json!([{"source_labels": ["a"], "regex": "o", "action": "keep"}]),
            serde_json::json!([{"source_labels": ["c"], "target_label": "d", "action": "hashmod", "modulus": 1000}]),
            serde_json::json!([{"regex": "__tmp_(.*)", "action": "labelmap", "replacement": "${1}y"}]),
            serde_json::json!([{"regex": "[ab]", "action": "labeldrop"}]),
            serde_json::json!([{"regex": "[ab]", "action": "labelkeep"}]),
            serde_json::json!([{"source_labels": ["a"], "target_label": "a", "action": "uppercase"}]),
            serde_json::json!([{"source_labels": ["a"], "target_label": "b", "action": "keepequal"}]),
            serde_json::json!([{"source_labels": ["a"], "target_label": "b", "action": "dropequal"}]),
            serde_json::json!([{"source_labels": ["a"], "target_label": "a", "replacement": ""}]),
            serde_json::json!([{"source_labels": ["a"], "regex": "(.).*", "target_label": "${1}x", "replacement": "$$1"}]),
        ];
        let got: String = cases.into_iter().map(|rules| apply(rules, &labels) + "\n").collect();
        expect![[r#"
            {__tmp_x="1", a="foo", b="bar", c="baz", d="choo-choo"}
            {__tmp_x="1", a="foo", b="bar", c="baz"}
            dropped
            dropped
            {__tmp_x="1", a="foo", b="bar", c="baz", d="976"}
            {__tmp_x="1", a="foo", b="bar", c="baz", xy="1"}
            {__tmp_x="1", c="baz"}
            {a="foo", b="bar"}
            {__tmp_x="1", a="FOO", b="bar", c="baz"}
            dropped
            {__tmp_x="1", a="foo", b="bar", c="baz"}
            {__tmp_x="1", b="bar", c="baz"}
            {__tmp_x="1", a="foo", b="bar", c="baz", fx="$1"}
        "#]]
        .assert_eq(&got);
    }

    #[test]
    fn steps_end_where_it_is_dropped() {
        let rules = rules(serde_json::json!([
            {"target_label": "a", "replacement": "1"},
            {"source_labels": ["a"], "regex": "1", "action": "drop"},
            {"target_label": "b", "replacement": "2"},
        ]));
        let steps = Relabel::new(&rules).steps(&Labels::empty());
        let kept: Vec<bool> = steps.iter().map(|step| step.keep).collect();
        assert_eq!(kept, [true, false]);
    }

    #[test]
    fn what_prometheus_refuses() {
        let rules = rules(serde_json::json!([
            {"regex": "("},
            {"action": "hashmod", "target_label": "a"},
            {"source_labels": ["a"]},
            {"action": "lowercase", "target_label": "a", "replacement": "x"},
            {"action": "labelmap", "replacement": ""},
            {"action": "keepequal", "target_label": "a", "regex": "x"},
            {"action": "labeldrop", "source_labels": ["a"]},
        ]));
        let mut problems = Problems::new();
        RelabelConfig::check_all(&rules, &Path::root(), &mut problems);
        let got: String = problems.0.iter().map(|it| format!("{}: {}\n", it.path, it.message)).collect();
        expect![[r#"
            [0].regex: `(` is not a regular expression: unclosed group
            [0]: `replace` asks for `target_label`
            [1].modulus: `hashmod` asks for a modulus
            [2]: `replace` asks for `target_label`
            [3].replacement: `lowercase` takes no `replacement`
            [4].replacement: no label has an empty name
            [5]: `keepequal` takes `source_labels` and `target_label` only
            [6]: `labeldrop` takes `regex` only
        "#]]
        .assert_eq(&got);
    }
}
