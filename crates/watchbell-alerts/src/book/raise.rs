//! Raising: alerts are merged with what is known of them and join their groups.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use watchbell_model::{Alert, Change, Labels, Timestamp};

use super::{ALERTS_MAX, ALERTS_OWN_MAX, Book, Entry, GROUPS_MAX, Moment, is_own};
use crate::episode::Episode;
use crate::group::Group;
use crate::rows::{self, AlertRow};

/// What raising some alerts will change.
#[derive(Debug, Default)]
pub(crate) struct RaisePlan {
    /// What to commit.
    pub(crate) changes: Vec<Change>,
    /// Alerts that found no room.
    pub(crate) dropped: u64,
    /// Alerts that found no room for a group of their own.
    pub(crate) crowded: u64,
    alerts: Vec<(u64, AlertRow, Vec<Join>)>,
    new_groups: Vec<Group>,
    /// Episodes that end, since their alerts come back.
    episodes: Vec<Episode>,
    /// Groups whose time comes earlier.
    earlier: BTreeMap<u64, Timestamp>,
}

#[derive(Debug, Clone, Copy)]
enum Join {
    Existing(u64),
    New(usize),
}

/// One alert out of two with the same labels: `old` is known, `new` arrived now (Alertmanager's rules).
fn merge(old: &Alert, mut new: Alert, now: Timestamp) -> Alert {
    let end = |alert: &Alert| alert.ends_at.unwrap_or(Timestamp::MAX);
    let (old_end, new_end) = (end(old), end(&new));
    if new_end <= old.starts_at && new.starts_at < old.starts_at && !old.is_resolved_at(now) {
        // The end of something earlier, come late, does not end what fires now.
        return old.clone();
    }
    let overlap =
        (new_end > old.starts_at && new_end < old_end) || (new.starts_at > old.starts_at && new.starts_at < old_end);
    if !overlap {
        return new;
    }
    new.starts_at = new.starts_at.min(old.starts_at);
    let both_or_none_over = new.is_resolved_at(now) == old.is_resolved_at(now);
    if both_or_none_over && old_end > new_end {
        new.ends_at = old.ends_at;
    }
    new
}

impl Book {
    /// What raising these will change.
    pub(crate) fn plan_raise(&self, alerts: Vec<Alert>, at: Moment) -> RaisePlan {
        let mut plan = RaisePlan { changes: self.unsaved.clone(), ..RaisePlan::default() };
        let Some(policy) = &self.policy else { return plan };
        let mut merged: Vec<(u64, Alert)> = Vec::with_capacity(alerts.len());
        let mut place: HashMap<u64, usize> = HashMap::with_capacity(alerts.len());
        let mut new = 0;
        for alert in alerts {
            let fingerprint = alert.fingerprint();
            if let Some(known) = place.get(&fingerprint) {
                let known = &mut merged[*known].1;
                *known = merge(known, alert, at.now);
                continue;
            }
            let alert = match self.alerts.get(&fingerprint) {
                Some(entry) => merge(&entry.row.alert, alert, at.now),
                // The end of something nobody was told of.
                None if alert.is_resolved_at(at.now) => continue,
                None => {
                    let room = if is_own(&alert) { ALERTS_MAX + ALERTS_OWN_MAX } else { ALERTS_MAX };
                    if self.alerts.len() + new >= room {
                        plan.dropped += 1;
                        continue;
                    }
                    new += 1;
                    alert
                }
            };
            place.insert(fingerprint, merged.len());
            merged.push((fingerprint, alert));
        }
        let mut new_places: HashMap<(usize, Labels), usize> = HashMap::new();
        for (fingerprint, alert) in merged {
            let entry = self.alerts.get(&fingerprint);
            let resolved = alert.is_resolved_at(at.now);
            if entry.is_some_and(|entry| entry.row.alert == alert && (resolved || entry.row.left.is_empty())) {
                continue;
            }
            // An alert that is over and comes back joins the groups again that it has left.
            let joins_all = entry.is_none_or(|entry| !resolved && !entry.row.left.is_empty());
            let mut joins = Vec::new();
            for route in if joins_all { policy.tree.matches(&alert.labels) } else { Vec::new() } {
                let timing = policy.tree.route(route).timing;
                let place = self.place(route, &alert.labels, &new_places, &mut plan.crowded);
                if let Some(&id) = self.places.get(&place) {
                    joins.push(Join::Existing(id));
                    continue;
                }
                let at_new = *new_places.entry(place).or_insert_with_key(|(route, labels)| {
                    plan.new_groups.push(Group::new(*route, policy, labels.clone(), at.steady));
                    plan.new_groups.len() - 1
                });
                let group = &mut plan.new_groups[at_new];
                group.due = group.due_after_joining(&alert, timing, at.now, at.steady);
                joins.push(Join::New(at_new));
            }
            let known = entry.map(|entry| entry.groups.as_slice()).unwrap_or_default();
            let joined = joins.iter().filter_map(|join| match join {
                Join::Existing(id) => Some(id),
                Join::New(_) => None,
            });
            for id in known.iter().chain(joined) {
                let group = &self.groups[id];
                let timing = policy.tree.route(group.route).timing;
                let due = group.due_after_joining(&alert, timing, at.now, at.steady);
                if due < group.due {
                    plan.earlier.insert(*id, due);
                }
            }
            let left = match entry {
                Some(entry) if !joins_all => entry.row.left.clone(),
                _ => BTreeSet::new(),
            };
            // It ends with the alert: one that comes back is news to whoever saw to it.
            let over = |entry: &&Entry| resolved || entry.row.alert.is_resolved_at(at.now);
            let acknowledged = entry.filter(|entry| !over(entry)).and_then(|entry| entry.row.acknowledged.clone());
            if !resolved
                && let Some(ended) = entry.map(|entry| &entry.row.alert).filter(|it| it.is_resolved_at(at.now))
                && let Some(open) = self.episodes.open(fingerprint)
            {
                let ended = open.ended(ended.ends_at);
                plan.changes.push(rows::put_episode(&ended));
                plan.episodes.push(ended);
            }
            let row = AlertRow { alert, ended: resolved, updated_at: at.now, left, acknowledged };
            plan.changes.push(rows::put_alert(fingerprint, &row));
            plan.alerts.push((fingerprint, row, joins));
        }
        plan.changes.extend(plan.new_groups.iter().map(rows::put_group));
        for (id, due) in &plan.earlier {
            plan.changes.push(rows::put_group(&Group { due: *due, ..self.groups[id].clone() }));
        }
        plan
    }

