//! Monitor alarms: down after so many failed probes in a row, up at the first that succeeds.
//!
//! Pure: takes probe results, says what the alarm's state is. Schedules nothing and probes nothing.
//!
//! A monitor from which no results come says `INSUFFICIENT_DATA` and raises nothing, since nothing is known of its
//! target; that watchbell hears nothing is a trouble of watchbell's own (see [`crate::Alarms`]). One that is down stays
//! down until a probe succeeds: silence does not resolve (`failed_is_not_resolved`).

use std::collections::BTreeMap;
use std::hash::Hash;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell_model::{AlarmId, AlarmState, Alert, Labels, ProbeResult, Severity, Span, Timestamp};

use crate::certificate;
use crate::kept::{Facts, Item, Kept, Kind, Runbook, Site, moment};
use crate::world::Items;

/// The alert's name.
pub const ALERT_NAME: &str = "MonitorDown";

/// A monitor's results are overdue after this many intervals and one timeout.
const INTERVALS_SILENT: u32 = 3;

/// What is watched, and when it is down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// What people call it; the alarm is `monitor/<name>`.
    pub name: String,
    /// How it is probed: `imap`, `http`.
    pub kind: String,
    /// What is probed: `mail.example.org:993`.
    pub target: String,
    /// How often it is probed.
    pub interval: Span,
    /// How often it is probed again while it fails but is not down yet.
    pub retry_interval: Span,
    /// How long a probe may take.
    pub timeout: Span,
    /// How many further probes must fail after the first before it is down.
    pub retries: u32,
    /// How bad it is when it is down.
    pub severity: Severity,
    /// What to do then.
    pub runbook: Runbook,
    /// Labels of its alerts.
    pub labels: Labels,
    /// The alert's description.
    pub description: String,
    /// Whether, and how, the certificate it shows is judged.
    pub certificate: Option<certificate::Spec>,
}

impl Spec {
    /// How many failures in a row make it down.
    fn attempts(&self) -> u32 {
        self.retries.saturating_add(1)
    }

    /// After how long without a result nothing is known of it.
    pub(crate) fn silent_after(&self) -> Duration {
        self.interval.duration().max(self.retry_interval.duration()) * INTERVALS_SILENT + self.timeout.duration()
    }
}

/// What is counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Failures in a row, up to as many as make it down.
    failures: u32,
    /// The first of them.
    failing_since: Option<Timestamp>,
    /// What the probe that made it down saw, and the counts and the moment in words.
    down: Option<String>,
}

impl Memory {
    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

impl Kept<Memory> {
    /// Judges a probe's result.
    pub(crate) fn result(&mut self, spec: &Spec, seen: &ProbeResult) {
        if seen.success {
            let was_down = self.memory.failing_since.filter(|_| self.state == AlarmState::Alarm);
            self.memory = Memory::default();
            self.turn(AlarmState::Ok, seen.at, || match was_down {
                Some(since) => {
                    let down = Span::millis(u64::try_from(seen.at.since(since).as_millis()).unwrap_or(u64::MAX));
                    format!("it is up again after {}: {}", down.in_words(), seen.message)
                }
                None => format!("it is up: {}", seen.message),
            });
            return;
        }
        let attempts = spec.attempts();
        // Counting stops where it no longer matters, so that a monitor that stays down writes nothing.
        self.memory.failures = self.memory.failures.saturating_add(1).min(attempts);
        let since = *self.memory.failing_since.get_or_insert(seen.at);
        if self.memory.failures >= attempts && self.state != AlarmState::Alarm {
            let words = format!(
                "{} ({attempts} of {attempts} probes failed, since {})",
                seen.message.trim_end_matches('.'),
                moment(since, seen.at)
            );
            self.turn(AlarmState::Alarm, seen.at, || format!("it is down: {words}"));
            self.memory.down = Some(words);
        }
    }

    /// No result came for longer than [`Spec::silent_after`], the last at `heard`.
    pub(crate) fn silent(&mut self, now: Timestamp, heard: Timestamp) {
        if self.state == AlarmState::Ok {
            self.turn(AlarmState::InsufficientData, now, || format!("no results since {}", moment(heard, now)));
        }
    }
}

impl Kind for Memory {
    type Spec = Spec;
    const UNHEARD: &'static str = "no results yet";

    fn id(name: &str) -> AlarmId {
        format!("monitor/{name}")
    }

    fn firing(kept: &Kept<Memory>, spec: &Spec, site: &Site) -> Vec<Alert> {
        let Some(down) = &kept.memory.down else { return Vec::new() };
        let facts = Facts {
            name: ALERT_NAME,
            severity: spec.severity.as_str(),
            labels: &spec.labels,
            own: &[("monitor", &spec.name)],
            summary: format!("{} is down: {down}", spec.name),
            description: &spec.description,
            runbook_url: &spec.runbook.url,
        };
        vec![site.alert(&Memory::id(&spec.name), kept.since, facts)]
    }

    /// Silence is judged where the last result is known, see [`crate::world::World`].
    fn deadline(_: &Kept<Memory>, _: &Spec) -> Option<Timestamp> {
        None
    }

    fn pass(_: &mut Kept<Memory>, _: &Spec, _: Timestamp) {}

    fn items(items: &Items) -> &BTreeMap<String, Item<Memory>> {
        &items.monitors
    }

    fn items_mut(items: &mut Items) -> &mut BTreeMap<String, Item<Memory>> {
        &mut items.monitors
    }
}
