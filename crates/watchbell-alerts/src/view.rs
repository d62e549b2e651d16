//! Alerts and groups as they stand, for APIs and pages.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell_model::{Alert, GroupNotification, Labels, NotificationReason, Timestamp};

use crate::book::{Book, Entry};
use crate::downtime::{Downtime, DowntimeConfig, InForce, MadeDowntime};
use crate::episode::Verdict;

/// Whether an alert would be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Yes.
    Active,
    /// No: it is silenced, inhibited, in a downtime, explained, or none of its routes speaks now.
    Suppressed,
}

/// Somebody said that they see to an alert. It ends with the alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they said, if anything.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// An alert that fires, as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertView {
    /// What was raised. `ends_at` is in the future or missing.
    pub alert: Alert,
    /// The identity of its labels: sixteen hexadecimal digits.
    pub fingerprint: String,
    /// Whether it would be told of.
    pub state: AlertState,
    /// Silences in force that match it.
    pub silenced_by: Vec<String>,
    /// Fingerprints of alerts that hold it back: by inhibition, or since its alarm depends on theirs.
    pub inhibited_by: Vec<String>,
    /// Time intervals that hold the tongue of its routes, and downtimes that cover it.
    pub muted_by: Vec<String>,
    /// Who is told of it.
    pub receivers: Vec<String>,
    /// When it was raised last.
    pub updated_at: Timestamp,
    /// Who sees to it, if anybody does.
    pub acknowledged: Option<Acknowledgement>,
    /// What was said of it already.
    pub verdict: Option<Verdict>,
}

/// A downtime as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct DowntimeView {
    /// Who made it, if it does not stand in the configuration.
    pub made: Option<MadeDowntime>,
    /// What it covers, and when.
    pub downtime: DowntimeConfig,
    /// Until when it is in force at least, if it is.
    pub in_force_until: Option<Timestamp>,
    /// When it begins next, where that can be said.
    pub next_at: Option<Timestamp>,
}

/// When a downtime covers certain alerts, without a word of what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedDowntime {
    /// When it begins; nothing if it is in force.
    pub from: Option<Timestamp>,
    /// When it ends, where that can be said.
    pub until: Option<Timestamp>,
    /// Which alerts it covers, by their places among those that were asked about.
    pub covers: Vec<usize>,
}

/// A group as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    /// Who is told of it.
    pub receiver: String,
    /// `<route key>:<labels>`.
    pub group_key: String,
    /// The labels its alerts agree in.
    pub labels: Labels,
    /// What its route says of it: templates.
    pub route_labels: Labels,
    /// Its alerts that fire, by labels.
    pub alerts: Vec<AlertView>,
    /// Time intervals that hold its route's tongue now.
    pub muted_by: Vec<String>,
    /// When it is looked at next.
    pub due: Timestamp,
    /// When its receiver was told of it last.
    pub told_at: Option<Timestamp>,
}

impl GroupView {
    /// What its receiver would be told at `now`.
    pub fn told_now(&self, now: Timestamp) -> GroupNotification {
        GroupNotification {
            receiver: self.receiver.clone(),
            group_key: self.group_key.clone(),
            sequence: 0,
            group_labels: self.labels.clone(),
            route_labels: self.route_labels.clone(),
            alerts: self.alerts.iter().map(|seen| seen.alert.clone()).collect(),
            reason: NotificationReason::First,
            acknowledged_by: None,
            at: now,
        }
    }
}

impl Book {
    /// Alerts that fire at `now`, by labels.
    pub(crate) fn alert_views(&self, now: Timestamp) -> Vec<AlertView> {
        let firing = self.alerts.iter().filter(|(_, entry)| !entry.row.alert.is_resolved_at(now));
        let downtimes = self.downtimes_in_force(now);
        let view = |(fingerprint, entry): (&u64, &Entry)| self.view(*fingerprint, entry, &downtimes, now);
        let mut views: Vec<AlertView> = firing.map(view).collect();
        views.sort_by(|a, b| a.alert.labels.cmp(&b.alert.labels));
        views
    }

    /// Groups in which something fires at `now`, by labels and receiver.
    pub(crate) fn group_views(&self, now: Timestamp) -> Vec<GroupView> {
        let Some(policy) = &self.policy else { return Vec::new() };
        let downtimes = self.downtimes_in_force(now);
        let one = |group: &crate::group::Group| {
            let members = group.members.iter().map(|fingerprint| (*fingerprint, &self.alerts[fingerprint]));
            let firing = members.filter(|(_, entry)| !entry.row.alert.is_resolved_at(now));
            let mut alerts: Vec<AlertView> =
                firing.map(|(fingerprint, entry)| self.view(fingerprint, entry, &downtimes, now)).collect();
            alerts.sort_by(|a, b| a.alert.labels.cmp(&b.alert.labels));
            let route = policy.tree.route(group.route);
            GroupView {
                receiver: group.receiver.clone(),
                group_key: group.key.clone(),
                labels: group.labels.clone(),
                route_labels: route.labels.clone(),
                alerts,
                muted_by: route.muted_by(&policy.intervals, now),
                due: group.due,
                told_at: group.told.as_ref().map(|told| told.at),
            }
        };
        let mut views: Vec<GroupView> =
            self.groups.values().map(one).filter(|group| !group.alerts.is_empty()).collect();
        views.sort_by(|a, b| (&a.labels, &a.receiver, &a.group_key).cmp(&(&b.labels, &b.receiver, &b.group_key)));
        views
    }

