//! What the configuration says of routes, inhibition and time intervals, in Alertmanager's shape.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Alert, Labels, Matcher, Path, Problems, Span, near_hint};

use crate::dependency::{Dependencies, Dependency};
use crate::downtime::{DowntimeConfig, Downtimes};
use crate::duty::{Duty, EscalationConfig, ScheduleConfig};
use crate::inhibit::Inhibition;
use crate::interval::{Intervals, TimeInterval};
use crate::matcher::{Difference, MatcherMode, print_matchers};
use crate::route::Tree;

/// Which receiver is told of which alerts, how they are grouped and how often. Routes form a tree: an alert enters at
/// the root and goes to the deepest routes that match it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Name of the receiver that is told. The root must name one; other routes take their parent's.
    #[serde(default)]
    pub receiver: Option<String>,
    /// Labels that make a group: alerts that agree in all of them are told of together. `['...']` groups by all labels,
    /// so that each alert is told of alone. Taken from the parent if not given or empty; without any, all alerts of the
    /// route form one group.
    #[serde(default)]
    pub group_by: Option<Vec<String>>,
    /// Whether an alert that this route takes is also offered to the routes after it.
    #[serde(default, rename = "continue")]
    pub continue_: bool,
    /// Which alerts the route takes: all of these must hold, such as `severity="critical"` or `job=~"mail.*"`.
    #[serde(default)]
    pub matchers: Vec<String>,
    /// Deprecated, use `matchers`: labels and their values.
    #[serde(default, rename = "match")]
    pub match_: BTreeMap<String, String>,
    /// Deprecated, use `matchers`: labels and regular expressions of their values.
    #[serde(default)]
    pub match_re: BTreeMap<String, String>,
    /// What is said of the route's groups, by name: templates in Go's language over Alertmanager's data, which may ask
    /// for one another by `{{ routeLabels "name" }}`. Templates of receivers ask the same way; the body of webhooks and
    /// `/api/v2/alerts/groups` have all of them. Those of the parent hold too, but for what is given here again. They
    /// change neither groups nor alerts.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How long a new group waits for more alerts before it is told of. 30s if no route above says otherwise.
    #[serde(default)]
    pub group_wait: Option<Span>,
    /// How long a group that was told of waits before changes of it are told. 5m if no route above says otherwise.
    #[serde(default)]
    pub group_interval: Option<Span>,
    /// After how long an unchanged group that still fires is told of again, rounded up to the next `group_interval`.
    /// 4h if no route above says otherwise.
    #[serde(default)]
    pub repeat_interval: Option<Span>,
    /// Names of time intervals in which the route tells nobody. Not inherited.
    #[serde(default)]
    pub mute_time_intervals: Vec<String>,
    /// Names of time intervals outside which the route tells nobody. Not inherited.
    #[serde(default)]
    pub active_time_intervals: Vec<String>,
    /// Whether it tells whatever silences, inhibitions and acknowledgements say. Not inherited, and not in files: it is
    /// for what must never cease.
    #[serde(skip)]
    pub always: bool,
    /// Routes under this one, tried in order.
    #[serde(default)]
    pub routes: Vec<RouteConfig>,
}

/// While an alert that matches the source fires, alerts that match the target and agree in the labels of `equal` are
/// not told of. An alert is never held back by one that, like itself, matches both sides.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InhibitRule {
    /// Which alerts hold others back.
    #[serde(default)]
    pub source_matchers: Vec<String>,
    /// Which alerts are held back.
    #[serde(default)]
    pub target_matchers: Vec<String>,
    /// Labels in which both must have the same value; a label that both lack is the same.
    #[serde(default)]
    pub equal: Vec<String>,
    /// Deprecated, use `source_matchers`: labels and their values.
    #[serde(default)]
    pub source_match: BTreeMap<String, String>,
    /// Deprecated, use `source_matchers`: labels and regular expressions of their values.
    #[serde(default)]
    pub source_match_re: BTreeMap<String, String>,
    /// Deprecated, use `target_matchers`: labels and their values.
    #[serde(default)]
    pub target_match: BTreeMap<String, String>,
    /// Deprecated, use `target_matchers`: labels and regular expressions of their values.
    #[serde(default)]
    pub target_match_re: BTreeMap<String, String>,
}

