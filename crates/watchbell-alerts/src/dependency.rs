//! Dependencies: while what an alarm depends on is broken, its own alerts page nobody.
//!
//! Pure. Unlike inhibition it keeps no end from anybody: who was told that something broke learns that it is over. Since
//! the one may be noticed before the other, a new alert waits for a while, and what is not well again at once may be so soon.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use watchbell_model::{Alert, Labels, Span, Timestamp};

/// For so long after what an alarm depends on is well again its own alerts still page nobody: it was not looked at since.
const GRACE: Duration = Duration::from_secs(120);

/// What an alarm depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dependency {
    /// Ids of alarms, such as `monitor/router`.
    pub on: BTreeSet<String>,
    /// How long it may take until those are noticed to be broken: so long a new alert waits.
    pub wait: Span,
}

/// Which alarms depend on which, and the alerts of those that others depend on.
#[derive(Debug, Default)]
pub(crate) struct Dependencies {
    of: BTreeMap<String, Dependency>,
    /// By the alarm that raised them.
    alerts: BTreeMap<String, BTreeSet<u64>>,
    /// When the last of those that are forgotten ended.
    ended: BTreeMap<String, Timestamp>,
}

impl Dependencies {
    /// `of` says by the id of each alarm what it depends on.
    pub(crate) fn new(of: BTreeMap<String, Dependency>) -> Dependencies {
        let alerts = of.values().flat_map(|it| &it.on).map(|parent| (parent.clone(), BTreeSet::new())).collect();
        Dependencies { of, alerts, ended: BTreeMap::new() }
    }

    /// An alert appeared.
    pub(crate) fn insert(&mut self, fingerprint: u64, labels: &Labels) {
        if let Some(alerts) = self.raised_by(labels) {
            alerts.insert(fingerprint);
        }
    }

    /// An alert is forgotten.
    pub(crate) fn remove(&mut self, fingerprint: u64, alert: &Alert) {
        if self.raised_by(&alert.labels).is_some_and(|alerts| alerts.remove(&fingerprint))
            && let (Some(source), Some(end)) = (alert.labels.get("source"), alert.ends_at)
        {
            self.ended.insert(source.to_owned(), end);
        }
    }

    fn raised_by(&mut self, labels: &Labels) -> Option<&mut BTreeSet<u64>> {
        self.alerts.get_mut(labels.get("source")?)
    }

    fn dependency(&self, labels: &Labels) -> Option<&Dependency> {
        self.of.get(labels.get("source")?)
    }

    /// The alerts that explain one with these labels, of those that fire.
    pub(crate) fn explaining(&self, labels: &Labels, fires: impl Fn(u64) -> bool) -> Vec<u64> {
        let on = self.dependency(labels).into_iter().flat_map(|it| &it.on);
        let alerts = on.filter_map(|parent| self.alerts.get(parent)).flatten();
        alerts.copied().filter(|fingerprint| fires(*fingerprint)).collect()
    }

    /// Whether an alert is explained, may soon be, or was until just now, and for how long at least; `end` gives when one
    /// of the alerts ended, or nothing if it fires.
    pub(crate) fn hold(
        &self,
        alert: &Alert,
        now: Timestamp,
        end: impl Fn(u64) -> Option<Timestamp>,
    ) -> Option<Duration> {
        let dependency = self.dependency(&alert.labels)?;
        let left = |of: Duration, since: Timestamp| of.checked_sub(now.since(since)).filter(|left| !left.is_zero());
        let explained = dependency.on.iter().flat_map(|parent| {
            let alerts = self.alerts.get(parent).into_iter().flatten();
            let alerts = alerts.filter_map(|it| end(*it).map_or(Some(Duration::MAX), |end| left(GRACE, end)));
            alerts.chain(self.ended.get(parent).and_then(|end| left(GRACE, *end)))
        });
        explained.chain(left(dependency.wait.duration(), alert.starts_at)).max()
    }
}
