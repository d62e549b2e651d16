//! Composite alarms of the configuration: names of alarms become ids, and none may rest on itself.

use std::collections::BTreeMap;

use watchbell_alarms::Runbook;
use watchbell_alarms::composite::{AlarmConfig, Rule, Spec, Suppressor, name_of};
use watchbell_alarms::rule::RuleFile;
use watchbell_alerts::Dependency;
use watchbell_model::{Path, Problems, RunbookRef, Span, near_hint};

use crate::config::Config;
use crate::dependencies::way_back;

/// So long the alert of an alarm waits for that of a composite, which is judged at once.
const INHIBIT_WAIT: Span = Span::seconds(1);

/// All alarms that a rule can name.
pub(crate) struct Names {
    ids: Vec<String>,
}

impl Names {
    pub(crate) fn of(config: &Config, rules: &[(String, RuleFile)]) -> Names {
        let monitors = config.monitors.iter().map(|it| format!("monitor/{}", it.name));
        let certificates = config.monitors.iter().map(|it| format!("certificate/{}", it.name));
        let heartbeats = config.heartbeats.iter().map(|it| format!("heartbeat/{}", it.name));
        let composites = config.alarms.iter().map(|it| id(&it.name));
        let groups = rules.iter().flat_map(|(_, file)| &file.groups);
        let rules = groups.flat_map(|group| {
            group.rules.iter().filter_map(|rule| Some(format!("rule/{}/{}", group.name, rule.alert.as_ref()?)))
        });
        let mut ids: Vec<String> =
            monitors.chain(heartbeats).chain(rules).chain(composites).chain(certificates).collect();
        ids.dedup();
        Names { ids }
    }

    /// The id that a name means, or what is wrong with it and what would be right.
    fn id(&self, name: &str) -> Result<String, (String, String)> {
        if self.ids.iter().any(|id| id == name) || name.starts_with("self/") {
            return Ok(name.to_owned());
        }
        let called = |id: &&String| name_of(id) == name && !id.starts_with("certificate/");
        let found: Vec<&String> = self.ids.iter().filter(called).collect();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => {
                let known = self.ids.iter().map(|id| name_of(id));
                Err((format!("there is no alarm named `{name}`"), near_hint(name, "alarms", known)))
            }
            several => {
                let several: Vec<String> = several.iter().map(|id| format!("`{id}`")).collect();
                let hint = format!("name one of them by its id: {}", several.join(", "));
                Err((format!("several alarms are named `{name}`"), hint))
            }
        }
    }

    /// The rule over ids; a name that means none stays.
    fn rule(&self, alarm: &AlarmConfig) -> Option<Rule> {
        let rule: Rule = alarm.composite.parse().ok()?;
        Some(rule.renamed(&|name| self.id(name).unwrap_or_else(|_| name.to_owned())))
    }
}

fn id(alarm: &str) -> String {
    format!("composite/{alarm}")
}

/// Finds names of no alarm, and alarms that rest on themselves.
pub(crate) fn check(config: &Config, names: &Names, problems: &mut Problems) {
    let top = Path::root().field("alarms");
    let mut rests = BTreeMap::new();
    for (at, alarm) in config.alarms.iter().enumerate() {
        let path = top.index(at);
        let Ok(rule) = alarm.composite.parse::<Rule>() else { continue };
        let children = rule.children().into_iter().map(|name| (path.field("composite"), name));
        let suppressor = alarm.suppressor.iter().map(|it| (path.field("suppressor").field("alarm"), it.alarm.as_str()));
        let mut on = Vec::new();
        for (path, name) in children.chain(suppressor) {
            match names.id(name) {
                Ok(id) => on.push(id),
                Err((message, hint)) => {
                    problems.error(&path, message).hint(hint);
                }
            }
        }
        rests.insert(id(&alarm.name), on);
    }
    for (at, alarm) in config.alarms.iter().enumerate() {
        if let Some(way) = way_back(&id(&alarm.name), |id| rests.get(id).map_or(&[][..], |on| on)) {
            problems
                .error(&top.index(at), format!("it rests on itself: {}", way.join(" on ")))
                .hint("it could never be judged; take one of them out of a rule");
        }
    }
}

/// Adds that nobody is told of alarms while a composite tells of them.
pub(crate) fn inhibit(config: &Config, names: &Names, all: &mut BTreeMap<String, Dependency>) {
    for alarm in config.alarms.iter().filter(|it| it.inhibit_children) {
        let Some(rule) = names.rule(alarm) else { continue };
        for (child, ..) in rule.causes() {
            let dependency = all.entry(child.to_owned()).or_default();
            dependency.on.insert(id(&alarm.name));
            dependency.wait = dependency.wait.max(INHIBIT_WAIT);
        }
    }
}

/// The composite alarms of a configuration that was checked.
pub(crate) fn specs(config: &Config, names: &Names, runbook: impl Fn(Option<&RunbookRef>) -> Runbook) -> Vec<Spec> {
    let spec = |alarm: &AlarmConfig| {
        let suppressor = |it: &watchbell_alarms::composite::SuppressorConfig| {
            Some(Suppressor { alarm: names.id(&it.alarm).ok()?, wait: it.wait, extension: it.extension })
        };
        Some(Spec {
            name: alarm.name.clone(),
            rule: names.rule(alarm)?,
            suppressor: alarm.suppressor.as_ref().and_then(suppressor),
            severity: alarm.severity,
            runbook: runbook(alarm.runbook.as_ref()),
            labels: alarm.labels.clone(),
            description: alarm.description.clone().unwrap_or_default(),
        })
    };
    config.alarms.iter().filter_map(spec).collect()
}