/// All that the alerts stage is configured by.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// How matchers are read.
    pub matcher_mode: MatcherMode,
    /// The root of the routes.
    pub route: RouteConfig,
    /// Which alerts hold others back.
    pub inhibit_rules: Vec<InhibitRule>,
    /// What `mute_time_intervals` and `active_time_intervals` name.
    pub time_intervals: Vec<TimeInterval>,
    /// People who take turns.
    pub schedules: Vec<ScheduleConfig>,
    /// Who is told after whom.
    pub escalations: Vec<EscalationConfig>,
    /// Known periods in which certain alerts page nobody.
    pub downtimes: Vec<DowntimeConfig>,
    /// What alarms depend on, by their ids (the label `source`). Without cycles, or nobody would be told.
    pub dependencies: BTreeMap<String, Dependency>,
}

/// The configuration, read and ready to decide.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    pub(crate) matcher_mode: MatcherMode,
    pub(crate) tree: Tree,
    pub(crate) inhibitions: Vec<Inhibition>,
    pub(crate) intervals: Intervals,
    pub(crate) duty: Duty,
    pub(crate) downtimes: Downtimes,
    pub(crate) dependencies: Dependencies,
}

impl Config {
    /// Finds every problem; `path` is the document that has `route`, `inhibit_rules` and `time_intervals`, `receivers`
    /// are the names of all receivers there are.
    pub fn check(&self, path: &Path, receivers: &[&str], problems: &mut Problems) {
        let policy = self.compile(path, problems);
        let names: Vec<&str> = receivers.iter().copied().chain(policy.duty.names()).collect();
        self.route.check_names(&path.field("route"), &names, &policy.intervals, problems);
        Duty::check_names(&self.schedules, &self.escalations, receivers, path, problems);
    }

    /// The routes that take an alert with these labels, in order: the receiver of each, and the route as Alertmanager
    /// prints it.
    pub fn routes_for(&self, labels: &Labels) -> Vec<(String, String)> {
        let policy = self.compile(&Path::root(), &mut Problems::new());
        let routes = policy.tree.matches(labels).into_iter().map(|at| policy.tree.route(at));
        routes.map(|route| (route.receiver.clone(), route.key.clone())).collect()
    }

    pub(crate) fn compile(&self, path: &Path, problems: &mut Problems) -> Policy {
        let intervals = Intervals::compile(&self.time_intervals, &path.field("time_intervals"), problems);
        let mode = self.matcher_mode;
        let tree = Tree::compile(&self.route, mode, &path.field("route"), problems);
        let rules = self.inhibit_rules.iter().enumerate();
        let inhibitions =
            rules.map(|(at, rule)| rule.compile(mode, &path.field("inhibit_rules").index(at), problems)).collect();
        let duty = Duty::compile(&self.schedules, &self.escalations, &intervals, path, problems);
        let downtimes = Downtimes::compile(&self.downtimes, mode, &intervals, &path.field("downtimes"), problems);
        let dependencies = Dependencies::new(self.dependencies.clone());
        Policy { matcher_mode: mode, tree, inhibitions, intervals, duty, downtimes, dependencies }
    }
}

impl Policy {
    /// An alert appeared: it may hold others back.
    pub(crate) fn insert(&mut self, fingerprint: u64, labels: &Labels) {
        for rule in &mut self.inhibitions {
            rule.insert(fingerprint, labels);
        }
        self.dependencies.insert(fingerprint, labels);
    }

    /// An alert is forgotten.
    pub(crate) fn remove(&mut self, fingerprint: u64, alert: &Alert) {
        for rule in &mut self.inhibitions {
            rule.remove(fingerprint, &alert.labels);
        }
        self.dependencies.remove(fingerprint, alert);
    }
}

impl RouteConfig {
    fn check_names(&self, path: &Path, receivers: &[&str], intervals: &Intervals, problems: &mut Problems) {
        if let Some(receiver) = &self.receiver
            && !receivers.contains(&receiver.as_str())
        {
            problems
                .error(&path.field("receiver"), format!("there is no receiver named `{receiver}`"))
                .hint(near_hint(receiver, "receivers", receivers.iter().copied()));
        }
        for (field, names) in
            [("mute_time_intervals", &self.mute_time_intervals), ("active_time_intervals", &self.active_time_intervals)]
        {
            for (at, name) in names.iter().enumerate() {
                if !intervals.has(name) {
                    problems
                        .error(&path.field(field).index(at), format!("there is no time interval named `{name}`"))
                        .hint(near_hint(name, "time intervals", intervals.names()));
                }
            }
        }
        for (at, route) in self.routes.iter().enumerate() {
            route.check_names(&path.field("routes").index(at), receivers, intervals, problems);
        }
    }

