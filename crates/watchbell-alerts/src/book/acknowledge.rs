//! Acknowledging: somebody says that they see to alerts. Nothing is silenced by it: what changes is told all the same,
//! and an end is; but what is unchanged is not repeated, and nobody further is told.

use std::collections::{BTreeMap, BTreeSet};

use watchbell_model::{Alert, Change, GroupNotification, NotificationReason, Timestamp};

use super::{Book, Moment};
use crate::episode::Episode;
use crate::group::{Climb, Group, Told};
use crate::rows::{self, AlertRow};
use crate::view::Acknowledgement;

/// What acknowledging some alerts, or taking that back, will change.
#[derive(Debug, Default)]
pub(crate) struct AcknowledgePlan {
    /// What to commit.
    pub(crate) changes: Vec<Change>,
    /// Who need not be rung any longer: those who were told of groups of which somebody now sees to all that fires.
    pub(crate) notifications: Vec<GroupNotification>,
    alerts: Vec<(u64, AlertRow)>,
    /// Groups that nobody sees to after all: the first people are told again, then the next.
    again: Vec<(u64, Group)>,
    episodes: Vec<Episode>,
}

impl AcknowledgePlan {
    /// How many alerts it changes.
    pub(crate) fn count(&self) -> usize {
        self.alerts.len()
    }
}

impl Book {
    /// The fingerprints of alerts that fire in groups with this name; see
    /// [`GroupNotification::group_id`](watchbell_model::GroupNotification::group_id).
    pub(crate) fn firing_in(&self, group_id: &str, now: Timestamp) -> Vec<u64> {
        let groups = self.groups.values().filter(|group| watchbell_model::group_id(&group.key) == group_id);
        let mut found: Vec<u64> = groups.flat_map(|group| group.members.iter().copied()).collect();
        found.sort_unstable();
        found.dedup();
        found.retain(|it| self.alerts.get(it).is_some_and(|entry| !entry.row.alert.is_resolved_at(now)));
        found
    }

    /// What it will change that these alerts are acknowledged, or are no longer; those that do not fire are left out.
    pub(crate) fn plan_acknowledge(
        &self,
        fingerprints: &[u64],
        by: Option<&Acknowledgement>,
        at: Moment,
    ) -> AcknowledgePlan {
        let mut plan = AcknowledgePlan { changes: self.unsaved.clone(), ..AcknowledgePlan::default() };
        let mut touched: BTreeMap<u64, &Group> = BTreeMap::new();
        for fingerprint in fingerprints {
            let Some(entry) = self.alerts.get(fingerprint) else { continue };
            if entry.row.alert.is_resolved_at(at.now) || entry.row.acknowledged.as_ref() == by {
                continue;
            }
            let row = AlertRow { acknowledged: by.cloned(), ..entry.row.clone() };
            plan.changes.push(rows::put_alert(*fingerprint, &row));
            plan.alerts.push((*fingerprint, row));
            if let Some(open) = self.episodes.open(*fingerprint).filter(|it| it.acknowledged.is_none()) {
                let open = Episode { acknowledged: by.cloned(), ..open.clone() };
                plan.changes.push(rows::put_episode(&open));
                plan.episodes.push(open);
            }
            touched.extend(entry.groups.iter().filter_map(|id| Some((*id, self.groups.get(id)?))));
        }
        let (again, seen_to) = if by.is_none() { (touched, BTreeMap::new()) } else { (BTreeMap::new(), touched) };
        for group in seen_to.into_values() {
            plan.notifications.extend(self.seen_to(group, &plan.alerts, by, at));
        }
        for (id, group) in again {
            let climb = Climb { since: at.steady, reached: BTreeSet::new(), told_to: group.climb.told_to.clone() };
            // Under the old sequence they would be taken to know already.
            let told = group.told.clone().map(|told| Told { sequence: told.sequence + 1, ..told });
            let group = Group { climb, told, escalates: Some(at.steady), ..group.clone() };
            plan.changes.push(rows::put_group(&group));
            plan.again.push((id, group));
        }
        plan
    }

    /// What those are told who were told of a group, if with these changes somebody sees to all of it that fires.
    fn seen_to(
        &self,
        group: &Group,
        changed: &[(u64, AlertRow)],
        by: Option<&Acknowledgement>,
        at: Moment,
    ) -> Vec<GroupNotification> {
        let Some(told) = group.told.as_ref().filter(|told| !told.firing.is_empty()) else { return Vec::new() };
        let row = |it: &u64| {
            let changed = changed.iter().find(|(fingerprint, _)| fingerprint == it).map(|(_, row)| row);
            changed.or_else(|| self.alerts.get(it).map(|entry| &entry.row))
        };
        let fires = |row: &&AlertRow| !row.alert.is_resolved_at(at.now);
        let firing: Vec<&AlertRow> = group.members.iter().filter_map(row).filter(fires).collect();
        if !firing.iter().all(|row| row.acknowledged.is_some()) {
            return Vec::new();
        }
        let mut alerts: Vec<Alert> = firing.iter().map(|row| Alert { ends_at: None, ..row.alert.clone() }).collect();
        alerts.sort_by(|a, b| a.labels.cmp(&b.labels));
        let one = |receiver: &String| GroupNotification {
            receiver: receiver.clone(),
            group_key: group.key.clone(),
            sequence: told.sequence,
            group_labels: group.labels.clone(),
            route_labels: self.route_labels(group),
            alerts: alerts.clone(),
            reason: NotificationReason::Acknowledged,
            acknowledged_by: by.map(|by| by.by.clone()),
            at: at.now,
        };
        group.climb.told_to.iter().map(one).collect()
    }

    /// Makes the change.
    pub(crate) fn apply_acknowledge(&mut self, plan: AcknowledgePlan) {
        self.unsaved.clear();
        for (fingerprint, row) in plan.alerts {
            if let Some(entry) = self.alerts.get_mut(&fingerprint) {
                entry.row = row;
            }
        }
        for episode in plan.episodes {
            self.episodes.insert(episode);
        }
        for (id, group) in plan.again {
            self.set_due(id, group.due, group.escalates);
            self.groups.insert(id, group);
        }
    }
}