    /// Who would be told of an alert with these labels, in the order of the routes.
    pub(crate) fn receivers_for(&self, labels: &Labels) -> Vec<String> {
        let Some(policy) = &self.policy else { return Vec::new() };
        let mut seen = BTreeSet::new();
        let routes = policy.tree.matches(labels).into_iter().map(|route| policy.tree.route(route).receiver.clone());
        routes.filter(|receiver| seen.insert(receiver.clone())).collect()
    }

    /// Downtimes of the configuration, then those that were made, in the order of when they are or were in force next.
    pub(crate) fn downtime_views(&self, now: Timestamp) -> Vec<DowntimeView> {
        let Some(policy) = &self.policy else { return Vec::new() };
        let view = |downtime: &Downtime| DowntimeView {
            made: None,
            downtime: downtime.config.clone(),
            in_force_until: downtime.until(&policy.intervals, now),
            next_at: downtime.next(now),
        };
        let made = |(row, ready): (&MadeDowntime, Option<&Downtime>)| DowntimeView {
            made: Some(row.clone()),
            downtime: row.downtime.clone(),
            in_force_until: ready.and_then(|it| it.until(&policy.intervals, now)),
            next_at: ready.and_then(|it| it.next(now)),
        };
        let mut views: Vec<DowntimeView> =
            policy.downtimes.iter().map(view).chain(self.downtimes.iter().map(made)).collect();
        let comes =
            |it: &DowntimeView| (it.in_force_until.is_none(), it.next_at.is_none(), it.in_force_until, it.next_at);
        views.sort_by(|a, b| (comes(a), &a.downtime.name).cmp(&(comes(b), &b.downtime.name)));
        views
    }

    /// See [`crate::Alerts::downtimes_of`].
    pub(crate) fn downtimes_of(&self, alerts: &[Labels], now: Timestamp, ahead: Duration) -> Vec<PlannedDowntime> {
        let Some(policy) = &self.policy else { return Vec::new() };
        let mut found = Vec::new();
        for downtime in policy.downtimes.iter().chain(self.downtimes.ready()) {
            let until = |at| downtime.until(&policy.intervals, at).filter(|_| downtime.config.during.is_empty());
            let (from, until) = match downtime.until(&policy.intervals, now) {
                Some(_) => (None, until(now)),
                None => match downtime.next(now).filter(|at| *at <= now + ahead) {
                    Some(next) => (Some(next), until(next)),
                    None => continue,
                },
            };
            let covers: Vec<usize> = (0..alerts.len()).filter(|at| downtime.covers(&alerts[*at])).collect();
            if !covers.is_empty() {
                found.push(PlannedDowntime { from, until, covers });
            }
        }
        found.sort_by_key(|it| (it.from, it.until));
        found
    }

    fn view(&self, fingerprint: u64, entry: &Entry, downtimes: &InForce<'_>, now: Timestamp) -> AlertView {
        let labels = &entry.row.alert.labels;
        let silenced_by = self.silences.muting(labels, now);
        let holding = self.inhibited_by(labels, now).into_iter().chain(self.explained_by(labels, now));
        let inhibited_by: Vec<String> = holding.map(|source| format!("{source:016x}")).collect();
        let mut muted_by = BTreeSet::new();
        let mut speaks = false;
        if let Some(policy) = &self.policy {
            for route in policy.tree.matches(labels) {
                let muted = policy.tree.route(route).muted_by(&policy.intervals, now);
                speaks |= muted.is_empty();
                muted_by.extend(muted);
            }
        }
        let covering = downtimes.covering(labels);
        let told = speaks
            && covering.is_empty()
            && self.hold(&entry.row.alert, now).is_none()
            && silenced_by.is_empty()
            && inhibited_by.is_empty();
        AlertView {
            alert: entry.row.alert.clone(),
            fingerprint: format!("{fingerprint:016x}"),
            state: if told { AlertState::Active } else { AlertState::Suppressed },
            silenced_by,
            inhibited_by,
            muted_by: muted_by.into_iter().chain(covering).collect(),
            receivers: self.receivers_for(labels),
            updated_at: entry.row.updated_at,
            acknowledged: entry.row.acknowledged.clone(),
            verdict: self.episodes.open(fingerprint).and_then(|episode| episode.verdict.clone()),
        }
    }
}