    pub(crate) fn matchers(&self, mode: MatcherMode, path: &Path, problems: &mut Problems) -> Vec<Matcher> {
        let fields = [("match", &self.match_), ("match_re", &self.match_re)];
        read_matchers(mode, path, ("matchers", &self.matchers), fields, problems)
    }
}

impl InhibitRule {
    fn compile(&self, mode: MatcherMode, path: &Path, problems: &mut Problems) -> Inhibition {
        let source = [("source_match", &self.source_match), ("source_match_re", &self.source_match_re)];
        let source = read_matchers(mode, path, ("source_matchers", &self.source_matchers), source, problems);
        let target = [("target_match", &self.target_match), ("target_match_re", &self.target_match_re)];
        let target = read_matchers(mode, path, ("target_matchers", &self.target_matchers), target, problems);
        for (side, matchers) in [("source", &source), ("target", &target)] {
            if matchers.is_empty() {
                problems
                    .warning(path, format!("the rule has no {side} matchers, so every alert is its {side}"))
                    .hint(format!("give `{side}_matchers`"));
            }
        }
        for (at, name) in self.equal.iter().enumerate() {
            check_name(mode, name, &path.field("equal").index(at), problems);
        }
        Inhibition::new(source, target, self.equal.clone())
    }
}

/// Reads the new and the two deprecated ways of writing matchers; sorted as Alertmanager sorts them.
fn read_matchers(
    mode: MatcherMode,
    path: &Path,
    (field, texts): (&str, &[String]),
    [(plain_field, plain), (regex_field, regex)]: [(&str, &BTreeMap<String, String>); 2],
    problems: &mut Problems,
) -> Vec<Matcher> {
    let mut matchers: Vec<Matcher> = plain.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    for (name, value) in regex {
        // As Alertmanager refuses a field without a value; an empty one would match what has no such label.
        if value.is_empty() {
            problems
                .error(&path.field(regex_field).field(name), "there is no regular expression")
                .hint("give one; `^$` matches alerts without the label");
            continue;
        }
        match Matcher::new(name, watchbell_model::MatchOp::Regex, value) {
            Ok(matcher) => matchers.push(matcher),
            Err(error) => {
                problems.error(&path.field(regex_field).field(name), error.to_string());
            }
        }
    }
    for (field, name) in
        plain.keys().map(|name| (plain_field, name)).chain(regex.keys().map(|name| (regex_field, name)))
    {
        check_name(mode, name, &path.field(field).field(name), problems);
    }
    matchers.extend(read_matcher_texts(mode, texts, &path.field(field), problems));
    matchers.sort_by(|a, b| (&a.name, &a.value, a.op).cmp(&(&b.name, &b.value, b.op)));
    matchers
}

/// A label name must be one that the mode takes.
pub(crate) fn check_name(mode: MatcherMode, name: &str, path: &Path, problems: &mut Problems) {
    if let Some(wrong) = mode.refuses_name(name) {
        let problem = problems.error(path, wrong);
        if !name.is_empty() {
            problem.hint("use letters, digits and `_`, or `matcher_mode: fallback`, which takes any name");
        }
    }
}

/// Reads matchers, all of which must hold; `path` is their list.
pub(crate) fn read_matcher_texts(
    mode: MatcherMode,
    texts: &[String],
    path: &Path,
    problems: &mut Problems,
) -> Vec<Matcher> {
    let mut matchers = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let path = path.index(at);
        match mode.parse(text) {
            Ok(read) => {
                if mode == MatcherMode::Fallback {
                    warn_of_difference(text, &read, &path, problems);
                }
                if read.is_empty() {
                    problems.warning(&path, "the matcher is empty, so it takes every alert");
                }
                if read.iter().any(|matcher| matcher.name.is_empty()) {
                    problems.error(&path, "a label name cannot be empty");
                }
                matchers.extend(read);
            }
            Err(error) => {
                let other = MatcherMode::Fallback.parse(text).ok().filter(|_| mode != MatcherMode::Fallback);
                let hint = match (mode, other) {
                    (MatcherMode::Utf8Strict, Some(read)) => format!("write it as `{}`", print_matchers(&read)),
                    (_, Some(_)) => "`matcher_mode: fallback` takes it".to_owned(),
                    (_, None) => "write it as `name=\"value\"`, with `=`, `!=`, `=~` or `!~`".to_owned(),
                };
                problems.error(&path, error.to_string()).hint(hint);
            }
        }
    }
    matchers
}

