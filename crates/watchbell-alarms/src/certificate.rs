//! Certificate alarms: so many days before a certificate ends, and again at each further threshold.
//!
//! Pure: takes the certificates a monitor saw and the passing of time. Verifies no chain; that is the probe's.
//!
//! Each threshold that is passed raises an alert of its own, told from the others by the label `days`, and all of them
//! fire until the certificate is renewed. So whatever a route groups by, each threshold is news for its group, nobody
//! is told "resolved" because a worse alert took over, and the renewal ends all at once. A certificate that is first
//! seen late raises the nearest threshold only.
//!
//! The label `certificate` is the same for all monitors that saw the same one, so that a route can make one page of them.
//! An alert keeps the one it began with: where several servers stand behind one name, each with a certificate of its own,
//! it does not end and begin again with every probe.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell_model::{AlarmId, AlarmState, Alert, Certificate, Labels, Severity, Span, Timestamp};

use crate::kept::{Facts, Item, Kept, Kind, Runbook, Site, moment};
use crate::world::Items;

/// The alert's name.
pub const ALERT_NAME: &str = "CertificateExpiring";
/// The label that says which certificate it is: the start of its fingerprint.
pub const LABEL: &str = "certificate";

/// How much of a fingerprint is the label, in hex digits.
const LABEL_DIGITS: usize = 16;

/// When to say that a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// The monitor that sees it; the alarm is `certificate/<monitor>`.
    pub monitor: String,
    /// Days before the end at which to page, in any order; the end itself always pages.
    pub alert_days: Vec<u32>,
    /// How bad the thresholds are, but for the last of several and the end itself, which are critical.
    pub severity: Severity,
    /// What to do then.
    pub runbook: Runbook,
    /// Labels of its alerts.
    pub labels: Labels,
}

impl Spec {
    /// Thresholds in days, the nearest to the end first, which is the end itself.
    fn thresholds(&self) -> Vec<u32> {
        let mut days = self.alert_days.clone();
        days.push(0);
        days.sort_unstable();
        days.dedup();
        days
    }

    fn severity(&self, days: u32) -> Severity {
        let thresholds = self.thresholds();
        let last_of_several = thresholds.len() > 2 && thresholds[1] == days;
        if days == 0 || last_of_several { Severity::Critical } else { self.severity }
    }
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// What the monitor saw last.
    seen: Option<Certificate>,
    /// Thresholds that were passed, in order of time.
    passed: Vec<Passed>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Passed {
    days: u32,
    at: Timestamp,
    /// The start of the fingerprint of what was seen then; empty for what was passed before it was kept.
    #[serde(default)]
    certificate: String,
}

impl Memory {
    /// The certificate that was seen last.
    pub(crate) fn certificate(&self) -> Option<&Certificate> {
        self.seen.as_ref()
    }
}

/// The moment at which so many days are left.
fn days_before(end: Timestamp, days: u32) -> Timestamp {
    end - Span::days(u64::from(days)).duration()
}

fn words(time: Duration) -> String {
    Span::millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).in_words()
}

impl Kept<Memory> {
    /// Judges the certificate that a probe saw at `now`.
    pub(crate) fn certificate(&mut self, spec: &Spec, now: Timestamp, seen: &Certificate) {
        let renewed = self
            .memory
            .seen
            .as_ref()
            .is_some_and(|old| old.fingerprint != seen.fingerprint || old.not_after < seen.not_after);
        if renewed {
            // Only a renewal takes a threshold back: a clock that is set back must not.
            self.memory.passed.retain(|passed| days_before(seen.not_after, passed.days) <= now);
        }
        if self.memory.seen.as_ref() != Some(seen) {
            self.memory.seen = Some(seen.clone());
        }
        Memory::pass(self, spec, now);
    }
}

impl Kind for Memory {
    type Spec = Spec;
    const UNHEARD: &'static str = "no certificate was seen yet";

    fn id(name: &str) -> AlarmId {
        format!("certificate/{name}")
    }

    fn firing(kept: &Kept<Memory>, spec: &Spec, site: &Site) -> Vec<Alert> {
        let Some(seen) = &kept.memory.seen else { return Vec::new() };
        let thresholds = spec.thresholds();
        let known = kept.memory.passed.iter().filter(|passed| thresholds.contains(&passed.days));
        let alert = |passed: &Passed| {
            let days = passed.days.to_string();
            let end = moment(seen.not_after, passed.at);
            let summary = if seen.not_after <= passed.at {
                format!("the certificate of {} has expired, at {end}", spec.monitor)
            } else {
                let left = words(seen.not_after.since(passed.at));
                format!("the certificate of {} expires in {left}, at {end}", spec.monitor)
            };
            let description = format!("{}, issued by {}", seen.subject, seen.issuer);
            let facts = Facts {
                name: ALERT_NAME,
                severity: spec.severity(passed.days).as_str(),
                labels: &spec.labels,
                own: &[("monitor", &spec.monitor), ("days", &days), (LABEL, &passed.certificate)],
                summary,
                description: &description,
                runbook_url: &spec.runbook.url,
            };
            site.alert(&Memory::id(&spec.monitor), passed.at, facts)
        };
        known.map(alert).collect()
    }

    fn deadline(kept: &Kept<Memory>, spec: &Spec) -> Option<Timestamp> {
        let end = kept.memory.seen.as_ref()?.not_after;
        let nearest = kept.memory.passed.iter().map(|passed| passed.days).min().unwrap_or(u32::MAX);
        let next = spec.thresholds().into_iter().rev().find(|days| *days < nearest)?;
        Some(days_before(end, next))
    }

    fn pass(kept: &mut Kept<Memory>, spec: &Spec, now: Timestamp) {
        let Some(seen) = &kept.memory.seen else { return };
        let end = seen.not_after;
        let thresholds = spec.thresholds();
        kept.memory.passed.retain(|passed| thresholds.contains(&passed.days));
        if let Some(days) = thresholds.into_iter().find(|days| days_before(end, *days) <= now)
            && kept.memory.passed.iter().all(|passed| passed.days > days)
        {
            let certificate = seen.fingerprint.chars().take(LABEL_DIGITS).collect();
            kept.memory.passed.push(Passed { days, at: now, certificate });
            // A further threshold is another reason for the same state.
            if kept.state == AlarmState::Alarm {
                kept.reason = reason(end, now);
            }
        }
        let state = if kept.memory.passed.is_empty() { AlarmState::Ok } else { AlarmState::Alarm };
        kept.turn(state, now, || reason(end, now));
    }

    fn items(items: &Items) -> &BTreeMap<String, Item<Memory>> {
        &items.certificates
    }

    fn items_mut(items: &mut Items) -> &mut BTreeMap<String, Item<Memory>> {
        &mut items.certificates
    }
}

fn reason(end: Timestamp, now: Timestamp) -> String {
    if end <= now {
        format!("it has expired, at {}", moment(end, now))
    } else {
        format!("it expires in {}, at {}", words(end.since(now)), moment(end, now))
    }
}
