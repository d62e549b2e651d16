//! What the configuration says of an alarm.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Labels, Path, Problems, RunbookRef, Severity, Span};

use super::Rule;

/// Labels that watchbell sets itself.
const OWN_LABELS: [&str; 3] = ["alertname", "severity", "source"];

/// An alarm of other alarms, as CloudWatch has composite alarms: while its rule holds, people are told of it, and not of
/// each of those.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlarmConfig {
    /// What people call it, and the name of its alert; unique among the alarms.
    pub name: String,
    /// When it is in `ALARM`: `ALARM(Website) AND NOT ALARM(Deployment)`, `AT_LEAST(2, ALARM, (a, b, c))`. Names are those
    /// of monitors, heartbeats, alerting rules and other alarms here, or ids such as `monitor/Website`, `certificate/Website`,
    /// `heartbeat/Backup`, `rule/host/DiskFull`, `composite/Shop` and `self/own-network`.
    pub composite: String,
    /// How bad that is.
    #[serde(default)]
    pub severity: Severity,
    /// Opened from every page about it: the name of a file in the run book folder or an address.
    #[serde(default)]
    pub runbook: Option<RunbookRef>,
    /// Labels of its alert, for routing.
    #[serde(default)]
    pub labels: Labels,
    /// What it means, for whoever is paged.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether nobody is told of the alarms that its rule waits for while people are told of it.
    #[serde(default = "AlarmConfig::inhibits")]
    pub inhibit_children: bool,
    /// Another alarm that keeps it quiet, such as one that says that something is being deployed.
    #[serde(default)]
    pub suppressor: Option<SuppressorConfig>,
}

/// While this alarm is in `ALARM`, nobody is told of the composite; that it is over is told all the same.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuppressorConfig {
    /// Its name or id.
    pub alarm: String,
    /// So long a change waits for the suppressor to come, from `0s` to `1d`.
    #[serde(default)]
    pub wait: Span,
    /// So long after the suppressor is over the composite stays quiet, from `0s` to `1d`.
    #[serde(default)]
    pub extension: Span,
}

impl AlarmConfig {
    fn inhibits() -> bool {
        true
    }

    /// Finds what is wrong with alarms by themselves; whether there are those that they name is for whoever knows all.
    pub fn check_all(alarms: &[AlarmConfig], path: &Path, problems: &mut Problems) {
        for (at, alarm) in alarms.iter().enumerate() {
            let path = path.index(at);
            if alarm.name.trim().is_empty() {
                problems.error(&path.field("name"), "it is empty").hint("such as `Shop is down`");
            }
            if alarms[..at].iter().any(|other| other.name == alarm.name) {
                problems
                    .error(&path.field("name"), format!("there is another alarm named `{}`", alarm.name))
                    .hint("give each a name of its own");
            }
            if let Err(error) = alarm.composite.parse::<Rule>() {
                problems.error(&path.field("composite"), error.to_string()).hint(
                    "such as `ALARM(Website) AND NOT ALARM(Deployment)`; a name with a space stands in quotes: \
                     `ALARM(\"The shop\")`",
                );
            }
            for (name, _) in alarm.labels.iter().filter(|(name, _)| OWN_LABELS.contains(name)) {
                problems
                    .error(&path.field("labels").field(name), "watchbell sets this label itself")
                    .hint("choose another name");
            }
            let Some(suppressor) = &alarm.suppressor else { continue };
            for (field, span) in [("wait", suppressor.wait), ("extension", suppressor.extension)] {
                if span > Span::days(1) {
                    problems
                        .error(&path.field("suppressor").field(field), format!("{span} is more than a day"))
                        .hint("for planned work use `downtimes`");
                }
            }
        }
    }
}