/// Says what the newer reading makes of a text that was read by the classic one.
fn warn_of_difference(text: &str, read: &[Matcher], path: &Path, problems: &mut Problems) {
    let classic = print_matchers(read);
    match Difference::of(text) {
        None => {}
        Some(Difference::ClassicOnly) => {
            problems
                .warning(path, format!("`{text}` is only a matcher by Alertmanager's old rules"))
                .hint(format!("write it as `{classic}`"));
        }
        Some(Difference::Disagreement) => {
            let modern = MatcherMode::Utf8Strict.parse(text).map(|read| print_matchers(&read)).unwrap_or_default();
            problems
                .warning(
                    path,
                    format!("`{text}` means `{classic}` by Alertmanager's old rules, which hold, and `{modern}` by its new ones"),
                )
                .hint(format!("write it as `{classic}`, which both read alike"));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn config(route: &str, inhibit_rules: &str) -> Config {
        Config {
            route: serde_json::from_str(route).expect("a route"),
            inhibit_rules: serde_json::from_str(inhibit_rules).expect("inhibit rules"),
            time_intervals: vec![TimeInterval { name: "nights".into(), time_intervals: Vec::new() }],
            ..Config::default()
        }
    }

    fn check(route: &str, inhibit_rules: &str, expect: Expect) {
        check_config(&config(route, inhibit_rules), expect);
    }

    fn check_config(config: &Config, expect: Expect) {
        let mut problems = Problems::new();
        config.check(&Path::root(), &["ops", "pager"], &mut problems);
        let line = |problem: &watchbell_model::Problem| {
            let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{:?} {}: {}{hint}\n", problem.level, problem.path, problem.message)
        };
        expect.assert_eq(&problems.0.iter().map(line).collect::<String>());
    }

    #[test]
    fn every_problem_is_named_with_what_would_be_right() {
        check(
            r#"{"receiver": "ops", "group_by": ["a", "a", "..."], "matchers": ["x=y"], "routes": [
                {"receiver": "pagr", "matchers": ["severity critical", "a-b", "x=~\"(\""], "group_interval": "0s"},
                {"receiver": "nobody-at-all", "match_re": {"a": "["}, "mute_time_intervals": ["night"]},
                {"matchers": ["{a=b}}"]},
                {"group_by": [""]},
                {"active_time_intervals": ["nights"]}
            ]}"#,
            r#"[{}, {"source_matchers": ["a=b"], "target_match": {"c": "d"}, "equal": ["e"]}]"#,
            expect![[r#"
                Error route.group_by[1]: `a` is named twice (take one of them out)
                Error route.group_by: `...` stands for all labels and cannot have others beside it (keep one of both)
                Error route.routes[0].matchers[0]: `severity critical` is not a matcher: expected an operator such as `=` or `=~` at position 17 (write it as `name="value"`, with `=`, `!=`, `=~` or `!~`)
                Error route.routes[0].matchers[1]: `a-b` is not a matcher: expected an operator such as `=` or `=~` at position 3 (write it as `name="value"`, with `=`, `!=`, `=~` or `!~`)
                Error route.routes[0].matchers[2]: `x=~"("` is not a matcher: `(` is not a regular expression: error: unclosed group (write it as `name="value"`, with `=`, `!=`, `=~` or `!~`)
                Error route.routes[0].group_interval: `group_interval` cannot be zero (write at least `1s`)
                Error route.routes[1].match_re.a: `[` is not a regular expression: error: unclosed character class
                Warning route.routes[2].matchers[0]: `{a=b}}` is only a matcher by Alertmanager's old rules (write it as `{a="b}"}`)
                Error route.routes[3].group_by[0]: a label name cannot be empty
                Warning route.routes[3]: this route takes every alert, so the routes after it are never reached (give it `matchers`, or `continue: true`, or put it last)
                Error route.matchers: the root route cannot have `matchers`: it takes every alert (put it on a route under it)
                Warning inhibit_rules[0]: the rule has no source matchers, so every alert is its source (give `source_matchers`)
                Warning inhibit_rules[0]: the rule has no target matchers, so every alert is its target (give `target_matchers`)
                Error route.routes[0].receiver: there is no receiver named `pagr` (did you mean `pager`?)
                Error route.routes[1].receiver: there is no receiver named `nobody-at-all` (the receivers are ops, pager)
                Error route.routes[1].mute_time_intervals[0]: there is no time interval named `night` (did you mean `nights`?)
            "#]],
        );
        check(
            "{}",
            "[]",
            expect![[r#"
            Error route.receiver: the root route names no receiver (name the receiver that is told of every alert no other route takes)
        "#]],
        );
        check(r#"{"receiver": "ops", "routes": [{"receiver": "pager", "match": {"a": "b"}}]}"#, "[]", expect![[""]]);
    }

    #[test]
    fn modes_refuse_what_they_do_not_read() {
        let route = r#"{"receiver": "ops", "group_by": ["Σ", "..."], "routes": [
            {"matchers": ["a=\"b\\tc\"", "a=b c", "\"Σ\"=d", "a"], "match": {"a-b": "c"}}]}"#;
        let inhibit_rules = r#"[{"source_matchers": ["a=b"], "target_matchers": ["c=d"], "equal": ["é"]}]"#;
        let by = |matcher_mode| Config { matcher_mode, ..config(route, inhibit_rules) };
        check_config(
            &by(MatcherMode::Fallback),
            expect![[r#"
            Error route.group_by: `...` stands for all labels and cannot have others beside it (keep one of both)
            Warning route.routes[0].matchers[0]: `a="b\tc"` means `{a="b\\tc"}` by Alertmanager's old rules, which hold, and `{a="b	c"}` by its new ones (write it as `{a="b\\tc"}`, which both read alike)
            Warning route.routes[0].matchers[1]: `a=b c` is only a matcher by Alertmanager's old rules (write it as `{a="b c"}`)
            Error route.routes[0].matchers[3]: `a` is not a matcher: expected an operator such as `=` or `=~` at position 1 (write it as `name="value"`, with `=`, `!=`, `=~` or `!~`)
        "#]],
        );
        check_config(
            &by(MatcherMode::Utf8Strict),
            expect![[r#"
            Error route.group_by: `...` stands for all labels and cannot have others beside it (keep one of both)
            Error route.routes[0].matchers[1]: `a=b c` is not a matcher: expected a comma or the end at position 5 (write it as `{a="b c"}`)
            Error route.routes[0].matchers[3]: `a` is not a matcher: expected an operator such as `=` or `=~` at position 1 (write it as `name="value"`, with `=`, `!=`, `=~` or `!~`)
        "#]],
        );
        check_config(
            &by(MatcherMode::Classic),
            expect![[r#"
            Error route.group_by[0]: `Σ` is not a label name in the mode `classic` (use letters, digits and `_`, or `matcher_mode: fallback`, which takes any name)
            Error route.group_by: `...` stands for all labels and cannot have others beside it (keep one of both)
            Error route.routes[0].match.a-b: `a-b` is not a label name in the mode `classic` (use letters, digits and `_`, or `matcher_mode: fallback`, which takes any name)
            Error route.routes[0].matchers[2]: `"Σ"=d` is not a matcher: `"Σ"=d` does not begin with a label name (`matcher_mode: fallback` takes it)
            Error route.routes[0].matchers[3]: `a` is not a matcher: it has no operator (write it as `name="value"`, with `=`, `!=`, `=~` or `!~`)
            Error inhibit_rules[0].equal[0]: `é` is not a label name in the mode `classic` (use letters, digits and `_`, or `matcher_mode: fallback`, which takes any name)
        "#]],
        );
    }

    #[test]
    fn unknown_fields_are_refused() {
        let error = serde_json::from_str::<RouteConfig>(r#"{"reciever": "ops"}"#).expect_err("it is misspelt");
        expect!["unknown field `reciever`, expected one of `receiver`, `group_by`, `continue`, `matchers`, `match`, `match_re`, `labels`, `group_wait`, `group_interval`, `repeat_interval`, `mute_time_intervals`, `active_time_intervals`, `routes` at line 1 column 11"].assert_eq(&error.to_string());
    }

    #[test]
    fn labels_of_a_route_are_those_of_its_parents_and_its_own() {
        let many: BTreeMap<String, String> = (0..65).map(|number| (format!("l{number}"), "x".into())).collect();
        let route = serde_json::json!({"receiver": "ops", "labels": {"team": "ops", "why": "{{ .Status }}"}, "routes": [
            {"matchers": ["a=b"], "labels": {"team": "mail", "": "x"}, "routes": [{"matchers": ["c=d"], "labels": {"why": ""}}]},
            {"matchers": ["a=c"], "labels": many},
        ]});
        check(
            &route.to_string(),
            "[]",
            expect![[r#"
                Error route.routes[0].labels: a label name cannot be empty
                Error route.routes[1].labels: the route has 67 labels, its parents' included (at most 64 can be)
            "#]],
        );
        let tree = config(&route.to_string(), "[]").compile(&Path::root(), &mut Problems::new()).tree;
        let of = |labels: &[(&str, &str)]| {
            let found = tree.matches(&Labels::from_pairs(labels.iter().copied()));
            tree.route(found[0]).labels.to_string()
        };
        assert_eq!(of(&[("x", "y")]), r#"{team="ops", why="{{ .Status }}"}"#);
        assert_eq!(of(&[("a", "b"), ("c", "d")]), r#"{""="x", team="mail"}"#);
    }

    #[test]
    fn routes_inherit_and_choose() {
        let config = config(
            r#"{"receiver": "default", "group_by": ["alertname", "cluster"], "group_wait": "10s", "routes": [
                {"match_re": {"service": "^(foo1|foo2|baz)$"}, "receiver": "x-mails", "routes": [
                    {"match": {"severity": "critical"}, "receiver": "x-pager", "repeat_interval": "1h"}
                ]},
                {"matchers": ["service=\"database\""], "receiver": "db", "group_by": ["database"], "routes": [
                    {"matchers": ["owner=x"], "receiver": "x-pager", "continue": true},
                    {"matchers": ["owner=~\"x|y\""], "receiver": "y-pager", "group_by": ["..."], "group_wait": "0s"}
                ]},
                {"matchers": ["twin=1"], "receiver": "twin", "continue": true},
                {"matchers": ["twin=1"], "receiver": "twin", "group_by": ["cluster"]}
            ]}"#,
            "[]",
        );
        let mut problems = Problems::new();
        let tree = config.compile(&Path::root(), &mut problems).tree;
        assert_eq!(problems.0, []);
        let mut text = String::new();
        for labels in [
            &[("alertname", "a")][..],
            &[("service", "foo1"), ("cluster", "c")],
            &[("service", "foo11")],
            &[("service", "baz"), ("severity", "critical")],
            &[("service", "database"), ("database", "d"), ("owner", "z")],
            &[("service", "database"), ("database", "d"), ("owner", "x")],
            &[("service", "database"), ("database", "d"), ("owner", "y")],
            &[("twin", "1"), ("cluster", "c")],
        ] {
            let labels = Labels::from_pairs(labels.iter().copied());
            text += &format!("{labels}\n");
            for at in tree.matches(&labels) {
                let route = tree.route(at);
                let group = route.group_key(&route.group_labels(&labels));
                text += &format!("    {} {group} {:?}\n", route.receiver, route.timing);
            }
        }
        expect![[r#"
            {alertname="a"}
                default {}:{alertname="a"} Timing { wait: 10s, interval: 300s, repeat: 14400s }
            {cluster="c", service="foo1"}
                x-mails {}/{service=~"^(foo1|foo2|baz)$"}:{cluster="c"} Timing { wait: 10s, interval: 300s, repeat: 14400s }
            {service="foo11"}
                default {}:{} Timing { wait: 10s, interval: 300s, repeat: 14400s }
            {service="baz", severity="critical"}
                x-pager {}/{service=~"^(foo1|foo2|baz)$"}/{severity="critical"}:{} Timing { wait: 10s, interval: 300s, repeat: 3600s }
            {database="d", owner="z", service="database"}
                db {}/{service="database"}:{database="d"} Timing { wait: 10s, interval: 300s, repeat: 14400s }
            {database="d", owner="x", service="database"}
                x-pager {}/{service="database"}/{owner="x"}:{database="d"} Timing { wait: 10s, interval: 300s, repeat: 14400s }
                y-pager {}/{service="database"}/{owner=~"x|y"}:{database="d", owner="x", service="database"} Timing { wait: 0ns, interval: 300s, repeat: 14400s }
            {database="d", owner="y", service="database"}
                y-pager {}/{service="database"}/{owner=~"x|y"}:{database="d", owner="y", service="database"} Timing { wait: 0ns, interval: 300s, repeat: 14400s }
            {cluster="c", twin="1"}
                twin {}/{twin="1"}:{cluster="c"} Timing { wait: 10s, interval: 300s, repeat: 14400s }
                twin {}/{twin="1"}#2:{cluster="c"} Timing { wait: 10s, interval: 300s, repeat: 14400s }
        "#]].assert_eq(&text);
    }
}