    /// Where an alert's group is: past the limit, all of a route share one.
    pub(super) fn place(
        &self,
        route: usize,
        labels: &Labels,
        new: &HashMap<(usize, Labels), usize>,
        crowded: &mut u64,
    ) -> (usize, Labels) {
        let Some(policy) = &self.policy else { return (route, Labels::empty()) };
        let place = (route, policy.tree.route(route).group_labels(labels));
        let full = self.groups.len() + new.len() >= GROUPS_MAX;
        if full && !self.places.contains_key(&place) && !new.contains_key(&place) {
            *crowded += 1;
            return (route, Labels::empty());
        }
        place
    }

    /// The commit failed, as far as anybody knows. It may have been made all the same: what it would have written is put
    /// back with the next commit, or an alert that nobody knows of would come back after a restart and never end.
    pub(crate) fn fail_raise(&mut self, plan: RaisePlan) {
        for (fingerprint, ..) in &plan.alerts {
            self.unsaved.push(match self.alerts.get(fingerprint) {
                Some(entry) => rows::put_alert(*fingerprint, &entry.row),
                None => rows::delete_alert(*fingerprint),
            });
        }
        self.unsaved.extend(plan.new_groups.iter().map(|group| rows::delete_group(group.id())));
        let before = plan.episodes.iter().filter_map(|episode| self.episodes.get(episode.key()));
        self.unsaved.extend(before.map(rows::put_episode));
        self.unsaved.extend(plan.earlier.keys().filter_map(|id| self.groups.get(id)).map(rows::put_group));
        // A full disk refuses every commit: of the same documents only the latest is kept.
        let mut last = HashMap::new();
        for change in std::mem::take(&mut self.unsaved) {
            let (Change::Put { table, key, .. } | Change::Delete { table, key }) = &change;
            last.insert((*table, key.clone()), change);
        }
        let mut kept: Vec<((&str, String), Change)> = last.into_iter().collect();
        kept.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.unsaved = kept.into_iter().map(|(_, change)| change).collect();
    }

    /// Makes the change.
    pub(crate) fn apply_raise(&mut self, plan: RaisePlan) {
        self.unsaved.clear();
        let new: Vec<u64> = plan.new_groups.into_iter().map(|group| self.insert_group(group)).collect();
        for (id, due) in plan.earlier {
            self.set_due(id, due, None);
        }
        for episode in plan.episodes {
            self.episodes.insert(episode);
        }
        for (fingerprint, row, joins) in plan.alerts {
            if !self.alerts.contains_key(&fingerprint)
                && let Some(policy) = &mut self.policy
            {
                policy.insert(fingerprint, &row.alert.labels);
            }
            let groups = Vec::new();
            let entry = self.alerts.entry(fingerprint).or_insert_with(|| Entry { row: row.clone(), groups });
            entry.row = row;
            for join in joins {
                let id = match join {
                    Join::Existing(id) => id,
                    Join::New(at) => new[at],
                };
                if let Some(group) = self.groups.get_mut(&id)
                    && group.members.insert(fingerprint)
                {
                    entry.groups.push(id);
                }
            }
        }
    }
}
